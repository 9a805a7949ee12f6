"""JavaScript as Node.js runs it: forms of a script, and what Node.js brings."""

import pytest


@pytest.mark.parametrize(
    "code, data",
    [
        ("return 1", 1),
        ("return await Promise.resolve(2)", 2),
        ("return new Promise(done => setTimeout(done, 5, 3))", 3),
        ("const {basename} = require('path'); return basename('/a/b')", "b"),
        ("const fs = require('node:fs/promises'); return (await fs.readdir('/tmp')).length", 0),
        ("import path from 'node:path'; return path.join('a', 'b')", "a/b"),
        (
            "import {basename as b} from 'path';\nimport * as os from 'os';\nreturn [b('/x'), typeof os.cpus]",
            ["x", "function"],
        ),
        ("const {default: path} = await import('node:path'); return path.sep", "/"),
        (
            "import fs from 'fs';\nexport default function (event) { return typeof fs.readFileSync + event.n }",
            "function1",
        ),
        ("export default event => event.n", 1),
        ("export default async function (event) { return event.n + 1 }", 2),
        ("exports.handler = async event => event.n", 1),
        ("exports.handler = function (event) { return this !== undefined && event.n }", 1),
        ("module.exports = event => event.n", 1),
        ("module.exports.handler = event => event.n", 1),
        ("export const handler = event => event.n", 1),
        ("export function handler(event) { return event.n }", 1),
        ("return 7; exports.handler = () => 8", 7),
        ("exports.handler = () => 8; return 7", 7),
        ("'use strict'; return (function () { return this === undefined })()", True),
        ("function f(n) { return n < 2 ? 1 : n * f(n - 1) } return f(10)", 3628800),
        ("class A { #x = 1; get x() { return this.#x } static s = 2 } return [new A().x, A.s]", [1, 2]),
        ("label: for (;;) { for (;;) break label } return 1", 1),
        ("return `a\n  b`", "a\n  b"),
        ("#!/usr/bin/env node\nreturn 1", 1),
        ("return 1 // the end", 1),
        ("return 1 /* the end */\n", 1),
        (
            "return [typeof require, typeof module, typeof exports, typeof __filename, typeof __dirname]",
            ["function", "object", "object", "string", "string"],
        ),
        (
            "return [typeof event, typeof input, typeof globalThis, typeof process.version]",
            ["object", "object", "object", "string"],
        ),
        ("var event2 = event; let x = event2; { let x = 5 } return x.n", 1),
        ("return Buffer.from('é').toString('base64')", "w6k="),
        ("return new TextDecoder().decode(new Uint8Array([104, 105]))", "hi"),
        ("return new URL('http://a/b?c=d').searchParams.get('c')", "d"),
        ("return structuredClone({a: new Map([[1, 2]])}).a.get(1)", 2),
        ("return [1, 2, 3].at(-1) + Object.groupBy([1, 2], n => n % 2)[0][0]", 5),
        (
            "const s = await import('node:stream'); const {text} = await import('node:stream/consumers');"
            "return text(s.Readable.from(['a', 'b']))",
            "ab",
        ),
        (
            "const {createHash} = require('crypto'); return createHash('md5').update('').digest('hex')",
            "d41d8cd98f00b204e9800998ecf8427e",
        ),
        ("const zlib = require('zlib'); return zlib.gunzipSync(zlib.gzipSync('x')).toString()", "x"),
        ("return new Intl.NumberFormat('de').format(1234.5)", "1.234,5"),
        ("const vm = require('vm'); return vm.runInNewContext('a + 1', {a: 1})", 2),
        ("return eval('1 + 1') + new Function('return 2')()", 4),
        (
            "const {AsyncLocalStorage} = require('async_hooks'); const s = new AsyncLocalStorage();"
            "return s.run(5, async () => { await null; return s.getStore() })",
            5,
        ),
    ],
)
def test_script_returns(mayfly, code, data):
    assert mayfly.javascript(code, input={"n": 1}).data == data


def test_event_loop_runs_empty_when_nothing_is_returned(mayfly):
    assert mayfly.javascript("setTimeout(() => console.log('[1]'), 20); console.log('[0]')").data == [1]
    assert mayfly.javascript("process.on('beforeExit', () => console.log(9))").data == 9


