"""Each limit, met from inside each language: the call ends with the limit's own code and with what was printed
before, while a neighbour runs on and the next call is served.
"""

import concurrent.futures

import pytest

from conftest import started

LANGUAGES = "python", "javascript", "typescript"

# What each script below begins with: output that must not be lost.
BEFORE = {
    "python": "import sys\nprint('out', flush=True)\nprint('err', file=sys.stderr)\n",
    "javascript": "console.log('out'); console.error('err');\n",
    "typescript": "enum Word { Out = 'out', Err = 'err' }\nconsole.log(Word.Out); console.error(Word.Err);\n",
}
NEIGHBOUR = "import time\nfor _ in range(15): time.sleep(0.01)\nreturn 'neighbour'"

FLOOD_TCP = """
const net = require('net'), server = net.createServer((socket) => socket.pause()).listen(0, '127.0.0.1');
await new Promise((done) => server.on('listening', done));
for (;;) {
  const socket = net.connect(server.address().port, '127.0.0.1');
  await new Promise((done) => socket.on('connect', done));
  for (let i = 0; i < 100; i++) socket.write(Buffer.alloc(65536, 1));
}
"""
IN_WORKER = """
const { Worker } = require('worker_threads'), worker = new Worker(%r, { eval: true });
await new Promise((done, fail) => { worker.on('error', fail); worker.on('exit', done) });
"""
FILL_PIPES = """
import fcntl, os
while True:
    end = os.pipe()[1]
    fcntl.fcntl(end, 1031, 1 << 20)  # F_SETPIPE_SZ
    os.set_blocking(end, False)
    try:
        while True: os.write(end, bytes(65536))
    except BlockingIOError: pass
"""
FILL_SOCKETS = """
import socket
kept = []
while True:
    pair = socket.socketpair()
    kept.append(pair)
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    pair[0].setblocking(False)
    try:
        while True: pair[0].send(bytes(65536))
    except BlockingIOError: pass
"""
IN_CHILD = """
import os
if os.fork() == 0:
    x = bytearray(b'x') * (200 << 20)
    os._exit(0)
sys.exit(os.wait()[1] != 0)
"""
FILL_TMP = "for n in range(9): open(f'/tmp/{n}', 'wb').write(bytes(500_000))"
FILL_TMP_JS = "for (let n = 0; n < 9; n++) fs.writeFileSync('/tmp/' + n, Buffer.alloc(500_000));"
ENDLESS_FORKS = "import os, time\nwhile True:\n    if os.fork() == 0: time.sleep(60)"
ENDLESS_CHILDREN = """
import multiprocessing, time
context = multiprocessing.get_context("fork")
while True: context.Process(target=time.sleep, args=(60,)).start()
"""
ENDLESS_WORKERS = """
const { Worker } = require('worker_threads');
for (let n = 0; n < 20; n++) new Worker('setInterval(() => {}, 1000)', { eval: true });
await new Promise(() => {});
"""
ENDLESS_CONNECTIONS = """
const net = require('net'), server = net.createServer(() => {}).listen(0, '127.0.0.1');
await new Promise((done) => server.on('listening', done));
for (;;) await new Promise((done, fail) => {
  net.connect(server.address().port, '127.0.0.1').on('connect', done).on('error', fail);
});
"""

