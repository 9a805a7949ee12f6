// Running a script. Its text becomes the body of an async function, so that it may return and await at its
// top level, inside a function that has what a CommonJS module sees and the event as parameters: the body's
// own `const event` or `const require` then shadows a name instead of colliding with it. V8 parses it, and
// only if V8 cannot is it looked at as a module (module_syntax.mjs).

import { Module, createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';

import { addon } from './addon.mjs';
import { compiledFrame, eagerly, packCode, unpackCode } from './compiled.mjs';
import { parseInput, stringifyResult } from './json.mjs';
import { moduleNames, rewriteModule } from './module_syntax.mjs';
import { ScriptSyntaxError, mapStacks, positionMapper } from './report.mjs';

const FOLDER = '/tmp'; // where the script would lie, had it a file: relative paths and imports start here
const PARAMETERS = ['exports', 'require', 'module', '__filename', '__dirname', 'event', 'input'];
const INNER = 'async function () {';
const MODULE_COMPLAINT = /import statement outside a module|'export'|'import\.meta' outside a module/;

const AsyncFunction = (async () => {}).constructor;
const sourceTextOf = Function.prototype.toString;

/** GUEST_RUN: {kind, body} of the frame that ends the call, or null if the script returned nothing. */
export async function run({ language, code, map, cache, memory, input }) {
  const source = sourceOf({ language, code, map });
  const compiled = restore(source, cache) ?? compile(source);
  if (memory) addon.fitHeap(memory); // flags change with it, and with other flags V8 would not take the cache
  if (language === addon.GUEST_TYPESCRIPT) mapStacks(source.fileName, source.place);
  const value = await evaluate(compiled, parseInput(input));
  return value === undefined ? null : { kind: addon.FRAME_RESULT, body: stringifyResult(value) };
}

/** GUEST_CHECK, GUEST_COMPILE: throws ScriptSyntaxError if run() would. */
export async function check(call) {
  return compiledFrame({ cache: checkSource(sourceOf(call)) });
}

function sourceOf({ language, code, map }) {
  const isTypeScript = language === addon.GUEST_TYPESCRIPT;
  return makeSource(code, isTypeScript ? 'function.ts' : 'function.js', isTypeScript ? map : null);
}

/** A script and the way from its positions to those of the author's text. */
export function makeSource(code, fileName, map) {
  return {
    code: code.startsWith('#!') ? `//${code.slice(2)}` : code,
    fileName,
    place: map === null ? (line, column) => ({ line, column }) : positionMapper(map),
  };
}

/** The cache of its code; throws ScriptSyntaxError if it does not parse. */
export function checkSource(source) {
  const compiled = compileAll(source);
  try {
    new AsyncFunction(compiled.body); // unlike the wrapper below, it cannot be closed from inside
  } catch (error) {
    throw unbalanced(source, error.message);
  }
  return packCode(compiled);
}

/** Functions nested too deep to be compiled at once are compiled as V8 comes to them. */
function compileAll(source) {
  try {
    return eagerly(() => compile(source));
  } catch (error) {
    if (error instanceof RangeError) return compile(source);
    throw error;
  }
}

async function evaluate({ source, script, body, rewritten }, event) {
  const module = makeModule(source);
  const esm = rewritten && makeEsm(source, rewritten.imports, module.require);
  const makeBody = script.runInThisContext();
  const { exports, require, filename } = module;
  const call = makeBody(exports, require, module, filename, FOLDER, event, event, esm, esm?.meta);
  if (sourceTextOf.call(call).length !== INNER.length + body.length + 2) throw unbalanced(source);

  const value = await call.call(esm ? undefined : exports);
  if (value !== undefined) return value;
  const handler = findHandler(esm && reachedExports(esm)) ?? findHandler(module.exports);
  return handler ? await handler(event) : undefined;
}

/** {source, script, body, rewritten}: rewritten is null if there is no module syntax. */
function compile(source) {
  try {
    return wrap(source, null);
  } catch (error) {
    const rewritten = rewriteAfter(error, source);
    try {
      return wrap(source, rewritten);
    } catch (again) {
      throw syntaxErrorOfV8(again, source, wrapperBefore(rewritten).length);
    }
  }
}

/** The same from what a check has kept, or null. V8 compiles the text if it does not take its own part. */
function restore(source, cache) {
  try {
    const kept = unpackCode(cache);
    return kept && wrap(source, kept.rewritten, kept.data);
  } catch {
    return null;
  }
}

function wrapperBefore(rewritten) {
  const names = rewritten ? [...PARAMETERS, moduleNames.module, moduleNames.meta] : PARAMETERS;
  return `(function (${names.join(', ')}) { return (${INNER}${rewritten?.prologue ?? ''}`;
}

// All on the first line, whose columns then start below zero. The inner parentheses tell V8 to compile the
// body at once, as it will run.
function wrap(source, rewritten, cachedData) {
  const { code, prologue } = rewritten ?? { code: source.code, prologue: '' };
  const before = wrapperBefore(rewritten);
  const script = new vm.Script(`${before}${code}\n})})`, {
    filename: source.fileName,
    columnOffset: -before.length,
    cachedData,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  return { source, script, body: prologue + code, rewritten };
}

/** V8 has refused it as a script: the same as a module, or the complaint that helps its author most. */
function rewriteAfter(error, source) {
  if (!(error instanceof SyntaxError)) throw error;
  try {
    const rewritten = rewriteModule(source.code);
    if (rewritten) return rewritten;
  } catch (fault) {
    if (!fault.loc) throw fault;
    if (MODULE_COMPLAINT.test(error.message)) throw syntaxErrorOfParser(fault, source);
  }
  throw syntaxErrorOfV8(error, source, wrapperBefore(null).length);
}

/** From V8's error, whose stack begins with `function.js:LINE`, that line, and carets below the fault. */
function syntaxErrorOfV8(error, source, firstLineOffset) {
  if (!(error instanceof SyntaxError)) return error;
  const [head, , carets] = String(error.stack).split('\n');
  const line = Number(/:(\d+)$/.exec(head)?.[1]);
  const caret = carets?.indexOf('^') ?? -1;
  if (!line || caret < 0) return new ScriptSyntaxError(error.message, source.fileName, null);
  if (line > source.code.split('\n').length) return unbalanced(source, error.message);
  return placed(error.message, source, line, Math.max(1, caret + 1 - (line === 1 ? firstLineOffset : 0)));
}

function syntaxErrorOfParser(fault, source) {
  const message = fault.message.replace(/ \(\d+:\d+\)$/, '');
  return placed(message, source, fault.loc.line, fault.loc.column + 1);
}

function placed(message, source, line, column) {
  return new ScriptSyntaxError(message, source.fileName, source.place(line, column));
}

/** A brace too many or too few: to V8 it meets the wrapper's braces, so it cannot say where. */
function unbalanced(source, message = "Unexpected token '}'") {
  try {
    rewriteModule(source.code);
  } catch (fault) {
    if (fault.loc) return syntaxErrorOfParser(fault, source);
  }
  return new ScriptSyntaxError(message, source.fileName, null);
}

function makeModule({ fileName }) {
  const filename = `${FOLDER}/${fileName}`;
  const module = new Module(filename);
  module.filename = filename;
  module.paths = Module._nodeModulePaths(FOLDER);
  module.require = createRequire(filename);
  module.require.main = module;
  return module;
}

/** What rewritten code expects under the names of module_syntax.mjs. */
function makeEsm(source, imports, require) {
  const filename = `${FOLDER}/${source.fileName}`;
  const { href: url } = pathToFileURL(filename);
  const resolve = (specifier) => resolveUrl(specifier, url, require);
  return {
    exported: {}, // name → function that gives the value
    load: (index, load) => loadImport(imports[index], load, source),
    meta: { __proto__: null, dirname: FOLDER, filename, main: true, resolve, url },
  };
}

function resolveUrl(specifier, url, require) {
  if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, url).href;
  if (URL.canParse(specifier)) return specifier;
  const path = require.resolve(specifier);
  return path.startsWith('/') ? pathToFileURL(path).href : `node:${path}`;
}

async function loadImport({ specifier, bindings, line, column }, load, source) {
  const at = source.place(line, column);
  const frame = `\n    at ${source.fileName}:${at.line}:${at.column}`;
  let namespace;
  try {
    namespace = await load();
  } catch (error) {
    if (typeof error?.stack === 'string') error.stack += frame;
    throw error;
  }
  for (const { name } of bindings) {
    if (name === null || name in namespace) continue;
    const error = new SyntaxError(
      `The requested module '${specifier}' does not provide an export named '${name}'`,
    );
    error.stack = `${error.name}: ${error.message}${frame}`;
    throw error;
  }
  return namespace;
}

// A body that returned early has not reached all of them.
function reachedExports({ exported }) {
  const values = {};
  for (const [name, value] of Object.entries(exported)) {
    try {
      values[name] = value();
    } catch (error) {
      if (!(error instanceof ReferenceError)) throw error;
    }
  }
  return values;
}

/** The function to call with the event when the body has returned nothing. */
function findHandler(exports) {
  if (typeof exports === 'function') return exports;
  if (typeof exports?.default === 'function') return exports.default;
  for (const object of [exports, exports?.default]) {
    if (typeof object?.handler === 'function') return (event) => object.handler(event);
  }
  return null;
}
