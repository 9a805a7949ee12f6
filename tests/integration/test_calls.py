"""Answers that are fetched later (`Prefer: respond-async`), and requests that are sent twice (`Idempotency-Key`)."""

import concurrent.futures
import json
import os
import re
import signal
import time

import pytest
from conftest import started
from host import Background, Client, eventually
from scripts import LANGUAGES, count, fault, give, say, script, sleep
from sse import Connection, stream_now, watch
from test_errors import check
from test_stream import resident

languages = pytest.mark.parametrize("language", LANGUAGES)
ASYNC = {"Prefer": "respond-async"}
ONCE = "import os\nreturn os.urandom(8).hex()"  # another answer each time it runs
IDLE = "import time\nprint('up')\ntime.sleep(29)"


def run_now(client, language, code, headers=(), **members):
    return client.request("POST", "/run-now", {"language": language, "code": code, **members}, headers)


def begin(client, language, code, headers=(), **members):
    """Begins a call to be asked for later: its location."""
    answer = run_now(client, language, code, {**ASYNC, **dict(headers)}, **members)
    assert answer.status == 202, answer
    return answer.headers["location"]


def state(client, location):
    answer = client.get(location)
    return answer.json["state"] if answer.status == 200 else answer.status


def wait_for(client, location, wanted="done"):
    eventually(lambda: state(client, location) == wanted, lambda: str(client.get(location)))
    return client.get(location).json


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One place and no spares: a cell that is there belongs to the one call that runs."""
    yield from started(
        tmp_path_factory,
        "single-calls",
        RUNTIMES="python",
        MAX_CONTAINERS=1,
        SPARE_CELLS=0,
        QUEUE_MAX=2,
        AUTH_TOKEN="a-token,b-token",
    )


# Later answers


@languages
def test_call_is_begun_now_and_asked_for_later(mayfly, language):
    code = script(language, say(language, "out"), say(language, "err", "stderr"), sleep(language, 0.5), give(language, [1, 2]))
    answer = run_now(mayfly, language, code, ASYNC)
    assert answer.status == 202, answer
    assert answer.headers["preference-applied"] == "respond-async"
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["x-request-id"]
    location = answer.headers["location"]
    assert re.fullmatch("/calls/[0-9a-f]{32}", location)
    assert answer.json["id"] == location.removeprefix("/calls/")
    assert answer.json["state"] in ("queued", "running")
    assert answer.json["logs"] == {"stdout": "", "stderr": "", "truncated": False}
    done = wait_for(mayfly, location)
    assert set(done) == {"id", "state", "logs", "status", "answer", "exit", "usage"}
    assert done["id"] == answer.json["id"]
    assert done["logs"] == {"stdout": "out\n", "stderr": "err\n", "truncated": False}
    assert (done["status"], done["answer"]) == (200, {"data": [1, 2], "type": "json"})
    assert done["exit"] == {"code": 0, "signal": None, "limit": None}
    assert set(done["usage"]) == {"cpu_ms", "wall_ms", "peak_memory_bytes", "queue_ms", "start_ms"}
    assert mayfly.get(location).json == done


@languages
def test_logs_are_there_while_it_runs(mayfly, language):
    location = begin(mayfly, language, script(language, say(language, "up"), sleep(language, 20)))
    eventually(lambda: mayfly.get(location).json["logs"]["stdout"] == "up\n", lambda: str(mayfly.get(location)))
    assert state(mayfly, location) == "running"
    assert mayfly.request("DELETE", location).status == 204


@pytest.mark.parametrize(
    "name, status, code",
    [("throw", 500, "script_error"), ("idle", 504, "timeout"), ("flood", 500, "output_limit"), ("syntax", 422, "syntax_error")],
)
@languages
def test_failure_is_kept_as_the_plain_answer_had_it(tight, language, name, status, code):
    source = script(language, say(language, "before"), fault(language, name))
    location = begin(tight, language, source)
    plain = tight.run_now(language, source).json
    done = wait_for(tight, location)
    assert (done["status"], done["answer"]["code"]) == (status, code)
    assert done["logs"]["stdout"] == plain.get("stdout", "")  # of what does not parse, nothing ran
    assert done["logs"]["truncated"] == plain.get("truncated", False) == (name == "flood")
    for problem in done["answer"], plain:
        for member in "request_id", "stdout", "stderr", "truncated":
            problem.pop(member, None)
    assert done["answer"] == plain


def test_stored_function_is_called_later_too(mayfly):
    old = mayfly.upload("later/f", "python", "return ['old', event]").json["version"]
    mayfly.upload("later/f", "python", "return ['new', event]")
    for query, word in ("", "new"), (f"?version={old}", "old"):
        answer = mayfly.request("POST", f"/run/later/f{query}", {"input": 7}, ASYNC)
        assert answer.status == 202, answer
        assert wait_for(mayfly, answer.headers["location"])["answer"]["data"] == [word, 7]


def test_client_may_leave(mayfly):
    location = begin(mayfly, "python", "import time\ntime.sleep(1)\nreturn 'done'")  # its connection is closed by now
    assert wait_for(mayfly, location)["answer"]["data"] == "done"


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async", "return=minimal, respond-async", "respond-async; x=y, wait=10", "respond-async=\"\""])
def test_preference_is_read_as_rfc_7240_has_it(mayfly, prefer):
    answer = run_now(mayfly, "python", "return 1", {"Prefer": prefer})
    assert answer.status == 202, answer


def test_preferences_may_be_spread_over_several_fields(mayfly):
    body = json.dumps({"language": "python", "code": "return 1"}).encode()
    head = f"POST /run-now HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nPrefer: wait=10\r\nPrefer: respond-async\r\n\r\n"
    with Connection(mayfly) as connection:
        connection.socket.sendall(head.encode() + body)
        assert connection.reply().status == 202


def test_stream_that_comes_later_is_asked_for_there(mayfly):
    """Later is later; whoever fetches it says how."""
    location = begin(mayfly, "python", "print('a')\nreturn 1", stream=True)
    assert wait_for(mayfly, location)["answer"] == {"data": 1, "type": "number"}


@pytest.mark.parametrize("prefer", ["return=minimal", "respond-asynchronously", "wait=10", "x=\"respond-async\"", ""])
def test_other_preferences_are_passed_over(mayfly, prefer):
    answer = run_now(mayfly, "python", "return 1", {"Prefer": prefer})
    assert answer.json == {"data": 1, "type": "number"}
    assert "preference-applied" not in answer.headers


def test_what_is_wrong_at_once_is_said_at_once(mayfly):
    check(mayfly.request("POST", "/run/no/such", {}, ASYNC), 404, "not_found")
    check(mayfly.request("POST", "/run-now", b"{", ASYNC), 400, "bad_request")
    check(run_now(mayfly, "php", "", ASYNC), 400, "bad_request")
    check(run_now(mayfly, "python", "#" * 262_145, ASYNC), 413, "too_large")


def test_full_queue_is_said_at_once(single):
    locations = [begin(single, "python", IDLE) for _ in range(3)]
    check(run_now(single, "python", "return 1", ASYNC), 429, "queue_full")
    for location in reversed(locations):
        assert single.request("DELETE", location).status == 204
    assert single.python("return 1").data == 1


def test_unknown_calls_are_not_found(mayfly):
    for name in "0" * 32, "x", "0" * 31, "0" * 33, "../run-now", "A" * 32:
        for method in "GET", "DELETE":
            check(mayfly.request(method, f"/calls/{name}"), 404, "not_found")
        check(mayfly.request("GET", f"/calls/{name}", headers={"Accept": "text/event-stream"}), 404, "not_found")


def test_wrong_method_is_told_the_right_ones(mayfly):
    answer = mayfly.request("POST", begin(mayfly, "python", "return 1"), {})
    check(answer, 405, "method_not_allowed")
    assert {"GET", "DELETE"} <= {word.strip() for word in answer.headers["allow"].split(",")}


def test_ids_are_not_alike(mayfly):
    """Nothing of one tells of another."""
    ids = [begin(mayfly, "python", "return 1").removeprefix("/calls/") for _ in range(20)]
    for place in range(0, 32, 4):
        assert len({name[place : place + 4] for name in ids}) > 10


# Watching


def numbers(language, seconds):
    return script(language, count(language, 5), sleep(language, seconds), count(language, 5), give(language, "end"))


NUMBERS = [*range(5), *range(5), "end"]


@languages
def test_call_is_watched_while_it_runs_and_afterwards(mayfly, language):
    location = begin(mayfly, language, numbers(language, 0.5))
    with watch(mayfly, location) as reply:
        events = reply.events()
    assert [event["data"] for event in events] == NUMBERS
    assert [event["event"] for event in events] == ["log"] * 10 + ["result"]
    with watch(mayfly, location) as reply:
        assert reply.events() == events


def test_watcher_sees_what_a_stream_shows(mayfly):
    code = "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('[1]')\nreturn {'a': 1}"
    with watch(mayfly, begin(mayfly, "python", code)) as watched, stream_now(mayfly, "python", code) as streamed:
        assert sorted(map(str, watched.events())) == sorted(map(str, streamed.events()))


@languages
def test_watching_resumes_after_the_last_message_seen(mayfly, language):
    """In mid call and after the end, at every place."""
    location = begin(mayfly, language, numbers(language, 1))
    with watch(mayfly, location) as reply:
        assert [reply.next().data["data"] for _ in range(2)] == [0, 1]
    with watch(mayfly, location, after=2) as reply:  # the reader wants number 3 first
        assert [reply.next().data["data"] for _ in range(3)] == [2, 3, 4]
        assert state(mayfly, location) == "running"
    with watch(mayfly, location, after=5) as reply:
        assert [event["data"] for event in reply.events()] == NUMBERS[5:]
    for after in range(11):
        with watch(mayfly, location, after) as reply:
            assert [event["data"] for event in reply.events()] == NUMBERS[after:]


def test_all_messages_seen_is_204(mayfly):
    """Upon which an EventSource stops coming back."""
    location = begin(mayfly, "python", "print(1)\nreturn 2")
    wait_for(mayfly, location)
    for after in 2, 3, 1000:
        with watch(mayfly, location, after) as reply:
            assert (reply.status, reply.read()) == (204, b"")


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "1 2", "0x1", "99999999999999999999999"])
def test_last_event_id_that_is_no_number_is_a_bad_request(mayfly, after):
    location = begin(mayfly, "python", "return 1")
    headers = {"Accept": "text/event-stream", "Last-Event-ID": after}
    check(mayfly.request("GET", location, headers=headers), 400, "bad_request")


def test_empty_last_event_id_is_none(mayfly):
    """As in an EventSource that has not heard anything yet."""
    with Connection(mayfly) as connection:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": ""}
        events = connection.ask("GET", begin(mayfly, "python", "print(1)\nreturn 2"), headers=headers).events()
    assert [event["data"] for event in events] == [1, 2]


@pytest.mark.parametrize("accept, streams", [("text/event-stream", True), ("text/event-stream, */*", True), ("Text/Event-Stream;q=1", True), ("application/json", False), ("*/*", False)])
def test_accept_says_which_answer_is_wanted(mayfly, accept, streams):
    location = begin(mayfly, "python", "return 1")
    with Connection(mayfly) as connection:
        reply = connection.ask("GET", location, headers={"Accept": accept})
        assert reply.headers["content-type"].startswith("text/event-stream" if streams else "application/json")


def test_head_of_a_call_is_that_of_its_answer(mayfly):
    location = begin(mayfly, "python", "return 1")
    wait_for(mayfly, location)
    for accept in "application/json", "text/event-stream":
        answer = mayfly.request("HEAD", location, headers={"Accept": accept})
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-type"] == "application/json"


def test_watchers_see_the_same_whenever_they_come(mayfly):
    location = begin(mayfly, "python", "import time\nfor n in range(10): print(n); time.sleep(0.1)\nreturn 'end'")

    def watcher(number):
        time.sleep(number * 0.15)
        with watch(mayfly, location) as reply:
            return reply.events()

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        seen = list(pool.map(watcher, range(10)))
    assert [event["data"] for event in seen[0]] == [*range(10), "end"]
    assert all(events == seen[0] for events in seen)


def test_watcher_that_leaves_ends_nothing(mayfly):
    location = begin(mayfly, "python", "import time\nprint('up')\ntime.sleep(1)\nreturn 'end'")
    for leave in Connection.close, Connection.reset:
        with watch(mayfly, location) as reply:
            reply.next()
            leave(reply.connection)
    assert wait_for(mayfly, location)["answer"]["data"] == "end"


def test_slow_watcher_holds_nobody_up(own):
    """The call belongs to nobody: it ends, others see all of it, and so does the slow one when it reads on."""
    mayfly = own(OUTPUT_MAX_SIZE="8m").start()
    location = begin(mayfly, "python", "for n in range(4000): print('%04d' % n + 'x' * 995)\nreturn 'end'")
    with Connection(mayfly, receive_bytes=4096) as slow:
        reply = slow.ask("GET", location, headers={"Accept": "text/event-stream"})
        wait_for(mayfly, location)
        with watch(mayfly, location) as other:
            events = other.events()
        assert len(events) == 4001
        assert reply.events() == events
    mayfly.stop()


def test_watched_silence_is_filled_with_comments(tight):
    with watch(tight, begin(tight, "python", "import time\ntime.sleep(1)\nreturn 1")) as reply:
        assert [event["data"] for event in reply.events()] == [1]
        assert reply.comments >= 2


# Cancelling


def test_queued_call_is_cancelled(single):
    running, queued = begin(single, "python", IDLE), begin(single, "python", "return 1")
    wait_for(single, running, "running")
    assert state(single, queued) == "queued"
    with watch(single, queued) as reply:
        assert single.request("DELETE", queued).status == 204
        (end,) = reply.events()
    assert (end["event"], end["problem"]["code"], end["problem"]["status"]) == ("error", "cancelled", 409)
    assert state(single, queued) == "cancelled"
    assert state(single, running) == "running"
    single.request("DELETE", running)


def test_running_call_is_cancelled_and_its_cell_is_gone(single):
    location = begin(single, "python", IDLE)
    with watch(single, location) as reply:
        assert reply.next().data["data"] == "up"
        answer = single.request("DELETE", location)
        assert (answer.status, answer.body) == (204, b"")
        (end,) = reply.events()
    assert (end["event"], end["problem"]["code"], end["problem"]["status"]) == ("error", "cancelled", 409)
    assert end["data"] == end["problem"]["detail"]
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    cancelled = single.get(location).json
    assert cancelled["state"] == "cancelled" and cancelled["logs"]["stdout"] == "up\n"
    assert single.python("return 'free'").data == "free"


def test_finished_call_is_forgotten(single):
    location = begin(single, "python", "return 1")
    wait_for(single, location)
    assert single.request("DELETE", location).status == 204
    for method in "GET", "DELETE":
        check(single.request(method, location), 404, "not_found")


def test_cancelled_call_is_forgotten_by_a_second_time(single):
    location = begin(single, "python", IDLE)
    assert [single.request("DELETE", location).status for _ in range(3)] == [204, 204, 404]


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_waits_for_a_cancelled_call_is_told(single, stream):
    """One began it, by another's key it is the same call, and a third ends it."""
    headers = {"Idempotency-Key": f"cancelled-{stream}"}
    body = {"language": "python", "code": IDLE, "stream": stream}
    location = begin(single, headers=headers, **body)
    with Connection(single) as waiting:
        waiting.send("POST", "/run-now", body, headers)
        with watch(single, location) as reply:
            reply.next()
            assert single.request("DELETE", location).status == 204
        answer = waiting.reply()
        if stream:
            up, end = answer.events()
            assert up["data"] == "up" and (end["problem"]["code"], end["problem"]["status"]) == ("cancelled", 409)
        else:
            assert (answer.status, answer.code) == (409, "cancelled")
    again = stream_now(single, "python", IDLE, headers) if stream else None
    if again:
        assert "idempotency-replayed" not in again.headers, "a cancelled call is no answer"
        again.close()


