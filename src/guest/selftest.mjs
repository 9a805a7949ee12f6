// What the keeper asks of a template before it is used: does a forked child of this node, inside these walls,
// do what scripts do, and does it draw random numbers of its own? Exit status 0 if all is well; what failed
// is on stderr. Each line on stdout is a random source and what it gave: the keeper runs two children, and no
// line may be in both.
//
// Before that the template tries by itself, in a child without walls, whether helper threads come over a fork.

import { pbkdf2, randomBytes, randomInt, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import vm from 'node:vm';

import { addon } from './addon.mjs';

const DEADLINE_MS = 8000;
const FILE = '/tmp/mayfly-selftest';

const randomSources = {
  'Math.random': () => Math.random(),
  'vm.Math.random': () => vm.runInNewContext('Math.random()'),
  randomBytes: () => randomBytes(16).toString('hex'),
  randomUUID: () => randomUUID(),
  randomInt: () => randomInt(2 ** 47),
  getRandomValues: () => Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex'),
};

const checks = {
  async timers() {
    const start = performance.now();
    await sleep(20);
    expect(performance.now() - start > 15, 'a timer was early');
  },

  async 'thread pool'() {
    const key = await promisify(pbkdf2)('password', 'salt', 10, 32, 'sha256');
    expect(key.length === 32, 'pbkdf2 gave no key');
  },

  async files() {
    writeFileSync(FILE, 'synchronous');
    expect(readFileSync(FILE, 'utf8') === 'synchronous', 'a file was not read back');
    expect((await readFile(FILE, 'utf8')) === 'synchronous', 'a file was not read back by the thread pool');
    rmSync(FILE);
  },

  async worker_threads() {
    const { Worker } = await import('node:worker_threads');
    const source = `
      const { parentPort } = require('node:worker_threads');
      parentPort.on('message', (number) => parentPort.postMessage(number + 1));`;
    const worker = new Worker(source, { eval: true });
    worker.postMessage(1);
    const [answer] = await once(worker, 'message');
    expect(answer === 2, 'a worker gave a wrong answer');
    await worker.terminate();
  },

  async WebAssembly() {
    // (module (func (export "f") (result i32) i32.const 42))
    const bytes = Buffer.from('0061736d010000000105016000017f03020100070501016600000a06010400412a0b', 'hex');
    const { instance } = await WebAssembly.instantiate(bytes);
    expect(instance.exports.f() === 42, 'a module gave a wrong answer');
  },

  async 'garbage and hot code'() {
    let kept = [];
    for (let i = 0; i < 400_000; i++) {
      kept.push({ i, text: `item ${i}` });
      if (kept.length === 50_000) kept = kept.filter((item) => item.i % 16 === 0);
    }
    expect(kept.length < 50_000 && kept.every((item) => item.text === `item ${item.i}`), 'objects were lost');
  },

  async 'http and fetch'() {
    const { createServer } = await import('node:http');
    const server = createServer((request, response) => response.end(request.url)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const answer = await fetch(`http://127.0.0.1:${server.address().port}/path`);
    expect((await answer.text()) === '/path', 'a wrong answer');
    server.closeAllConnections();
    server.close();
  },

  async signals() {
    const heard = once(process, 'SIGUSR2');
    const timer = setTimeout(() => {}, DEADLINE_MS);
    process.kill(process.pid, 'SIGUSR2');
    await heard;
    clearTimeout(timer);
  },
};

/** There is no network yet. */
const trials = {
  async 'a server'() {
    const { createServer, get } = await import('node:http');
    const server = createServer((request, response) => response.end(request.url)).listen(FILE);
    await once(server, 'listening');
    const [response] = await once(get({ socketPath: FILE, path: '/path' }), 'response');
    expect((await response.toArray()).join('') === '/path', 'a wrong answer');
    server.closeAllConnections();
    server.close();
  },
  'thread pool': checks['thread pool'],
  files: checks.files,
  WebAssembly: checks.WebAssembly,
  worker_threads: checks.worker_threads,
  'garbage and hot code': checks['garbage and hot code'],
  async 'helper threads'() {
    while (readdirSync('/proc/self/task').length < 2) await sleep(5);
  },
};

function expect(isTrue, otherwise) {
  if (!isTrue) throw new Error(otherwise);
}

export function trial() {
  return report(trials);
}

export function selfTestJavaScript() {
  drawAll();
  return report(checks);
}

export function selfTestTypeScript(compile) {
  drawAll();
  return report({
    async TypeScript() {
      const { code } = compile('enum E { A = 41 } return (E.A as number) + 1;');
      expect(new Function(code)() === 42, 'a script was compiled wrongly');
    },
  });
}

function drawAll() {
  for (const [name, draw] of Object.entries(randomSources)) console.log(name, draw());
}

// Leaves by itself, also when a check hangs: the answer is the exit status.
async function report(checksToRun) {
  let isFine = true;
  for (const [name, check] of Object.entries(checksToRun)) {
    const deadline = setTimeout(
      () => fail(name, new Error(`no answer after ${DEADLINE_MS} ms`)),
      DEADLINE_MS,
    );
    try {
      await check();
    } catch (error) {
      isFine = false;
      console.error(`self-test: ${name}: ${error.stack}`);
    }
    clearTimeout(deadline);
  }
  addon.exit(isFine ? 0 : 1);
}

function fail(name, error) {
  console.error(`self-test: ${name}: ${error.message}`);
  addon.exit(1);
}
