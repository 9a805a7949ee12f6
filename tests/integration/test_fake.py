"""The runtime in C (tests/fake): walls, frames and the life of a call without an interpreter, so also under sanitizers.

Its scripts are a word and an argument; `make asan` runs this file with everything built for ASan and UBSan.
"""

import errno
import http.client
import json
import os
import re
import shutil
import threading

import pytest
from conftest import started
from host import BUILD, eventually


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    yield from started(tmp_path_factory, "fake", RUNTIMES="fake", TIMEOUT_SCRIPT="2", OUTPUT_MAX_SIZE="256k", MAX_PROCESSES_PER_CONTAINER=20)


def test_input_comes_back_to_the_byte(fake):
    answer = fake.post("/run-now", b'{"language":"python","code":"echo","input":{"b":1.50,"a":123456789012345678901234567890,"a ":[1e2]}}')
    assert answer.body == b'{"data":{"b":1.50,"a":123456789012345678901234567890,"a ":[1e2]},"type":"json"}'


def test_stdout_is_the_result_when_nothing_is_returned(fake):
    assert fake.python('print {"a": [1]}').data == {"a": [1]}
    assert fake.python("print hello there").json == {"data": "hello there", "type": "text"}


def test_a_cell_is_walled(fake):
    status = dict(re.findall(r"^(\w+):\s+(.*)$", fake.python("status").data, re.M))
    assert status["Pid"] == "2" and status["PPid"] == "0"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert int(status["Uid"].split()[0]) >= fake.uid_base + 64


@pytest.mark.parametrize("path, expected", [
    ("/etc/shadow", -errno.ENOENT), ("/root", -errno.ENOENT), ("/sys", -errno.ENOENT), ("/usr/bin/env", -errno.ENOENT),
    ("/proc/1/status", -errno.ENOENT), ("/proc/kcore", -errno.ENOENT), ("/dev/mem", -errno.ENOENT), ("/dev/null", 0), ("/proc/self/status", 0),
])
def test_only_the_small_root_can_be_read(fake, path, expected):
    assert fake.python(f"open {path}").data == expected


@pytest.mark.parametrize("path", ["/x", "/etc/x", "/usr/lib/x", "/mayfly/guest/x", "/dev/x", "/proc/self/oom_score_adj"])
def test_nothing_can_be_written_outside_tmp(fake, path):
    assert fake.python(f"create {path}").data in (-errno.EROFS, -errno.EACCES)


def test_tmp_is_empty_for_every_cell(fake):
    for _ in range(20):
        assert fake.python("open /tmp/left-behind").data == -errno.ENOENT
        assert fake.python("create /tmp/left-behind").data == 0


@pytest.mark.parametrize("number", [101, 165, 272, 298, 308, 321, 323, 425, 434, 250, 105, 117, 126, 317, 999])
def test_calls_that_no_script_needs_are_refused(fake, number):
    assert fake.python(f"syscall {number}").data == -errno.EPERM


def test_limits_have_their_own_codes(fake):
    assert fake.python("memory 400000000").code == "memory_limit"
    assert fake.python("flood 4000000").code == "output_limit"
    assert fake.python("fork 100").data == 19


def test_a_call_is_ended_at_its_deadline_with_what_it_had_printed(fake):
    answer = fake.python("sleep 30")
    assert answer.status == 504 and answer.code == "timeout"
    assert answer.json["stdout"] == "before the sleep\n"


@pytest.mark.parametrize("end, message", [("exit 7", "status 7"), ("signal 11", "signal 11"), ("signal 9", "signal 9")])
def test_a_bad_end_is_told(fake, end, message):
    answer = fake.python(end)
    assert answer.status == 500 and answer.code == "script_error" and message in answer.json["detail"]


@pytest.mark.parametrize("frame, code", [("99 2", "cell_lost"), ("64 2", "cell_lost"), ("65 4000000000", "output_limit"), ("65 10", "cell_lost"), ("67 2", None)])
def test_a_hostile_frame_costs_its_own_call(fake, frame, code):
    answer = fake.python(f"raw {frame}")
    assert answer.status >= 500 and (code is None or answer.code == code)
    assert fake.python("json 1").data == 1


