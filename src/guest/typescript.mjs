// TypeScript to JavaScript, without type information. What the compiler is told depends on the script in one
// point only, the kind of its decorators; docs/decisions/0004-node.md says why.

import { loadLibrary } from './addon.mjs';
import { checkSource, makeSource } from './javascript.mjs';
import { ScriptSyntaxError } from './report.mjs';

const ts = loadLibrary('typescript');
const FILE = 'function.ts';

const compilerOptions = {
  target: ts.ScriptTarget.ES2023, // the newest that still lowers decorators and `using`
  module: ts.ModuleKind.Preserve, // import, export and `import x = require()` as they stand
  isolatedModules: true,
  esModuleInterop: true,
  sourceMap: true,
  inlineSources: false,
  newLine: ts.NewLineKind.LineFeed,
};

// Parameter decorators exist in the old proposal only, and its field decorators expect assigned fields.
const oldDecorators = { experimentalDecorators: true, useDefineForClassFields: false };

/** {code, map, cache} of a script; throws ScriptSyntaxError if it does not parse, before or after compiling. */
export function compileTypeScript(text) {
  const options = hasParameterDecorators(text) ? { ...compilerOptions, ...oldDecorators } : compilerOptions;
  const { outputText, sourceMapText, diagnostics } = ts.transpileModule(text, {
    fileName: FILE,
    reportDiagnostics: true,
    compilerOptions: options,
  });
  const fault = diagnostics.find(({ category }) => category === ts.DiagnosticCategory.Error);
  if (fault) throw syntaxError(fault);
  const code = outputText.replace(/\/\/# sourceMappingURL=\S*\s*$/, '');
  return { code, map: sourceMapText, cache: checkSource(makeSource(code, FILE, sourceMapText)) };
}

function syntaxError({ messageText, file, start }) {
  const message = ts.flattenDiagnosticMessageText(messageText, '\n');
  if (!file || start === undefined) return new ScriptSyntaxError(message, FILE, null);
  const { line, character } = file.getLineAndCharacterOfPosition(start);
  return new ScriptSyntaxError(message, FILE, { line: line + 1, column: character + 1 });
}

function hasParameterDecorators(text) {
  if (!text.includes('@')) return false;
  const isDecorated = (node) =>
    (ts.isParameter(node) && ts.getDecorators(node)?.length > 0) ||
    ts.forEachChild(node, isDecorated) ||
    false;
  return isDecorated(ts.createSourceFile(FILE, text, compilerOptions.target));
}