# (code, what, python or None, javascript and typescript or None)
SCRIPTS = [
    (
        "memory_limit",
        "objects",
        "a = []\nwhile True: a.append([1, 2, 3] * 100)",
        "const a = []; for (;;) a.push({ a: a.length, b: [1, 2, 3] })",
    ),
    (
        "memory_limit",
        "table",
        "a = {}\nwhile True: a[len(a)] = str(len(a))",
        "const a = new Map(); for (;;) a.set(a.size, 'x' + a.size)",
    ),
    ("memory_limit", "one_buffer", "bytearray(b'x') * (200 << 20)", "Buffer.alloc(200 << 20, 1)"),
    ("memory_limit", "typed_arrays", None, "const a = []; for (;;) a.push(new Float64Array(1 << 17).fill(1))"),
    (
        "memory_limit",
        "text",
        "s = 'x'\nwhile True: s += s",
        "const a = []; for (let i = 0; ; i++) a.push(Buffer.from(String(i).repeat(9999)).toString())",
    ),
    ("memory_limit", "more_than_there_is", "bytearray(1 << 46)", "new Uint8Array(2 ** 40)"),
    ("memory_limit", "deep_recursion", "sys.setrecursionlimit(10**9)\ndef f(n): return f(n + 1)\nf(0)", None),
    (
        "memory_limit",
        "webassembly",
        None,
        "const m = new WebAssembly.Memory({ initial: 9999, maximum: 9999 }); new Uint8Array(m.buffer).fill(1)",
    ),
    (
        "memory_limit",
        "v8_gives_up",  # as it does of itself only beyond a gigabyte
        None,
        "require('v8').setFlagsFromString('--allow-natives-syntax');"
        " new Function('%FatalProcessOutOfMemoryInvalidArrayLength()')()",
    ),
    (
        "memory_limit",
        "in_a_thread",
        "import threading\nt = threading.Thread(target=lambda: bytearray(b'x') * (200 << 20))\nt.start(); t.join()",
        IN_WORKER % "Buffer.alloc(200 << 20, 1)",
    ),
    ("memory_limit", "in_a_child", IN_CHILD, None),
    ("memory_limit", "memory_files", "import os\nwhile True: os.write(os.memfd_create('x'), bytes(500_000))", None),
    ("memory_limit", "pipes", FILL_PIPES, None),
    ("memory_limit", "sockets", FILL_SOCKETS, FLOOD_TCP),
    (
        "memory_limit",
        "mapping",
        "import mmap\nm = mmap.mmap(-1, 200 << 20)\nfor at in range(0, 200 << 20, 4096): m[at] = 1",
        None,
    ),
    ("process_limit", "forks", ENDLESS_FORKS, None),
    ("process_limit", "bomb", "import os\nwhile True: os.fork()", None),
    ("process_limit", "children", ENDLESS_CHILDREN, None),
    (
        "process_limit",
        "threads",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()",
        ENDLESS_WORKERS,
    ),
    ("tmp_limit", "bytes", FILL_TMP, f"const fs = require('fs'); {FILL_TMP_JS}"),
    (
        "tmp_limit",
        "files",
        "for n in range(200): open(f'/tmp/{n}', 'w').close()",
        "const fs = require('fs'); for (let n = 0; n < 200; n++) fs.writeFileSync('/tmp/' + n, '')",
    ),
    (
        "tmp_limit",
        "one_file",
        "f = open('/tmp/a', 'wb')\nwhile True: f.write(bytes(100_000))",
        "await require('fs/promises').writeFile('/tmp/a', Buffer.alloc(5_000_000))",
    ),
    (
        "tmp_limit",
        "sparse_file",
        "open('/tmp/a', 'wb').truncate(1 << 30)",
        "const fs = require('fs'); fs.writeFileSync('/tmp/a', ''); fs.truncateSync('/tmp/a', 1 << 30)",
    ),
    (
        "tmp_limit",
        "stream",
        None,
        "const s = require('fs').createWriteStream('/tmp/a'); for (let n = 0; n < 30; n++) s.write('x'.repeat(1e5))",
    ),
    (
        "tmp_limit",
        "nobody_waits",
        None,
        "require('fs/promises').writeFile('/tmp/a', Buffer.alloc(5e6)); await new Promise((r) => setTimeout(r, 1500))",
    ),
    (
        "tmp_limit",
        "wrapped",
        f"try:\n    {FILL_TMP}\nexcept OSError as error: raise RuntimeError('library') from error",
        f"const fs = require('fs'); try {{ {FILL_TMP_JS} }} catch (cause) {{ throw new Error('library', {{ cause }}) }}",
    ),
    (
        "open_files_limit",
        "files",
        "kept = []\nwhile True: kept.append(open('/dev/null'))",
        "const fs = require('fs'); for (;;) fs.openSync('/dev/null')",
    ),
    (
        "open_files_limit",
        "promises",
        None,
        "const fs = require('fs/promises'), kept = []; for (;;) kept.push(await fs.open('/dev/null'))",
    ),
    ("open_files_limit", "pipes", "import os\nwhile True: os.pipe()", None),
    (
        "open_files_limit",
        "sockets",
        "import socket\nkept = []\nwhile True: kept.append(socket.socket())",
        ENDLESS_CONNECTIONS,
    ),
    ("output_limit", "stdout", "while True: print('y' * 1000)", "for (;;) console.log('y'.repeat(1000))"),
    (
        "output_limit",
        "stderr",
        "while True: print('y' * 1000, file=sys.stderr)",
        "for (;;) console.error('y'.repeat(1000))",
    ),
    (
        "output_limit",
        "descriptor",
        "import os\nos.write(1, b'y' * 66_000)\nos._exit(3)",
        "require('fs').writeSync(1, 'y'.repeat(66_000)); process.exit(3)",
    ),
    ("output_limit", "result", "return 'y' * 66_000", "return 'y'.repeat(66_000)"),
]

TIMEOUTS = {
    "python": [
        "while True: pass",
        "import time; time.sleep(60)",
        "import re; re.match(r'(a+)+$', 'a' * 40 + 'b')",
        "import signal, time\nfor n in 1, 2, 15: signal.signal(n, signal.SIG_IGN)\nwhile True: time.sleep(1)",
        "import threading\nthreading.Event().wait()",
        "import os\nos.closerange(0, 65536)\nwhile True: pass",
    ],
    "javascript": [
        "for (;;);",
        "await new Promise((done) => setTimeout(done, 60_000))",
        "/(a+)+$/.exec('a'.repeat(40) + 'b')",
        "process.on('SIGTERM', () => {}); setInterval(() => {}, 1000); await new Promise(() => {})",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
        IN_WORKER % "for (;;);",
    ],
}
TIMEOUTS["typescript"] = TIMEOUTS["javascript"]


