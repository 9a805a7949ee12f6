// Checks scripts as a template does: [[language, text], …] on stdin, and on stdout what is kept of each, its cache
// in base64. A process of its own, since V8 takes a cache under equal flags only.

import { text } from 'node:stream/consumers';

import { checkSource, makeSource } from '../../src/guest/javascript.mjs';
import { compileTypeScript } from '../../src/guest/typescript.mjs';

const checks = {
  GUEST_JAVASCRIPT: (code) => ({ code, map: '', cache: checkSource(makeSource(code, 'function.js', null)) }),
  GUEST_TYPESCRIPT: compileTypeScript,
};

const kept = JSON.parse(await text(process.stdin)).map(([language, code]) => {
  const parts = checks[language](code);
  return { ...parts, language, cache: parts.cache.toString('base64') };
});
process.stdout.write(JSON.stringify(kept));
