"""Clients that leave: their cells go with them, their places are free at once, and nothing of them is left."""

import concurrent.futures
import os
import random
import socket
import time

import pytest
from conftest import started
from host import Background, eventually
from scripts import LANGUAGES, count, fault, give, say, script, sleep
from sse import Connection, stream_now

LEAVINGS = {
    "close": Connection.close,
    "reset": Connection.reset,
    "half-close, then reset": lambda connection: (connection.half_close(), time.sleep(0.3), connection.reset()),
}
leavings = pytest.mark.parametrize("leave", LEAVINGS.values(), ids=LEAVINGS)
PATIENT = {"TIMEOUT_SCRIPT": 300, "QUEUE_TIMEOUT": 300}  # so that nothing but a departure ends a call in time


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """One place, no spares: a cell that is there belongs to the one call that runs."""
    yield from started(tmp_path_factory, "single", MAX_CONTAINERS=1, SPARE_CELLS=0, QUEUE_MAX=1, **PATIENT)


def body(language, code, **members):
    return {"language": language, "code": code, **members}


def idle(language, **members):
    return body(language, script(language, say(language, "up"), fault(language, "idle")), **members)


def assert_served(mayfly):
    """The only place is free, and nobody waits before this one."""
    assert eventual_answer(mayfly, "return 'served'").data == "served"
    eventually(lambda: not mayfly.cells(), lambda: str(mayfly.processes()))


# One that leaves


@leavings
@pytest.mark.parametrize("language", LANGUAGES)
def test_leaving_in_mid_stream_ends_the_cell(single, language, leave):
    reply = stream_now(single, **idle(language))
    assert reply.next().data["data"] == "up"
    assert single.cells()
    leave(reply.connection)
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    assert_served(single)


@leavings
@pytest.mark.parametrize("code", ["while True: print('x' * 999)", "import sys\nwhile True: print(1, file=sys.stderr)", "while True: pass"])
def test_leaving_a_busy_stream_ends_the_cell(single, leave, code):
    reply = stream_now(single, "python", "print('up')\n" + code)
    assert reply.next().data["data"] == "up"
    leave(reply.connection)
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    assert_served(single)


@leavings
def test_slow_reader_that_leaves_ends_its_cell(single, leave):
    """The server has more for it than it takes, so it is not even trying to send."""
    connection = Connection(single, receive_bytes=4096)
    connection.send("POST", "/run-now", body("python", "for n in range(3000): print('x' * 999)\n" + fault("python", "idle"), stream=True))
    eventually(single.cells)
    time.sleep(0.5)
    leave(connection)
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    assert_served(single)


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset])
@pytest.mark.parametrize("language", LANGUAGES)
def test_leaving_before_a_plain_answer_ends_the_cell(single, language, leave):
    connection = Connection(single)
    connection.send("POST", "/run-now", idle(language))
    eventually(single.cells)
    leave(connection)
    eventually(lambda: not single.cells(), lambda: str(single.processes()))
    assert_served(single)


@pytest.mark.parametrize("leave", [Connection.close, Connection.reset])
@pytest.mark.parametrize("stream", [False, True])
def test_leaving_the_queue_makes_room_in_it(single, leave, stream):
    """One runs, one waits, and there is room for no other until that one has left."""
    with stream_now(single, **idle("python")) as running, Connection(single) as waiting:
        running.next()
        waiting.send("POST", "/run-now", body("python", "return 1", stream=stream))
        assert_full(single)
        leave(waiting)
        next_one = Background(eventual_answer, single, "return 3")
        time.sleep(0.5)  # it waits now, or will have to try again
        running.close()
        assert next_one.result().data == 3
    assert_served(single)


def assert_full(mayfly):
    """What was sent before is in the queue by now, or this would wait in its place."""
    time.sleep(0.5)
    assert mayfly.python("return 2").status == 429


