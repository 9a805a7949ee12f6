import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';

import { check, environment, keep, run } from './guest.mjs';

let compileTypeScript;
before(async () => {
  Object.assign(process.env, environment);
  ({ compileTypeScript } = await import('../../src/guest/typescript.mjs'));
});

let kept;
/** As it is, and with what its check has kept. */
async function runBoth(text, call) {
  kept ??= keep('GUEST_TYPESCRIPT', [...results, ...failures].map(([, code]) => code));
  const index = [...results, ...failures].findIndex(([, code]) => code === text);
  const script = (await kept)[index];
  return Promise.all([runTypeScript(text, call), run(script.code, { ...script, ...call })]);
}

function runTypeScript(text, call) {
  const { code, map } = compileTypeScript(text);
  return run(code, { language: 'GUEST_TYPESCRIPT', map, ...call });
}

/** [what, script, result, input] */
const results = [
  ['a bare body', 'const n: number = event.n; return n + 1', 2, '{"n":1}'],
  ['top-level await', 'return await Promise.resolve<number>(1)', 1],
  ['for await', 'for await (const x of [Promise.resolve(1)]) return x as number', 1],
  ['enum, const enum', 'enum A { X = 1, Y } const enum B { Z = "z" } return [A.Y, A[2], B.Z]', [2, 'Y', 'z']],
  ['namespace', 'namespace N.M { export const x = 1 } import m = N.M; return m.x', 1],
  [
    'parameter properties',
    `class A { constructor(private x: number, readonly y = 2) {} sum() { return this.x + this.y } }
     return new A(1).sum()`,
    3,
  ],
  [
    'fields are defined, not assigned',
    'class A { set x(v: number) { throw 1 } } class B extends A { x = 2 } return new B().x',
    2,
  ],
  [
    'import type and a type among values',
    `import type { A } from "no-such"; import { C } from "no-such-either"
     import { type B, join } from "node:path"
     const c: C = 1 as never; return join("a", "b")`,
    'a/b',
  ],
  ['import x = require()', 'import path = require("path"); return path.join("a", "b")', 'a/b'],
  ['export =', 'export = (event: { a: number }) => event.a', 7, '{"a":7}'],
  [
    'export default',
    'import { join } from "path"\nexport default async (event: any): Promise<string> => join("a", event.a)',
    'a/b',
    '{"a":"b"}',
  ],
  ['export const handler', 'interface E { a: number }\nexport const handler = ({ a }: E) => a', 7, '{"a":7}'],
  [
    'generics, satisfies, assertions',
    'const f = <T,>(x: T) => x; const y = <number>f(1); return ({ y } satisfies object) as unknown',
    { y: 1 },
  ],
  [
    'abstract classes and overloads',
    `abstract class A { abstract f(): number; g(x: string): number; g(x: any) { return this.f() } }
     return new (class extends A { f() { return 3 } })().g("")`,
    3,
  ],
  [
    'decorators of the standard',
    `const add = (n: number) => (f: any, context: ClassMethodDecoratorContext) =>
       function (this: any) { return f.call(this) + n + String(context.name) }
     class A { @add(1) m() { return 1 } }
     return new A().m()`,
    '2m',
  ],
  ['accessor decorators', 'class A { accessor x = 1 } return new A().x', 1],
  [
    "decorators of the old kind, told by a parameter's",
    `const seen: unknown[] = []
     const parameter = (t: any, key: string, i: number) => { seen.push(key, i) }
     const field = (t: any, key: string) => { seen.push(key) }
     class A { @field x = 1; m(a: any, @parameter b: any) {} }
     return [new A().x, seen]`,
    [1, ['x', 'm', 1]],
  ],
  [
    'using',
    `const log: string[] = []
     { using r = { [Symbol.dispose]() { log.push("gone") } }; log.push("in") }
     return log`,
    ['in', 'gone'],
  ],
  ['a comment that looks like a map', 'return "//# sourceMappingURL=x"', '//# sourceMappingURL=x'],
];