def test_returned_value_does_not_wait_for_timers(mayfly):
    assert mayfly.javascript("setTimeout(() => {}, 25_000); return 1").data == 1


def test_nested_await_in_a_loop(mayfly):
    assert (
        mayfly.javascript(
            "let n = 0; for await (const x of (async function* () { yield 1; yield 2 })()) n += x; return n"
        ).data
        == 3
    )


def test_server_and_fetch_on_loopback(mayfly):
    code = """
const server = require('http').createServer((request, response) => response.end('hello ' + request.url));
await new Promise(done => server.listen(0, '127.0.0.1', done));
const answer = await fetch(`http://127.0.0.1:${server.address().port}/path`);
return answer.text();
"""
    assert mayfly.javascript(code).data == "hello /path"


def test_worker_threads(mayfly):
    code = """
const {Worker} = require('worker_threads');
const worker = new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', {eval: true});
return new Promise((done, fail) => { worker.on('message', done); worker.on('error', fail) });
"""
    assert mayfly.javascript(code).data == 42


def test_webassembly(mayfly):
    code = """
const bytes = [0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 127, 127, 1, 127, 3, 2, 1, 0, 7, 7, 1, 3, 97, 100, 100,
  0, 0, 10, 9, 1, 7, 0, 32, 0, 32, 1, 106, 11];
const module = await WebAssembly.instantiate(new Uint8Array(bytes));
return module.instance.exports.add(2, 3);
"""
    assert mayfly.javascript(code).data == 5


def test_random_numbers_differ_from_call_to_call(mayfly):
    code = (
        "const c = require('crypto'); return [Math.random(), c.randomUUID(), crypto.randomUUID(), "
        "c.randomBytes(8).toString('hex'), c.randomInt(2 ** 47), [...crypto.getRandomValues(new Uint8Array(8))].join()]"
    )
    rows = [mayfly.javascript(code).data for _ in range(20)]
    for column in zip(*rows):
        assert len(set(column)) == len(rows)


@pytest.mark.parametrize(
    "code, name, message",
    [
        ("setTimeout(() => { throw new Error('late') }, 5)", "Error", "late"),
        (
            "Promise.reject(new TypeError('unhandled')); await new Promise(r => setTimeout(r, 50))",
            "TypeError",
            "unhandled",
        ),
        ("exports.handler = () => { throw new RangeError('in handler') }", "RangeError", "in handler"),
        ("require('nowhere')", "Error", "nowhere"),
        ("import 'nowhere'", "Error", "nowhere"),
        ("undefined_name", "ReferenceError", "undefined_name"),
        ("return (function f() { return f() })()", "RangeError", "call stack"),
        ("JSON.parse('{')", "SyntaxError", "JSON"),
    ],
)
def test_failure(mayfly, code, name, message):
    answer = mayfly.javascript(code)
    assert (answer.status, answer.code) == (500, "script_error"), answer
    assert answer.error["name"] == name
    assert message in answer.error["message"]


def test_stack_shows_the_script_s_lines_alone(mayfly):
    error = mayfly.javascript("function f() {\n  throw new Error('x');\n}\n\nf();").error
    assert error["line"] == 2
    places = [line for line in error["stack"].splitlines() if line.strip().startswith("at ")]
    assert len(places) == 2 and ":2:" in places[0] and ":5:" in places[1], error["stack"]


@pytest.mark.parametrize(
    "code", ["let x = ;", "return {", "if (", "let a; let a;", "await = 1; return await 2 3", "'\n'"]
)
def test_broken_script_is_refused(mayfly, code):
    answer = mayfly.javascript(code)
    assert (answer.status, answer.code) == (422, "syntax_error"), answer


def test_child_process_is_refused(mayfly):
    code = (
        "const r = require('child_process').spawnSync('/usr/bin/true'); return r.error ? r.error.code : 'ran'"
    )
    assert mayfly.javascript(code).data in ("EPERM", "EACCES", "ENOENT")


def test_globals_are_fresh(mayfly):
    code = "Array.prototype.mine = 1; globalThis.a = 1; process.env.A = '1'; return 1"
    assert mayfly.javascript(code).data == 1
    assert (
        mayfly.javascript("return [typeof [].mine, typeof globalThis.a, typeof process.env.A]").data
        == ["undefined"] * 3
    )