def test_call_that_was_waited_for_may_become_a_later_one(single):
    """The same request once more, but not waited for: the first may leave now."""
    headers = {"Idempotency-Key": "becomes-later"}
    body = {"language": "python", "code": "import time\ntime.sleep(1)\nreturn 'end'"}
    with Connection(single) as waiting:
        waiting.send("POST", "/run-now", body, headers)
        eventually(single.cells)
        answer = single.request("POST", "/run-now", body, {**ASYNC, **headers})
        assert answer.status == 202 and answer.headers["idempotency-replayed"] == "true"
    assert wait_for(single, answer.headers["location"])["answer"]["data"] == "end"


# Whose it is


def test_calls_belong_to_their_token(single):
    mine, other = Client(single.port, "a-token"), Client(single.port, "b-token")
    location = begin(mine, "python", "return 1")
    for method in "GET", "DELETE":
        check(other.request(method, location), 404, "not_found")
        check(Client(single.port).request(method, location), 401, "unauthorized")
    with watch(other, location) as reply:
        assert reply.status == 404
    assert wait_for(mine, location)["answer"]["data"] == 1


def test_keys_belong_to_their_token(single):
    key = {"Idempotency-Key": "both-have-it"}
    mine, other = Client(single.port, "a-token"), Client(single.port, "b-token")
    first, second = run_now(mine, "python", ONCE, key), run_now(other, "python", ONCE, key)
    assert first.data != second.data
    assert run_now(mine, "python", ONCE, key).data == first.data
    assert run_now(other, "python", ONCE, key).data == second.data


