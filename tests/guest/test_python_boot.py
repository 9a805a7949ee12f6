"""The parts of the Python runtime that are plain Python, without template and sandbox.

`python3 -m unittest tests.guest.test_python_boot`, or pytest; with any CPython that is to be supported.
"""

import ast
import atexit
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.abspath(os.path.join(HERE, "..", "..", "src", "guest"))]

# Stands for the C module, which needs a keeper around it.
guest = types.ModuleType("mayfly_guest")
guest.RUN, guest.CHECK, guest.RESULT, guest.NOTHING, guest.ERROR, guest.SYNTAX, guest.COMPILED = range(1, 8)
sys.modules["mayfly_guest"] = guest
KINDS = {0: None, 3: "result", 4: "nothing", 5: "error", 6: "syntax", 7: "compiled"}

import boot  # noqa: E402
import mayfly_code as code  # noqa: E402
import mayfly_report as report  # noqa: E402
import mayfly_script as script  # noqa: E402
from python_scripts import BROKEN, NEWER, RETURNING, SCRIPTS  # noqa: E402

os.register_at_fork = boot.register_at_fork


class unlimited_digits:
    """Newer CPythons refuse to read long integers."""

    def __enter__(self):
        getattr(sys, "set_int_max_str_digits", lambda n: None)(0)

    def __exit__(self, *_):
        getattr(sys, "set_int_max_str_digits", lambda n: None)(4300)


class Outcome:
    """What a call left: its last frame, its exit status and its stdout."""

    def __init__(self, kind, status, body, stdout):
        self.kind, self.status, self.stdout = kind, status, stdout
        with unlimited_digits():
            self.body = json.loads(body) if body else None


def in_child(function):
    """Runs function() in a forked process with its own stdout; hands back (what it returned, stdout)."""
    answer, answer_end = os.pipe()
    stdout, stdout_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(stdout_end, 1)
            os.dup2(0, 2)
            sys.stdin = open(0)
            sys.stdout = open(1, "w", encoding="utf-8")
            data = function()
            boot.flush_streams()
            with open(answer_end, "wb") as file:
                file.write(data)
            os._exit(0)
        except BaseException:
            traceback.print_exc(file=open(1, "w"))
        finally:
            os._exit(1)
    os.close(answer_end)
    os.close(stdout_end)
    output = []
    with open(stdout, "rb") as stdout_file, open(answer, "rb") as answer_file:
        reader = threading.Thread(target=lambda: output.append(stdout_file.read()))
        reader.start()
        data = answer_file.read()
        reader.join()
    status = os.waitpid(pid, 0)[1]
    if status:
        raise AssertionError(f"child ended with {status}: {output[0].decode()}")
    return data, output[0].decode()


def run(source, event=None, cache=b""):
    """As boot.py serves a call."""

    def call():
        atexit._clear()  # the test runner's own, and its log handlers
        logging.root.handlers.clear()
        sys.argv = [script.FILE]
        kind, body, status = boot.serve_call(guest.RUN, source.encode(), cache, json.dumps(event).encode())
        boot.run_exit_handlers()
        boot.flush_streams()
        return bytes([kind or 0, status]) + body

    data, stdout = in_child(call)
    return Outcome(KINDS[data[0]], data[1], data[2:], stdout)


def check(source):
    """The four parts of the check's FRAME_COMPILED, and stdout."""
    data, stdout = in_child(lambda: repr(boot.serve_call(guest.CHECK, source.encode(), b"", b"")).encode())
    kind, body, status = ast.literal_eval(data.decode())
    assert (KINDS[kind], status) == ("compiled", 0), body
    lengths = [int.from_bytes(body[at : at + 4], sys.byteorder) for at in range(0, 16, 4)]
    ends = [16 + sum(lengths[: n + 1]) for n in range(4)]
    assert ends[-1] == len(body)
    return [body[end - length : end] for end, length in zip(ends, lengths)], stdout


