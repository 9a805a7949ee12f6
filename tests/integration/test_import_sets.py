"""Templates for import sets: functions whose imports are warm, and what never gets into a template."""

import os
import shutil
import signal
import tempfile
import time

import pytest
from host import Background, eventually

PACKAGES = {
    # Where a module was imported shows by the process id: that of a cell is 2.
    "calm": "import os\nPID = os.getpid()\n",
    "calmer": "import os\nPID = os.getpid()\n",
    "broken": "raise RuntimeError('no')\n",
    "leaving": "raise SystemExit(3)\n",
    "dying": "import os\nos.getpid() == 2 or os._exit(3)\n",
    "crashing": "import os\nos.getpid() == 2 or os.abort()\n",
    "printing": "print('hello')\n",
    "hanging": "import os, time\nos.getpid() == 2 or time.sleep(3600)\n",
    "threaded": "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,), daemon=True).start()\n",
    "holding": "import os\nFD = os.open('/dev/null', os.O_RDONLY)\n",
    "drawing": "import random, ssl, secrets, uuid, multiprocessing\nssl.RAND_bytes(8)\nrandom.random()\nuuid.uuid4()\n",
    "hooked": "import os\nHEARD = []\nos.register_at_fork(before=lambda: HEARD.append('before'), after_in_child=lambda: HEARD.append('child'))\n",
    "large": "import os\nPID = os.getpid()\nDATA = os.urandom(1 << 20) * 40\n",
    "larger": "import os\nPID = os.getpid()\nDATA = os.urandom(1 << 20) * 40\n",
    "huge": "import os\nPID = os.getpid()\nDATA = os.urandom(1 << 20) * 120\n",
}


@pytest.fixture(scope="module")
def prefix():
    """A Python installation with packages of its operator's. Not below /tmp, which cells have their own of."""
    directory = tempfile.mkdtemp(prefix="mayfly-prefix-", dir="/var/tmp")
    os.chmod(directory, 0o755)
    program = os.path.realpath("/usr/bin/python3")
    packages = os.path.join(directory, "lib/python3/dist-packages")
    os.makedirs(os.path.join(directory, "bin"))
    os.makedirs(packages)
    shutil.copy(program, os.path.join(directory, "bin"))
    name = os.path.basename(program)
    os.symlink(f"/usr/lib/{name}", os.path.join(directory, "lib", name))
    for package, text in PACKAGES.items():
        with open(os.path.join(packages, f"{package}.py"), "w") as file:
            file.write(text)
    for numpy in "numpy", "numpy.libs":
        if os.path.exists(f"/usr/lib/python3/dist-packages/{numpy}"):
            os.symlink(f"/usr/lib/python3/dist-packages/{numpy}", os.path.join(packages, numpy))
    yield os.path.join(directory, "bin", name)
    shutil.rmtree(directory)


def started(own, prefix, **settings):
    return own(**{"RUNTIMES": "python", "PYTHON": prefix, **settings}).start()


def sets(mayfly):
    """imports → what /templates tells of their set."""
    return {row["imports"]: row for row in mayfly.get("/templates").json["templates"] if row["imports"]}


def state(mayfly, imports):
    return sets(mayfly).get(imports, {}).get("state")


def call(mayfly, path, imports, code):
    """Uploads and calls it until its set has a template."""
    assert mayfly.upload(path, "python", code).status == 200
    eventually(
        lambda: mayfly.run(path).status and state(mayfly, imports) == "up",
        lambda: f"{sets(mayfly)}\n{mayfly.log()}",
    )


WHERE = "import {0}, os\nreturn {0}.PID == os.getpid()"


