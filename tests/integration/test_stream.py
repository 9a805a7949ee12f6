"""`"stream": true`: a script's lines while it runs, then its result or its error."""

import itertools
import json
import os
import signal
import time

import pytest
from conftest import started
from host import Background, eventually
from scripts import LANGUAGES, count, fault, give, say, say_long, script, sleep, write
from sse import Connection, ask, events_of, stream_now, stream_run

languages = pytest.mark.parametrize("language", LANGUAGES)


def log(data, kind="text", **members):
    return {"event": "log", "data": data, "type": kind, **members}


def result(data, kind):
    return {"event": "result", "data": data, "type": kind}


# At once


@languages
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_line_arrives_while_its_script_still_runs(mayfly, language, stream):
    """The script goes on for longer than the test waits."""
    code = script(language, say(language, "first", stream), sleep(language, 29))
    with stream_now(mayfly, language, code) as reply:
        reply.connection.socket.settimeout(20)
        assert reply.next().data == log("first", **({} if stream == "stdout" else {"stream": "stderr"}))


@languages
def test_each_line_arrives_before_the_next_is_written(mayfly, language):
    code = script(language, say(language, "1"), sleep(language, 0.6), say(language, "2"), sleep(language, 0.6), give(language, 3))
    with stream_now(mayfly, language, code) as reply:
        messages = reply.messages()
    assert [message.data for message in messages] == [log(1, "number"), log(2, "number"), result(3, "number")]
    first, second, last = (message.at for message in messages)
    assert second - first > 0.3 and last - second > 0.3


@languages
def test_line_is_told_when_it_is_finished(mayfly, language):
    """However it was written: here a character's bytes, too, come one by one."""
    parts = [b"a", b"\xc3", b"\xa9 ", b"b\r", b"\nc\n"]
    statements = itertools.chain.from_iterable((write(language, part), sleep(language, 0.1)) for part in parts)
    assert events_of(mayfly, language, script(language, *statements, give(language, 0))) == [
        log("aé b"),
        log("c"),
        result(0, "number"),
    ]


# What a line is

LINES = [
    (b'{"a": [1, 2.50, null], "b": {}}', {"a": [1, 2.5, None], "b": {}}, "json"),
    (b" [1]\t", [1], "json"),
    (b"true", True, "json"),
    (b"null", None, "json"),
    (b"12", 12, "number"),
    (b"-1.5e3", -1500.0, "number"),
    (b'"quoted \\u00e9\\n"', "quoted é\n", "string"),
    (b"text", "text", "text"),
    (b"", "", "text"),
    (b"   ", "   ", "text"),
    (b'{"a": 1} {"b": 2}', '{"a": 1} {"b": 2}', "text"),
    (b"{'a': 1}", "{'a': 1}", "text"),
    (b'{"a": 1', '{"a": 1', "text"),
    (b"NaN", "NaN", "text"),
    (b"01", "01", "text"),
    (b'"unfinished', '"unfinished', "text"),
    (b"id: 7", "id: 7", "text"),
    (b'tab\tquote"backslash\\slash/', 'tab\tquote"backslash\\slash/', "text"),
    (b"nul\0 escape\x1b[0m delete\x7f", "nul\0 escape\x1b[0m delete\x7f", "text"),
    ("é😀 \u2028\u2029\u0085\ufeff".encode(), "é😀 \u2028\u2029\u0085\ufeff", "text"),
    (b"carriage\rreturn", "carriage\rreturn", "text"),
    (b"crlf\r", "crlf", "text"),
    (b"crcrlf\r\r", "crcrlf\r", "text"),
    (b"\r", "", "text"),
    (b"12\r", 12, "number"),
    (b'{"a":\r[1,\r2]}', {"a": [1, 2]}, "json"),
    (b"\xff\xfe binary", "\ufffd\ufffd binary", "text"),
    (b"cut \xe2\x82 and \xf0\x9f\x98", "cut \ufffd\ufffd and \ufffd\ufffd\ufffd", "text"),
    (b"\xed\xa0\x80 \xc0\xaf", "\ufffd\ufffd\ufffd \ufffd\ufffd", "text"),
    (b'"\xff"', '"\ufffd"', "text"),
]


