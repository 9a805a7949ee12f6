"""Starting, stopping, dying, and what is left afterwards: nothing."""

import concurrent.futures
import os
import signal
import threading
import time

from host import Background, eventually, user_of

SLEEP = "import time\ntime.sleep({})\nreturn 'slept'"


# Templates


def test_killed_template_is_rebuilt_and_only_its_calls_are_lost(own):
    mayfly = own(RUNTIMES="python,node").start()
    python = Background(mayfly.python, SLEEP.format(20))
    javascript = Background(mayfly.javascript, "await new Promise(r => setTimeout(r, 4000)); return 'slept'")
    eventually(lambda: len(mayfly.cells()) >= 4, lambda: str(mayfly.processes()))  # two calls, two spares
    time.sleep(0.5)
    os.kill(mayfly.pid_of("python"), signal.SIGKILL)
    answer = python.result()
    assert (answer.status, answer.code) == (502, "cell_lost"), answer
    mayfly.wait_ready()
    assert mayfly.python("return 1").data == 1
    assert javascript.result().data == "slept"
    mayfly.stop()


def test_calls_are_answered_while_a_template_is_rebuilt(own):
    mayfly = own().start()
    for _ in range(3):
        os.kill(mayfly.pid_of("python"), signal.SIGKILL)
        answers = [mayfly.python(f"return {n}") for n in range(5)]
        assert all(answer.status == 200 or answer.code == "cell_lost" for answer in answers), answers
        mayfly.wait_ready()
        assert mayfly.python("return 'again'").data == "again"
    mayfly.stop()


def test_stopped_template_is_replaced(own):
    mayfly = own(SPARE_CELLS=0).start()
    old = mayfly.pid_of("python")
    os.kill(old, signal.SIGSTOP)
    answers = []
    eventually(
        lambda: answers.append(mayfly.python("return 1")) or answers[-1].status == 200, lambda: str(answers)
    )
    assert all(answer.status == 200 or answer.code == "cell_lost" for answer in answers), answers
    assert mayfly.pid_of("python") != old
    eventually(lambda: not os.path.exists(f"/proc/{old}"), mayfly.log)
    mayfly.stop()


def test_killed_server_ends_mayfly(own):
    """Its supervisor starts it anew; half a mayfly would help nobody. Or the keeper restarts the server."""
    mayfly = own().start()
    os.kill(mayfly.pid_of("server"), signal.SIGKILL)
    eventually(lambda: mayfly.keeper.poll() is not None or mayfly.is_ready(), mayfly.log)
    if mayfly.keeper.poll() is None:
        assert mayfly.python("return 1").data == 1
        mayfly.stop()
    else:
        assert mayfly.keeper.returncode != 0
        mayfly.assert_gone()


# The end


def test_sigterm_lets_running_calls_finish_and_takes_no_new_ones(own):
    mayfly = own(DRAIN_TIMEOUT=30).start()
    running = Background(mayfly.python, SLEEP.format(3))
    time.sleep(0.7)
    mayfly.keeper.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    refused = None
    try:
        refused = mayfly.python("return 1").status
    except OSError:
        pass
    assert refused in (None, 503)
    assert running.result().data == "slept"
    assert mayfly.keeper.wait(60) == 0
    mayfly.assert_gone()


def test_drain_has_an_end(own):
    mayfly = own(DRAIN_TIMEOUT=1).start()
    running = Background(mayfly.python, SLEEP.format(25))
    time.sleep(0.7)
    mayfly.keeper.send_signal(signal.SIGTERM)
    mayfly.keeper.wait(20)
    mayfly.assert_gone()
    try:
        assert running.result().status >= 500
    except OSError:
        pass


def test_sigint_ends_it_too(own):
    mayfly = own().start()
    mayfly.keeper.send_signal(signal.SIGINT)
    assert mayfly.keeper.wait(60) == 0
    mayfly.assert_gone()


def test_killed_keeper_takes_everything_along(own):
    mayfly = own(RUNTIMES="python,node").start()
    running = Background(mayfly.python, "import os\nfor _ in range(3): os.fork()\n" + SLEEP.format(60))
    eventually(lambda: len(mayfly.cells()) >= 3, lambda: str(mayfly.processes()))
    assert mayfly.cgroups()
    mayfly.kill()
    mayfly.assert_gone()
    try:
        running.result()
    except OSError:
        pass


def test_killed_janitor_is_no_loss(own):
    """It cleans up after a killed keeper; where it is killed itself, it is started again."""
    mayfly = own().start()
    for pid, command in mayfly.processes().items():
        if "mayfly-janitor" in command:
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: "janitor.down" in mayfly.log(), mayfly.log)
    eventually(lambda: "mayfly-janitor" in str(mayfly.processes()), mayfly.log)
    assert mayfly.python("return 1").data == 1
    mayfly.kill()
    mayfly.assert_gone()


