import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { check, keep, run } from './guest.mjs';

/** Each row's script as it is, and with what its check has kept. */
function runBoth(rows) {
  const all = keep(
    'GUEST_JAVASCRIPT',
    rows.map(([, code]) => code),
  );
  return async (code, call) => {
    const kept = (await all).find((script) => script.code === code);
    return Promise.all([run(code, call), run(code, { ...call, ...kept })]);
  };
}

/** [what, script, result, input] */
const results = [
  ['a top-level return', 'return 1 + 1', 2],
  ['a top-level await', 'return await new Promise((done) => setTimeout(done, 5, "late"))', 'late'],
  ['a returned promise', 'return Promise.resolve([1])', [1]],
  [
    'for await at the top',
    'let sum = 0; for await (const x of [1, Promise.resolve(2)]) sum += x; return sum',
    3,
  ],
  ['event and input', 'return [event.a, input.a, event === input]', [1, 1, true], '{"a":1}'],
  ['an event that is no object', 'return event', 'text', '"text"'],
  ['require', 'const { join } = require("path"); return join("a", "b")', 'a/b'],
  ['top-level import', 'import { join } from "node:path"\nreturn join("a", "b")', 'a/b'],
  [
    'import in all its forms',
    `import os, * as all from "os"; import { EOL as end, "EOL" as again } from "os"; import "fs"
     return [os === all.default, end, again]`,
    [true, '\n', '\n'],
  ],
  ['an import below its use', 'return basename("/a/b")\nimport { basename } from "path"', 'b'],
  ['dynamic import', 'const { basename } = await import("node:path"); return basename("/a/b")', 'b'],
  ['require beside import', 'import "fs"; return typeof require("os").cpus', 'function'],
  [
    'import.meta',
    `const { url, filename, dirname, resolve } = import.meta
     return [url, filename, dirname, resolve("fs"), resolve("./x.js")]`,
    ['file:///tmp/function.js', '/tmp/function.js', '/tmp', 'node:fs', 'file:///tmp/x.js'],
  ],
  ['export default, a function', 'export default function (e) { return e.a }', 7, '{"a":7}'],
  ['export default, a named function', 'export default async function run(e) { return e.a }', 7, '{"a":7}'],
  ['export default, an arrow function', 'const n = 1\nexport default async (e) => e.a + n', 8, '{"a":7}'],
  ['export default in parentheses', 'export default (async (e) => e.a)', 7, '{"a":7}'],
  [
    'export default, an object',
    'export default { handler(e) { return [e.a, this.x] }, x: 2 }',
    [7, 2],
    '{"a":7}',
  ],
  [
    'export default, then a line in parentheses',
    'let ran = 0\nexport default function () { return ran }\n(ran = 1)',
    1,
  ],
  ['export const handler', 'export const handler = async ({ a }) => a', 7, '{"a":7}'],
  ['export function handler', 'export function handler({ a }) { return a }', 7, '{"a":7}'],
  ['export by name', 'const run = ({ a }) => a\nexport { run as handler }', 7, '{"a":7}'],
  ['export as default', 'const run = ({ a }) => a; export { run as default };', 7, '{"a":7}'],
  ['export destructured', 'export const { handler, other: [more] } = { handler: () => more, other: [3] }', 3],
  ['export from', 'export { basename as handler } from "path"', 'x', '"/a/x"'],
  ['exports.handler', 'exports.handler = (e) => e.a', 7, '{"a":7}'],
  ['module.exports = fn', 'module.exports = async (e) => e.a', 7, '{"a":7}'],
  ['module.exports.handler', 'module.exports = { async handler(e) { return e.a } }', 7, '{"a":7}'],
  [
    'a return before a handler',
    'if (event.a) return "body"\nexport const handler = () => "handler"',
    'body',
    '{"a":1}',
  ],
  [
    'an early return that leaves exports unreached',
    'import "fs"; if (true) return;\nexport const handler = 1',
    undefined,
  ],
  ['require.main === module', 'return require.main === module', true],
  ['sloppy mode', 'undeclared = 1; with ({ a: 2 }) return a + undeclared', 3],
  ['this, as CommonJS has it', 'return this === module.exports', true],
  [
    'strict mode in a module',
    'import "fs"; try { undeclared = 1 } catch (e) { return e.name }',
    'ReferenceError',
  ],
  ['an own const event', 'const event = { own: true }; return event', { own: true }],
  [
    'an own let require, const module',
    'let require = 1; const module = 2, exports = 3; return require + module + exports',
    6,
  ],
  ['its own names of ours', 'const $module = 1, AsyncFunction = 2; return $module + AsyncFunction', 3],
  ['a hashbang', '#!/usr/bin/env node\nreturn 1', 1],
  ['a comment at the end', 'return 1 // so', 1],
  [
    'functions without our names',
    'return new Function("return typeof event + typeof addon")()',
    'undefinedundefined',
  ],
  ['null', 'return null', null],
  ['a value with toJSON', 'return new Date(0)', '1970-01-01T00:00:00.000Z'],
  ['undefined and functions inside', 'return { a: undefined, b() {}, c: [undefined] }', { c: [null] }],
  ['text of all kinds', 'return "ä€😀\\u0000\\ud800"', 'ä€😀\u0000\ud800'],
  [
    'a module that is imported with attributes',
    `const { rmSync, writeFileSync } = require("fs")
     writeFileSync("/tmp/mayfly-test.json", "[1]")
     const { default: x } = await import("/tmp/mayfly-test.json", { with: { type: "json" } })
     rmSync("/tmp/mayfly-test.json")
     return x`,
    [1],
  ],
  ['a value although timers run', 'setInterval(() => {}, 1000); return 1', 1],
  [
    'globals',
    'return [typeof fetch, typeof Buffer, typeof structuredClone, typeof crypto.subtle]',
    ['function', 'function', 'function', 'object'],
  ],
];

