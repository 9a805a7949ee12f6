"""One call does its worst, and twenty beside it are answered as if it were not there."""

import concurrent.futures

import pytest

from conftest import started
from host import eventually

BEFORE_PYTHON = "print('before', flush=True)\n"
BEFORE_JAVASCRIPT = "console.log('before');\n"

# what: (language, script, code)
STORMS = {
    "spin in Python": ("python", "while True: pass", "timeout"),
    "spin in JavaScript": ("javascript", "for (;;);", "timeout"),
    "objects in Python": ("python", "a = []\nwhile True: a.append([0] * 1000)", "memory_limit"),
    "objects in JavaScript": ("javascript", "const a = []; for (;;) a.push({ a: [1, 2, 3] })", "memory_limit"),
    "buffers": ("javascript", "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))", "memory_limit"),
    "memory files": (
        "python",
        "import os\nkept = []\nwhile True:\n    kept.append(os.memfd_create('x'))\n"
        "    for _ in range(4): os.write(kept[-1], b'x' * 250_000)",
        "memory_limit",
    ),
    "fork bomb": ("python", "import os\nwhile True: os.fork()", "process_limit"),
    "thread bomb": (
        "python",
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "process_limit",
    ),
    "output flood": ("python", "while True: print('x' * 1000)", "output_limit"),
    "output flood in JavaScript": ("javascript", "for (;;) console.error('x'.repeat(1000))", "output_limit"),
    "/tmp flood": (
        "python",
        "n = 0\nwhile True:\n    n += 1\n    open(f'/tmp/{n}', 'wb').write(b'x' * 100_000)",
        "tmp_limit",
    ),
    "/tmp flood in JavaScript": (
        "javascript",
        "const fs = require('fs'); for (let n = 0; ; n++) fs.writeFileSync('/tmp/' + n, Buffer.alloc(100_000))",
        "tmp_limit",
    ),
    "every descriptor closed": ("python", "import os, time\nos.closerange(0, 65536)\ntime.sleep(60)", "timeout"),
}
GRANDCHILD = """
import os, time
print('before', flush=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
os.wait()
return 'its grandchild sleeps'"""
NEIGHBOURS = [
    ("python", "import time\ntime.sleep(0.02)\nreturn event['n'] * 2"),
    ("javascript", "await new Promise((done) => setTimeout(done, 20)); return event.n * 2"),
    ("typescript", "const n: number = event.n; return n * 2"),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    yield from started(
        tmp_path_factory,
        "house",
        MAX_CONTAINERS=4,
        TIMEOUT_SCRIPT="3",
        MAX_MEMORY_PER_CONTAINER="128m",  # which as many processes as are allowed do not fill
        MAX_PROCESSES_PER_CONTAINER=24,
        MAX_TMP_PER_CONTAINER="1m",
        OUTPUT_MAX_SIZE="64k",
    )


def beside_twenty(house, language, script):
    """The storm's answer, and those of twenty calls that were made while it raged."""

    def neighbour(n):
        language, script = NEIGHBOURS[n % len(NEIGHBOURS)]
        return house.run_now(language, script, input={"n": n})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        storm = pool.submit(house.run_now, language, script)
        neighbours = list(pool.map(neighbour, range(20)))
        return storm.result(), neighbours


@pytest.mark.parametrize("what", STORMS)
def test_storm_costs_its_own_call_alone(house, what):
    language, script, code = STORMS[what]
    before = BEFORE_PYTHON if language == "python" else BEFORE_JAVASCRIPT
    storm, neighbours = beside_twenty(house, language, before + script)
    assert [answer.data for answer in neighbours] == [2 * n for n in range(20)]
    assert storm.code == code, storm
    assert storm.json["stdout"].startswith("before\n"), storm


def test_daemonised_grandchild_is_not_waited_for_and_does_not_live_on(house):
    storm, neighbours = beside_twenty(house, "python", GRANDCHILD)
    assert [answer.data for answer in neighbours] == [2 * n for n in range(20)]
    assert storm.data == "its grandchild sleeps"
    spares = 2  # one for Python, one for Node.js
    eventually(lambda: len(house.cells()) <= spares, lambda: str(house.processes()))
