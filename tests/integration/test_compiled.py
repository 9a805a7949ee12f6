"""Code that is compiled once: a call that has it is like one that has not, and only its own version ever gets it.

What is kept is looked at and tampered with in the database, while mayfly is down.
"""

import os
import sqlite3

import pytest

from host import eventually

RUNTIMES = "python,node"


def open_store(mayfly):
    return sqlite3.connect(os.path.join(mayfly.directory, "data", "mayfly.db"))


def rows(mayfly):
    """path → (cache, cache_for, imports) of the latest version."""
    with open_store(mayfly) as db:
        query = "SELECT path, cache, cache_for, imports FROM function_version ORDER BY version"
        return {path: rest for path, *rest in db.execute(query)}


def seal(*parts):
    """As src/server/seal.c has it."""
    value = 0xCBF29CE484222325
    for part in parts:
        for byte in part or b"":
            value = (value ^ byte) * 0x100000001B3 % 2**64
        value = (value ^ len(part or b"")) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def put(mayfly, path, cache, build=None, is_sealed=True):
    """Replaces what is kept of a path, with a good seal or with the one that was there. It must be down."""
    with open_store(mayfly) as db:
        query = "SELECT version, code, compiled, cache_for FROM function_version WHERE path = ?"
        for version, code, compiled, cache_for in db.execute(query, (path,)).fetchall():
            old_build, old_seal = cache_for.rsplit(" ", 1)
            new_seal = seal(code, compiled, cache) if is_sealed else old_seal
            change = "UPDATE function_version SET cache = ?, cache_for = ? WHERE path = ? AND version = ?"
            db.execute(change, (cache, f"{build or old_build} {new_seal}", path, version))


FAILING_PYTHON = """import traceback
def fail(x):
    raise ValueError("é" + str(x))  # here

try:
    fail(1)
except ValueError:
    print(traceback.format_exc())
fail(event)
"""
FAILING_JAVASCRIPT = """const fail = (x) => {
  throw new RangeError(`é${x}`);
};
try { fail(1); } catch (error) { console.log(error.stack); }
await null;
fail(event);
"""
FAILING_TYPESCRIPT = """interface Unused { a: number }
enum E { A = 7 }
function fail(x: unknown): never {
  throw new RangeError(`é${x}${E.A}`);
}
import { join } from 'node:path';
console.log(new Error(join('a', 'b')).stack);
fail(event);
"""

SCRIPTS = [
    ("python", "return event"),
    ("python", "'''doc'''\nx = 1\nprint(__doc__, __file__, __name__)\n"),
    ("python", FAILING_PYTHON),
    ("python", FAILING_PYTHON.replace("fail(event)", "return fail(event)")),
    ("python", "import inspect\ndef f(x):\n    return x  # so\nreturn inspect.getsource(f)"),
    ("python", "import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    return 1\nreturn await f()"),
    (
        "python",
        "from __future__ import annotations\nimport pickle\nfrom dataclasses import dataclass\n@dataclass\n"
        "class P:\n    x: int = 1\nprint(pickle.loads(pickle.dumps(P(2))), P.__module__, __annotations__)\n"
        "y: int = 3\nprint(__annotations__)\nreturn [P(3).x, (lambda: 0).__name__]",
    ),
    ("python", "def handler(event):\n    return [event, handler.__code__.co_filename]"),
    ("python", "import sys\nx = 1 is 1\nprint('warned', file=sys.stderr)"),
    ("python", "s = '''a\n\tb'''\nreturn s * 2"),
    ("javascript", "return [event, __filename]"),
    ("javascript", FAILING_JAVASCRIPT),
    ("javascript", "function f(a) {\n  return a; // so\n}\nreturn [f.toString(), f.name, (() => 1).name]"),
    ("javascript", "import fs, { stat } from 'fs';\nexport default (e) => [e, typeof stat, import.meta.url];"),
    ("javascript", "import fs from 'fs';\n\n  null.x"),
    ("javascript", "const { EOL } = await import('node:os');\nreturn [EOL, typeof require('fs').stat]"),
    ("javascript", "'use strict'; undeclared = 1"),
    ("javascript", "exports.handler = async ({ a }) => a"),
    ("typescript", FAILING_TYPESCRIPT),
    ("typescript", "import type { A } from 'x';\nclass P { constructor(public x: number) {} }\nreturn new P(1).x"),
    ("typescript", "export const handler = async (e: { a: number }) => e.a"),
]


def test_a_call_is_the_same_with_and_without(own):
    mayfly = own(RUNTIMES=RUNTIMES).start()
    for i, (language, code) in enumerate(SCRIPTS):
        assert mayfly.upload(f"kept/{i}", language, code).status == 200
        assert mayfly.upload(f"source/{i}", language, code).status == 200
    mayfly.stop()
    for path, (cache, _, _) in rows(mayfly).items():
        assert cache or "x = 1 is 1" in SCRIPTS[int(path.split("/")[1])][1], path
        if path.startswith("source/"):
            put(mayfly, path, None)
    mayfly.start()
    for i, (language, code) in enumerate(SCRIPTS):
        answers = [mayfly.run(f"{kind}/{i}", input={"a": 1}, detail=True).json for kind in ("kept", "source")]
        answers.append(mayfly.run_now(language, code, input={"a": 1}, detail=True).json)
        for answer in answers:
            answer.pop("usage", None), answer.pop("request_id", None)
        assert answers[0] == answers[1] == answers[2], code
    for path, (cache, _, _) in rows(mayfly).items():
        assert not (cache and path.startswith("source/")), path  # it had been tried
    mayfly.stop()