describe('a script gives back', { concurrency: 2 }, () => {
  const both = runBoth(results);
  for (const [what, code, expected, input] of results) {
    test(what, async () => {
      for (const { kind, body, status } of await both(code, input && { input })) {
        assert.deepEqual(
          { kind, body, status },
          expected === undefined
            ? { kind: 'FRAME_NOTHING', body: '', status: 0 }
            : { kind: 'FRAME_RESULT', body: expected, status: 0 },
        );
      }
    });
  }
});

/** [what, script, message, line, column] */
const errors = [
  ['a throw', 'throw new TypeError("no")', /^no$/, 1, 7],
  ['a throw below', '\n\n  null.x', /null/, 3, 8],
  ['a throw after await', 'await 1\nconst f = () => {\n  throw new Error("late")\n}\nf()', /^late$/, 3, 9],
  ['a throw in a handler', 'exports.handler = () => {\n  throw new Error("x") }', /^x$/, 2, 9],
  ['a throw in a module', 'import "fs"; throw new Error("x")', /^x$/, 1, 20],
  ['a throw in a timer', 'setTimeout(() => {\n throw new Error("x") })', /^x$/, 2, 8],
  [
    'a rejection that nobody handles',
    'Promise.reject(new Error("x")); await new Promise((d) => setTimeout(d, 50))',
    /^x$/,
    1,
    16,
  ],
  ['a thrown text', 'throw "text"', /^text$/, null, null],
  ['a thrown null', 'throw null', /^null$/, null, null],
  ['a thrown object', 'throw { code: 1 }', /code: 1/, null, null],
  [
    'a thrown object with hostile getters',
    'throw { get message() { throw 1 } }',
    /fails when it is looked at/,
    null,
    null,
  ],
  ['endless recursion', 'const f = () => f() + 1; f()', /call stack/, 1, null],
  ['a missing package', '\nimport x from "no-such-package"', /Cannot find package 'no-such-package'/, 2, 1],
  [
    'a missing export',
    'import fs from "fs"\nimport { nothing } from "fs"',
    /does not provide an export named 'nothing'/,
    2,
    1,
  ],
  [
    'NaN inside',
    'return { items: [0, 1, NaN] }',
    /^result\.items\[2\] is NaN, which JSON cannot hold/,
    null,
    null,
  ],
  ['Infinity itself', 'return Infinity', /^result is Infinity/, null, null],
  [
    'a cycle',
    'const a = { b: { "c d": [] } }; a.b["c d"].push(a); return a',
    /^result\.b\["c d"\]\[0\] is a reference back to result/,
    null,
    null,
  ],
  ['a function', 'return () => 1', /^result is a function/, null, null],
  ['a symbol', 'return Symbol()', /^result is a symbol/, null, null],
  ['a class as handler', 'module.exports = class X {}', /cannot be invoked without 'new'/, null, null],
  ['a promise that cannot settle', 'await new Promise(() => {})', /nothing is left to settle/, null, null],
];

