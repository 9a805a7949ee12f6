"""The table of errors: every row, and the shape of the answer."""

import concurrent.futures
import http.client
import signal
import socket
import os
import time

import pytest

from host import Client, eventually


def check(answer, status, code):
    """An application/problem+json as RFC 9457 has it."""
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(problem)
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert isinstance(problem["title"], str) and isinstance(problem["detail"], str) and problem["detail"]
    return problem


# 400, 404, 405, 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"a"', b"{'a': 1}", b'{"a":1}x', b"\xff", b'{"a":"\xff"}']
)
def test_body_that_is_no_json_object_is_a_bad_request(mayfly, body):
    check(mayfly.post("/run-now", body), 400, "bad_request")


def test_same_member_twice_is_a_bad_request(mayfly):
    body = b'{"language":"python","code":"return 1","code":"return 2"}'
    check(mayfly.post("/run-now", body), 400, "bad_request")


def test_half_a_surrogate_in_code_is_a_bad_request(mayfly):
    check(mayfly.post("/run-now", b'{"language":"python","code":"return \'\\ud800\'"}'), 400, "bad_request")


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/upload/x", "/run-nowhere", "/run", "/healthz/x", "/RUN-NOW"]
)
def test_unknown_route_is_not_found(mayfly, path):
    check(mayfly.post(path, {}), 404, "not_found")


@pytest.mark.parametrize("path", ["/%00", "/%zz", "/%"])
def test_badly_encoded_path_is_a_bad_request(mayfly, path):
    check(mayfly.post(path, {}), 400, "bad_request")


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("GET", "/upload", {"POST"}),
        ("GET", "/run-now", {"POST"}),
        ("PUT", "/upload", {"POST"}),
        ("DELETE", "/run/a", {"POST"}),
        ("POST", "/healthz", {"GET", "HEAD"}),
        ("PATCH", "/readyz", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_is_told_the_right_ones(mayfly, method, path, allow):
    answer = mayfly.request(method, path)
    check(answer, 405, "method_not_allowed")
    assert allow <= {word.strip() for word in answer.headers["allow"].split(",")}


def test_code_and_body_over_their_limits_are_too_large(strict):
    check(strict.python("#" * 4097), 413, "too_large")
    check(strict.post("/run-now", b"x" * 16_385), 413, "too_large")
    assert strict.python("#" * 4096).status == 200


# 401


def test_missing_and_wrong_tokens_are_unauthorized(strict):
    for token in None, "wrong", "first-token,second-token", "first", "first-tokenX", "":
        stranger = Client(strict.port, token)
        for answer in (
            stranger.python("return 1"),
            stranger.upload("a", "python", "return 1"),
            stranger.run("a"),
        ):
            check(answer, 401, "unauthorized")
            assert answer.headers["www-authenticate"].startswith("Bearer")


def test_each_token_opens(strict):
    assert Client(strict.port, "first-token").python("return 1").data == 1
    assert Client(strict.port, "second-token").python("return 1").data == 1


def test_scheme_is_needed(strict):
    for value in "first-token", "Basic first-token":
        answer = Client(strict.port).request("POST", "/run-now", {}, {"Authorization": value})
        check(answer, 401, "unauthorized")


def test_health_needs_no_token(strict):
    assert Client(strict.port).get("/healthz").status == 200
    assert Client(strict.port).get("/readyz").status == 200


# 429


def test_full_queue_says_retry(strict):
    """One call runs, one waits; of the others each is turned away."""
    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        answers = list(
            clients.map(lambda _: strict.python("import time; time.sleep(0.5); return 1"), range(6))
        )
    statuses = sorted(answer.status for answer in answers)
    assert statuses[:2] == [200, 200] and 429 in statuses, answers
    for answer in answers:
        if answer.status != 200:
            check(answer, 429, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1


def test_place_that_never_comes_free_says_retry(own):
    mayfly = own(MAX_CONTAINERS=1, QUEUE_TIMEOUT="0.3", SPARE_CELLS=0).start()
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        other.submit(mayfly.python, "import time; time.sleep(3)")
        time.sleep(1)
        check(mayfly.python("return 1"), 429, "queue_full")
    mayfly.stop()


# 500


@pytest.mark.parametrize(
    "language, code, name, message, line, column",
    [
        ("python", "x = 1\ny = x / 0\n", "ZeroDivisionError", "division by zero", 2, 5),
        ("python", "def f():\n    raise ValueError('no')\n\nreturn f()", "ValueError", "no", 2, None),
        ("python", "def handler(event):\n  return event['a']", "KeyError", "'a'", 2, None),
        ("python", "'é'; undefined_name", "NameError", "name 'undefined_name' is not defined", 1, 6),
        ("javascript", "const x = 1;\nthrow new TypeError('no');", "TypeError", "no", 2, None),
        ("javascript", "function f() {\n  null.x;\n}\nreturn f();", "TypeError", None, 2, None),
        ("javascript", "await Promise.reject(new RangeError('later'))", "RangeError", "later", 1, None),
        (
            "typescript",
            "type A = {\n  a: string\n}\nconst f = (x: A): void => {\n  throw new Error('ts')\n}\nf({a: ''})",
            "Error",
            "ts",
            5,
            None,
        ),
    ],
)
def test_script_that_throws(mayfly, language, code, name, message, line, column):
    answer = mayfly.run_now(language, code)
    check(answer, 500, "script_error")
    error = answer.error
    assert set(error) == {"name", "message", "stack", "line", "column"}
    assert (error["name"], error["line"]) == (name, line)
    assert message in (None, error["message"])
    assert column in (None, error["column"])
    assert name in error["stack"]


def test_script_that_throws_no_error(mayfly):
    answer = mayfly.javascript("throw 'just text'")
    check(answer, 500, "script_error")
    assert "just text" in answer.error["message"]


def test_output_before_the_failure_is_told(mayfly):
    answer = mayfly.python("import sys\nprint('out')\nprint('err', file=sys.stderr)\n1 / 0")
    problem = check(answer, 500, "script_error")
    assert (problem["stdout"], problem["stderr"]) == ("out\n", "err\n")
    problem = check(
        mayfly.javascript("console.log('out'); console.error('err'); throw 1"), 500, "script_error"
    )
    assert (problem["stdout"], problem["stderr"]) == ("out\n", "err\n")


@pytest.mark.parametrize(
    "language, code",
    [
        ("python", "import sys; sys.exit(3)"),
        ("python", "import os; os._exit(3)"),
        ("javascript", "process.exit(3)"),
    ],
)
def test_exit_with_a_status_is_an_error(mayfly, language, code):
    problem = check(mayfly.run_now(language, code), 500, "script_error")
    assert "3" in problem["error"]["message"]


@pytest.mark.parametrize(
    "language, code",
    [("python", "print(5)\nimport sys; sys.exit(0)"), ("javascript", "console.log(5); process.exit(0)")],
)
def test_exit_with_status_0_is_none(mayfly, language, code):
    assert mayfly.run_now(language, code).data == 5


def test_script_that_kills_itself(mayfly):
    problem = check(mayfly.python("import os; os.kill(os.getpid(), 11)"), 500, "script_error")
    assert str(int(signal.SIGSEGV)) in problem["error"]["message"]


def test_crash_of_the_interpreter_is_the_script_s_own(mayfly):
    check(mayfly.python("import ctypes; ctypes.string_at(0)"), 500, "script_error")


def test_memory_limit(strict):
    problem = check(
        strict.python("print('before', flush=True)\nx = bytearray(200 << 20)\nreturn 1"), 500, "memory_limit"
    )
    assert problem["stdout"] == "before\n"


def test_memory_limit_in_javascript(mayfly):
    check(mayfly.javascript("const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))"), 500, "memory_limit")
    check(
        mayfly.javascript("const a = []; for (;;) a.push({a: a.length, b: [1, 2, 3]})"), 500, "memory_limit"
    )


def test_output_limit(strict):
    check(strict.python("return 'x' * 70_000"), 500, "output_limit")
    for stream in "stdout", "stderr":
        problem = check(
            strict.python(f"import sys\nwhile True: sys.{stream}.write('y' * 1000)"), 500, "output_limit"
        )
        assert problem[stream].startswith("yyyy") and len(problem[stream]) <= 65_536


def test_output_up_to_the_limit_is_fine(strict):
    assert len(strict.python("return 'x' * 65_000").data) == 65_000
    assert len(strict.python("print('x' * 65_000)").data) == 65_000


def test_process_limit(strict):
    code = "import os, time\nwhile True:\n    if os.fork() == 0:\n        time.sleep(60)"
    check(strict.python(code), 500, "process_limit")


def test_thread_limit(strict):
    code = """
import threading, time
while True: threading.Thread(target=time.sleep, args=(60,)).start()
"""
    check(strict.python(code), 500, "process_limit")


# 502, 504


def test_lost_cell_says_it_is_not_the_script_s_fault(own):
    mayfly = own().start()
    with concurrent.futures.ThreadPoolExecutor(1) as other:
        answer = other.submit(mayfly.python, "import time; time.sleep(30)")
        time.sleep(1)
        os.kill(mayfly.pid_of("python"), signal.SIGKILL)
        check(answer.result(), 502, "cell_lost")
    mayfly.wait_ready()
    assert mayfly.python("return 1").data == 1
    mayfly.stop()


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "while True: pass", "import signal; signal.pause()"]
)
def test_timeout(strict, code):
    started = time.monotonic()
    problem = check(strict.python(f"print('before', flush=True)\n{code}"), 504, "timeout")
    assert problem["stdout"] == "before\n"
    assert time.monotonic() - started >= 1.4