def eventual_answer(mayfly, code):
    """The answer of the first try that the queue has room for."""
    answers = []
    eventually(lambda: answers.append(mayfly.python(code)) or answers[-1].status != 429)
    return answers[-1]


def test_function_that_waits_after_its_client_left_never_runs(single):
    """It would have been the next: what runs instead is the one after it."""
    with stream_now(single, **idle("python")) as running:
        running.next()
        waiting = Connection(single)
        waiting.send("POST", "/run-now", idle("python"))
        assert_full(single)
        waiting.close()
    assert_served(single)


# One that only stops talking


@pytest.mark.parametrize("language", LANGUAGES)
def test_half_closed_connection_gets_its_whole_answer(mayfly, language):
    with Connection(mayfly) as connection:
        code = script(language, sleep(language, 1), give(language, "x" * 100_000))
        connection.send("POST", "/run-now", body(language, code))
        connection.half_close()
        reply = connection.reply()
        assert reply.json == {"data": "x" * 100_000, "type": "string"}
        assert connection.take(1) == b""


@pytest.mark.parametrize("language", LANGUAGES)
def test_half_closed_connection_gets_its_whole_stream(mayfly, language):
    """Half-closed before the answer begins, and in its middle."""
    statements = [count(language, 1000), sleep(language, 0.5), count(language, 1000), give(language, "end")]
    for early in True, False:
        with Connection(mayfly) as connection:
            connection.send("POST", "/run-now", body(language, script(language, *statements), stream=True))
            if early:
                connection.half_close()
            reply = connection.reply()
            first = reply.next()
            if not early:
                connection.half_close()
            events = [first.data, *reply.events()]
            assert [event["data"] for event in events] == [*range(1000), *range(1000), "end"]
            assert connection.take(1) == b""


def test_half_closed_connection_that_waits_gets_its_turn(single):
    with stream_now(single, **idle("python")) as running, Connection(single) as waiting:
        running.next()
        waiting.send("POST", "/run-now", body("python", "return 1", stream=True))
        waiting.half_close()
        time.sleep(0.5)
        running.close()
        assert [event["data"] for event in waiting.reply().events()] == [1]


# A thousand


def descriptors(mayfly):
    holders = mayfly.keeper.pid, mayfly.pid_of("server"), mayfly.pid_of("python")
    return [len(os.listdir(f"/proc/{pid}/fd")) for pid in holders]


def hang_up(mayfly, number):
    """Leaves at some time between its first byte and its answer, in one way or another."""
    chance = random.Random(number)
    asked = body("python", "print(1)\nimport time\ntime.sleep(300)", stream=number % 2 == 0)
    connection = Connection(mayfly)
    if number % 10 == 9:
        connection.socket.sendall(b"POST /run-now HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    else:
        connection.send("POST", "/run-now", asked)
    if number % 4 == 0:
        connection.socket.settimeout(chance.uniform(0.1, 1))
        try:
            connection.reply().next()
        except socket.timeout:
            pass
    else:
        time.sleep(chance.uniform(0, 0.3))
    (connection.close if number % 3 else connection.reset)()


def test_a_thousand_clients_that_hang_up_leave_nothing(own):
    mayfly = own(SPARE_CELLS=0, LOG_LEVEL="warn", **PATIENT).start()
    for n in range(8):
        assert mayfly.python(f"return {n}").data == n
    eventually(lambda: not mayfly.cells())
    before = descriptors(mayfly)
    with concurrent.futures.ThreadPoolExecutor(50) as clients:
        list(clients.map(lambda number: hang_up(mayfly, number), range(1000)))
    eventually(lambda: not mayfly.cells(), lambda: str(mayfly.processes()), deadline_s=20)
    eventually(lambda: descriptors(mayfly) == before, lambda: f"{before}\n{descriptors(mayfly)}", deadline_s=20)
    assert mayfly.python("return 'fine'").data == "fine"
    mayfly.stop()