/** V8 guesses names for functions that have none, but not for those that it has compiled beforehand. */
function withoutGuesses({ body, bytes, ...rest }) {
  return { ...rest, body: { ...body, stack: body.stack.replaceAll('exports.handler', 'Object.handler') } };
}

describe('a script fails by', { concurrency: 2 }, () => {
  const both = runBoth(errors);
  for (const [what, code, message, line, column] of errors) {
    test(what, async () => {
      const [plain, kept] = await both(code);
      if (what !== 'endless recursion') assert.deepEqual(withoutGuesses(kept), withoutGuesses(plain));
      const { kind, body, frames, stderr, status } = plain;
      assert.deepEqual([kind, status], ['FRAME_ERROR', 1]);
      assert.equal(frames, 1);
      assert.match(body.message, message);
      assert.equal(body.line, line);
      if (column !== null || line === null) assert.equal(body.column, column);
      assert.doesNotMatch(body.stack, /boot\.mjs|cell\.mjs|javascript\.mjs|node:internal/);
      assert.equal(stderr, '');
    });
  }

  test('its name and stack tell', async () => {
    const { body } = await run('function inner() {\n  throw new RangeError("far")\n}\ninner()');
    assert.deepEqual(body, {
      name: 'RangeError',
      message: 'far',
      stack: 'RangeError: far\n    at inner (function.js:2:9)\n    at Object.<anonymous> (function.js:4:1)',
      line: 2,
      column: 9,
    });
  });

  /** [what, script, code] */
  const codes = [
    ['no space', 'throw Object.assign(new Error("x"), { code: "ENOSPC" })', 'ENOSPC'],
    ['a file system that refuses', 'require("fs").mkdirSync("/proc/x")', 'ENOENT'],
    ['a promise that does', 'await require("fs/promises").open("/nowhere/at/all")', 'ENOENT'],
    ['a stream that nobody listens to', 'require("fs").createReadStream("/nowhere/at/all")', 'ENOENT'],
    ['a cause', 'throw new Error("x", { cause: Object.assign(new Error("y"), { code: "EMFILE" }) })', 'EMFILE'],
    [
      'several errors in one',
      'throw new AggregateError([1, new Error("x"), Object.assign(new Error("y"), { code: "EMFILE" })])',
      'EMFILE',
    ],
    ['an array buffer too large', 'new Uint8Array(2 ** 40)', 'ENOMEM'],
    ['nothing of the system', 'throw new Error("x")', undefined],
    ["a code of Node.js's own", 'require("path").join(1)', undefined],
    ['a code that is no text', 'throw Object.assign(new Error("x"), { code: 28 })', undefined],
    [
      'a cause that is its own cause',
      'const e = new Error("x"); e.cause = e; e.errors = [e, e]; throw e',
      undefined,
    ],
  ];
  for (const [what, code, expected] of codes) {
    test(`${what}, and its code tells`, async () => {
      const { kind, body } = await run(code);
      assert.equal(kind, 'FRAME_ERROR');
      assert.equal(body.code, expected);
    });
  }

  test('an error too long for a frame, which is cut', async () => {
    const { body } = await run(`const text = '\x01'.repeat(1e6);
      throw Object.assign(new Error(text), { name: text, stack: text })`);
    assert.equal(body.name.length, 256);
    assert.ok(JSON.stringify(body).length < 1024 * 1024);
  });

  test('a cause, which is told too', async () => {
    const { body } = await run('throw new Error("outer", { cause: new Error("inner") })');
    assert.match(body.stack, /Error: outer\n.*\n {2}\[cause\]: Error: inner\n/);
  });
});