# How long it is kept


def test_finished_calls_are_kept_for_their_time(own):
    mayfly = own(CALLS_KEEP=1).start()
    key = {"Idempotency-Key": "k"}
    location = begin(mayfly, "python", "import time\ntime.sleep(1.5)\nreturn 1")
    first = run_now(mayfly, "python", ONCE, key)
    assert wait_for(mayfly, location)["answer"]["data"] == 1, "it is kept from its end, not from its beginning"
    eventually(lambda: mayfly.get(location).status == 404, deadline_s=10)
    again = run_now(mayfly, "python", ONCE, key)
    assert again.data != first.data and "idempotency-replayed" not in again.headers
    mayfly.stop()


def test_oldest_calls_leave_when_they_are_too_many_bytes(own):
    mayfly = own(CALLS_KEEP_SIZE="2m").start()
    locations = []
    for n in range(10):
        locations.append(begin(mayfly, "python", f"print('x' * 400_000)\nreturn {n}"))
        wait_for(mayfly, locations[-1])
    kept = [mayfly.get(location).status for location in locations]
    assert kept == sorted(kept, reverse=True) and kept[0] == 404 and kept[-1] == 200, kept
    assert 2 <= kept.count(200) <= 5
    mayfly.stop()


def test_kept_calls_do_not_grow_the_server(own):
    mayfly = own(CALLS_KEEP_SIZE="1m", LOG_LEVEL="warn").start()
    server = mayfly.pid_of("server")

    def batch(name, number):
        def one(n):
            code = "print('x' * 50_000)\nreturn event"
            if n % 2:
                return run_now(mayfly, "python", code, {"Idempotency-Key": f"{name}-{n}"}, input=n).status
            return run_now(mayfly, "python", code, ASYNC, input=n).status

        with concurrent.futures.ThreadPoolExecutor(4) as clients:
            assert set(clients.map(one, range(number))) == {200, 202}

    batch("first", 50)
    before = resident(server)
    batch("second", 400)
    assert resident(server) < before + (4 << 20)
    mayfly.stop()