describe('TypeScript gives back', { concurrency: 2 }, () => {
  for (const [what, text, expected, input] of results) {
    test(what, async () => {
      for (const { kind, body } of await runBoth(text, input && { input }))
        assert.deepEqual({ kind, body }, { kind: 'FRAME_RESULT', body: expected });
    });
  }
});

const FAILING = `import { join } from "node:path"
interface Long { a: number;
  b: string }
enum E { A }

type F = () => void
function fail(what: string): never {
  throw new RangeError(what + E.A)
}
`;

/** [what, script, line, column, frames] */
const failures = [
  ['in a function', `${FAILING}fail("x")`, 8, 9, /at fail \(function\.ts:8:9\)\n    at .*function\.ts:10:1/],
  [
    'in a handler after await',
    `${FAILING}export default async () => {\n  await join("a")\n  fail("x") }`,
    8,
    9,
    /at fail \(function\.ts:8:9\)\n    at .*\(?function\.ts:12:3/,
  ],
  ['on the first line', 'const x: number = 1; throw new Error("x")', 1, 28, /function\.ts:1:28/],
  [
    'in a chain of async functions',
    `enum E { A }
async function a(): Promise<void> {
  await null
  throw new Error("x")
}
async function b() {
  await a() }
await b()`,
    4,
    9,
    /at a \(function\.ts:4:9\)\n    at async b \(function\.ts:7:3\)\n    at async .*function\.ts:8:1/,
  ],
  ['by a missing import', 'enum E { A }\n\nimport "no-such-package"', 3, 1, /function\.ts:3:1/],
];

describe('a TypeScript error has the lines of its source', { concurrency: 2 }, () => {
  for (const [what, text, line, column, frames] of failures) {
    test(what, async () => {
      for (const { kind, body } of await runBoth(text)) {
        assert.equal(kind, 'FRAME_ERROR');
        assert.deepEqual([body.line, body.column], [line, column], body.stack);
        assert.match(body.stack, frames);
      }
    });
  }

  test('in a stack that the script prints', async () => {
    const { stdout } = await runTypeScript('enum E { A }\n\nconsole.log(new Error("x").stack)');
    assert.match(stdout, /^Error: x\n {4}at .*function\.ts:3:13/);
  });
});

/** [what, script, line, column] */
const faults = [
  ['a missing operand', 'let a: = 1', 1, 8],
  ['a fault further down', 'enum A { X }\n\nlet b = ;', 3, 9],
  ['what only JavaScript forbids', 'enum A { X }\n\nlet a = 1, a = 2', 3, 12],
  ['JSX', 'return <p>text</p>', 1, 16],
  ['a brace too many', 'interface A { }\n\nreturn 1\n}', 4, 1],
];

describe('TypeScript that does not compile:', () => {
  for (const [what, text, line, column] of faults) {
    test(what, () => {
      assert.throws(
        () => compileTypeScript(text),
        (error) => {
          const { name, line: at, column: from, stack } = error.toJSON();
          assert.deepEqual([name, at, from], ['SyntaxError', line, column], stack);
          return true;
        },
      );
    });
  }
});

test('the template answers a check with the compiled script', async () => {
  const { kind, body } = await check('enum E { A }\nreturn E.A', {
    template: 'typescript',
    language: 'GUEST_TYPESCRIPT',
  });
  assert.equal(kind, 'FRAME_COMPILED');
  assert.match(body.slice(16), /^var E;/);
  assert.match(body, /return E\.A;\n\{"version":3,/);
  const fault = await check('let a: = 1', { template: 'typescript', language: 'GUEST_TYPESCRIPT' });
  assert.deepEqual(
    [fault.kind, fault.body.stack],
    ['FRAME_SYNTAX', 'SyntaxError: Type expected.\n    at function.ts:1:8'],
  );
});