/** [what, script, line, column] */
const faults = [
  ['a missing operand', 'let a = ;', 1, 9],
  ['a fault further down', 'let a = 1\n\tlet é = ;', 2, 10],
  ['an open brace', 'if (1) {\n  f()', 2, 6],
  ['a closing brace too many', 'return 1\n}', 2, 1],
  ['braces that fit the wrapper', '}); f(); (function () {', 1, 1],
  ['braces that fit the inner wrapper', '})}); (function () { return (async function () {', 1, 1],
  ['a fault in a module', 'import fs from "fs"\nconst a = ;', 2, 11],
  ['a fault before an import', 'const a = ;\nimport fs from "fs"', 1, 11],
  ['an import inside a block', 'if (1) { import fs from "fs" }', 1, 10],
  ['a name declared twice', 'const a = 1\nlet a = 2', 2, 5],
  ['an import declared twice', 'import { a } from "fs"; import { a } from "os"', 1, 34],
  ['a bad regular expression', 'return /(/', 1, 8],
  ['a fault in an inner function', 'function f() {\n  return 1 +\n}', 3, 1],
  ['an octal in a module', 'import "fs"; return 010', 1, 21],
  ['TypeScript', 'const a: number = 1', 1, 7],
];

describe('a script does not parse:', { concurrency: 2 }, () => {
  for (const [what, code, line, column] of faults) {
    test(what, async () => {
      for (const frame of [await run(code), await check(code)]) {
        assert.equal(frame.kind, 'FRAME_SYNTAX');
        assert.equal(frame.body.name, 'SyntaxError');
        assert.deepEqual([frame.body.line, frame.body.column], [line, column], frame.body.message);
        assert.equal(
          frame.body.stack,
          `SyntaxError: ${frame.body.message}\n    at function.js:${line}:${column}`,
        );
      }
    });
  }

  test('a check runs nothing', async () => {
    const { kind, stdout } = await check(
      'console.log("ran"); import fs from "no-such-package"; export default 1',
    );
    assert.deepEqual([kind, stdout], ['FRAME_COMPILED', '']);
  });
});