@languages
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_line_is_json_or_text(mayfly, language, stream):
    marked = {} if stream == "stdout" else {"stream": "stderr"}
    code = script(language, write(language, b"".join(line + b"\n" for line, _, _ in LINES), stream), give(language, 1))
    *logs, end = events_of(mayfly, language, code)
    assert len(logs) == len(LINES)
    for event, (line, data, kind) in zip(logs, LINES):
        assert event == log(data, kind, **marked), line
    assert end == result(1, "number")


@languages
def test_numbers_arrive_digit_by_digit(mayfly, language):
    digits = b"123456789012345678901234567890"
    lines = [digits, b'{"n":[-%s]}' % digits, b"9007199254740993", b"1.50", b"1e400"]
    code = script(language, write(language, b"\n".join(lines) + b"\n"), give(language, digits.decode()))
    with stream_now(mayfly, language, code) as reply:
        messages = reply.messages()
    for message, line in zip(messages, [*lines, digits]):
        assert b'"data":' + line in message.raw, message


@languages
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_last_line_without_its_break_is_told_at_the_end(mayfly, language, stream):
    marked = {} if stream == "stdout" else {"stream": "stderr"}
    code = script(language, write(language, b"a\n[1]", stream), give(language, 0))
    assert events_of(mayfly, language, code) == [log("a", **marked), log([1], "json", **marked), result(0, "number")]


@languages
def test_line_of_megabytes_arrives_whole(mayfly, language):
    """Up to the limit, which the line break counts for too."""
    length = (4 << 20) - 1
    long, end = events_of(mayfly, language, script(language, say_long(language, "x", length), give(language, 0)))
    assert long["data"] == "x" * length and end == result(0, "number")


@languages
def test_lines_keep_their_order(mayfly, language):
    number = 5000
    code = script(language, count(language, number), count(language, number, "stderr"), give(language, "end"))
    *logs, end = events_of(mayfly, language, code)
    for stream in None, "stderr":
        assert [event["data"] for event in logs if event.get("stream") == stream] == list(range(number))
    assert end == result("end", "string")


# The result, once


@pytest.mark.parametrize(
    "language, code",
    [
        ("python", "return {'a': [1, None]}"),
        ("python", "return 9007199254740993 ** 2"),
        ("python", "return 'text\\r\\n'"),
        ("python", "import json; return json.dumps({'a': {'b': [1, 2]}}, indent=2)"),
        ("python", "return '{\"a\":\\r\\n1\\r}'"),
        ("python", "print('a'); print('{\"last\": 1}'); print('b')"),
        ("python", "print('a'); print('b')"),
        ("python", "import json; print(json.dumps([1, {'a': 2}], indent=2))"),
        ("python", "pass"),
        ("python", "async def handler(event): return event['n']"),
        ("javascript", "return {a: [1, null]}"),
        ("javascript", "return 2n ** 70n"),
        ("javascript", "return JSON.stringify({a: {b: [1, 2]}}, null, 2)"),
        ("javascript", "console.log({a: 1, b: {c: [1, 2]}})"),
        ("javascript", "export default async (event) => event.n"),
        ("javascript", "process.stdout.write('[1,\\r2]\\n')"),
        ("typescript", "enum E { A = 'a' }\nreturn E.A"),
        ("typescript", "console.log('{\"a\": 1}')"),
    ],
)
def test_result_is_what_the_plain_answer_has(mayfly, language, code):
    plain = mayfly.run_now(language, code, input={"n": 5})
    assert plain.status == 200, plain
    *logs, end = events_of(mayfly, language, code, input={"n": 5})
    assert end == {"event": "result", **plain.json}
    assert all(event["event"] == "log" for event in logs)


