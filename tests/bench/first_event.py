"""How soon a stream tells what a script prints; beside it, how soon an interpreter in bubblewrap has printed at all."""

import json
import re
import socket
import subprocess
import time
import urllib.parse

import load
import peers
import stage

# Prints its clock, which is the same for all processes of a machine, then goes on for a while: it is not the end that tells the line.
CLOCKS = {
    "python": "import time\nprint(time.monotonic_ns())\ntime.sleep(0.03)",
    "javascript": "console.log(Number(process.hrtime.bigint()))\nawait new Promise((done) => setTimeout(done, 30))",
    "typescript": "console.log(Number(process.hrtime.bigint()) as number)\nawait new Promise((done) => setTimeout(done, 30))",
}
PRINTS = {"python": "print(1, flush=True); return 0", "javascript": "console.log(1); return 0", "typescript": "console.log(1); return 0"}


def measure(at_a_time=5):
    """language → ms from print to event, from request to event, and from the start of the peer to its line."""
    with stage.mayfly() as mayfly:
        sides = {}
        for language, code in CLOCKS.items():
            sides[language, "mayfly"] = streams(mayfly.upload(f"clock/{language}", language, code), at_a_time)
            sides[language, "bwrap"] = lines(peers.bwrap(language, PRINTS[language]))
        seen = load.interleaved("first event", stage.rounds(0.5), sides)
    table = {}
    for language in CLOCKS:
        calls = [call for calls in seen[language, "mayfly"] for call in calls]
        table[language] = {
            "after_print": load.percentile([call["after_print"] for call in calls], 50),
            "after_print_p99": load.percentile([call["after_print"] for call in calls], 99),
            "after_request": load.percentile([call["after_request"] for call in calls], 50),
            "bwrap": load.percentile(seen[language, "bwrap"], 50),
            "calls": len(calls),
        }
    return table


def streams(url, count):
    return lambda: [stream(url) for _ in range(count)]


def stream(url):
    address = urllib.parse.urlparse(url)
    with socket.create_connection(address.netloc.split(":")) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        body = b'{"stream":true}'
        begin = time.monotonic_ns()
        connection.sendall(b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (address.path.encode(), len(body), body))
        text = b""
        while b"\n\n" not in text.partition(b"id: 1\n")[2]:
            more = connection.recv(65536)
            assert more, text
            arrived = time.monotonic_ns()
            text += more
        event = json.loads(re.search(rb"id: 1\ndata: (.*)\n", text)[1])
        time.sleep(0.04)  # its call ends
    return {"after_print": (arrived - event["data"]) / 1e6, "after_request": (arrived - begin) / 1e6}


def lines(command):
    def first_line():
        begin = time.monotonic_ns()
        with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            arrived = time.monotonic_ns()
            process.stdout.read()
        return (arrived - begin) / 1e6
    return first_line
