// The process of one call: what a fork must make its own, and the way out.
//
// A call ends in one of four ways, and all of them pass through leave(): the script has returned a value or
// has failed (concludeWith), it has called process.exit(), or nothing is left to do. Exit handlers have run
// by then, and what they printed is in the pipe before the last frame. Node.js's own way out is never taken:
// it waits for threads that a fork does not have.

import { addon } from './addon.mjs';
import { ScriptSyntaxError, describe } from './report.mjs';

const { emit, exit, reallyExit, uptime } = process;
const ENVIRONMENT_KEPT = new Set(['PATH', 'LANG']);
const STATIONS = new Set(['uncaughtExceptionMonitor', 'uncaughtException', 'exit']);

let { send, exit: end } = addon;
let isCell = false;
let callStart = 0;
let lastWord = null; // {kind, body} of the frame that ends the call, once that is known
let uncaught = null; // {error} that nobody caught
let isWaiting = false; // for a promise of the script
let isIdle = false; // the event loop has run dry
let isLeaving = false;

/**
 * In the template, so that a fork has next to nothing left to do: a process object that tells of the cell and
 * of nothing around it, whoever started the template.
 */
export function prepareProcess(name) {
  for (const variable of Object.keys(process.env)) {
    if (!ENVIRONMENT_KEPT.has(variable)) delete process.env[variable];
  }
  process.env.HOME = '/tmp';
  process.env.TMPDIR = '/tmp';
  process.argv = [process.execPath, '/tmp/function.js'];
  process.execArgv = [];
  process.title = name;
  process.chdir(process.cwd()); // Node.js then asks anew where it is; a cell begins in /tmp
  process.reallyExit = leave;
  define('emit', { value: emitOfCell, writable: true });
  define('pid', { get: addon.pid, enumerable: true });
  define('uptime', { value: uptimeOfCall, writable: true, enumerable: true });
}

function define(name, descriptor) {
  Object.defineProperty(process, name, { configurable: true, ...descriptor });
}

function uptimeOfCall() {
  return uptime() - callStart;
}

/** In the child, first of all. */
export function becomeCell() {
  isCell = true;
  if (!addon.randomFound()) replaceRandom();
}

/**
 * In the template: a call that comes to nothing, so that every function on its way is compiled before the
 * fork. Nothing may stay behind.
 */
export async function rehearse(serveCall) {
  const unwound = new Error('this is where the cell would end');
  const { exitCode } = process;
  send = () => {};
  end = () => {
    throw unwound;
  };
  isCell = true;
  await serveCall().catch((error) => {
    if (error !== unwound) throw error;
  });
  ({ send, exit: end } = addon);
  isCell = isLeaving = process._exiting = false;
  process.exitCode = exitCode;
  lastWord = null;
}

/** When the call has come: a spare cell may have waited for long. */
export function startClock() {
  callStart = uptime();
}

/** Ends the call with this frame, or with nothing returned once the event loop is empty. */
export async function concludeWith(promise) {
  isWaiting = true;
  try {
    lastWord = await promise;
  } catch (error) {
    lastWord = failure(error);
  }
  isWaiting = false;
  if (lastWord?.kind === addon.FRAME_ERROR) exit(1);
  if (lastWord) exit(); // with an argument it would forget process.exitCode
}

function failure(error) {
  if (error instanceof ScriptSyntaxError) return { kind: addon.FRAME_SYNTAX, body: JSON.stringify(error) };
  return { kind: addon.FRAME_ERROR, body: describe(error) };
}

/** process.emit, which Node.js calls for the stations on the way out; listeners come before us. */
function emitOfCell(name, ...rest) {
  if (name === 'uncaughtExceptionMonitor') uncaught = { error: rest[0] };
  const wasHeard =
    STATIONS.has(name) && isCell ? emitOrLeave(name, rest) : Reflect.apply(emit, this, [name, ...rest]);
  if (name === 'uncaughtException' && wasHeard) uncaught = null;
  if (name === 'beforeExit') isIdle = true;
  if (name === 'exit' && isCell) leave(rest[0]);
  return wasHeard;
}

/** A listener that throws here would send Node.js its own way out. */
function emitOrLeave(name, rest) {
  try {
    return Reflect.apply(emit, process, [name, ...rest]);
  } catch (error) {
    uncaught = { error };
    process.exitCode = 1;
    return leave();
  }
}

function leave(code) {
  if (!isCell) return reallyExit(code);
  let status = Number(process.exitCode ?? code ?? 0);
  if (!isLeaving) {
    isLeaving = true; // describing an error may run the script's code, which may exit
    const word = finalWord(status);
    if (word) send(word.kind, word.body);
    if (word?.kind === addon.FRAME_ERROR) status ||= 1;
  }
  end(status);
}

/** An exit status other than 0 speaks for itself, unless it is the status of an error that we know. */
function finalWord(status) {
  if (uncaught) return failure(uncaught.error);
  if (status !== 0) return lastWord?.kind === addon.FRAME_ERROR ? lastWord : null;
  if (lastWord) return lastWord;
  if (isWaiting && isIdle) return failure(stuck());
  return { kind: addon.FRAME_NOTHING, body: '' };
}

function stuck() {
  const error = new Error('the script waits for a promise that nothing is left to settle');
  error.stack = `${error.name}: ${error.message}`;
  return error;
}

/** For a V8 that node_random.c does not know. New vm contexts stay alike, which the self-test shows. */
function replaceRandom() {
  const { getRandomValues } = crypto;
  const words = new Uint32Array(2);
  Math.random = function random() {
    Reflect.apply(getRandomValues, crypto, [words]);
    return (words[0] * 2 ** 21 + (words[1] >>> 11)) / 2 ** 53;
  };
}
