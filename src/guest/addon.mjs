// What boot.mjs and its parts have from outside: the addon that is made of node.c, and the npm libraries that
// lie beside this folder. Tests bring their own places by environment variables.

import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);

export const addon = require(process.env.MAYFLY_ADDON ?? './mayfly_guest.node');

/** The npm library `name` from /mayfly/<name>, or from $MAYFLY_<NAME>. */
export function loadLibrary(name) {
  const beside = fileURLToPath(new URL(`../${name}`, import.meta.url));
  return require(existsSync(beside) ? beside : process.env[`MAYFLY_${name.toUpperCase()}`]);
}