def test_bare_script_s_output_is_log_and_result(mayfly):
    assert events_of(mayfly, "python", "print('a')\nprint(5)") == [log("a"), log(5, "number"), result(5, "number")]


@languages
def test_stderr_ends_nothing(mayfly, language):
    text = "Traceback (most recent call last):"
    code = script(language, say(language, text, "stderr"), say(language, "on"), give(language, "fine"))
    events = events_of(mayfly, language, code)
    assert sorted(events[:2], key=str) == sorted([log(text, stream="stderr"), log("on")], key=str)
    assert events[2:] == [result("fine", "string")]


# Or the error, once


def check_error(events, plain):
    """The last event is the error that the plain answer is."""
    *logs, end = events
    problem = plain.json
    assert all(event["event"] == "log" for event in logs)
    assert set(end) == {"event", "data", "type", "problem"} and (end["event"], end["type"]) == ("error", "text")
    assert end["data"] == end["problem"]["detail"] == problem["detail"]
    ours, theirs = dict(end["problem"]), {
        name: value for name, value in problem.items() if name not in ("stdout", "stderr", "truncated")
    }
    assert ours.pop("request_id") and theirs.pop("request_id")
    assert ours == theirs
    return end["problem"]


@languages
@pytest.mark.parametrize(
    "name, status, code",
    [
        ("throw", 500, "script_error"),
        ("exit", 500, "script_error"),
        ("idle", 504, "timeout"),
        ("hoard", 500, "memory_limit"),
        ("syntax", 422, "syntax_error"),
    ],
)
def test_each_failure_is_an_error_event(tight, language, name, status, code):
    source = script(language, say(language, "before"), fault(language, name))
    plain = Background(tight.run_now, language, source)
    events = events_of(tight, language, source)
    problem = check_error(events, plain.result())
    assert (problem["status"], problem["code"]) == (status, code)
    assert events[:-1] == ([] if name == "syntax" else [log("before")])


@languages
@pytest.mark.parametrize("name", ["flood", "flood stderr"])
def test_output_over_the_limit_is_told_up_to_it(tight, language, name):
    events = events_of(tight, language, script(language, fault(language, name)))
    problem = check_error(events, tight.run_now(language, script(language, fault(language, name))))
    assert (problem["status"], problem["code"]) == (500, "output_limit")
    assert [event["data"] for event in events[:-1]] == ["y" * 999] * 65 + ["y" * 536]
    assert {event.get("stream") for event in events[:-1]} == {"stderr" if "stderr" in name else None}


@languages
def test_long_line_is_cut_at_the_limit(tight, language):
    a, x, end = events_of(tight, language, script(language, say(language, "a"), say_long(language, "x", 70_000)))
    assert (a["data"], x["data"], end["problem"]["code"]) == ("a", "x" * (65_536 - 2), "output_limit")


def test_line_that_just_fits_is_not_cut(tight):
    line, end = events_of(tight, "python", "print('x' * 65_535)\nreturn 1")
    assert line["data"] == "x" * 65_535 and end == result(1, "number")


def test_result_over_the_limit_is_an_error(tight):
    (end,) = events_of(tight, "python", "return 'x' * 70_000")
    assert end["problem"]["code"] == "output_limit"


def test_lost_cell_is_an_error_event(own):
    mayfly = own().start()
    with stream_now(mayfly, "python", "import time; print('up'); time.sleep(29)") as reply:
        assert reply.next().data == log("up")
        os.kill(mayfly.pid_of("python"), signal.SIGKILL)
        (end,) = reply.events()
    assert (end["problem"]["status"], end["problem"]["code"]) == (502, "cell_lost")
    mayfly.wait_ready()
    mayfly.stop()


