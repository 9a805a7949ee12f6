#!/usr/bin/python3
"""A minute of everything at once: mayfly with the fake runtime, asked by clients that stream, come back, cancel, leave, and do
not read. Whatever is answered must be whole and well-formed; then it is quiet, and nothing may be left. At last it is ended
while they ask again.

tests/fuzz/stress_server.py [SECONDS [SEED [CLIENTS]]], as root; MAYFLY_BUILD=build-asan for sanitizers.
"""

import asyncio
import collections
import json
import os
import pathlib
import random
import re
import socket
import struct
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "integration"))
from host import Mayfly, eventually  # noqa: E402

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 60
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
CLIENTS = int(sys.argv[3]) if len(sys.argv) > 3 else 40
TOKENS = "first", "second"
SETTINGS = dict(
    RUNTIMES="fake", AUTH_TOKEN=",".join(TOKENS), MAX_CONTAINERS=4, SPARE_CELLS=1, TIMEOUT_SCRIPT=0.5,
    OUTPUT_MAX_SIZE="1m", QUEUE_MAX=16, QUEUE_TIMEOUT=1, QUEUE_MAX_SIZE="1m", CALLS_KEEP=2,
    CALLS_KEEP_SIZE="2m", STREAM_PING=0.05, HTTP_IDLE_TIMEOUT=1, HTTP_MAX_CONNECTIONS=200, DRAIN_TIMEOUT=0.5,
    MAX_MEMORY_PER_CONTAINER="128m", MAX_PROCESSES_PER_CONTAINER=20,
)
CODES = (
    "echo", "echo", "echo", "json 1", "print hello", "lines 3", "lines 20 3", "lines 20000", "lines 100 20",
    "flood 200000", "flood 4000000", "exit 3", "signal 9", "throw no", "sleep 0.05", "sleep 2", "memory 60000000",
    "fork 10", "fill 3000000", "raw 65 10", "raw 99 2", "raw 65 4000000000", "nonsense",
)
LIMITS = (
    {"memory_bytes": 32 << 20}, {"processes": 5}, {"tmp_bytes": 1 << 20}, {"output_bytes": 2000},
    {"timeout_ms": 50}, {"cpus": 0.5}, {"timeout_ms": 100, "processes": 6, "tmp_bytes": 65536},
)
STATUSES = {200, 202, 204, 400, 404, 409, 422, 429, 500, 502, 503, 504}
seen = collections.Counter()
locations = collections.deque(maxlen=60)  # (token, location)


class Answer:
    """What came, and whether it came to its end."""

    def __init__(self, raw):
        while raw.startswith(b"HTTP/1.1 1"):
            raw = raw.partition(b"\r\n\r\n")[2]
        head, self.has_head, body = raw.partition(b"\r\n\r\n")
        self.headers = dict(line.split(": ", 1) for line in head.decode().lower().split("\r\n")[1:])
        self.status = int(head.split(b" ")[1]) if self.has_head else 0
        self.whole = bool(self.has_head)
        if self.headers.get("transfer-encoding") == "chunked":
            body = self.unchunk(body)
        elif "content-length" in self.headers:
            self.whole = len(body) == int(self.headers["content-length"])
        self.body = body

    def unchunk(self, body):
        pieces, at = [], 0
        while True:
            end = body.find(b"\r\n", at)
            length = int(body[at:end], 16) if end > at else -1
            if length == 0:
                assert body[end:] == b"\r\n\r\n", body[end:]
                return b"".join(pieces)
            if length < 0 or len(body) < end + 2 + length + 2:
                self.whole = False
                return b"".join(pieces)
            pieces.append(body[end + 2 : end + 2 + length])
            at = end + 2 + length + 2


def check_stream(answer, first=1):
    blocks = answer.body.decode().split("\n\n")
    messages = [block.split("\n") for block in blocks[:-1] if block != ":"]
    ends = 0
    for number, message in enumerate(messages, first):
        assert len(message) == 2 and message[0] == f"id: {number}", message
        assert message[1].startswith("data: ") and not ends, message
        ends += json.loads(message[1][6:])["event"] in ("result", "error")
    assert ends == 1 or not answer.whole, answer.body[-300:]
    seen["messages"] += len(messages)


def check(answer, echo=None, first=1):
    if not answer.has_head:
        seen["cut before an answer"] += 1
        return
    assert answer.status in STATUSES, answer.status
    assert "server-timing" in answer.headers and "x-request-id" in answer.headers
    seen[answer.status] += 1
    if not answer.whole:
        seen["cut"] += 1
    if answer.headers.get("content-type") == "text/event-stream":
        check_stream(answer, first)
    elif answer.whole and answer.body:
        document = json.loads(answer.body)
        assert answer.status == 200 or answer.status == 202 or document["status"] == answer.status
        if answer.status == 200 and echo is not None:
            assert document["data"] == echo, document