def test_what_is_kept_is_what_runs(own):
    """Else the test above would compare source with source."""
    mayfly = own(RUNTIMES=RUNTIMES).start()
    limits = {"memory_bytes": 64 << 20}  # which changes V8's flags
    for language in "python", "javascript":
        mayfly.upload(f"{language}/1", language, "return 1")
        mayfly.upload(f"{language}/limited", language, "return 1", limits=limits)
        mayfly.upload(f"{language}/2", language, "return 2")
    mayfly.stop()
    for language in "python", "javascript":
        for path in f"{language}/1", f"{language}/limited":
            put(mayfly, path, rows(mayfly)[f"{language}/2"][0])
    mayfly.start()
    for language in "python", "javascript":
        assert mayfly.run(f"{language}/1").data == 2
        assert mayfly.run(f"{language}/limited").data == 2
    mayfly.stop()


def kept(mayfly, path):
    """Whether its code is there, whole, and of this mayfly."""
    cache, cache_for, _ = rows(mayfly)[path]
    with open_store(mayfly) as db:
        code, compiled = db.execute(
            "SELECT code, compiled FROM function_version WHERE path = ?", (path,)
        ).fetchone()
    return bool(cache and cache_for and cache_for.rsplit(" ", 1)[1] == seal(code, compiled, cache))


LANGUAGES = {
    "python": "return 'its own'",
    "javascript": "return 'its own'",
    "typescript": "enum E { A = 'its own' }\nreturn E.A",
}


@pytest.fixture
def three(own):
    """A function in each language, and others; down."""
    mayfly = own(RUNTIMES=RUNTIMES).start()
    for language, code in LANGUAGES.items():
        assert mayfly.upload(language, language, code).status == 200
        assert mayfly.upload(f"other/{language}", language, code.replace("own", "bad")).status == 200
    mayfly.stop()
    assert all(kept(mayfly, path) for path in rows(mayfly))
    return mayfly


def expect_its_own_twice(mayfly):
    """From source, and soon with code that was made anew."""
    before = rows(mayfly)
    mayfly.start()
    for language in LANGUAGES:
        eventually(lambda: is_its_own(mayfly, language) and rows(mayfly)[language] != before[language])
        assert kept(mayfly, language) and is_its_own(mayfly, language)
    mayfly.stop()


def is_its_own(mayfly, language):
    return mayfly.run(language).data == "its own"


def test_garbage_is_not_run(three):
    for language in LANGUAGES:
        cache = rows(three)[language][0]
        put(three, language, cache[:20] + os.urandom(len(cache) - 20), is_sealed=False)
    expect_its_own_twice(three)


def test_code_of_another_version_is_not_run(three):
    for language in LANGUAGES:
        cache, cache_for, _ = rows(three)[f"other/{language}"]
        with open_store(three) as db:
            change = "UPDATE function_version SET cache = ?, cache_for = ? WHERE path = ?"
            db.execute(change, (cache, cache_for, language))
    expect_its_own_twice(three)


def test_code_of_another_interpreter_is_not_run(three):
    for language in LANGUAGES:
        put(three, language, rows(three)[f"other/{language}"][0], build="CPython 2.7.18 #12345678")
    expect_its_own_twice(three)


def test_the_store_of_an_older_mayfly_gets_code_in_the_background(three):
    with open_store(three) as db:
        for table in "function", "alias":
            db.execute(f"DROP TABLE {table}")
        for column in "hash", "size", "cache", "cache_for", "imports":
            db.execute(f"ALTER TABLE function_version DROP COLUMN {column}")
        db.execute("PRAGMA user_version = 2")
        code = b"import sqlite3\nreturn 'its own'"
        db.execute("UPDATE function_version SET code = ? WHERE path = 'python'", (code,))
    three.start()
    for language in LANGUAGES:
        eventually(lambda: is_its_own(three, language) and kept(three, language))
        assert is_its_own(three, language)
    found = rows(three)
    assert found["python"][2] == "sqlite3"
    assert found["other/python"][:2] == [None, None]  # nobody has called it
    three.stop()


def test_each_version_has_its_own(own):
    mayfly = own(RUNTIMES=RUNTIMES).start()
    versions = [mayfly.upload("a", "python", f"return {i}").json["version"] for i in range(5)]
    for _ in range(2):
        for i, version in enumerate(versions):
            assert mayfly.run("a", version=version).data == i
        mayfly.stop()
        mayfly.start()
    mayfly.stop()


def test_redis_keeps_it_too_and_garbage_there_is_not_run(own, redis_server):
    mayfly = own(**redis_server.settings()).start()
    version = mayfly.upload("f", "python", "return 'its own'").json["version"]
    key = f"mayfly:version:f:{version}"
    with redis_server.client(decode_responses=False) as redis:

        def kept():
            code, cache, cache_for = redis.hmget(key, "code", "cache", "cache_for")
            return bool(cache) and cache_for.decode().rsplit(" ", 1)[1] == seal(code, None, cache) and cache

        before = kept()
        assert before
        mayfly.stop()
        redis.hset(key, "cache", before[:20] + os.urandom(len(before) - 20))
        assert not kept()
        mayfly.start()
        assert mayfly.run("f").data == "its own"
        eventually(kept)
        assert kept() == before and mayfly.run("f").data == "its own"
    mayfly.stop()