describe('what a check has kept', { concurrency: 2 }, () => {
  const RETURNS = ['return 1', 'return 2', 'import "fs"; return 2', 'return (() => 1)()', 'return (() => 2)()'];
  const all = keep('GUEST_JAVASCRIPT', RETURNS);

  /** V8 compares the length of the text, and lengths are equal here: whose code runs tells. */
  const runKept = async (code, of, change = (cache) => cache) => {
    const { cache } = (await all)[RETURNS.indexOf(of)];
    const { body } = await run(code, { cache: change(Buffer.from(cache, 'base64')).toString('base64') });
    return body;
  };

  test('is run', async () => assert.equal(await runKept('return 1', 'return 2'), 2));
  test('has the inner functions too', async () => {
    assert.equal(await runKept('return (() => 1)()', 'return (() => 2)()'), 2);
  });
  test('spares the parser of module syntax', async () => {
    assert.equal(await runKept('import "fs"; return 1', 'import "fs"; return 2'), 2);
  });
  test('is not run if the text has another length', async () => {
    assert.equal(await runKept('return 10', 'return 2'), 10);
  });
  test('is not run under another stamp', async () => {
    const body = await runKept('return 1', 'return 2', (cache) => cache.fill('0', 0, 8));
    assert.equal(body, 1);
  });
  test('is not run if it is cut', async () => {
    for (const length of [4, 8, 10, 13, 40]) {
      assert.equal(await runKept('return 1', 'return 2', (cache) => cache.subarray(0, length)), 1);
    }
  });
  test('is less if V8 cannot compile all at once', async () => {
    for (const depth of [600, 800, 900, 1000]) {
      const code = `const f = ${'() => '.repeat(depth)} 1; return 1`;
      const [checked, ran] = [await check(code), await run(code)];
      assert.equal(checked.kind === 'FRAME_COMPILED', ran.kind === 'FRAME_RESULT', `${depth} deep`);
    }
  });
  test('is what the template sends', async () => {
    const { bytes } = await check('return 2');
    assert.deepEqual(
      [bytes.readUInt32LE(0), bytes.readUInt32LE(4), bytes.readUInt32LE(12)],
      [0, 0, 0],
    );
    assert.equal(bytes.length, 16 + bytes.readUInt32LE(8));
    const { body } = await run('return 1', { cache: bytes.subarray(16).toString('base64') });
    assert.equal(body, 2);
  });
});

describe('a call ends', { concurrency: 2 }, () => {
  /** [what, script, {kind, status, stdout}] */
  const endings = [
    [
      'when nothing is left to do',
      'setTimeout(() => console.log("late"), 20)',
      { kind: 'FRAME_NOTHING', status: 0, stdout: 'late\n' },
    ],
    [
      'after beforeExit and exit',
      `process.once("beforeExit", () => setTimeout(console.log, 1, "more"))
       process.on("exit", (code) => console.log("bye", code))`,
      { kind: 'FRAME_NOTHING', status: 0, stdout: 'more\nbye 0\n' },
    ],
    [
      'with exit handlers, a value returned',
      'process.on("exit", () => console.log("bye")); return 1',
      { kind: 'FRAME_RESULT', status: 0, stdout: 'bye\n' },
    ],
    [
      'by process.exit()',
      'process.on("exit", (c) => console.log("bye", c)); process.exit(); console.log("no")',
      { kind: 'FRAME_NOTHING', status: 0, stdout: 'bye 0\n' },
    ],
    [
      'by process.exit(3)',
      'console.log("so far"); process.exit(3)',
      { kind: null, status: 3, stdout: 'so far\n' },
    ],
    [
      'by process.exit(4) in a timer',
      'setTimeout(() => process.exit(4)); await new Promise(() => {})',
      { kind: null, status: 4, stdout: '' },
    ],
    ['with process.exitCode', 'process.exitCode = 5', { kind: null, status: 5, stdout: '' }],
    [
      'with process.exitCode, a value returned',
      'process.exitCode = 5; return 1',
      { kind: null, status: 5, stdout: '' },
    ],
    [
      'with an error after a caught one',
      'process.on("uncaughtException", () => console.log("caught")); setTimeout(() => { throw 1 })',
      { kind: 'FRAME_NOTHING', status: 0, stdout: 'caught\n' },
    ],
    ['by process.reallyExit', 'process.reallyExit(6)', { kind: null, status: 6, stdout: '' }],
    [
      'by an exit handler that throws',
      'process.on("exit", () => { throw new Error("x") })',
      { kind: 'FRAME_ERROR', status: 1, stdout: '' },
    ],
    [
      'by a handler of uncaught exceptions that throws',
      'process.on("uncaughtException", () => { throw new Error("x") }); setTimeout(() => { throw 1 })',
      { kind: 'FRAME_ERROR', status: 1, stdout: '' },
    ],
    [
      'by process.exit(0) in an exit handler',
      'process.on("exit", () => process.exit(0)); return 1',
      { kind: 'FRAME_RESULT', status: 0, stdout: '' },
    ],
    ['by abort', 'process.abort()', { kind: null, status: 'SIGABRT', stdout: '' }],
  ];
  for (const [what, code, expected] of endings) {
    test(what, async () => {
      const { kind, status, stdout } = await run(code);
      assert.deepEqual({ kind, status, stdout }, expected);
    });
  }

  test('with all output written', async () => {
    const { stdout, stderr, kind } = await run(
      'process.stdout.write("x".repeat(3e6)); console.error("y".repeat(1e6)); process.exit()',
    );
    assert.deepEqual([stdout.length, stderr.length, kind], [3e6, 1e6 + 1, 'FRAME_NOTHING']);
  });

  test('with what was piped into stdout', async () => {
    const { stdout, kind } = await run(
      'const { pipeline } = require("stream/promises"); const { Readable } = require("stream");' +
        'await pipeline(Readable.from(["a", "b"]), process.stdout, { end: false }); return 1',
    );
    assert.deepEqual([stdout, kind], ['ab', 'FRAME_RESULT']);
  });
});

