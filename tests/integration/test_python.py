"""Every form of Python script, inside a cell. tests/guest runs the same scripts outside."""

import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "guest"))

from python_scripts import BROKEN, NEWER, RETURNING, SCRIPTS  # noqa: E402

PYTHON = "/usr/bin/python3"
VERSION = tuple(
    int(n)
    for n in subprocess.check_output([PYTHON, "-c", "import sys; print(*sys.version_info[:2])"]).split()
)
# They end before a line at the end would run, or print what only their own end makes them print.
UNFINISHED = (
    "raises",
    "import_star_fails",
    "import_star_of",
    "relative_import",
    "name_error",
    "delete_twice",
    "assert",
    "abstract_class",
    "recursion_error",
    "keyboard_interrupt",
    "generator_exit",
    "syntax_error_at",
)


# What the tester's own JSON parser cannot read back: compared as text in tests/guest.
UNREADABLE = ("very_big_numbers", "lone_surrogate")
STOCK = [name for name in SCRIPTS if not name.startswith(UNFINISHED) and VERSION >= NEWER.get(name, ())]


@pytest.mark.parametrize("name", [name for name in RETURNING if name not in UNREADABLE])
def test_script_returns(mayfly, name):
    source, event, expected = RETURNING[name]
    assert mayfly.python(source, input=event).data == expected


@pytest.mark.parametrize("name", STOCK)
def test_script_prints_what_it_prints_in_stock_python(mayfly, tmp_path, name):
    file = tmp_path / "function.py"
    file.write_bytes(SCRIPTS[name].encode())
    stock = (
        subprocess.run(
            [PYTHON, "function.py"], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, check=True
        )
        .stdout.decode()
        .replace(f"{tmp_path}/", "")
    )
    # A failure at the end makes the answer tell what was printed.
    answer = mayfly.python(SCRIPTS[name].rstrip("\r\n") + "\nimport sys; sys.exit(9)\n")
    assert answer.status == 500, answer
    assert answer.json["stdout"] == stock


@pytest.mark.parametrize("name", BROKEN)
def test_broken_script_is_refused(mayfly, name):
    source, line, column, message = BROKEN[name]
    answer = mayfly.python(source)
    assert (answer.status, answer.code) == (422, "syntax_error"), answer
    assert line in (None, answer.error["line"])
    assert column in (None, answer.error["column"])
    assert message in answer.error["message"]


def test_stack_shows_the_script_s_lines_alone(mayfly):
    error = mayfly.python("def f(x):\n    return 1 / x\n\nf(0)").error
    files = [line.strip() for line in error["stack"].splitlines() if line.strip().startswith("File")]
    assert files == ['File "function.py", line 4, in <module>', 'File "function.py", line 2, in f']


def test_json_result_has_a_place_in_its_error(mayfly):
    error = mayfly.python("return {'items': [0, 1, 2, {3}]}").error
    assert error["message"].startswith("result['items'][3] is of type set")


def test_random_numbers_differ_from_call_to_call(mayfly):
    code = (
        "import random, secrets, ssl, tempfile, uuid\n"
        "return [random.random(), secrets.token_hex(), str(uuid.uuid4()), ssl.RAND_bytes(8).hex(), "
        "next(tempfile._get_candidate_names()), random.SystemRandom().random(), str(uuid.uuid1())]"
    )
    rows = [mayfly.python(code).data for _ in range(20)]
    for column in zip(*rows):
        assert len(set(column)) == len(rows)


def test_seeded_random_numbers_do_not(mayfly):
    code = "import random\nrandom.seed(1)\nreturn random.random()"
    assert len({mayfly.python(code).data for _ in range(3)}) == 1


def test_standard_library_imports(mayfly):
    names = (
        "asyncio csv ctypes decimal email http.server lzma sqlite3 ssl statistics unittest xml.etree zoneinfo"
    )
    assert mayfly.python("\n".join(f"import {name}" for name in names.split()) + "\nreturn 1").data == 1


def test_local_module_from_tmp(mayfly):
    assert mayfly.python("open('/tmp/mine.py', 'w').write('x = 5')\nimport mine\nreturn mine.x").data == 5


def test_subprocess_is_refused_with_an_exception(mayfly):
    answer = mayfly.python("import subprocess\nsubprocess.run(['/usr/bin/true'])")
    assert (answer.status, answer.code) == (500, "script_error")
    assert answer.error["name"] in ("PermissionError", "FileNotFoundError")


def test_time_zone_database(mayfly):
    code = """
import zoneinfo, datetime
paris = zoneinfo.ZoneInfo('Europe/Paris')
return str(datetime.datetime(2024, 7, 1, tzinfo=paris).utcoffset())
"""
    assert mayfly.python(code).data == "2:00:00"


def test_warning_goes_to_stderr(mayfly):
    answer = mayfly.python("import warnings\nwarnings.warn('old')\n1 / 0")
    assert "UserWarning: old" in answer.json["stderr"]
    assert "function.py:2" in answer.json["stderr"]


def test_thread_s_error_goes_to_stderr_and_is_no_failure(mayfly):
    assert mayfly.python("import threading\nthreading.Thread(target=lambda: 1 / 0).start()").data is None


def test_process_pool(mayfly):
    code = (
        "import multiprocessing\ndef square(x): return x * x\n"
        "if __name__ == '__main__':\n    with multiprocessing.get_context('fork').Pool(2) as pool:\n"
        "        return pool.map(square, range(4))\n"
    )
    assert mayfly.python(code).data == [0, 1, 4, 9]


def test_child_that_comes_back_does_not_answer(mayfly):
    code = """
import os
parent = os.getpid()
child = os.fork()
if child: os.waitpid(child, 0)
%s
return ["parent", os.getpid() == parent]
"""
    for action in "", "if not child: raise ValueError('of the child')", "if not child: raise SystemExit(3)":
        assert mayfly.python(code % action).data == ["parent", True], action


def test_traceback_of_a_child_is_on_stderr(mayfly):
    code = "import os\nif os.fork() == 0:\n    raise ValueError('of the child')\nos.wait()\nraise KeyError('own')"
    answer = mayfly.python(code)
    assert answer.error["name"] == "KeyError"
    assert answer.json["stderr"] == (
        "Traceback (most recent call last):\n"
        '  File "function.py", line 3, in <module>\n'
        "    raise ValueError('of the child')\n"
        "ValueError: of the child\n"
    )


def test_log_handlers_are_flushed_after_the_exit_handlers_of_the_script(mayfly):
    code = """
import atexit, logging, logging.handlers
logging.getLogger().addHandler(logging.handlers.MemoryHandler(99, target=logging.StreamHandler()))
atexit.register(logging.warning, 'at exit')
logging.warning('at once')
return 1
"""
    answer = mayfly.post("/run-now", {"language": "python", "code": code, "detail": True})
    assert answer.data == 1
    assert [line for line in answer.json["stderr"].split("\n") if line] == ["at once", "at exit"]


def test_a_log_handler_that_fails_at_the_end_costs_no_result(mayfly):
    code = """
import logging
class Broken(logging.Handler):
    def flush(self): raise RuntimeError('no flush')
logging.getLogger().addHandler(Broken())
return 1
"""
    answer = mayfly.post("/run-now", {"language": "python", "code": code, "detail": True})
    assert answer.data == 1
    assert "RuntimeError: no flush" in answer.json["stderr"]