# Idempotency


@languages
def test_same_request_again_gets_the_same_answer(mayfly, language):
    key = {"Idempotency-Key": f"again-{language}"}
    code = script(language, ONCE if language == "python" else "return require('crypto').randomUUID()")
    first, second = run_now(mayfly, language, code, key), run_now(mayfly, language, code, key)
    assert first.status == 200 and second.body == first.body
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    assert run_now(mayfly, language, code).data != first.data


def test_failure_of_the_script_is_an_answer_too(mayfly):
    key = {"Idempotency-Key": "failure"}
    code = "import os, sys\nprint('out')\nprint('err', file=sys.stderr)\nraise ValueError(os.urandom(8).hex())"
    first, second = run_now(mayfly, "python", code, key), run_now(mayfly, "python", code, key)
    check(first, 500, "script_error")
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert (second.status, second.body) == (first.status, first.body)  # its request_id, too, is the first one's
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


def test_detail_is_told_again(mayfly):
    key = {"Idempotency-Key": "detail"}
    first, second = (run_now(mayfly, "python", "print('a')\nreturn 1", key, detail=True) for _ in range(2))
    assert first.json == second.json and first.json["stdout"] == "a\n" and first.json["usage"]


def test_requests_at_the_same_time_run_once(mayfly):
    key = {"Idempotency-Key": "at-once"}
    code = "import time\ntime.sleep(1)\n" + ONCE
    with concurrent.futures.ThreadPoolExecutor(10) as clients:
        answers = list(clients.map(lambda _: run_now(mayfly, "python", code, key), range(10)))
    assert len({answer.data for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1


def test_stored_functions_run_once_too(mayfly):
    version = mayfly.upload("once/f", "python", ONCE).json["version"]
    mayfly.upload("once/f", "python", ONCE)
    mayfly.upload("once/g", "python", ONCE)
    key = {"Idempotency-Key": "stored"}
    first, second = (mayfly.request("POST", "/run/once/f", {"input": 1}, key) for _ in range(2))
    assert first.data == second.data
    for path, body in (
        (f"/run/once/f?version={version}", {"input": 1}),
        ("/run/once/g", {"input": 1}),
        ("/run/once/f", {"input": 2}),
        ("/run-now", {"language": "python", "code": ONCE}),
    ):
        check(mayfly.request("POST", path, body, key), 422, "idempotency_mismatch")
    assert mayfly.request("POST", "/run/once/f", {"input": 1}, key).data == first.data


def test_stream_is_told_again_from_its_first_message(mayfly):
    headers = {"Idempotency-Key": "stream"}
    code = "import os\nfor n in range(10): print(n)\nprint(os.urandom(8).hex())\nreturn 'end'"
    with stream_now(mayfly, "python", code, headers) as first:
        events = first.events()
    with stream_now(mayfly, "python", code, headers) as second:
        assert second.headers["idempotency-replayed"] == "true"
        assert second.events() == events
    assert "idempotency-replayed" not in first.headers and len(events) == 12


def test_stream_that_joins_sees_what_was_before(mayfly):
    headers = {"Idempotency-Key": "stream-joined"}
    code = "import os, time\nprint(os.urandom(8).hex())\ntime.sleep(1)\nreturn 'end'"
    with stream_now(mayfly, "python", code, headers) as first:
        begun = first.next()
        with stream_now(mayfly, "python", code, headers) as second:
            assert second.next().data == begun.data
            assert first.events() == second.events()


def test_later_answer_has_the_same_location(mayfly):
    key = {"Idempotency-Key": "later"}
    first, second = begin(mayfly, "python", ONCE, key), begin(mayfly, "python", ONCE, key)
    assert first == second
    wait_for(mayfly, first)
    third = run_now(mayfly, "python", ONCE, {**ASYNC, **key})
    assert third.headers["location"] == first and third.headers["idempotency-replayed"] == "true"
    assert begin(mayfly, "python", ONCE) != first


@pytest.mark.parametrize("key", ["a", "k" * 255, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""])
def test_any_visible_ascii_is_a_key(mayfly, key):
    first, second = (run_now(mayfly, "python", ONCE, {"Idempotency-Key": key}) for _ in range(2))
    assert first.data == second.data


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "tab\there", "é", "\x7f"])
def test_malformed_key_is_a_bad_request(mayfly, key):
    body = json.dumps({"language": "python", "code": "return 1"}).encode()
    with Connection(mayfly) as connection:
        head = f"POST /run-now HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nIdempotency-Key: {key}\r\n\r\n"
        connection.socket.sendall(head.encode() + body)
        reply = connection.reply()
        assert (reply.status, reply.code) == (400, "bad_request")


