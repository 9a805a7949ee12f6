"""`"detail": true`: what a call wrote, how it ended, and what it used, as the kernel has counted it."""

import os
import re
import signal
import time

import pytest
from host import Background
from scripts import LANGUAGES, fault, give, say, script, sleep, write
from sse import events_of
from test_errors import check

languages = pytest.mark.parametrize("language", LANGUAGES)
FINE = {"code": 0, "signal": None, "limit": None}
USAGE = {"cpu_ms", "wall_ms", "peak_memory_bytes", "queue_ms", "start_ms"}
TELLS_PEAK = os.path.isdir("/sys/fs/cgroup/memory")  # cgroup v1. Of v2, kernels since 6.12 would
tells_peak = pytest.mark.skipif(not TELLS_PEAK, reason="this host does not tell how much memory a group has used at most")


def detail(client, language, *statements, **members):
    return client.run_now(language, script(language, *statements), detail=True, **members)


def usage(client, language, *statements):
    answer = detail(client, language, *statements)
    assert answer.status == 200, answer
    return answer.json["usage"], answer.data


def assert_close(measure, share, slack):
    """measure() gives what mayfly says and what is so; on a busy machine it may take three tries."""
    pairs = []
    for _ in range(3):
        pairs.append(measure())
        said, so = pairs[-1]
        if abs(said - so) <= so * share + slack:
            return
    raise AssertionError(f"said, and so: {pairs}")


# What it wrote


@languages
def test_output_comes_with_the_answer(mayfly, language):
    answer = detail(mayfly, language, say(language, "out"), write(language, b"err \xff\r\n", "stderr"), give(language, 5))
    assert set(answer.json) == {"data", "type", "stdout", "stderr", "truncated", "exit", "usage"}
    assert (answer.data, answer.type) == (5, "number")
    assert (answer.json["stdout"], answer.json["stderr"]) == ("out\n", "err \ufffd\r\n")
    assert answer.json["truncated"] is False
    assert answer.json["exit"] == FINE
    assert set(answer.json["usage"]) == USAGE


@languages
def test_silent_script_has_empty_output(mayfly, language):
    answer = detail(mayfly, language, give(language, None))
    assert (answer.json["stdout"], answer.json["stderr"], answer.json["truncated"]) == ("", "", False)


def test_stored_function_has_detail_too(mayfly):
    mayfly.upload("detail/f", "python", "print('a')\nreturn event")
    answer = mayfly.run("detail/f", input=3, detail=True)
    assert (answer.data, answer.json["stdout"], answer.json["exit"]) == (3, "a\n", FINE)
    assert set(mayfly.run("detail/f", input=3).json) == {"data", "type"}


# How it ended


@pytest.mark.parametrize(
    "name, status, code, exit",
    [
        ("exit", 500, "script_error", {"code": 3, "signal": None, "limit": None}),
        ("spin", 504, "timeout", {"code": None, "signal": "SIGKILL", "limit": "timeout"}),
        ("idle", 504, "timeout", {"code": None, "signal": "SIGKILL", "limit": "timeout"}),
        ("flood", 500, "output_limit", {"code": None, "signal": "SIGKILL", "limit": "output_limit"}),
        ("flood stderr", 500, "output_limit", {"code": None, "signal": "SIGKILL", "limit": "output_limit"}),
    ],
)
@languages
def test_error_says_how_it_ended(tight, language, name, status, code, exit):
    answer = detail(tight, language, say(language, "before"), fault(language, name))
    problem = check(answer, status, code)
    assert problem["exit"] == exit
    assert set(problem["usage"]) == USAGE
    assert problem["stdout"].startswith("before\n")
    assert problem["truncated"] == (code == "output_limit")


@languages
def test_memory_limit_says_so(tight, language):
    problem = check(detail(tight, language, fault(language, "hoard")), 500, "memory_limit")
    assert problem["exit"]["limit"] == "memory_limit"
    if TELLS_PEAK:
        assert problem["usage"]["peak_memory_bytes"] > 120 << 20


@languages
def test_throw_is_no_limit(tight, language):
    problem = check(detail(tight, language, fault(language, "throw")), 500, "script_error")
    assert problem["exit"]["limit"] is None and problem["exit"]["signal"] is None
    assert problem["exit"]["code"] != 0
    assert (problem["stdout"], problem["stderr"], problem["truncated"]) == ("", "", False)


def test_process_limit_says_so(tight):
    code = "import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(60)"
    assert check(detail(tight, "python", code), 500, "process_limit")["exit"]["limit"] == "process_limit"


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGTERM", "SIGABRT", "SIG34"])
def test_signal_has_its_name(mayfly, name):
    """Or its number, if it has none."""
    number = getattr(signal, name, 34)
    answer = detail(mayfly, "python", f"import os, signal\nos.kill(os.getpid(), {number})\nsignal.pause()")
    assert check(answer, 500, "script_error")["exit"] == {"code": None, "signal": name, "limit": None}


def test_exit_with_status_0_is_fine(mayfly):
    assert detail(mayfly, "python", "print(5)\nimport sys; sys.exit(0)").json["exit"] == FINE
    assert detail(mayfly, "javascript", "console.log(5); process.exit(0)").json["exit"] == FINE