def test_stream_ends_before_the_server_does(own):
    mayfly = own().start()
    with stream_now(mayfly, "python", "import time\nprint('up')\ntime.sleep(2)\nprint('on')\nreturn 1") as reply:
        assert reply.next().data == log("up")
        mayfly.keeper.send_signal(signal.SIGTERM)
        assert reply.events() == [log("on"), result(1, "number")]
    assert mayfly.keeper.wait(60) == 0
    mayfly.assert_gone()


# Stored functions, and detail


@languages
def test_stored_function_streams(mayfly, language):
    codes = [script(language, say(language, word), give(language, word)) for word in ("old", "new")]
    old, _ = (mayfly.upload(f"streams/{language}", language, code).json["version"] for code in codes)
    for version, word in (None, "new"), (old, "old"):
        with stream_run(mayfly, f"streams/{language}", version, input={}) as reply:
            assert reply.events() == [log(word), result(word, "string")]


@languages
def test_detail_comes_with_the_end(tight, language):
    *_, end = events_of(tight, language, script(language, say(language, "a"), give(language, 1)), detail=True)
    assert set(end) == {"event", "data", "type", "truncated", "exit", "usage"}
    assert end["truncated"] is False and end["exit"] == {"code": 0, "signal": None, "limit": None}
    *_, end = events_of(tight, language, script(language, fault(language, "flood")), detail=True)
    problem = end["problem"]
    assert set(end) == {"event", "data", "type", "problem"}
    assert problem["truncated"] is True and problem["exit"]["limit"] == "output_limit" and problem["usage"]
    assert not {"stdout", "stderr"} & set(problem)


# The answer around it


@languages
def test_head_says_what_it_is(mayfly, language):
    with stream_now(mayfly, language, script(language, give(language, 1)), headers={"X-Request-Id": "stream-1"}) as reply:
        assert reply.version == "HTTP/1.1"
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["x-accel-buffering"] == "no"
        assert reply.headers["transfer-encoding"] == "chunked"
        assert reply.headers["x-request-id"] == "stream-1"
        assert "queue;dur=" in reply.headers["server-timing"]
        assert reply.events() == [result(1, "number")]


@pytest.mark.parametrize(
    "path, body, status, code",
    [
        ("/run-now", b"{", 400, "bad_request"),
        ("/run-now", {"language": "python", "stream": True}, 400, "bad_request"),
        ("/run-now", {"language": "php", "code": "", "stream": True}, 400, "bad_request"),
        ("/run-now", {"language": "python", "code": "", "stream": "yes"}, 400, "bad_request"),
        ("/run-now", {"language": "python", "code": "", "detail": 1}, 400, "bad_request"),
        ("/run-now", {"language": "python", "code": "#" * 262_145, "stream": True}, 413, "too_large"),
        ("/run/no/such", {"stream": True}, 404, "not_found"),
        ("/run/no/such?version=-1", {"stream": True}, 400, "bad_request"),
        ("/run/no/such?version=x", {"stream": True}, 404, "not_found"),
    ],
)
def test_what_is_wrong_before_the_start_is_a_plain_problem(mayfly, path, body, status, code):
    with ask(mayfly, "POST", path, body) as reply:
        assert (reply.status, reply.code) == (status, code)
        assert reply.headers["content-type"].startswith("application/problem+json")


def test_stream_false_and_null_are_a_plain_answer(mayfly):
    for value in False, None:
        answer = mayfly.python("print('a')\nreturn 1", stream=value, detail=value)
        assert answer.json == {"data": 1, "type": "number"}


def test_token_is_wanted_first(strict):
    with Connection(strict) as connection:
        connection.token = None
        assert connection.ask("POST", "/run-now", {"language": "python", "code": "", "stream": True}).status == 401


def test_silence_is_filled_with_comments(tight):
    with stream_now(tight, "python", "import time\ntime.sleep(1.2)\nprint('a')\nreturn 1") as reply:
        assert reply.next().data == log("a")
        assert reply.comments >= 2