def test_functions_survive_a_restart_and_a_kill(own_stored):
    mayfly = own_stored().start()
    versions = [mayfly.upload("kept", "python", f"return {n}").json["version"] for n in range(3)]
    mayfly.stop()
    mayfly.start()
    assert mayfly.run("kept").data == 2
    versions.append(mayfly.upload("kept", "python", "return 3").json["version"])
    mayfly.kill()
    mayfly.assert_gone()
    mayfly.start()
    assert mayfly.run("kept").data == 3
    assert [mayfly.run("kept", version=version).data for version in versions] == [0, 1, 2, 3]
    assert mayfly.upload("kept", "python", "return 4").json["version"] > versions[-1]
    mayfly.stop()


def test_two_mayflies_do_not_disturb_each_other(own):
    first, second = own().start(), own().start()
    first.upload("f", "python", "return 1")
    assert second.run("f").status == 404
    first.kill()
    first.assert_gone()
    assert second.python("return 2").data == 2
    second.stop()


# Nothing is left


def snapshot(mayfly):
    """What a leak would make grow."""
    keeper, server = mayfly.keeper.pid, mayfly.pid_of("server")
    holders = [keeper, server, mayfly.pid_of("python")]
    groups = [directory for top in mayfly.cgroups() for directory, _, _ in os.walk(top)]
    return {
        "processes": len(mayfly.processes()),
        "descriptors": [len(os.listdir(f"/proc/{pid}/fd")) for pid in holders],
        "mounts": [len(open(f"/proc/{pid}/mounts").readlines()) for pid in [os.getpid(), *holders]],
        "cgroups": len(groups),
        "tmp": sum(tmp_use(pid) for pid in mayfly.processes() if user_of(pid)),  # root sees the host's /tmp
    }


def tmp_use(pid):
    """Bytes in the /tmp of a process."""
    try:
        use = os.statvfs(f"/proc/{pid}/root/tmp")
    except OSError:
        return 0
    return (use.f_blocks - use.f_bfree) * use.f_bsize


def busy(mayfly):
    """Calls of every ending, from 8 clients at a time."""
    scripts = [
        "return 1",
        "print('x')",
        "1 / 0",
        "import os\nos.kill(os.getpid(), 9)",
        "open('/tmp/a', 'w').write('x' * 1000)\nimport os\nos.mkdir('/tmp/b')",
        "import os\nif os.fork() == 0:\n    os.setsid()\n    import time\n    time.sleep(60)\nreturn 2",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\nreturn 3",
        "import socket\ns = socket.create_server(('127.0.0.1', 0))\nreturn 4",
        "return (",
        "import sys\nsys.exit(2)",
    ]
    expected = [200, 200, 500, 500, 200, 200, 200, 200, 422, 500]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: mayfly.python(scripts[n % 10]), range(1000)))
    for n, answer in enumerate(answers):
        assert answer.status == expected[n % 10], (scripts[n % 10], answer)


def test_a_thousand_calls_leave_nothing(own):
    mayfly = own(SPARE_CELLS=1, LOG_LEVEL="warn").start()
    for _ in range(50):  # caches, pools and spares are as they will be
        mayfly.python("return 1")
    eventually(lambda: snapshot(mayfly) == snapshot(mayfly))
    before = snapshot(mayfly)
    busy(mayfly)
    eventually(lambda: snapshot(mayfly) == before, lambda: f"{before}\n{snapshot(mayfly)}", deadline_s=20)
    mayfly.stop()


def test_template_does_not_grow(own):
    mayfly = own(LOG_LEVEL="warn").start()
    pid = mayfly.pid_of("python")

    def resident():
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    for _ in range(100):
        mayfly.python("return 1")
    before = resident()
    for _ in range(500):
        mayfly.python("x = [0] * 100_000\nreturn 1")
    assert resident() < before + (1 << 20)
    mayfly.stop()


def test_concurrent_uploads_and_runs_keep_their_promises(own_stored):
    """What an upload answered is what runs, whoever else uploads at the same time."""
    mayfly = own_stored(LOG_LEVEL="warn").start()
    versions, lock = {}, threading.Lock()

    def client(number):
        for n in range(15):
            version = mayfly.upload("shared", "python", f"return [{number}, {n}]").json["version"]
            with lock:
                assert version not in versions
                versions[version] = [number, n]
            assert mayfly.run("shared", version=version).data == [number, n]

    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        list(clients.map(client, range(6)))
    assert mayfly.run("shared").data == versions[max(versions)]
    mayfly.stop()
