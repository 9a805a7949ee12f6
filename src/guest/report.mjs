// An error as the caller sees it: name, message, and a stack of the user's frames alone.

import { SourceMap } from 'node:module';
import { getSystemErrorMap, inspect } from 'node:util';

const { stringify } = JSON;

const NAME_MAX = 256;
const TEXT_MAX = 64 * 1024; // characters of a message or a stack
const CAUSES_MAX = 4;
const GUEST = new URL('.', import.meta.url).href;
const GUEST_PATH = new URL('.', import.meta.url).pathname;
const SYSTEM_CODES = new Set([...getSystemErrorMap().values()].map(([name]) => name));
const NO_MEMORY = /^(Array buffer allocation failed|WebAssembly\.Memory\(\): could not allocate memory)$/;
const POSITION = /\bfunction\.[jt]s:(\d+):(\d+)/;

/** The script does not parse; `at` is {line, column}, from 1, or null. */
export class ScriptSyntaxError extends Error {
  constructor(message, fileName, at) {
    super(message);
    this.fileName = fileName;
    this.at = at;
  }

  /** The body of FRAME_SYNTAX. */
  toJSON() {
    const { message, fileName, at } = this;
    const where = at ? `${fileName}:${at.line}:${at.column}` : fileName;
    const stack = `SyntaxError: ${message}\n    at ${where}`;
    return { name: 'SyntaxError', message, stack, line: at?.line ?? null, column: at?.column ?? null };
  }
}

/** The body of FRAME_ERROR for anything that can be thrown; asking it may run the user's code. */
export function describe(thrown) {
  try {
    return stringify(describeThrown(thrown));
  } catch {
    const message = 'the script threw something that fails when it is looked at';
    return stringify({ name: 'Error', message, stack: `Error: ${message}`, line: null, column: null });
  }
}

function describeThrown(thrown) {
  if (!isErrorLike(thrown)) {
    const message = typeof thrown === 'string' ? thrown : inspect(thrown);
    return {
      name: 'Error',
      message: cut(message),
      stack: cut(`Uncaught ${inspect(thrown)}`),
      line: null,
      column: null,
    };
  }
  const stack = userStack(thrown, 0);
  const [, line, column] = POSITION.exec(stack.slice(stack.indexOf('\n    at '))) ?? [];
  return {
    name: String(thrown.name ?? 'Error').slice(0, NAME_MAX),
    message: cut(String(thrown.message)),
    stack: cut(stack),
    line: line ? Number(line) : null,
    column: column ? Number(column) : null,
    code: systemCode(thrown, 0), // JSON leaves it out if there is none
  };
}

/** The symbolic errno of an error, or of the nearest one behind it: its cause, or those it puts together. */
function systemCode(error, depth) {
  if (!isErrorLike(error) || depth > CAUSES_MAX) return undefined;
  if (SYSTEM_CODES.has(error.code)) return error.code;
  if (error.code === 'ERR_MEMORY_ALLOCATION_FAILED' || NO_MEMORY.test(error.message)) return 'ENOMEM';
  const behind = [error.cause, ...(Array.isArray(error.errors) ? error.errors.slice(0, CAUSES_MAX) : [])];
  for (const other of behind) {
    const code = systemCode(other, depth + 1);
    if (code) return code;
  }
  return undefined;
}

function isErrorLike(value) {
  return typeof value === 'object' && value !== null && typeof value.message === 'string';
}

function cut(text) {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)}…` : text;
}

function userStack(error, depth) {
  const own = onlyUserFrames(
    typeof error.stack === 'string' ? error.stack : `${error.name}: ${error.message}`,
  );
  if (!isErrorLike(error.cause) || depth === CAUSES_MAX) return own;
  return `${own}\n  [cause]: ${userStack(error.cause, depth + 1)}`;
}

// Below the last frame of the script there is only what called it; above it, what it called.
function onlyUserFrames(stack) {
  const lines = stack.split('\n');
  const isFrame = (line) => line.startsWith('    at ');
  const last = lines.findLastIndex((line) => isFrame(line) && POSITION.test(line));
  const reach = last === -1 ? lines.length : last + 1;
  return lines
    .slice(0, reach)
    .filter((line) => !isFrame(line) || !isInternal(line))
    .join('\n');
}

function isInternal(frame) {
  return frame.includes(GUEST) || frame.includes(GUEST_PATH) || frame.includes('node:internal/');
}

/**
 * For compiled scripts: from now on every stack of this cell, also one that the script prints, shows the
 * positions that place() says. It is first asked when a stack is.
 */
export function mapStacks(fileName, place) {
  let positions;
  const mapped = (frame) => {
    positions ??= new RegExp(`\\b${fileName.replace('.', '\\.')}:(\\d+):(\\d+)`, 'g');
    return String(frame).replace(positions, (_, line, column) => {
      const at = place(Number(line), Number(column));
      return `${fileName}:${at.line}:${at.column}`;
    });
  };
  Object.defineProperty(Error, 'prepareStackTrace', {
    value: (error, frames) => headline(error) + frames.map((frame) => `\n    at ${mapped(frame)}`).join(''),
    writable: true,
    configurable: true,
  });
}

/** Takes that back, for a rehearsal. */
export function unmapStacks() {
  delete Error.prepareStackTrace;
}

function headline(error) {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return '<error>';
  }
}

/** place(line, column) of a source map: {line, column} in the source. Decoded when first asked. */
export function positionMapper(mapText) {
  let map;
  return (line, column) => {
    map ??= new SourceMap(JSON.parse(mapText));
    const { lineNumber, columnNumber } = map.findOrigin(line, column);
    return { line: lineNumber ?? line, column: columnNumber ?? column };
  };
}