def run_stock(source):
    """As `python3 function.py`: (traceback or "", stdout)."""
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, script.FILE), "wb") as file:
            file.write(source.encode())
        ended = subprocess.run(
            [sys.executable, "-B", script.FILE],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )
    texts = (ended.stderr if ended.returncode else b""), ended.stdout
    return [text.decode().replace(os.path.realpath(directory) + "/", "") for text in texts]


def comparable(stack):
    """mayfly's own frames take a few of those that the recursion limit allows. Before 3.11 the interpreter
    wrote some names otherwise than its own traceback module."""
    stack = re.sub(r"repeated \d+ more", "repeated n more", stack)
    stack = stack.replace("<unprintable E object>", "<exception str() failed>")
    return stack.replace("\n__main__.", "\n").strip()


class ScriptsRunAsInStockPython(unittest.TestCase):
    maxDiff = None

    def check(self, source, stock):
        for cache in b"", check(source)[0][2]:
            self.check_run(source, stock, cache)

    def check_run(self, source, stock, cache):
        trouble, stdout = stock
        ours = run(source, cache=cache)
        self.assertEqual(ours.stdout, stdout)
        self.assertEqual(ours.kind, "error" if trouble else "nothing", ours.body)
        if trouble:
            stack = ours.body["stack"]
            trouble = trouble[max(trouble.find(stack[:4]), 0) :]  # warnings may come before it
            self.assertEqual(comparable(stack), comparable(trouble))


def add_script_test(name, source):
    @unittest.skipIf(sys.version_info < NEWER.get(name, ()), "newer syntax")
    def test(self):
        stock = run_stock(source)
        self.check(source, stock)
        # A return at the end changes nothing, whether it is seen at once or found by the compiler.
        rest = source if not source or source.endswith("\n") else source + "\n"
        self.check(rest + "return\n", stock)
        self.check(rest + "if True:\n    return\n", stock)

    setattr(ScriptsRunAsInStockPython, f"test_{name}", test)


for name, source in SCRIPTS.items():
    add_script_test(name, source)


class ScriptsReturn(unittest.TestCase):
    pass


def add_returning_test(name, source, event, expected):
    def test(self):
        for cache in b"", check(source)[0][2]:
            ours = run(source, event, cache)
            self.assertEqual(ours.kind, "nothing" if expected is None else "result", ours.body)
            with unlimited_digits():
                self.assertEqual(ours.body, expected)

    setattr(ScriptsReturn, f"test_{name}", test)


for name, row in RETURNING.items():
    add_returning_test(name, *row)


class BrokenScriptsAreSyntaxErrors(unittest.TestCase):
    def check_fault(self, fault, line, column, message):
        self.assertRegex(fault["name"], "^(Syntax|Indentation|Tab)Error$")
        self.assertIn(message, fault["message"])
        self.assertIn(line, (None, fault["line"]))
        self.assertIn(column, (None, fault["column"]))


def add_broken_test(name, source, line, column, message):
    def test(self):
        for mode in guest.CHECK, guest.RUN:
            data, _ = in_child(lambda: repr(boot.serve_call(mode, source.encode(), b"", b"{}")).encode())
            kind, body, status = ast.literal_eval(data.decode())
            self.assertEqual((KINDS[kind], status), ("syntax", 0))
            self.check_fault(json.loads(body), line, column, message)

    setattr(BrokenScriptsAreSyntaxErrors, f"test_{name}", test)


for name, row in BROKEN.items():
    add_broken_test(name, *row)


