"""TypeScript: everything that needs no type information to run."""

import pytest


@pytest.mark.parametrize(
    "code, data",
    [
        ("const x: number = 1; return x", 1),
        ("enum Color { Red, Green = 5, Blue } return [Color.Green, Color[6]]", [5, "Blue"]),
        ("const enum E { A = 'a' } return E.A", "a"),
        (
            "namespace N { export const x = 1; export namespace M { export const y = 2 } } return N.x + N.M.y",
            3,
        ),
        (
            "class P { constructor(private readonly x: number, public y = 2) {} sum(): number { return this.x + this.y } }\n"
            "return new P(1).sum()",
            3,
        ),
        ("function id<T extends object>(x: T): T { return x } return id<{a: number}>({a: 1})", {"a": 1}),
        ("interface A { b?: string } type C = A & { d: number }; const c = {d: 1} as C; return c.d", 1),
        ("let x: unknown = 'a'; return (x as string).length + (<string>x).length", 2),
        ("const x = {a: 1} satisfies Record<string, number>; return x!.a", 1),
        (
            "abstract class A { abstract f(): number } class B extends A { override f() { return 4 } } return new B().f()",
            4,
        ),
        (
            "function f(x: number): number; function f(x: string): string; function f(x: any) { return x }\nreturn f(1)",
            1,
        ),
        (
            "declare const nothing: string; declare global { interface Window {} } return typeof nothing",
            "undefined",
        ),
        (
            "import type { Stats } from 'node:fs'; import { basename } from 'node:path'; return basename('/a')",
            "a",
        ),
        ("import { type Stats, existsSync } from 'node:fs'; return existsSync('/tmp')", True),
        ("export default (event: { n: number }): number => event.n", 1),
        ("export async function handler(event: any): Promise<number> { return event.n }", 1),
        ("exports.handler = (event: any) => event.n", 1),
        ("return await Promise.resolve<number>(5)", 5),
        ("const f = async <T,>(x: T) => x; return await f(3)", 3),
        ("type T = [first: string, second?: number]; const t: T = ['a']; return t", ["a"]),
        ("let v: string | undefined; return v?.length ?? 'none'", "none"),
        (
            "function assert(x: unknown): asserts x is string {} let s: unknown = 'a'; assert(s); return s.length",
            1,
        ),
        ("return 1 as const", 1),
        (
            "class A { declare x: number; y?: string; static #z: number = 3; static z() { return A.#z } } return A.z()",
            3,
        ),
        ("import fs = require('node:fs'); return typeof fs.readFileSync", "function"),
        ("const x = `a${1 as number}b`; return x", "a1b"),
        ("using_: for (const x of [1] as number[]) { break using_ } return 2", 2),
    ],
)
def test_script_returns(mayfly, code, data):
    assert mayfly.typescript(code, input={"n": 1}).data == data


def test_decorators(mayfly):
    code = """
const seen: string[] = [];
function note(target: any, key?: any, descriptor?: any): any {
  seen.push(typeof key === 'object' ? key.name : String(key))
}
class A { @note f() {} }
new A();
return seen;
"""
    assert mayfly.typescript(code).data == ["f"]


def test_error_has_the_typescript_line(mayfly):
    code = """\
interface Unused {
  a: string
}

enum E { A }

function f(x: number): never {
  throw new Error('here')
}
f(1)
"""
    error = mayfly.typescript(code).error
    assert (error["name"], error["message"], error["line"]) == ("Error", "here", 8)
    assert ":8:" in error["stack"] and ":10:" in error["stack"]


def test_error_in_a_stored_function_has_it_too(mayfly):
    mayfly.upload(
        "typescript/error", "typescript", "type A = {\n  b: string\n}\n\nthrow new Error('x' as string)"
    )
    for _ in range(2):
        assert mayfly.run("typescript/error").error["line"] == 5


@pytest.mark.parametrize(
    "code, line",
    [("let x: = 1", 1), ("type A = {\n", None), ("enum {", 1), ("const a: number = 1;\nreturn a +;", 2)],
)
def test_broken_script_is_refused(mayfly, code, line):
    answer = mayfly.typescript(code)
    assert (answer.status, answer.code) == (422, "syntax_error"), answer
    assert line in (None, answer.error["line"])


def test_types_are_not_checked(mayfly):
    assert mayfly.typescript("const x: number = 'text' as any; const y: string = 5; return [x, y]").data == [
        "text",
        5,
    ]


def test_same_code_twice(mayfly):
    assert [
        mayfly.typescript("const n: number = event.n; return n", input={"n": n}).data for n in range(5)
    ] == list(range(5))