describe('a cell', () => {
  test('sees nothing of its surroundings', async () => {
    const { body } = await run(
      `return [process.env, process.argv.slice(1), process.execArgv, Object.keys(globalThis).sort(),
         process.eventNames(), Error.prepareStackTrace, module.children.length]`,
    );
    const [env, argv, execArgv, globals, events, hook, children] = body;
    assert.deepEqual(
      Object.keys(env)
        .sort()
        .filter((name) => name !== 'PATH' && name !== 'LANG'),
      ['HOME', 'TMPDIR'],
    );
    assert.deepEqual(
      [argv, execArgv, events.filter((e) => !['newListener', 'removeListener', 'warning'].includes(e))],
      [['/tmp/function.js'], [], []],
    );
    assert.ok(!globals.includes('event') && !globals.includes('addon'));
    assert.deepEqual([hook ?? null, children], [null, 0]);
  });

  test('that was warmed up is as fresh as one that was not', async () => {
    const code = `console.group(); console.log("x")
       return [process.exitCode, process._exiting, process.stdout.writableEnded,
         Object.keys(require.cache).length, process.getActiveResourcesInfo().includes("Timeout")]`;
    const spare = await run(code, { env: { FAKE_WAITING: '0' } });
    const fresh = await run(code);
    assert.deepEqual(spare, fresh);
  });
});

test('where V8 hides the state of Math.random, it draws from node:crypto', async () => {
  const { body } = await run('return Array.from({ length: 1000 }, Math.random)', {
    env: { FAKE_RANDOM_FOUND: '0' },
  });
  assert.equal(new Set(body).size, 1000);
  assert.ok(body.every((number) => number >= 0 && number < 1));
  const mean = body.reduce((a, b) => a + b) / 1000;
  assert.ok(mean > 0.4 && mean < 0.6);
});

describe('numbers arrive as they were sent', { concurrency: 2 }, () => {
  for (const text of [
    '[9007199254740993,-12345678901234567890,1e2,1.5]',
    '{"id":9007199254740993,"t":"1234567890123456"}',
    '9007199254740991',
  ]) {
    test(text, async () => {
      const { body, kind } = await run('return JSON.parse(JSON.stringify("")) || event', { input: text });
      assert.equal(kind, 'FRAME_RESULT');
      assert.deepEqual(body, JSON.parse(text));
    });
  }

  test('an integer beyond 2^53 is a BigInt', async () => {
    const { body } = await run('return [typeof event[0], String(event[0] + 1n), typeof event[1]]', {
      input: '[9007199254740993, 1e17]',
    });
    assert.deepEqual(body, ['bigint', '9007199254740994', 'number']);
  });
});