def test_many_at_once_all_come_back(fake):
    answers = []

    def client(number):
        for i in range(25):
            answers.append(fake.post("/run-now", {"language": "python", "code": "echo", "input": [number, i]}).data == [number, i])

    threads = [threading.Thread(target=client, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 200


def ask(mayfly, code, headers=(), **members):
    return mayfly.request("POST", "/run-now", {"language": "python", "code": code, **members}, headers)


def messages(answer):
    assert answer.status == 200 and answer.headers["content-type"] == "text/event-stream", answer
    blocks = [block.split("\n") for block in answer.body.decode().split("\n\n")[:-1]]
    return [(int(lines[0][4:]), json.loads(lines[1][6:])) for lines in blocks if lines[0] != ":"]


def done(mayfly, location):
    eventually(lambda: mayfly.get(location).json["state"] in ("done", "cancelled"))
    return mayfly.get(location).json


COUNTED = [
    (1, {"event": "log", "data": 1, "type": "number"}),
    (2, {"event": "log", "data": 2, "type": "number"}),
    (3, {"event": "log", "data": "counted", "type": "text", "stream": "stderr"}),
    (4, {"event": "result", "data": 2, "type": "number"}),
]


def test_a_stream_tells_every_line_and_one_end(fake):
    assert messages(ask(fake, "lines 2 5", stream=True)) == COUNTED
    assert messages(ask(fake, "exit 7", stream=True))[-1][1]["problem"]["code"] == "script_error"
    flood = messages(ask(fake, "flood 4000000", stream=True))
    assert len(flood[0][1]["data"]) == 256 << 10 and flood[1][1]["problem"]["code"] == "output_limit"


def test_a_call_is_fetched_later_from_any_message_on(fake):
    location = ask(fake, "lines 2 5", {"Prefer": "respond-async"}).headers["location"]
    later = done(fake, location)
    assert later["status"] == 200 and later["answer"] == {"data": 2, "type": "number"}
    assert later["logs"] == {"stdout": "1\n2\n", "stderr": "counted\n", "truncated": False}
    assert later["exit"] == {"code": 0, "signal": None, "limit": None} and later["usage"]["wall_ms"] > 0
    events = {"Accept": "text/event-stream"}
    for seen in range(4):
        again = fake.request("GET", location, headers={**events, "Last-Event-ID": str(seen)})
        assert messages(again) == COUNTED[seen:]
    for seen in "4", "9" * 18:
        assert fake.request("GET", location, headers={**events, "Last-Event-ID": seen}).status == 204
    for seen in "x", "-1", "9" * 19:
        assert fake.request("GET", location, headers={**events, "Last-Event-ID": seen}).status == 400
    assert fake.request("DELETE", location).status == 204
    assert fake.get(location).status == 404 and fake.get("/calls/" + "0" * 32).status == 404


def test_a_call_is_cancelled_by_its_location(fake):
    location = ask(fake, "sleep 30", {"Prefer": "respond-async"}).headers["location"]
    eventually(lambda: fake.get(location).json["state"] == "running")
    assert fake.request("DELETE", location).status == 204
    assert fake.get(location).json["state"] == "cancelled"
    last = messages(fake.request("GET", location, headers={"Accept": "text/event-stream"}))[-1][1]
    assert last["problem"]["status"] == 409


def test_one_key_is_one_call(fake):
    headers = {"Idempotency-Key": "one"}
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(ask(fake, "lines 3 30", headers))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.body for answer in answers} == {b'{"data":3,"type":"number"}'}
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert ask(fake, "lines 4", headers).code == "idempotency_mismatch"
    assert ask(fake, "json 1", {"Idempotency-Key": "a b"}).status == 400


def test_a_client_that_leaves_ends_its_call(own):
    mayfly = own(RUNTIMES="fake", TIMEOUT_SCRIPT=300, SPARE_CELLS=0).start()
    for members in {}, {"stream": True}, {"detail": True}, {"limits": {"processes": 5}}:
        connection = http.client.HTTPConnection("127.0.0.1", mayfly.port)
        connection.request("POST", "/run-now", json.dumps({"language": "python", "code": "sleep 300", **members}))
        eventually(mayfly.cells)
        connection.close()
        eventually(lambda: not mayfly.cells(), lambda: f"{members}: {mayfly.processes()}")
        assert mayfly.python("json 1").data == 1
    mayfly.stop()


def test_detail_tells_output_exit_and_usage(fake):
    answer = fake.python("lines 1", detail=True).json
    assert (answer["stdout"], answer["stderr"], answer["truncated"]) == ("1\n", "counted\n", False)
    assert answer["exit"] == {"code": 0, "signal": None, "limit": None}
    assert set(answer["usage"]) == {"cpu_ms", "wall_ms", "peak_memory_bytes", "queue_ms", "start_ms"}
    assert fake.python("sleep 30", detail=True).json["exit"] == {"code": None, "signal": "SIGKILL", "limit": "timeout"}


@pytest.mark.parametrize("limits, code, expected", [
    ({"memory_bytes": 32 << 20}, "memory 60000000", "memory_limit"), ({"output_bytes": 2000}, "flood 4000", "output_limit"),
    ({"timeout_ms": 200}, "sleep 1", "timeout"), ({"processes": 6}, "fork 100", 5), ({"tmp_bytes": 1 << 20}, "fill 2000000", 1 << 20),
])
def test_a_function_has_limits_of_its_own(fake, limits, code, expected):
    for _ in range(2):
        answer = fake.python(code, limits=limits)
        assert expected in (answer.code, answer.json.get("data")), answer
        assert expected not in (fake.python(code).code, fake.python(code).json.get("data"))


def test_a_chroot_does_not_let_the_host_shine_through(tmp_path, own):
    """Joining a mount namespace starts at its root, which lies above the keeper's own root in a chroot."""
    root = tmp_path / "root"
    root.mkdir()
    mayfly = own(RUNTIMES="fake")
    mayfly.wrapper = ["unshare", "-m", "sh", "-c",
                      'mount --rbind / "$0" && exec chroot "$0" sh -c \'cd "$0" && exec "$@"\' "$@"', str(root), mayfly.directory]
    mayfly.start()
    for path in ("/etc/shadow", "/usr/bin/env", str(tmp_path)):
        assert mayfly.python(f"open {path}").data == -errno.ENOENT
    assert mayfly.python("create /usr/lib/x").data == -errno.EROFS
    mayfly.stop()


def test_fewer_open_files_than_the_keeper_has(own):
    mayfly = own(RUNTIMES="fake", MAX_OPEN_FILES_PER_CONTAINER=64).start()
    assert mayfly.python("json 1").data == 1
    mayfly.stop()


def test_what_a_dead_session_left_is_swept(own):
    mayfly = own(RUNTIMES="fake").start()
    left = mayfly.cgroups()
    mayfly.stop()
    for directory in left:  # as if keeper and janitor had been killed at once
        os.makedirs(os.path.join(directory, "slot-0"))
    own(RUNTIMES="fake").start().stop()
    assert not [directory for directory in left if os.path.exists(directory)]


HIDE_CGROUPS = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/fs/cgroup && exec "$0" "$@"']
CGROUP_WALLS = ["cgroup_memory", "cgroup_pids", "cgroup_cpu"]


def test_a_missing_wall_stops_the_start_and_is_named_with_its_cure(own):
    mayfly = own(RUNTIMES="fake")
    mayfly.wrapper = HIDE_CGROUPS
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(30) == 2
    assert "cannot raise the wall cgroup_memory" in mayfly.log()
    assert "mount the memory cgroup controller" in mayfly.log()
    assert "--allow-missing-walls=cgroup_memory" in mayfly.log()


def test_the_operator_may_choose_to_go_without_a_wall(own):
    mayfly = own(RUNTIMES="fake", ALLOW_MISSING_WALLS=",".join(CGROUP_WALLS))
    mayfly.wrapper = HIDE_CGROUPS
    mayfly.start()
    assert mayfly.get("/readyz").json["walls"]["missing"] == CGROUP_WALLS
    assert mayfly.python("json 1").data == 1
    mayfly.stop()


def test_what_is_no_interpreter_is_refused_at_start(own):
    mayfly = own(RUNTIMES="python", PYTHON="/bin/true").start(wait=False)
    assert mayfly.keeper.wait(60) == 1
    assert "runtime=python could not be made ready" in mayfly.log()


PROGRAMS = ["setup/mayflyd", "keeper/mayfly-keeper", "janitor/mayfly-janitor", "guest/mayfly-fake"]


def hostile(own, library, row):
    """A mayfly whose server is tests/fake/hostile_server.c, which says one of its rows to the keeper."""
    for program in [*PROGRAMS, "server/mayfly-server"]:
        os.makedirs(library / os.path.dirname(program), exist_ok=True)
        source = program if program in PROGRAMS else "guest/mayfly-hostile"
        shutil.copy(os.path.join(BUILD, "src", source), library / program)
    mayfly = own(RUNTIMES="fake", QUEUE_MAX=row)
    mayfly.daemon = library / "setup/mayflyd"
    return mayfly.start(wait=False)


def test_templates_come_and_go_as_the_server_says(own, tmp_path):
    mayfly = hostile(own, tmp_path / "library", 0)
    eventually(lambda: "behaved" in mayfly.log(), mayfly.log, still=lambda: mayfly.keeper.poll() is None)
    assert "broke the protocol" not in mayfly.log()
    eventually(lambda: sum("mayfly-fake" in command for command in mayfly.processes().values()) == 2, lambda: str(mayfly.processes()))


@pytest.mark.parametrize("row", range(1, 14))
def test_what_the_server_must_not_ask_for_ends_it(own, tmp_path, row):
    mayfly = hostile(own, tmp_path / "library", row)
    eventually(lambda: "it broke the protocol" in mayfly.log(), mayfly.log, still=lambda: mayfly.keeper.poll() is None)
    assert "no such row" not in mayfly.log()