class Errors(unittest.TestCase):
    def test_position_is_the_innermost_line_of_the_script(self):
        source = "import json\ndef f():\n    é = 1; json.loads('{')\nf()\n"
        body = run(source).body
        self.assertEqual(body["name"], "JSONDecodeError")
        self.assertEqual(body["line"], 3)
        self.assertEqual(body["column"], 12 if sys.version_info >= (3, 11) else None)

    def test_position_with_return(self):
        body = run("x = 1\nreturn {'ä': x / 0}\n").body
        self.assertEqual(body["line"], 2)
        self.assertEqual(body["column"], 14 if sys.version_info >= (3, 11) else None)

    def test_top_level_await_shows_no_event_loop(self):
        body = run("import asyncio\nawait asyncio.sleep(0)\n1 / 0\n").body
        self.assertEqual(body["stack"].count("File "), 1)

    def test_long_messages_are_cut(self):
        body = run("raise ValueError('x' * 1_000_000)").body
        self.assertLess(len(body["message"]), 17 * 1024)
        self.assertLess(len(body["stack"]), 65 * 1024)

    def test_out_of_memory_is_reported(self):
        body = run("x = bytearray(1 << 60)").body
        self.assertEqual((body["name"], body["line"]), ("MemoryError", 1))

    def test_unprintable_error_keeps_its_name(self):
        body = run("class E(Exception):\n    def __str__(self): raise ValueError\nraise E").body
        self.assertEqual(body["name"], "E")
        self.assertIn("__str__ raised ValueError", body["message"])

    def test_broken_interpreter_still_reports(self):
        body = run("import traceback\ntraceback.TracebackException = None\n1 / 0").body
        self.assertEqual(body["name"], "ZeroDivisionError")

    def test_low_recursion_limit_still_reports(self):
        body = run("import sys\nsys.setrecursionlimit(60)\ndef f(): f()\nf()").body
        self.assertEqual(body["name"], "RecursionError")

    def test_surrogates_in_a_message(self):
        self.assertEqual(run("raise ValueError('a\\udc80')").body["message"], "a\udc80")


class SystemCodes(unittest.TestCase):
    """The member `code` of an error that the operating system was behind."""

    ROWS = {
        "raise OSError(28, 'full')": "ENOSPC",
        "open('/nowhere/at/all')": "ENOENT",
        "raise BlockingIOError(11, 'later')": "EAGAIN",
        "raise MemoryError": "ENOMEM",
        "x = bytearray(1 << 62)": "ENOMEM",
        "try: open('/nowhere/at/all')\nexcept OSError as e: raise ValueError('no') from e": "ENOENT",
        "try: open('/nowhere/at/all')\nexcept OSError: raise ValueError('no')": "ENOENT",
        "try: open('/nowhere/at/all')\nexcept OSError: raise ValueError('no') from None": None,
        "try: open('/nowhere/at/all')\nexcept OSError: raise OSError(24, 'own')": "EMFILE",
        "try: open('/nowhere/at/all')\nexcept OSError: raise ValueError('no') from KeyError('a')": None,
        "1 / 0": None,
        "raise OSError('no number')": None,
        "raise OSError(99999, 'no such number')": None,
        "raise OSError([], 'no number')": None,
        "e = ValueError('no')\ne.__cause__ = KeyError('a')\ne.__cause__.__cause__ = e\nraise e": None,
        "class E(OSError): errno = property(lambda self: 1 / 0)\nraise E(28, 'full')": None,
    }

    def test_each_is_told(self):
        for source, code in self.ROWS.items():
            with self.subTest(source):
                ours = run(source)
                self.assertEqual((ours.kind, ours.body.get("code")), ("error", code))
                self.assertTrue(ours.body["line"])

    @unittest.skipIf(sys.version_info < (3, 11), "there are no groups of exceptions before 3.11")
    def test_that_of_a_group_is_told(self):
        source = "raise ExceptionGroup('both', [ValueError('no'), OSError(28, 'full')])"
        self.assertEqual(run(source).body["code"], "ENOSPC")

    def test_out_of_memory_says_so(self):
        self.assertEqual(run("raise MemoryError").body["message"], "out of memory")
        self.assertEqual(run("raise MemoryError('own words')").body["message"], "own words")


