// The template that runs scripts: JavaScript, and TypeScript that was compiled when it was uploaded.

import { addon } from './addon.mjs';
import { cacheOf } from './compiled.mjs';
import { check, run } from './javascript.mjs';
import { describe, unmapStacks } from './report.mjs';
import { selfTestJavaScript } from './selftest.mjs';

export const actions = { [addon.GUEST_RUN]: run, [addon.GUEST_CHECK]: check, [addon.GUEST_COMPILE]: check };
export const selfTest = selfTestJavaScript;

const ROUNDS = 4;
const MODULES = `assert buffer child_process crypto dns events fs/promises http https os path perf_hooks readline/promises stream
stream/web string_decoder timers/promises url util zlib`.split(/\s/);

// What most scripts touch. None of it may keep a random number, a timer or a handle: all cells inherit it.
const USUAL = `
const { createHash } = require('crypto');
const { readFileSync } = require('node:fs');
console.log('%s', event.name, { items: event.items });
const { total } = await new Promise((resolve) => resolve({ total: event.items.reduce((a, b) => a + b, 0) }));
return { total, digest: createHash('sha256').update(String(total)).digest('hex'), event };`;
const MODULE = `
import fs, { readFileSync } from 'node:fs';
export const handler = async (event) => {
  return { size: Buffer.byteLength(JSON.stringify(event)), ...import.meta };
};`;
const BROKEN = `const fail = () => { throw new TypeError('warm'); };
await null;
fail();`;
const TRIVIAL = `console.log(event); return { event };`;
const UNSEEN = TRIVIAL.replace('event', 'input'); // as long, so its cache will do, and not compiled before

const MAP = '{"version":3,"sources":["function.ts"],"names":[],"mappings":"AAAA"}';
const INPUT = '{"name": "warm", "items": [1, 2], "id": 12345678901234567890, "nothing": null}';

export const sampleCall = {
  mode: addon.GUEST_RUN,
  language: addon.GUEST_JAVASCRIPT,
  code: TRIVIAL,
  map: '',
  input: INPUT,
};

let sampleCache;

/** Before the first fork: whatever a call needs is compiled, and modules are loaded. */
export async function warmTemplate() {
  for (const name of MODULES) await import(`node:${name}`);
  for (let i = 0; i < ROUNDS; i++) {
    for (const code of [USUAL, MODULE, TRIVIAL, BROKEN]) await call({ code });
    await call({ code: 'return (' });
    for (const code of [TRIVIAL, BROKEN]) await call({ code, language: addon.GUEST_TYPESCRIPT, map: MAP });
    unmapStacks();
  }
}

/** A call as most are: of a stored script, whose code is compiled. */
export function probeCall() {
  return { code: UNSEEN, cache: sampleCache, input: INPUT };
}

/**
 * In a cell that waits for its call, which may come with compiled code or without. V8 does not look at a cache if it
 * has compiled the same text before; so it is given a text as long that was never compiled, which will do for it.
 */
export async function warmCell() {
  await run(sampleCall);
  await run({ ...sampleCall, code: UNSEEN, cache: sampleCache });
}

async function call(members) {
  const request = { ...sampleCall, ...members };
  try {
    const { body } = await check(request);
    const cache = cacheOf(body);
    await run(request);
    await run({ ...request, cache });
    if (members.code === sampleCall.code && !members.map) sampleCache = cache;
  } catch (error) {
    describe(error);
  }
}