def test_two_keys_are_a_bad_request(mayfly):
    body = json.dumps({"language": "python", "code": "return 1"}).encode()
    with Connection(mayfly) as connection:
        head = f"POST /run-now HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n"
        connection.socket.sendall(head.encode() + body)
        assert connection.reply().status == 400


def test_key_is_forgotten_with_a_full_queue(single):
    """What was not run may be tried again."""
    key = {"Idempotency-Key": "full"}
    locations = [begin(single, "python", IDLE) for _ in range(3)]
    check(run_now(single, "python", ONCE, key), 429, "queue_full")
    for location in reversed(locations):
        single.request("DELETE", location)
    answer = run_now(single, "python", ONCE, key)
    assert answer.status == 200 and "idempotency-replayed" not in answer.headers


def test_key_is_forgotten_with_a_lost_cell(own):
    mayfly = own().start()
    key = {"Idempotency-Key": "lost"}
    code = "import os, time\nprint('up')\ntime.sleep(1)\nreturn os.urandom(8).hex()"
    answer = Background(run_now, mayfly, "python", code, key)
    eventually(lambda: len(mayfly.cells()) >= 2, lambda: str(mayfly.processes()))
    time.sleep(0.3)
    os.kill(mayfly.pid_of("python"), signal.SIGKILL)
    check(answer.result(), 502, "cell_lost")
    again = []
    eventually(lambda: again.append(run_now(mayfly, "python", code, key)) or again[-1].status == 200)
    assert not any("idempotency-replayed" in answer.headers for answer in again)
    mayfly.stop()