class Endings(unittest.TestCase):
    def test_exit_status_ends_the_call_without_a_frame(self):
        ours = run("import sys\nprint('x')\nsys.exit(3)")
        self.assertEqual((ours.kind, ours.status, ours.stdout), (None, 3, "x\n"))

    def test_exit_with_a_text_is_status_1(self):
        self.assertEqual(run("raise SystemExit('why')").status, 1)

    def test_exit_without_status_is_a_call_that_returned_nothing(self):
        for code in "", "0", "None", "False", "256":
            with self.subTest(code):
                self.assertEqual(run(f"import sys\nsys.exit({code})").kind, "nothing")

    def test_exit_waits_for_threads(self):
        source = "import sys, threading, time\nthreading.Timer(0.05, print, ['late']).start()\nsys.exit(1)"
        self.assertEqual(run(source).stdout, "late\n")

    def test_exit_handlers_run_after_an_error(self):
        self.assertEqual(run("import atexit\natexit.register(print, 'bye')\n1 / 0").stdout, "bye\n")

    def test_exit_handler_that_fails_harms_nobody(self):
        ours = run("import atexit\natexit.register(print, 'bye')\natexit.register(lambda: 1 / 0)\nreturn 5")
        self.assertEqual((ours.body, ours.stdout), (5, "bye\n"))

    def test_failed_script_waits_for_none_of_its_processes(self):
        source = """
import multiprocessing, time
multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
1 / 0
"""
        self.assertEqual(run(source).body["name"], "ZeroDivisionError")

    def test_own_excepthook_is_called(self):
        ours = run("import sys\nsys.excepthook = lambda *e: print('hook', e[0].__name__)\n1 / 0")
        self.assertEqual((ours.kind, ours.stdout), ("error", "hook ZeroDivisionError\n"))

    def test_closed_stdout_does_not_lose_the_result(self):
        self.assertEqual(run("import sys\nsys.stdout.close()\nreturn 1").body, 1)

    def test_check_runs_nothing(self):
        parts, stdout = check("print('ran')\nreturn 1")
        self.assertEqual((parts[3], stdout), (b"", ""))


class ImportsAreNoted(unittest.TestCase):
    ROWS = {
        "x = 1": "",
        "import b, a as c\nimport os.path": "a b os.path",
        "from a.b import c\nfrom a.b import d\nfrom numpy import *\nreturn 1": "a.b numpy",
        "from __future__ import annotations\nimport json": "json",
        "'doc'\ntry:\n import a\n try: import b\n finally: import c\nexcept E:\n import d": "a b",
        "if 1: import a\ndef f(): import b\nclass C: import c\nwith x: import d": "",
        "from . import a\nfrom .b import c\nfrom .. import d": "",
        "import ünicode, plain": "plain",
        "await f()\nimport a": "a",
        "\n".join(f"import m{n:02}" for n in range(32)): " ".join(f"m{n:02}" for n in range(32)),
        "\n".join(f"import m{n:02}" for n in range(33)): "",
        "import " + "x" * 1024: "x" * 1024,
        "import " + "x" * 1025: "",
    }

    def test_rows(self):
        for source, imports in self.ROWS.items():
            with self.subTest(source):
                self.assertEqual(check(source)[0][3].decode(), imports)