def rows():
    for code, what, python, javascript in SCRIPTS:
        for language, script in zip(LANGUAGES, (python, javascript, javascript)):
            if script:
                yield pytest.param(language, code, script, id=f"{code}-{what}-{language}")


@pytest.fixture(scope="module")
def limited(tmp_path_factory):
    """All languages, with limits so low that a script meets them soon."""
    yield from started(
        tmp_path_factory,
        "limited",
        MAX_CONTAINERS=8,
        TIMEOUT_SCRIPT=2,
        MAX_MEMORY_PER_CONTAINER="64m",
        MAX_PROCESSES_PER_CONTAINER=8,
        MAX_TMP_PER_CONTAINER="1m",
        MAX_TMP_FILES_PER_CONTAINER=64,
        MAX_OPEN_FILES_PER_CONTAINER=256,
        OUTPUT_MAX_SIZE="64k",
    )


def run_beside_neighbour(mayfly, language, *scripts):
    """Their answers. Nobody else may notice anything of them."""
    with concurrent.futures.ThreadPoolExecutor(len(scripts) + 1) as clients:
        neighbour = clients.submit(mayfly.python, NEIGHBOUR)
        ours = [clients.submit(mayfly.run_now, language, BEFORE[language] + script) for script in scripts]
        answers = [call.result() for call in ours]
        assert neighbour.result().data == "neighbour"
    assert mayfly.run_now(language, "return 'next'").data == "next"
    return answers


def check(answer, code):
    assert (answer.status, answer.code) == (504 if code == "timeout" else 500, code), answer
    assert answer.json["stdout"].startswith("out\n"), answer
    assert answer.json["stderr"].startswith("err\n"), answer
    assert answer.error["name"] and answer.error["message"]


@pytest.mark.parametrize("language, code, script", list(rows()))
def test_limit_ends_the_call_and_says_which(limited, language, code, script):
    (answer,) = run_beside_neighbour(limited, language, script)
    check(answer, code)


@pytest.mark.parametrize("language", LANGUAGES)
def test_whatever_runs_on_is_a_timeout(limited, language):
    for answer in run_beside_neighbour(limited, language, *TIMEOUTS[language]):
        check(answer, "timeout")


def test_error_of_the_script_is_told_beside_the_limit(limited):
    error = limited.python("\nopen('/tmp/a', 'wb').truncate(1 << 30)").error
    assert (error["name"], error["line"]) == ("OSError", 2) and "File too large" in error["message"]
    error = limited.javascript("\nrequire('fs').writeFileSync('/tmp/a', Buffer.alloc(5e6))").error
    assert (error["name"], error["line"]) == ("Error", 2) and "EFBIG" in error["message"]
    assert set(error) == {"name", "message", "stack", "line", "column"}


def test_caught_errors_are_no_failure(limited):
    """A script that knows how to live within its limits is served."""
    code = f"""
import os
def full(fill):
    try: fill()
    except (OSError, MemoryError) as error: return type(error).__name__
def fill_tmp():
    {FILL_TMP}
def open_files():
    kept = []
    while True: kept.append(open('/dev/null'))
return [full(fill_tmp), full(open_files), full(lambda: bytearray(1 << 46))]
"""
    assert limited.python(code).data == ["OSError", "OSError", "MemoryError"]


# A script may do to its descriptors what it likes.

CLOSES = {
    "python": "import os\nos.closerange(0, 65536)\n",
    "javascript": "for (let n = 0; n < 1024; n++) try { require('fs').closeSync(n) } catch {}\n",
}
CLOSES["typescript"] = CLOSES["javascript"]
REPLACES = "import os\nos.dup2(os.open('/dev/null', os.O_RDWR), 3)\nreturn 1"


@pytest.mark.parametrize("language", LANGUAGES)
def test_script_that_closes_every_descriptor_has_failed(limited, language):
    for answer in run_beside_neighbour(limited, language, f"{CLOSES[language]}return 1"):
        check(answer, "script_error")


@pytest.mark.parametrize(
    "language, script",
    [
        ("python", "import os\nos.close(3)\nreturn 1"),
        ("python", "import os\nos.dup2(1, 3)\nreturn 1"),
        ("python", REPLACES),
        ("javascript", "require('fs').closeSync(3); return 1"),
    ],
)
def test_script_that_takes_its_channel_away_is_told(limited, language, script):
    (answer,) = run_beside_neighbour(limited, language, script)
    check(answer, "script_error")
    assert "descriptor 3" in answer.json["stderr"]


@pytest.mark.parametrize("end", ["return 'done'", "print('done')", "print('done', flush=True)\nos._exit(0)"])
def test_daemon_that_keeps_stdout_is_not_waited_for(limited, end):
    code = f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: time.sleep(60)
    os._exit(0)
os.wait()
{end}
"""
    assert limited.python(code).data == "done"