def test_a_set_that_is_called_for_gets_a_template(own, prefix):
    mayfly = started(own, prefix)
    mayfly.upload("calm", "python", WHERE.format("calm"))
    assert mayfly.run("calm").data is True
    time.sleep(1)
    assert state(mayfly, "calm") == "seen"  # one call is none too many
    assert mayfly.run("calm").data is True  # in the base template's cell, which imports for itself
    eventually(lambda: state(mayfly, "calm") == "up", mayfly.log)
    for _ in range(5):
        assert mayfly.run("calm").data is False
    # Another function with the same imports shares it; one with others does not.
    mayfly.upload("same", "python", "import os\nimport calm\nreturn calm.PID == os.getpid()")
    mayfly.upload("other", "python", "import calm, calmer, os\nreturn calm.PID == os.getpid()")
    mayfly.upload("plain", "python", "import sys\nreturn 'calm' in sys.modules")
    assert mayfly.run("same").data is False
    assert mayfly.run("other").data is True
    assert mayfly.run("plain").data is False
    row = sets(mayfly)["calm"]
    assert row["generation"] == 1 and row["memory_bytes"] > 1 << 20 and row["runtime"] == "python"
    eventually(lambda: sets(mayfly)["calm"]["spares"] == 1, mayfly.log)
    mayfly.stop()


@pytest.mark.parametrize("name", ["sqlite3", "xml.etree.ElementTree", "email.mime.text", "numpy"])
def test_real_libraries_work_in_their_template(own, name):
    mayfly = own().start()
    if name == "numpy" and not os.path.exists("/usr/lib/python3/dist-packages/numpy"):
        pytest.skip("numpy is not installed")
    uses = {
        "sqlite3": ("return sqlite3.connect(':memory:').execute('select 42').fetchone()[0]", 42),
        "xml.etree.ElementTree": ("return xml.etree.ElementTree.fromstring('<a><b/></a>')[0].tag", "b"),
        "email.mime.text": ("return email.mime.text.MIMEText('hi').get_payload()", "hi"),
        "numpy": ("return int((numpy.arange(12).reshape(3, 4) @ numpy.ones((4, 2))).sum())", 132),
    }
    code, expected = uses[name]
    call(mayfly, "f", name, f"import {name}\n{code}")
    for _ in range(5):
        assert mayfly.run("f").data == expected
    assert mayfly.run("f", detail=True).json["usage"]["start_ms"] < 1000
    mayfly.stop()


def test_what_is_warm_anyway_is_no_set(own, prefix):
    mayfly = started(own, prefix)
    mayfly.upload("usual", "python", "import json, re, os.path, asyncio\nfrom collections import abc\nreturn 1")
    for _ in range(4):
        assert mayfly.run("usual").data == 1
    assert sets(mayfly) == {}
    mayfly.stop()