def test_full_queue_is_a_plain_429(own):
    mayfly = own(MAX_CONTAINERS=1, QUEUE_MAX=1).start()
    with stream_now(mayfly, "python", "import time; print('up'); time.sleep(29)") as running, Connection(mayfly) as waiting:
        running.next()
        waiting.send("POST", "/run-now", {"language": "python", "code": "return 1", "stream": True})
        time.sleep(0.5)
        with stream_now(mayfly, "python", "return 2") as refused:
            assert (refused.status, refused.code) == (429, "queue_full")
            assert int(refused.headers["retry-after"]) >= 1
        running.close()
        assert waiting.reply().events() == [result(1, "number")]
    mayfly.stop()


def test_waiting_stream_opens_with_its_first_ping(own):
    """Its client's patience, and that of proxies, may end before the queue does. From then on, errors are events."""
    mayfly = own(MAX_CONTAINERS=1, QUEUE_TIMEOUT=1, STREAM_PING="0.2").start()
    with stream_now(mayfly, "python", "import time; print('up'); time.sleep(29)") as running:
        running.next()
        with stream_now(mayfly, "python", "return 2") as waiting:
            (end,) = waiting.events()
        assert waiting.comments >= 2
        assert (end["problem"]["status"], end["problem"]["code"]) == (429, "queue_full")
    mayfly.stop()


def test_queue_that_gives_up_before_the_first_ping_is_a_plain_429(own):
    mayfly = own(MAX_CONTAINERS=1, QUEUE_TIMEOUT="0.3").start()
    with stream_now(mayfly, "python", "import time; print('up'); time.sleep(29)") as running:
        running.next()
        with stream_now(mayfly, "python", "return 2") as waiting:
            assert (waiting.status, waiting.code) == (429, "queue_full")
    mayfly.stop()


# Other clients


def test_http_1_0_gets_its_stream_unchunked(mayfly):
    body = {"language": "python", "code": "print('a')\nreturn 1", "stream": True}
    with Connection(mayfly) as connection:
        reply = connection.ask("POST", "/run-now", body, version="HTTP/1.0")
        assert not {"transfer-encoding", "content-length"} & set(reply.headers)
        assert reply.events() == [log("a"), result(1, "number")]


def test_connection_is_kept_after_a_stream(mayfly):
    with Connection(mayfly) as connection:
        for n in range(10):
            body = {"language": "python", "code": f"print('a')\nreturn {n}", "stream": n % 2 == 0}
            reply = connection.ask("POST", "/run-now", body)
            if n % 2 == 0:
                assert reply.events() == [log("a"), result(n, "number")]
            else:
                assert reply.json == {"data": n, "type": "number"}


def test_pipelined_requests_are_answered_in_turn(mayfly):
    with Connection(mayfly) as connection:
        for n in range(4):
            connection.send("POST", "/run-now", {"language": "python", "code": f"return {n}", "stream": n % 2 == 0})
        for n in range(4):
            reply = connection.reply()
            assert reply.events() == [result(n, "number")] if n % 2 == 0 else reply.json["data"] == n


def test_connection_that_is_to_end_ends_after_its_stream(mayfly):
    body = {"language": "python", "code": "return 1", "stream": True}
    with Connection(mayfly) as connection:
        assert connection.ask("POST", "/run-now", body, {"Connection": "close"}).events() == [result(1, "number")]
        assert connection.take(1) == b""


# A slow reader


def written(mayfly):
    """Bytes that the cells have written, as the kernel counts them."""
    total = 0
    for pid in mayfly.cells():
        try:
            with open(f"/proc/{pid}/io") as file:
                total += int(dict(line.split(": ") for line in file)["wchar"])
        except OSError:  # it ended meanwhile
            pass
    return total


def resident(pid):
    with open(f"/proc/{pid}/status") as file:
        return int(dict(line.split(":", 1) for line in file)["VmRSS"].split()[0]) << 10


