"""Ten times what fits: every client gets an answer, right or `429`, nobody is starved, and the server stays small."""

import concurrent.futures
import contextlib
import itertools
import threading
import time

import pytest
from conftest import started
from sse import Connection
from test_stream import resident

PLACES, QUEUE = 2, 20
CLIENTS = 10 * (PLACES + QUEUE)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    settings = {"MAX_CONTAINERS": PLACES, "QUEUE_MAX": QUEUE, "LOG_LEVEL": "warn"}
    yield from started(tmp_path_factory, "small", RUNTIMES="python", **settings)


def call(mayfly, number, code, path="/run-now", source="127.0.0.1", stream=False, **members):
    """Whether it was served; where not, it was told to come again. Any other answer fails."""
    body = {"input": number, "stream": stream, **members}
    if path == "/run-now":
        body |= {"language": "python", "code": code}
    with Connection(mayfly, source) as connection:
        reply = connection.ask("POST", path, body)
        if reply.status == 429:
            assert reply.code == "queue_full" and int(reply.headers["retry-after"]) >= 1
            return False
        right = {"data": number, "type": "number"}
        if stream:
            assert reply.events() == [{"event": "result", **right}]
        else:
            assert (reply.status, reply.json) == (200, right), (reply, reply.body)
        return True


def test_ten_times_what_fits(small):
    """Each client asks again and again, with a body of some size, for as long as the flood lasts."""
    code = "#" + "x" * 20_000 + "\nimport time\ntime.sleep(0.05)\nreturn event"
    server = small.pid_of("server")
    assert call(small, 1, code)
    before, until = resident(server), time.monotonic() + 8
    peak = [before]

    def client(name):
        outcomes = []
        while time.monotonic() < until:
            outcomes.append(call(small, name * 1000 + len(outcomes), code))
            if not outcomes[-1]:
                time.sleep(0.1)
            if name == 0:
                peak.append(resident(server))
        return outcomes

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as clients:
        outcomes = list(itertools.chain.from_iterable(clients.map(client, range(CLIENTS))))
    served, refused = outcomes.count(True), outcomes.count(False)
    print(f"served {served}, refused {refused}; KiB resident: {[n >> 10 for n in (before, max(peak), resident(server))]}")
    assert served > 50 and refused > served
    assert resident(server) <= before + (20 << 20)
    assert call(small, 5, "return event")


@contextlib.contextmanager
def flood(threads, one):
    """So many threads call one(number) until the block ends. It begins when the queue has overflowed."""
    done, numbers, outcomes = threading.Event(), itertools.count(), []

    def client():
        while not done.is_set():
            outcomes.append(one(next(numbers)))
            if not outcomes[-1]:
                time.sleep(0.05)

    with concurrent.futures.ThreadPoolExecutor(threads) as clients:
        running = [clients.submit(client) for _ in range(threads)]
        try:
            while outcomes.count(False) < threads and not any(future.done() for future in running):
                time.sleep(0.05)
            yield
        finally:
            done.set()
            for future in running:
                future.result()
    assert outcomes.count(True) > 0


SLOW = "import time\ntime.sleep(0.1)\nreturn event"


def test_second_client_is_served_while_the_first_floods(small):
    """A client is an address, where there is no token to tell."""
    with flood(60, lambda number: call(small, number, SLOW)):
        for number in range(10):
            assert call(small, number, SLOW, source="127.0.0.2"), "turned away"


def test_other_function_is_served_while_one_is_flooded(small):
    small.upload("overload/loved", "python", SLOW)
    small.upload("overload/other", "python", SLOW)
    with flood(60, lambda number: call(small, number, None, "/run/overload/loved")):
        for number in range(10):
            assert call(small, number, None, "/run/overload/other"), "turned away"


def test_streams_are_served_or_turned_away_alike(small):
    with flood(60, lambda number: call(small, number, SLOW, stream=number % 2 == 0)):
        for number in range(10):
            assert call(small, number, SLOW, source="127.0.0.2", stream=True), "turned away"
