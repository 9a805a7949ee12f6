"""Calls that end badly: how long one outlives its deadline, and what many times too many clients meet."""

import concurrent.futures
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request

import load
import memory
import stage

SPINS = {"python": "while True: pass", "javascript": "for (;;);"}
PLACES, LINE, FACTOR = 2, 20, 10


def measure_deadline(timeout_ms=200, at_a_time=4):
    """language → ms by which a spinning call outlives its deadline, its process being gone: the server answers with usage then."""
    calls = stage.rounds(10)
    table = {}
    with stage.mayfly() as mayfly, concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
        for language in SPINS:
            stage.say(f"deadline: {calls} spinning calls of {language}")
            late = list(pool.map(lambda _: outlives(mayfly.url, language, timeout_ms), range(calls)))
            table[language] = {"p50": load.percentile(late, 50), "p99": load.percentile(late, 99), "calls": calls}
    return table


def outlives(url, language, timeout_ms):
    body = {"language": language, "code": SPINS[language], "limits": {"timeout_ms": timeout_ms}, "detail": True}
    begin = time.monotonic()
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/run-now", json.dumps(body).encode()))
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        assert problem["code"] == "timeout", problem
        return (time.monotonic() - begin) * 1000 - problem["usage"]["queue_ms"] - problem["usage"]["start_ms"] - timeout_ms
    raise AssertionError("it was answered")


def measure_overload(full_seconds=8):
    """Ten times as many clients as there are places and room to wait, connecting anew for each call of 20 ms."""
    clients = FACTOR * (PLACES + LINE)
    with stage.mayfly(f"--max-containers={PLACES}", f"--queue-max={LINE}", "--runtimes=python") as mayfly:
        stage.say(f"overload: {clients} clients")
        before, until = server_rss(mayfly), time.monotonic() + stage.seconds(full_seconds)
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            all_ = list(pool.map(lambda _: insist(mayfly.url, until), range(clients)))
        after = server_rss(mayfly)
    admitted = [ms for mine, _ in all_ for ms in mine]
    return {"clients": clients, "places": PLACES, "line": LINE, "admitted": len(admitted), "refused": sum(others for _, others in all_),
            "p50": load.percentile(admitted, 50), "p99": load.percentile(admitted, 99), "rss_before": before, "rss_after": after}


def insist(url, until):
    """One client: times of the calls that were admitted, and how many were told to come again."""
    body = json.dumps({"language": "python", "code": "import time\ntime.sleep(0.02)\nreturn 1"}).encode()
    admitted, refused = [], 0
    while time.monotonic() < until:
        begin = time.monotonic()
        connection = http.client.HTTPConnection(urllib.parse.urlparse(url).netloc)
        connection.request("POST", "/run-now", body)
        reply = connection.getresponse()
        reply.read()
        connection.close()
        assert reply.status in (200, 429), reply.status
        if reply.status == 200:
            admitted.append((time.monotonic() - begin) * 1000)
        else:
            refused += 1
            time.sleep(0.2)
    return admitted, refused


def server_rss(mayfly):
    """MB of mayfly-server."""
    return sum(memory.sizes(process / "status")["VmRSS"] for process, _ in memory.family(mayfly.process.pid)
               if (process / "comm").read_text().strip() == "mayfly-server")