class CompiledCodeIsKept(unittest.TestCase):
    SOURCE = "def f(x):\n    return x / 0\nimport inspect\nif event == 1: f(1)\nreturn inspect.getsource(f)"

    def test_the_source_is_not_compiled_again(self):
        def call():
            script.compile_script = None
            kind, body, _ = boot.serve_call(guest.RUN, self.SOURCE.encode(), cache, b"0")
            return bytes([kind]) + body

        cache = check(self.SOURCE)[0][2]
        data, _ = in_child(call)
        self.assertEqual(KINDS[data[0]], "result")
        self.assertEqual(json.loads(data[1:]), "def f(x):\n    return x / 0\n")

    def test_errors_are_those_of_the_source(self):
        plain, kept = (run(self.SOURCE, 1, cache) for cache in (b"", check(self.SOURCE)[0][2]))
        self.assertIn("    return x / 0\n", kept.body["stack"])
        self.assertEqual(kept.body, plain.body)

    def test_what_is_no_code_of_ours_is_passed_over(self):
        good = check("return 2")[0][2]
        for cache in b"x", good[:8], good[:-1], good[:20], b"00000000" + good[8:], code.STAMP.encode() + b"\0":
            self.assertEqual(run("return 1", cache=cache).body, 1)
        self.assertEqual(run("return 1", cache=good).body, 2)

    def test_what_would_warn_is_compiled_by_each_call(self):
        self.assertEqual(check("x = 1 is 1")[0][2], b"")

    def test_code_much_larger_than_its_source_is_not_kept(self):
        self.assertEqual(check("\n".join(f"x = 'a{n}' * 1000" for n in range(100, 200)))[0][2], b"")
        self.assertNotEqual(check("x = 1\n" * 20000)[0][2], b"")

    def test_code_nested_too_deep_is_not_kept(self):
        deep = "(1,\n" * 80 + ")" * 80
        self.assertEqual(run(f"x = {deep}\nreturn 1", cache=check(f"x = {deep}\nreturn 1")[0][2]).body, 1)


class ResultsThatJsonCannotHold(unittest.TestCase):
    ROWS = {
        "float('nan')": "result is nan",
        "{'items': [0, 1, 2, float('inf')]}": "result['items'][3] is inf",
        "[b'x']": "result[0] is of type bytes, which JSON cannot hold; return .decode()",
        "{'a': {1, 2}}": "result['a'] is of type set, which JSON cannot hold; return list(…)",
        "__import__('datetime').datetime.now()": "type datetime, which JSON cannot hold; return .isoformat()",
        "__import__('datetime').date.today()": "type date, which JSON cannot hold; return .isoformat()",
        "__import__('decimal').Decimal(1)": "type Decimal, which JSON cannot hold; return str(…)",
        "__import__('pathlib').Path('/')": "return str(…)",
        "__import__('uuid').uuid4()": "return str(…)",
        "{(1, 2): 3}": "a key of result is of type tuple, which JSON cannot hold; use a string",
        "(x for x in 'a')": "type generator, which JSON cannot hold; return list(…)",
        "range(3)": "return list(…)",
        "object()": "type object, which JSON cannot hold; turn it into",
        "print": "type builtin_function_or_method",
        "1j": "type complex",
        "loop()": "result['me'] contains itself",
        "deep()": "is nested too deeply",
        "point()": "type Point, which JSON cannot hold; return dataclasses.asdict(…)",
    }

    HEAD = """
import dataclasses
def loop():
    a = {}
    a['me'] = a
    return a
def deep():
    a = []
    for _ in range(100_000):
        a = [a]
    return a
@dataclasses.dataclass
class Point:
    x: int
def point():
    return Point(1)
"""

    def test_each_is_named_with_its_place(self):
        for value, message in self.ROWS.items():
            with self.subTest(value):
                ours = run(f"{self.HEAD}return {value}")
                self.assertEqual((ours.kind, ours.body["name"]), ("error", "TypeError"))
                self.assertIn(message, ours.body["message"])
                self.assertNotIn("File", ours.body["stack"])


class Events(unittest.TestCase):
    def test_numbers_are_exact(self):
        self.assertEqual(report.decode_event(b"12345678901234567890"), 12345678901234567890)

    def test_integers_of_any_length(self):
        with unlimited_digits():
            self.assertEqual(report.decode_event(b"1" * 5000), int("1" * 5000))

    def test_last_of_equal_keys_wins(self):
        self.assertEqual(report.decode_event(b'{"a": 1, "a": 2}'), {"a": 2})


if __name__ == "__main__":
    unittest.main()