def test_call_ends_when_all_who_waited_for_it_have_left(single):
    headers = {"Idempotency-Key": "left"}
    first = stream_now(single, "python", IDLE, headers)
    first.next()
    second = stream_now(single, "python", IDLE, headers)
    second.next()
    first.close()
    time.sleep(0.5)
    assert single.cells(), "somebody still waits"
    second.close()
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    with stream_now(single, "python", IDLE, headers) as third:
        third.next()
        assert "idempotency-replayed" not in third.headers


def test_one_who_stays_gets_the_answer(single):
    key = {"Idempotency-Key": "stays"}
    body = {"language": "python", "code": "import time\ntime.sleep(1)\n" + ONCE}
    with Connection(single) as first, Connection(single) as second:
        first.send("POST", "/run-now", body, key)
        time.sleep(0.3)
        second.send("POST", "/run-now", body, key)
        time.sleep(0.2)
        first.reset()
        reply = second.reply()
        assert reply.status == 200 and reply.headers["idempotency-replayed"] == "true"
        data = reply.json["data"]
    assert run_now(single, "python", body["code"], key).data == data


# The end


def test_drain_lets_later_answers_finish(own):
    """Nobody is there to see it but the log, and a watcher who came before."""
    mayfly = own(DRAIN_TIMEOUT=30).start()
    location = begin(mayfly, "python", "import time\nprint('up')\ntime.sleep(2)\nreturn 'end'")
    with watch(mayfly, location) as reply:
        reply.next()
        mayfly.keeper.send_signal(signal.SIGTERM)
        assert [event["data"] for event in reply.events()] == ["end"]
    assert mayfly.keeper.wait(60) == 0
    mayfly.assert_gone()


def test_drain_waits_for_a_call_that_nobody_watches(own):
    mayfly = own(DRAIN_TIMEOUT=30).start()
    location = begin(mayfly, "python", "import time\nprint('up')\ntime.sleep(2)\nreturn 'end'")
    eventually(lambda: mayfly.get(location).json["logs"]["stdout"] == "up\n")
    mayfly.keeper.send_signal(signal.SIGTERM)
    assert mayfly.keeper.wait(60) == 0
    assert "ending=returned" in mayfly.log()
    mayfly.assert_gone()