def is_still(value):
    """Whether a value stays what it is for a while."""
    before = value()
    for _ in range(10):
        time.sleep(0.05)
        if value() != before:
            return False
    return True


@pytest.fixture(scope="module")
def roomy(tmp_path_factory):
    """Much output, and no spares: a cell that is there belongs to a call."""
    yield from started(tmp_path_factory, "roomy", SPARE_CELLS=0, OUTPUT_MAX_SIZE="32m", LOG_LEVEL="warn")


@languages
def test_slow_reader_slows_its_own_cell_alone(roomy, language):
    lines, length = 10_000, 1000
    assert roomy.python("return 1").data == 1
    server = roomy.pid_of("server")
    before = resident(server)
    text = "x" * (length - 7)
    loop = {
        "python": f"for n in range({lines}): print('%06d' % n + '{text}')",
        "javascript": f"for (let n = 0; n < {lines}; n++) console.log(String(n).padStart(6, '0') + '{text}')",
    }["python" if language == "python" else "javascript"]
    body = {"language": language, "code": script(language, loop, give(language, "done")), "stream": True}
    with Connection(roomy, receive_bytes=4096) as reader:
        reply = reader.ask("POST", "/run-now", body)
        eventually(lambda: written(roomy) > 0 and is_still(lambda: written(roomy)))
        print(f"waits after {written(roomy)} bytes of {lines * length}; the server has grown by {resident(server) - before}")
        assert 0 < written(roomy) < lines * length / 2
        assert resident(server) < before + (4 << 20)
        assert [roomy.python(f"return {n}").data for n in range(10)] == list(range(10))
        assert is_still(lambda: written(roomy)) and 0 < written(roomy) < lines * length / 2
        *logs, end = reply.events()
    assert [event["data"] for event in logs] == ["%06d" % n + text for n in range(lines)]
    assert end == result("done", "string")


def test_slow_reader_is_not_spared_the_timeout(own):
    """Else whoever does not read would hold a place for ever."""
    mayfly = own(TIMEOUT_SCRIPT=2, SPARE_CELLS=0, OUTPUT_MAX_SIZE="32m").start()
    with Connection(mayfly, receive_bytes=4096) as reader:
        reply = reader.ask("POST", "/run-now", {"language": "python", "code": "while True: print('x' * 999)", "stream": True})
        eventually(lambda: mayfly.cells())
        eventually(lambda: not mayfly.cells())
        *logs, end = reply.events()
    assert {event["data"] for event in logs[:-1]} == {"x" * 999}
    assert end["problem"]["code"] == "timeout"
    mayfly.stop()


def test_many_streams_at_a_time_keep_apart(mayfly):
    """Twenty of them, each with its own lines, over the four places that there are."""
    code = "for n in range(200): print([event, n])\nreturn event"
    connections = [Connection(mayfly) for _ in range(20)]
    for number, connection in enumerate(connections):
        connection.send("POST", "/run-now", {"language": "python", "code": code, "input": number, "stream": True})
    for number, connection in enumerate(connections):
        with connection.reply() as reply:
            *logs, end = reply.events()
        assert [event["data"] for event in logs] == [[number, n] for n in range(200)]
        assert end == result(number, "number")


def test_data_has_no_line_break_of_any_kind(mayfly):
    """Every byte there is, in a line and in a result; the reader refuses a raw CR or LF inside a message."""
    every = bytes(n for n in range(256) if n != 10)
    with stream_now(mayfly, "python", write("python", every + b"\n") + "\nreturn ''.join(map(chr, range(0x2100)))") as reply:
        line, end = reply.messages()
    assert line.data["data"] == every[:127].decode() + "\ufffd" * 128
    assert end.data["data"] == "".join(map(chr, range(0x2100)))
    assert not set(line.raw + end.raw) & set(range(32)), "control characters are escaped"
    assert json.loads(end.raw) == end.data