def test_timeout_ends_what_the_script_started(strict):
    code = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        break
time.sleep(60)
"""
    check(strict.python(code), 504, "timeout")
    eventually(lambda: not [c for c in strict.processes().values() if "zombie" in c])
    assert strict.python("return 1").data == 1


def test_script_that_ignores_signals_times_out_too(strict):
    code = """
import signal
for n in range(1, 64):
    try: signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
"""
    check(strict.python(code), 504, "timeout")


# Nobody else pays.


def test_next_call_is_served_after_each_kind_of_failure(strict):
    for code in (
        "1 / 0",
        "while True: pass",
        "x = bytearray(200 << 20)",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.close(3)",
    ):
        assert strict.python(code).status >= 500 or "close" in code
        assert strict.python("return 'fine'").data == "fine"


def test_client_that_leaves_ends_its_call(mayfly):
    body = b'{"language":"python","code":"import time; time.sleep(600)"}'
    with socket.create_connection(("127.0.0.1", mayfly.port)) as client:
        head = f"POST /run-now HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        time.sleep(0.5)
    eventually(lambda: "ending=cancelled" in mayfly.log(), mayfly.log)


def test_many_requests_on_one_connection(mayfly):
    connection = http.client.HTTPConnection("127.0.0.1", mayfly.port, timeout=60)
    for n in range(20):
        connection.request("POST", "/run-now", f'{{"language":"python","code":"return {n}"}}')
        assert connection.getresponse().read() == f'{{"data":{n},"type":"number"}}'.encode()
    connection.close()