FAULTS = {
    "dying": "it closed its socket",
    "crashing": "",
    "printing": "prints when it is imported",
    "threaded": "leaves a thread running",
    "holding": "keeps a descriptor open",
    "broken": "by none of its names",
    "leaving": "by none of its names",
    "nowhere": "by none of its names",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_set_that_cannot_be_kept_is_left_alone(own, prefix, name):
    mayfly = started(own, prefix)
    mayfly.upload("f", "python", f"try:\n    import {name}\nexcept BaseException:\n    pass\nreturn 1")
    mayfly.upload("plain", "python", "return 1")
    for _ in range(2):
        assert mayfly.run("f").status == 200
    eventually(lambda: sets(mayfly).get(name, {}).get("failures") == 1, mayfly.log)
    for _ in range(3):
        assert mayfly.run("f").status == 200
        assert mayfly.run("plain").data == 1
    assert state(mayfly, name) == "seen"
    assert FAULTS[name] in mayfly.log()
    assert mayfly.get("/readyz").status == 200
    assert mayfly.log().count("template.down") == 1
    mayfly.stop()


def test_an_import_that_hangs_holds_up_nobody(own, prefix):
    mayfly = started(own, prefix)
    mayfly.upload("f", "python", "import hanging\nreturn 1")
    mayfly.upload("calm", "python", WHERE.format("calm"))
    for _ in range(3):
        assert mayfly.run("f").data == 1
        assert mayfly.run("calm").data is True
    assert (state(mayfly, "hanging"), state(mayfly, "calm")) == ("building", "seen")
    eventually(lambda: sets(mayfly)["hanging"]["failures"] == 1, lambda: str(sets(mayfly)))
    time.sleep(0.1)
    assert "it did not get ready in time" in mayfly.log()
    assert mayfly.run("f").data == 1
    mayfly.stop()


def test_names_that_cannot_be_imported_do_not_spoil_the_others(own, prefix):
    mayfly = started(own, prefix)
    code = "import os, calm\ntry:\n    import broken\nexcept RuntimeError as e:\n    return [str(e), calm.PID == os.getpid()]"
    call(mayfly, "f", "broken calm", code)
    assert mayfly.run("f").data == ["no", False]
    mayfly.stop()


def test_a_file_of_a_script_is_never_imported_into_a_template(own, prefix):
    mayfly = started(own, prefix)
    code = "import sys\nwas = 'mine' in sys.modules\nopen('/tmp/mine.py', 'w').write('X = 1')\nimport mine\nreturn [was, mine.X]"
    mayfly.upload("f", "python", code)
    for _ in range(4):
        assert mayfly.run("f").data == [False, 1]
    eventually(lambda: sets(mayfly).get("mine", {}).get("failures") == 1, mayfly.log)
    mayfly.stop()


DRAW = """import drawing, random, secrets, ssl, sys, uuid, multiprocessing.process
drawn = [random.random(), secrets.token_hex(8), ssl.RAND_bytes(8).hex(), str(uuid.uuid4())]
drawn.append(bytes(multiprocessing.process.current_process().authkey).hex())
return drawn
"""


def test_cells_of_a_set_draw_their_own_numbers(own, prefix):
    mayfly = started(own, prefix)
    call(mayfly, "f", "drawing multiprocessing.process", DRAW)
    draws = [mayfly.run("f").data for _ in range(6)]
    for column in zip(*draws):
        assert len(set(column)) == len(draws), column
    if os.path.exists("/usr/lib/python3/dist-packages/numpy"):
        call(mayfly, "n", "numpy", "import numpy\nreturn float(numpy.random.random())")
        assert len({mayfly.run("n").data for _ in range(6)}) == 6
    mayfly.stop()


def test_fork_hooks_of_packages_run_in_each_cell(own, prefix):
    mayfly = started(own, prefix)
    code = "import hooked, os\nfirst = list(hooked.HEARD)\nreader, writer = os.pipe()\nif os.fork() == 0:\n    os.write(writer, ','.join(hooked.HEARD).encode())\n    os._exit(0)\nos.wait()\nreturn [first, os.read(reader, 100).decode()]"
    call(mayfly, "f", "hooked", code)
    assert mayfly.run("f").data == [["before", "child"], "before,child,before,child"]
    mayfly.stop()


def test_the_least_lately_used_set_makes_way_for_memory(own, prefix):
    mayfly = started(own, prefix, TEMPLATE_MEMORY_MAX="100m")
    call(mayfly, "a", "large", WHERE.format("large"))
    time.sleep(6)  # what is in use is not taken from anybody
    call(mayfly, "b", "larger", WHERE.format("larger"))
    eventually(lambda: state(mayfly, "large") == "seen", lambda: f"{sets(mayfly)}\n{mayfly.log()}")
    assert state(mayfly, "larger") == "up"
    assert mayfly.run("a").data is True
    assert mayfly.run("b").data is False
    # One that is too large by itself is let go again.
    mayfly.upload("c", "python", WHERE.format("huge"))
    time.sleep(6)
    eventually(lambda: mayfly.run("c").data is not None and sets(mayfly)["huge"]["failures"] == 1, lambda: str(sets(mayfly)))
    eventually(lambda: state(mayfly, "huge") == "seen", lambda: str(sets(mayfly)))
    assert mayfly.get("/templates").json["memory_bytes"] < 100 << 20
    mayfly.stop()


def test_no_memory_no_sets(own, prefix):
    mayfly = started(own, prefix, TEMPLATE_MEMORY_MAX=0)
    mayfly.upload("calm", "python", WHERE.format("calm"))
    for _ in range(4):
        assert mayfly.run("calm").data is True
    assert sets(mayfly) == {}
    mayfly.stop()


def set_templates(mayfly):
    return [pid for pid, command in mayfly.processes().items() if command.endswith("boot.py 4") and pid not in mayfly.cells()]


def test_a_call_outlives_the_cooling_of_its_template(own, prefix):
    mayfly = started(own, prefix, TEMPLATE_MEMORY_MAX="100m")
    call(mayfly, "a", "large", "import large, time\ntime.sleep((event or {}).get('s', 0))\nreturn 'slept'")
    long = Background(lambda: mayfly.run("a", input={"s": 12}))
    time.sleep(6)
    call(mayfly, "b", "larger", WHERE.format("larger"))
    eventually(lambda: state(mayfly, "large") == "cooling", lambda: str(sets(mayfly)))
    assert len(set_templates(mayfly)) == 2
    assert long.result().data == "slept"
    eventually(lambda: state(mayfly, "large") == "seen", lambda: str(sets(mayfly)))
    eventually(lambda: len(set_templates(mayfly)) == 1, lambda: str(mayfly.processes()))
    mayfly.stop()


def test_a_killed_template_loses_its_running_calls_alone(own, prefix):
    mayfly = started(own, prefix)
    call(mayfly, "a", "calm", "import calm, time\ntime.sleep((event or {}).get('s', 0))\nreturn 'slept'")
    call(mayfly, "b", "calmer", WHERE.format("calmer"))
    mayfly.upload("plain", "python", "import time\ntime.sleep(1)\nreturn 1")
    running = Background(lambda: mayfly.run("a", input={"s": 20}))
    other = Background(lambda: mayfly.run("plain"))
    time.sleep(0.5)
    os.kill(min(set_templates(mayfly)), signal.SIGKILL)
    assert running.result().code == "cell_lost"
    assert other.result().data == 1
    assert mayfly.run("a").data == "slept"  # from the base template
    assert mayfly.run("b").data is False
    assert mayfly.get("/readyz").status == 200
    mayfly.stop()


def test_draining_waits_for_calls_of_a_set(own, prefix):
    mayfly = started(own, prefix)
    call(mayfly, "a", "calm", "import calm, time\ntime.sleep((event or {}).get('s', 0))\nreturn 'slept'")
    running = Background(lambda: mayfly.run("a", input={"s": 3}))
    time.sleep(1)
    mayfly.stop()
    assert running.result().data == "slept"


def test_nothing_is_left_of_templates_that_came_and_went(own, prefix):
    mayfly = started(own, prefix, SPARE_CELLS=1)
    server = mayfly.pid_of("server")

    def descriptors():
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (mayfly.keeper.pid, server)]

    def is_calm():  # a spare of the base template, one of the set's
        return len(mayfly.cells()) == 2

    call(mayfly, "warm", "calm", WHERE.format("calm"))
    eventually(is_calm, lambda: str(mayfly.processes()))
    time.sleep(0.5)
    before = descriptors()
    for name in "printing", "threaded", "dying":
        mayfly.upload(name, "python", f"import {name}\nreturn 1")
        eventually(lambda: mayfly.run(name).status and sets(mayfly).get(name, {}).get("failures") == 1, mayfly.log)
    eventually(lambda: len(set_templates(mayfly)) == 1, lambda: str(mayfly.processes()))
    eventually(is_calm, lambda: str(mayfly.processes()))
    eventually(lambda: descriptors() == before, lambda: f"{before} {descriptors()}")
    os.kill(server, signal.SIGKILL)  # its templates for sets go with it
    eventually(lambda: mayfly.is_ready() and not set_templates(mayfly), mayfly.log)
    call(mayfly, "warm", "calm", WHERE.format("calm"))
    mayfly.stop()
