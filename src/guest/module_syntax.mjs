// A script may use import and export and yet return at its top level, which is neither a script nor a module
// to V8. So module syntax is rewritten into an async function's: every declaration makes room for text of its
// own length, and what must run first goes into a prologue, so lines and columns stay those of the source.
//
//     import fs, { stat } from 'fs'        → const {default: fs, stat} = await import('fs')  (prologue)
//     export default class {}              → ;$mayfly =     class {};
//     export { run as handler }            → ;                        and a getter in the prologue
//     import.meta                          → $mayflyMeta
//
// Imported names are constants here: a module that reassigns its own export after loading is not followed.

import { loadLibrary } from './addon.mjs';

const acorn = loadLibrary('acorn');
const { stringify } = JSON;

const OPTIONS = {
  ecmaVersion: 'latest',
  sourceType: 'module',
  locations: true,
  allowReturnOutsideFunction: true,
  allowAwaitOutsideFunction: true,
  allowHashBang: true,
  preserveParens: true, // so that an expression's start is its parenthesis
};
const LINE_BREAKS = /\r\n|[\n\r\u2028\u2029]/g;

/** Names that the rewritten code expects around it. */
export const moduleNames = { module: '$mayflyModule', meta: '$mayflyMeta', default: '$mayfly' };

/**
 * {code, prologue, imports} with `imports` in order, or null if the code has no module syntax. Throws what
 * acorn throws (loc, from line 1 and column 0) if it does not parse.
 */
export function rewriteModule(code) {
  const program = acorn.parse(code, OPTIONS);
  const rewriting = { code, edits: [], imports: [], getters: [] };
  for (const node of program.body) rewriters[node.type]?.(rewriting, node);
  if (code.includes('meta')) replaceMeta(rewriting, program);
  if (rewriting.edits.length === 0) return null;
  return { code: applyEdits(rewriting), prologue: makePrologue(rewriting), imports: rewriting.imports };
}

const rewriters = {
  ImportDeclaration(rewriting, node) {
    const bindings = node.specifiers.map((specifier) => ({
      local: specifier.local.name,
      name: importedName(specifier),
    }));
    addImport(rewriting, node, bindings);
    blank(rewriting, node.start, node.end);
  },

  ExportNamedDeclaration(rewriting, node) {
    if (node.declaration) {
      for (const name of declaredNames(node.declaration)) addGetter(rewriting, name, name);
      blank(rewriting, node.start, node.declaration.start);
      return;
    }
    const from = node.source ? addImport(rewriting, node, []) : null;
    for (const { exported, local } of node.specifiers) {
      const value = from ? `${from}[${stringify(nameOf(local))}]` : nameOf(local);
      addGetter(rewriting, nameOf(exported), value);
    }
    blank(rewriting, node.start, node.end);
  },

  ExportAllDeclaration(rewriting, node) {
    const from = addImport(rewriting, node, []);
    if (!node.exported) addGetter(rewriting, 'handler', `${from}.handler`);
    blank(rewriting, node.start, node.end);
  },

  ExportDefaultDeclaration(rewriting, { start, declaration }) {
    const isDeclaration = /^(Function|Class)Declaration$/.test(declaration.type);
    if (isDeclaration && declaration.id) {
      addGetter(rewriting, 'default', declaration.id.name);
      blank(rewriting, start, declaration.start);
      return;
    }
    addGetter(rewriting, 'default', moduleNames.default);
    blank(rewriting, start, declaration.start, `;${moduleNames.default} =`);
    // What was a declaration is an expression now, and must not go on in the next line.
    if (isDeclaration) rewriting.edits.push({ start: declaration.end, end: declaration.end, text: ';' });
  },
};

function nameOf(node) {
  return node.type === 'Literal' ? node.value : node.name;
}

function importedName(specifier) {
  if (specifier.type === 'ImportNamespaceSpecifier') return null;
  return specifier.type === 'ImportDefaultSpecifier' ? 'default' : nameOf(specifier.imported);
}

function addImport(rewriting, node, bindings) {
  const attributes = node.attributes?.map(({ key, value }) => [nameOf(key), value.value]) ?? [];
  rewriting.imports.push({
    specifier: node.source.value,
    attributes,
    bindings,
    line: node.loc.start.line,
    column: node.loc.start.column + 1,
  });
  return `${moduleNames.default}${rewriting.imports.length - 1}`;
}

function addGetter(rewriting, name, value) {
  if (name === 'default' || name === 'handler') rewriting.getters.push({ name, value });
}

function declaredNames(declaration) {
  if (declaration.id) return [declaration.id.name];
  return declaration.declarations.flatMap(({ id }) => patternNames(id));
}

function patternNames(pattern) {
  switch (pattern?.type) {
    case 'Identifier':
      return [pattern.name];
    case 'ObjectPattern':
      return pattern.properties.flatMap((property) => patternNames(property.value ?? property.argument));
    case 'ArrayPattern':
      return pattern.elements.flatMap(patternNames);
    case 'AssignmentPattern':
      return patternNames(pattern.left);
    case 'RestElement':
      return patternNames(pattern.argument);
    default:
      return [];
  }
}

function replaceMeta(rewriting, node) {
  if (node.type === 'MetaProperty' && node.meta.name === 'import') {
    blank(rewriting, node.start, node.end, moduleNames.meta);
    return;
  }
  for (const child of Object.values(node)) {
    for (const item of Array.isArray(child) ? child : [child]) {
      if (typeof item?.type === 'string') replaceMeta(rewriting, item);
    }
  }
}

/** The semicolon keeps the lines around the gap from becoming one statement. */
function blank(rewriting, start, end, text = ';') {
  const old = rewriting.code.slice(start, end);
  const lost = old.slice(0, text.length).match(LINE_BREAKS) ?? [];
  const rest = old.slice(text.length).replace(/[^\n\r\u2028\u2029]/g, ' ');
  rewriting.edits.push({ start, end, text: text + lost.join('') + rest });
}

function applyEdits({ code, edits }) {
  let result = '';
  let done = 0;
  for (const { start, end, text } of edits.toSorted((a, b) => a.start - b.start)) {
    result += code.slice(done, start) + text;
    done = end;
  }
  return result + code.slice(done);
}

// load() is asked with a function, so that the import() is one of the script's own file.
function makePrologue({ imports, getters }) {
  const loads = imports.map(({ specifier, attributes, bindings }, i) => {
    const options = attributes.length > 0 ? `, {with: ${stringify(Object.fromEntries(attributes))}}` : '';
    const namespace = `${moduleNames.default}${i}`;
    const load = `${moduleNames.module}.load(${i}, () => import(${stringify(specifier)}${options}))`;
    return (
      `const ${namespace} = await ${load};` + bindings.map((binding) => bind(binding, namespace)).join('')
    );
  });
  const exported = getters.map(
    ({ name, value }) => `${moduleNames.module}.exported.${name} = () => ${value};`,
  );
  return `'use strict';let ${moduleNames.default};${exported.join('')}${loads.join('')}`;
}

function bind({ local, name }, namespace) {
  return `const ${local} = ${namespace}${name === null ? '' : `[${stringify(name)}]`};`;
}