async def ask(port, rng, request, manner):
    """In one of several manners; b"" if it did not wait for the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    raw = b""
    try:
        if manner == "in pieces":
            for at in range(0, len(request), max(len(request) // 3, 1)):
                writer.write(request[at : at + max(len(request) // 3, 1)])
                await asyncio.sleep(0.005)
        else:
            writer.write(request)
        if manner == "half-close":
            writer.write_eof()
        if manner in ("leave", "reset", "read nothing"):
            await asyncio.sleep(rng.choice((0, 0.001, 0.01, 0.1, 0.3)) + (manner == "read nothing") * 0.5)
            if manner == "reset":
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
            return b""
        while piece := await asyncio.wait_for(reader.read(65536), 20):
            raw += piece
            if manner == "slow":
                await asyncio.sleep(0.02)
            if manner == "leave midway" and len(raw) > 2000:
                return b""
    except asyncio.TimeoutError:
        raise  # an answer that does not come
    except OSError:
        seen["reset"] += 1
    finally:
        writer.close()
    return raw


MANNERS = ["read"] * 6 + ["slow", "slow", "leave", "leave", "reset", "half-close", "leave midway", "read nothing", "in pieces"]


def request(method, path, token, headers=(), body=b""):
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", "Connection: close",
             f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def run(port, rng):
    token, echo, headers = rng.choice(TOKENS), [rng.random()], []
    members = {"language": "python", "code": rng.choice(CODES), "input": echo}
    if rng.random() < 0.4:
        members["stream"] = True
    if rng.random() < 0.3:
        members["detail"] = True
    if rng.random() < 0.3:
        members["limits"] = rng.choice(LIMITS)
    if rng.random() < 0.25:
        headers.append("Prefer: respond-async")
    if rng.random() < 0.3:
        headers.append(f"Idempotency-Key: k{rng.randrange(8)}")
        members["input"] = echo = [rng.randrange(2)] * 2
    path = "/run-now"
    if rng.random() < 0.2:
        path = f"/run/f{rng.randrange(4)}"
        members = {name: members[name] for name in members if name in ("input", "stream", "detail")}
    body = json.dumps(members).encode() + b" " * rng.choice((0, 0, 0, 100_000))
    raw = await ask(port, rng, request("POST", path, token, headers, body), rng.choice(MANNERS))
    if raw:
        answer = Answer(raw)
        is_echo = members.get("code") == "echo" or path == "/run/f0"
        check(answer, echo if is_echo and answer.status == 200 else None)
        if answer.status == 202:
            locations.append((token, answer.headers["location"]))


async def look(port, rng):
    if not locations:
        return
    token, location = rng.choice(locations)
    method = rng.choice(("GET", "GET", "GET", "HEAD", "DELETE"))
    headers, first = [], 1
    if rng.random() < 0.6:
        headers.append("Accept: text/event-stream")
        if rng.random() < 0.5:
            first = rng.choice((0, 1, 2, 3, 10)) + 1
            headers.append(f"Last-Event-ID: {first - 1}")
    other = rng.random() < 0.1
    raw = await ask(port, rng, request(method, location, TOKENS[token == TOKENS[0]] if other else token, headers),
                    rng.choice(MANNERS))
    if not raw:
        return
    answer = Answer(raw)
    assert not other or not answer.has_head or answer.status in (404, 503), answer.status
    if method != "HEAD":
        is_stream = answer.headers.get("content-type") == "text/event-stream"
        found = re.match(rb"(?::\n\n)*id: (\d+)", answer.body)
        if is_stream and found:  # a number beyond the end of what there is yet counts as the end
            assert int(found[1]) <= first
            first = int(found[1])
        check(answer, first=first)


async def upload(port, rng):
    number = rng.randrange(4)
    body = json.dumps({"path": f"f{number}", "language": "python", "code": ("echo", "lines 10 5", "sleep 1", "exit 1")[number],
                       "limits": rng.choice(({}, *LIMITS[1:3]))}).encode()
    raw = await ask(port, rng, request("POST", "/upload", TOKENS[0], (), body), rng.choice(MANNERS))
    if raw:
        check(Answer(raw))


async def client(port, number, until):
    rng = random.Random(f"{SEED} {number}")
    while time.monotonic() < until:
        try:
            await rng.choice((run, run, run, look, look, upload) if rng.random() < 0.3 else (run, look))(port, rng)
        except ConnectionRefusedError:
            return  # it has ended
        seen["requests"] += 1


async def clients(port, seconds):
    until = time.monotonic() + seconds
    await asyncio.gather(*(client(port, number, until) for number in range(CLIENTS)))


def descriptors(mayfly):
    return len(os.listdir(f"/proc/{mayfly.pid_of('server')}/fd"))


def resident(mayfly):
    text = pathlib.Path(f"/proc/{mayfly.pid_of('server')}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) // 1024


def main():
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        mayfly = Mayfly(directory, **SETTINGS)
        try:
            mayfly.start()
            eventually(lambda: len(mayfly.cells()) == SETTINGS["SPARE_CELLS"])
            before = descriptors(mayfly)
            asyncio.run(clients(mayfly.port, SECONDS))
            print(f"descriptors {before} before, {descriptors(mayfly)} at the end; resident {resident(mayfly)} MiB")
            quiet(mayfly, before)
            end = threading.Timer(1, mayfly.keeper.terminate)
            end.start()
            asyncio.run(clients(mayfly.port, 3))
            end.join()
            mayfly.stop()
        finally:
            if mayfly.keeper.poll() is None:
                mayfly.kill()
            log = mayfly.log()
        assert "server.drained complete=" in log
        for bad in "Sanitizer", "runtime error", "http.surprise", "slot.lost", "server.lost", "cell.done":
            assert bad not in log, log[max(log.index(bad) - 500, 0) :][:6000]
        endings = collections.Counter(re.findall(r"ending=(\w+)", log))
        accepted = sum(endings.values())
        print(f"seed {SEED}: {dict(seen)}\n{accepted} calls: {dict(endings)}")


def quiet(mayfly, before):
    """Nobody asks any more: it comes back to what it was."""
    eventually(lambda: len(mayfly.cells()) == SETTINGS["SPARE_CELLS"], lambda: f"cells: {mayfly.cells()}", deadline_s=20)
    eventually(lambda: descriptors(mayfly) <= before, lambda: f"descriptors: {before}, now {descriptors(mayfly)}",
               deadline_s=20)
    time.sleep(SETTINGS["CALLS_KEEP"] + 0.5)
    for token, location in locations:
        assert mayfly.request("GET", location, headers={"Authorization": f"Bearer {token}"}).status == 404


if __name__ == "__main__":
    main()
