"""The limits that a function's author sets below those of the server: each holds from inside each language, for
that function alone.
"""

import pytest

from conftest import started

LANGUAGES = "python", "javascript", "typescript"
MIB = 1 << 20

PYTHON = {
    # 60 MiB are fine with the server's 128, and too much with 32.
    "memory": "x = bytearray(b'x') * (60 << 20)\nreturn len(x)",
    # More threads than the limit, and fewer than the server's.
    "processes": """
import threading
stop = threading.Event()
threads = [threading.Thread(target=stop.wait) for _ in range(20)]
try:
    for thread in threads: thread.start()
finally:
    stop.set()
return len(threads)""",
    "tmp": "open('/tmp/file', 'wb').write(bytes(3 << 20))\nreturn 'written'",
    "output": "print('x' * 100_000)\nreturn 'printed'",
    "result": "return 'x' * 100_000",
    "time": "import time\ntime.sleep(1.5)\nreturn 'slept'",
    # The share of a core that it gets in a second.
    "share": """
import time
start, used = time.monotonic(), time.process_time()
while time.monotonic() - start < 1: pass
return (time.process_time() - used) / (time.monotonic() - start)""",
}
JAVASCRIPT = {
    "memory": "const x = Buffer.alloc(60 << 20, 1); return x.length",
    "processes": """
const { Worker } = require('worker_threads');
const workers = [];
for (let n = 0; n < 20; n++) {
  const worker = new Worker('setInterval(() => {}, 1000)', { eval: true });
  workers.push(worker);
  await new Promise((done, fail) => { worker.on('online', done); worker.on('error', fail); });
}
return workers.length""",
    "tmp": "require('fs').writeFileSync('/tmp/file', Buffer.alloc(3 << 20)); return 'written'",
    "output": "console.log('x'.repeat(100_000)); return 'printed'",
    "result": "return 'x'.repeat(100_000)",
    "time": "await new Promise((done) => setTimeout(done, 1500)); return 'slept'",
    "share": """
const start = process.hrtime.bigint(), used = process.cpuUsage();
while (process.hrtime.bigint() - start < 1_000_000_000n);
const { user, system } = process.cpuUsage(used);
return (user + system) * 1000 / Number(process.hrtime.bigint() - start)""",
}
SCRIPTS = {"python": PYTHON, "javascript": JAVASCRIPT, "typescript": JAVASCRIPT}

# what is done: (the limits under which it fails, and with which code)
LIMITS = {
    "memory": ({"memory_bytes": 32 * MIB}, "memory_limit"),
    "processes": ({"processes": 8}, "process_limit"),
    "tmp": ({"tmp_bytes": MIB}, "tmp_limit"),
    "output": ({"output_bytes": 10_000}, "output_limit"),
    "result": ({"output_bytes": 10_000}, "output_limit"),
    "time": ({"timeout_ms": 300}, "timeout"),
}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """Enough for all of the above without limits of their own; two spares, so that slots change hands."""
    yield from started(
        tmp_path_factory,
        "roomy",
        MAX_MEMORY_PER_CONTAINER="256m",
        MAX_CPUS_PER_CONTAINER=1,
        MAX_PROCESSES_PER_CONTAINER=200,
        MAX_TMP_PER_CONTAINER="8m",
    )


@pytest.mark.parametrize("what", LIMITS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_limit_of_the_call_holds_and_the_next_call_has_the_server_s(roomy, language, what):
    limits, code = LIMITS[what]
    script = SCRIPTS[language][what]
    for _ in range(2):
        limited = roomy.run_now(language, script, limits=limits)
        assert limited.code == code, limited
        assert roomy.run_now(language, script).status == 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_limits_stay_with_the_version(roomy, language):
    script = SCRIPTS[language]["tmp"]
    path = f"own/{language}"
    upload = {"path": path, "language": language, "code": script, "limits": {"tmp_bytes": MIB}}
    limited = roomy.post("/upload", upload).json["version"]
    free = roomy.upload(path, language, script).json["version"]
    assert roomy.run(path, limited).code == "tmp_limit"
    assert roomy.run(path, free).data == "written"
    assert roomy.run(path).data == "written"
    assert roomy.run(path, limited).code == "tmp_limit"


@pytest.mark.parametrize("language", LANGUAGES)
def test_cpu_share_is_the_function_s_own(roomy, language):
    script = SCRIPTS[language]["share"]
    share = roomy.run_now(language, script, limits={"cpus": 0.2}).data
    assert 0.1 < share < 0.35, share


def test_all_limits_at_once(roomy):
    limits = {
        "timeout_ms": 5000,
        "memory_bytes": 64 * MIB,
        "cpus": 0.5,
        "processes": 16,
        "tmp_bytes": 2 * MIB,
        "output_bytes": 100_000,
    }
    for language in LANGUAGES:
        answer = roomy.run_now(language, "return 1" if language == "python" else "return 1", limits=limits)
        assert answer.data == 1, answer


def test_limit_holds_without_a_spare(own):
    """The cell is forked for the call, and limited before it gets it."""
    mayfly = own(SPARE_CELLS=0, MAX_TMP_PER_CONTAINER="8m").start()
    for _ in range(5):
        assert mayfly.python(PYTHON["tmp"], limits={"tmp_bytes": MIB}).code == "tmp_limit"
        assert mayfly.python(PYTHON["tmp"]).data == "written"
    mayfly.stop()


def test_what_a_limited_call_had_printed_is_told(roomy):
    answer = roomy.python("print('before')\nprint('x' * 100_000)", limits={"output_bytes": 10_000})
    assert answer.code == "output_limit" and answer.json["truncated"] is True
    assert answer.json["stdout"].startswith("before\nxxx") and len(answer.json["stdout"]) == 10_000


def test_garbage_is_collected_before_a_small_memory_limit_is_met(roomy):
    """An interpreter that takes the server's limit for its own would leave garbage lying until it is killed."""
    python = "for n in range(3000): x = [str(n)] * 10_000\nreturn 'done'"
    javascript = "let x; for (let n = 0; n < 3000; n++) x = new Array(10_000).fill({ n }); return 'done'"
    assert roomy.python(python, limits={"memory_bytes": 32 * MIB}).data == "done"
    assert roomy.javascript(javascript, limits={"memory_bytes": 32 * MIB}).data == "done"