@languages
def test_syntax_error_has_detail_too(tight, language):
    problem = check(detail(tight, language, fault(language, "syntax")), 422, "syntax_error")
    assert problem["exit"]["limit"] is None and set(problem["usage"]) == USAGE


def test_every_error_with_output_says_whether_it_is_whole(tight):
    for name in "throw", "exit", "spin", "flood":
        problem = tight.python(fault("python", name)).json
        assert problem["truncated"] == (name == "flood")
        assert not {"exit", "usage"} & set(problem)


# What it used

BURN = {
    "python": "import time\nwhile time.process_time() < 0.5: pass\nreturn time.process_time() * 1000",
    "javascript": """
const used = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000 }
const begun = used()
while (used() - begun < 500);
return used()""",
}
BURN["typescript"] = BURN["javascript"]
NAP = {
    "python": "import time\nbegun = time.monotonic()\ntime.sleep(0.5)\nreturn (time.monotonic() - begun) * 1000",
    "javascript": """
const begun = performance.now()
await new Promise((done) => setTimeout(done, 500))
return performance.now() - begun""",
}
NAP["typescript"] = NAP["javascript"]
ALLOCATE = {
    "python": "x = b'x' * {}\nreturn len(x)",
    "javascript": "const x = Buffer.alloc({}, 1); return x.length",
}
ALLOCATE["typescript"] = ALLOCATE["javascript"]


@languages
def test_cpu_time_is_what_the_script_burnt(mayfly, language):
    def measure():
        said, so = usage(mayfly, language, BURN[language])
        return said["cpu_ms"], so

    assert_close(measure, 0.05, 10)


def test_cpu_time_counts_children_too(mayfly):
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        while time.process_time() < 0.1: pass
        os._exit(0)
for _ in range(3): os.wait()
return sum(os.times()[:4]) * 1000
"""

    def measure():
        said, _ = usage(mayfly, "python", code)
        return said["cpu_ms"], 300

    assert_close(measure, 0.05, 20)


@languages
def test_sleeping_is_wall_time_alone(mayfly, language):
    spent = []

    def measure():
        said, so = usage(mayfly, language, NAP[language])
        spent.append(said["cpu_ms"])
        return said["wall_ms"], so

    assert_close(measure, 0.05, 10)
    assert min(spent) < 100


@tells_peak
@languages
def test_peak_is_what_the_script_held(mayfly, language):
    """Beside what its interpreter needs, which a script that holds nothing shows."""

    def measure():
        nothing, _ = usage(mayfly, language, ALLOCATE[language].replace("{}", "1"))
        much, length = usage(mayfly, language, ALLOCATE[language].replace("{}", "40_000_000"))
        assert much["peak_memory_bytes"] >= length == 40_000_000
        return much["peak_memory_bytes"] - nothing["peak_memory_bytes"], length

    assert_close(measure, 0.1, 0)


@tells_peak
def test_peak_of_one_call_is_not_the_next_one_s(mayfly):
    for _ in range(3):
        assert usage(mayfly, "python", "x = b'x' * 80_000_000")[0]["peak_memory_bytes"] > 80_000_000
        assert usage(mayfly, "python", "return 1")[0]["peak_memory_bytes"] < 20_000_000


def test_waiting_for_a_place_is_queue_time(own):
    mayfly = own(MAX_CONTAINERS=1).start()
    running = Background(mayfly.python, "import time\ntime.sleep(1)")
    time.sleep(0.3)
    asked = time.monotonic()
    said, _ = usage(mayfly, "python", "return 1")
    waited = (time.monotonic() - asked) * 1000
    assert running.result().status == 200
    assert 100 < said["queue_ms"] <= waited
    assert said["queue_ms"] + said["start_ms"] + said["wall_ms"] <= waited + 1
    mayfly.stop()


def timing(text):
    return {name: float(value) for name, value in re.findall(r"(\w+);dur=([0-9.]+)", text)}


@languages
def test_server_timing_agrees_with_usage(mayfly, language):
    answer = detail(mayfly, language, sleep(language, 0.2), give(language, 1))
    header, used = timing(answer.headers["server-timing"]), answer.json["usage"]
    assert set(header) == {"queue", "start", "run", "total"}
    for theirs, ours in ("queue", "queue_ms"), ("start", "start_ms"), ("run", "wall_ms"):
        assert abs(header[theirs] - used[ours]) < 0.002, (header, used)
    assert header["total"] >= header["queue"] + header["start"] + header["run"] - 0.01
    assert used["wall_ms"] >= 199


@languages
def test_figures_have_at_most_three_decimals(mayfly, language):
    answer = detail(mayfly, language, give(language, 1))
    figures = re.search(rb'"usage":\{([^}]*)\}', answer.body)[1]
    for name, value in re.findall(rb'"(\w+)":([^,]*)', figures):
        assert re.fullmatch(rb"[0-9]+(\.[0-9]{1,3})?", value) or (name, value) == (b"peak_memory_bytes", b"null")


@languages
def test_stream_has_the_same_figures(mayfly, language):
    *_, end = events_of(mayfly, language, NAP[language], detail=True)
    assert end["exit"] == FINE and end["truncated"] is False and set(end["usage"]) == USAGE
    assert end["usage"]["wall_ms"] >= 499
