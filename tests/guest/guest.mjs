// Runs one call through src/guest/boot.mjs, in a node of its own. See fake_addon.cjs.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { text } from 'node:stream/consumers';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const libraries = process.env.MAYFLY_LIBRARIES ?? path('../../node_modules');

export const environment = {
  PATH: process.env.PATH,
  MAYFLY_ADDON: path('fake_addon.cjs'),
  MAYFLY_ACORN: `${libraries}/acorn`,
  MAYFLY_TYPESCRIPT: `${libraries}/typescript`,
};

const FLAGS = ['--single-threaded', '--disable-warning=ExperimentalWarning'];

/** {kind, body, bytes, stdout, stderr, status, frames}; body is parsed if it is JSON. */
export async function run(code, { template = 'javascript', env = {}, ...call } = {}) {
  const whole = { mode: 'GUEST_RUN', language: 'GUEST_JAVASCRIPT', code, map: '', input: '{}', ...call };
  const child = spawn(process.execPath, [...FLAGS, path('../../src/guest/boot.mjs'), template], {
    env: { ...environment, ...env, SECRET: 'of the host', FAKE_CALL: JSON.stringify(whole) },
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const ended = new Promise((resolve) => child.on('close', (status, signal) => resolve(signal ?? status)));
  const [stdout, stderr, frames] = await Promise.all([1, 2, 3].map((fd) => text(child.stdio[fd])));
  const [kind, body, base64] = frames === '' ? [null, ''] : JSON.parse(frames.split('\n', 1)[0]);
  return {
    kind,
    body: parsed(body),
    bytes: base64 && Buffer.from(base64, 'base64'),
    stdout,
    stderr,
    status: await ended,
    frames: frames.split('\n').length - 1,
  };
}

/** What checks keep of these scripts: {language, code, map, cache}, for run(code, …). */
export async function keep(language, codes) {
  const child = spawn(process.execPath, [...FLAGS, path('keep.mjs')], {
    env: environment,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.end(JSON.stringify(codes.map((code) => [language, code])));
  return JSON.parse(await text(child.stdout));
}

export const check = (code, call) => run(code, { ...call, mode: 'GUEST_CHECK' });

function parsed(body) {
  try {
    return JSON.parse(body);
  } catch {
    return body;
  }
}
