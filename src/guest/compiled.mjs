// What a check makes of a script, for its calls to come: V8's code cache, and of a script with module syntax the
// text that it was rewritten to, so that a call needs no parser. V8 trusts its cache: only cells of the script
// that it was made of are given it. The stamp keeps that of another Node.js, of other flags or of another mayfly out.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import v8 from 'node:v8';

import { addon } from './addon.mjs';

const SOURCES = ['compiled.mjs', 'javascript.mjs', 'module_syntax.mjs'];
const STAMP_LENGTH = 8;
const HEADER_LENGTH = 16; // stamp, length of the JSON, nothing: V8's part is aligned, or V8 would copy it
const CACHE_PER_BYTE = 8;
const CACHE_EXTRA = 65536;

export const stamp = makeStamp();
const stampNumber = new DataView(new TextEncoder().encode(stamp).buffer).getBigUint64(0);

// Flags are part of V8's tag, so it is taken as it is after eagerly().
function makeStamp() {
  eagerly(() => {});
  const hash = createHash('sha256').update(String(v8.cachedDataVersionTag()));
  for (const name of SOURCES) hash.update(readFileSync(new URL(name, import.meta.url)));
  return hash.digest('hex').slice(0, STAMP_LENGTH);
}

/**
 * What compile() returns, all its functions compiled too, and not only those that V8 expects to run at once:
 * that is slower now, and two to five times faster in each call.
 */
export function eagerly(compile) {
  v8.setFlagsFromString('--no-lazy');
  try {
    return compile();
  } finally {
    v8.setFlagsFromString('--lazy'); // they must be those of the cells again before a cache is made
  }
}

/** A cache: a header, JSON of what the script was rewritten to, V8's own. */
export function packCode({ script, rewritten, source }) {
  const json = rewritten ? JSON.stringify(rewritten) : '';
  const text = Buffer.from(json + ' '.repeat(-Buffer.byteLength(json) & 7));
  const header = Buffer.alloc(HEADER_LENGTH, stamp);
  header.writeUInt32LE(text.length, STAMP_LENGTH);
  const cache = Buffer.concat([header, text, script.createCachedData()]);
  return cache.length <= CACHE_PER_BYTE * source.code.length + CACHE_EXTRA ? cache : Buffer.alloc(0);
}

/** {rewritten, data} of a cache, or null if it is not ours. */
export function unpackCode(cache) {
  if (!(cache?.length > HEADER_LENGTH)) return null;
  const { buffer, byteOffset } = cache;
  const header = new DataView(buffer, byteOffset, HEADER_LENGTH);
  if (header.getBigUint64(0) !== stampNumber) return null;
  const end = HEADER_LENGTH + header.getUint32(STAMP_LENGTH, true);
  const rewritten = end > HEADER_LENGTH ? JSON.parse(cache.utf8Slice(HEADER_LENGTH, end)) : null;
  return { rewritten, data: new Uint8Array(buffer, byteOffset + end, cache.length - end) };
}

/** Its last part, if it is JavaScript's. */
export function cacheOf(body) {
  return body.subarray(16);
}

/** FRAME_COMPILED: struct frame_compiled and its parts. */
export function compiledFrame({ code = '', map = '', cache }) {
  const header = Buffer.alloc(16);
  const parts = [Buffer.from(code), Buffer.from(map), cache];
  parts.forEach((part, i) => header.writeUInt32LE(part.length, i * 4));
  return { kind: addon.FRAME_COMPILED, body: Buffer.concat([header, ...parts]) };
}
