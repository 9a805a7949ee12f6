"""`kill -9` at any moment under eight clients that upload: whatever was acknowledged is there, whole, and runs; and nothing is there by halves.

MAYFLY_ROUNDS: how many kills (200); MAYFLY_SEED: which (printed). What one round leaves is looked at by the next one's server.
"""

import concurrent.futures
import hashlib
import http.client
import json
import os
import random
import re
import signal
import sqlite3
import threading
import time

from host import eventually, is_free, process_table

ROUNDS = int(os.environ.get("MAYFLY_ROUNDS", 200))
SEED = int(os.environ.get("MAYFLY_SEED", time.time_ns() // 1000 % 1_000_000_000))
CLIENTS = 8
SHARED = 4  # paths that all clients upload to
SETTINGS = {
    "LOG_LEVEL": "warn",
    "SPARE_CELLS": 0,
    "TEMPLATE_MEMORY_MAX": 0,
    "MAX_CONTAINERS": CLIENTS,
    "CACHE_MAX_SIZE": "1m",  # what is looked at comes from the disk
}
CODE = 'x = "{}"\nimport hashlib\nreturn hashlib.sha256(x.encode()).hexdigest()[:16] == "{}" and len(x)\n'


def make_code(choice):
    """1 to 50 KB that tell whether they are whole; small ones more often."""
    pad = choice.randbytes(int(500 * 50 ** choice.random())).hex()
    return CODE.format(pad, hashlib.sha256(pad.encode()).hexdigest()[:16])


def is_whole(code):
    pad = re.match('x = "([0-9a-f]*)"\n', code)
    return bool(pad) and code == CODE.format(pad[1], hashlib.sha256(pad[1].encode()).hexdigest()[:16])


class Connection:
    """Keeps one HTTP connection open; a server that is killed is OSError or HTTPException."""

    def __init__(self, mayfly):
        self.http = http.client.HTTPConnection("127.0.0.1", mayfly.port, timeout=60)

    def ask(self, method, path, body=None):
        self.http.request(method, path, json.dumps(body) if body is not None else None)
        answer = self.http.getresponse()
        return answer.status, answer.read()

    def get(self, path):
        status, body = self.ask("GET", path)
        assert status == 200, (path, status, body)
        return json.loads(body)


class Ledger:
    """What was sent and what was acknowledged, in all rounds."""

    def __init__(self, mayfly, seed):
        self.mayfly, self.choice = mayfly, random.Random(seed)
        self.kept = {}  # (path, version) → hash of its code
        self.fresh = []  # of them, those that nobody has looked for yet
        self.sent = {}  # path → hashes of what was sent since the last look
        self.aliases = {}  # path → versions that its alias may name: the last acknowledged (None: there is no alias), and one under way
        self.removed = []  # (path, version) acknowledged
        self.seen = {}  # path → versions that are known to be there
        self.lock = threading.Lock()
        self.round = 0
        self.refused = 0

    # A round of uploading

    def client(self, number, seed, stop):
        choice, connection = random.Random(seed), Connection(self.mayfly)
        try:
            for n in range(100_000):
                if stop.is_set():
                    break
                self.upload(connection, choice, number, n)
                if number == 0:
                    self.move_alias(connection)
                if number == 1 and n % 4 == 3:
                    self.remove_one(connection, f"new/{self.round}/{number}/{n}")
        except (OSError, http.client.HTTPException):
            pass  # it was killed

    def upload(self, connection, choice, number, n):
        path = f"shared/{choice.randrange(SHARED)}" if n % 2 == 0 else f"new/{self.round}/{number}/{n}"
        code = make_code(choice)
        digest = hashlib.sha256(code.encode()).hexdigest()
        with self.lock:
            self.sent.setdefault(path, set()).add(digest)
        status, body = connection.ask("POST", "/upload", {"path": path, "language": "python", "code": code})
        if status == 503:
            self.refused += 1
            time.sleep(0.05)
            return
        assert status == 200, (status, body)
        answer = json.loads(body)
        assert (answer["created"], answer["hash"]) == (True, digest)
        with self.lock:
            assert (path, answer["version"]) not in self.kept
            self.kept[path, answer["version"]] = digest
            self.fresh.append((path, answer["version"]))

    def move_alias(self, connection):
        with self.lock:
            path, version = self.choice.choice([key for key in self.fresh if key[0].startswith("shared/")] or [(None, 0)])
            if not path:
                return
            self.aliases.setdefault(path, {None}).add(version)
        status, body = connection.ask("PUT", f"/functions/{path}/aliases/prod", {"version": version})
        assert status in (200, 503), (status, body)
        if status == 200:
            with self.lock:
                self.aliases[path] = {version}

    def remove_one(self, connection, path):
        """Of this client's own; nobody looks for it before the answer, or if there is none."""
        with self.lock:
            keys = [key for key in self.fresh if key[0] == path]
            for key in keys:
                self.fresh.remove(key)
                del self.kept[key]
        for key in keys:
            status, body = connection.ask("DELETE", f"/functions/{path}?version={key[1]}")
            assert status in (204, 503), (status, body)
            if status == 204:
                self.removed.append(key)

    def upload_until(self, kill):
        """Eight clients, for 0 to 300 ms; then kill(), which is followed by no acknowledgement."""
        self.round += 1
        stop = threading.Event()
        seeds = [self.choice.random() for _ in range(CLIENTS)]
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            clients = [pool.submit(self.client, number, seed, stop) for number, seed in enumerate(seeds)]
            time.sleep(self.choice.uniform(0, 0.3))
            kill()
            stop.set()
            for client in clients:
                client.result()

    # What is left of it

    def look(self):
        fresh, self.fresh = self.fresh, []
        older = self.choice.sample(sorted(self.kept), min(10, len(self.kept)))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(self.look_for, [fresh[0::2] + older[0::2], fresh[1::2] + older[1::2]]))
        connection = Connection(self.mayfly)
        self.look_for_halves(connection)
        for path, versions in self.aliases.items():
            status, body = connection.ask("GET", f"/functions/{path}/aliases/prod")
            named = json.loads(body)["version"] if status == 200 else None
            assert status in (200, 404) and named in versions, (path, status, named, versions)
            self.aliases[path] = {named}
        for path, version in self.removed[-5:]:
            assert connection.ask("GET", f"/functions/{path}?version={version}")[0] == 404
        for path, version in self.choice.sample(fresh, min(2, len(fresh))) + older[:1]:
            status, body = connection.ask("POST", f"/run/{path}?version={version}")
            assert status == 200 and json.loads(body)["data"] > 0, (path, version, status, body)

    def look_for(self, keys):
        connection = Connection(self.mayfly)
        for path, version in keys:
            answer = connection.get(f"/functions/{path}?version={version}")
            digest = hashlib.sha256(answer["code"].encode()).hexdigest()
            assert digest == self.kept[path, version] == answer["hash"], (path, version)

    def look_for_halves(self, connection):
        """What is there and was not acknowledged was sent, and is whole."""
        paths, query = [], f"/functions?limit=1000&prefix=new/{self.round}/"
        page = connection.get(query)
        assert page["next"] is None
        paths = [entry["path"] for entry in page["functions"]] + [f"shared/{n}" for n in range(SHARED)]
        for path in paths:
            status, body = connection.ask("GET", f"/functions/{path}?limit=1000")
            if status == 404 and path.startswith("shared/"):
                continue
            assert status == 200, (path, status, body)
            page, known = json.loads(body), self.seen.setdefault(path, set())
            for entry in page["versions"]:
                if entry["version"] in known:
                    continue
                known.add(entry["version"])
                if (path, entry["version"]) in self.kept:
                    continue
                code = connection.get(f"/functions/{path}?version={entry['version']}")["code"]
                digest = hashlib.sha256(code.encode()).hexdigest()
                assert is_whole(code) and digest == entry["hash"] and digest in self.sent[path], (path, entry)
                self.kept[path, entry["version"]] = digest
            assert page["latest"] == page["versions"][0]["version"]
            assert entry_is_latest(connection, page)
        self.sent = {}


def entry_is_latest(connection, page):
    """What the list tells is what the versions tell."""
    for entry in connection.get(f"/functions?limit=1000&prefix={page['path']}")["functions"]:
        if entry["path"] == page["path"]:
            return (entry["latest"], entry["hash"]) == (page["latest"], page["versions"][0]["hash"])
    return False


def kill_keeper(mayfly):
    """All of mayfly ends with it; its supervisor starts it anew."""
    mayfly.kill()


def kill_server(mayfly):
    """The keeper starts it anew."""
    os.kill(mayfly.server, signal.SIGKILL)


def describe(pid):
    """What keeps it, if it is still there."""
    text = ""
    for name in "status", "wchan", "stack":
        try:
            with open(f"/proc/{pid}/{name}") as file:
                text += file.read() + "\n"
        except OSError:
            pass
    return text


def start(mayfly):
    """Anew, or as far as it is gone. Nobody waits for what is left of its cells, which is swept up meanwhile."""
    if mayfly.keeper:
        eventually(lambda: mayfly.server not in process_table(), lambda: describe(mayfly.server) + mayfly.log())
    if mayfly.keeper and mayfly.keeper.poll() is None:
        mayfly.wait_ready()
    else:
        eventually(lambda: is_free(mayfly.port), mayfly.log)  # its processes end one after the other
        mayfly.start()
    mayfly.server = mayfly.pid_of("server")


def report(ledger):
    print(
        f"seed {SEED}: {ledger.round} rounds, {len(ledger.kept)} uploads kept, {len(ledger.removed)} removed, "
        f"{ledger.refused} refused, log of {os.path.getsize(ledger.mayfly.log_path)} bytes"
    )


def test_no_acknowledged_upload_is_lost_when_mayfly_is_killed(own):
    print(f"MAYFLY_SEED={SEED}")
    mayfly = own(**SETTINGS)
    ledger = Ledger(mayfly, SEED)
    for n in range(ROUNDS):
        start(mayfly)
        ledger.look()
        ledger.upload_until(lambda: [kill_keeper, kill_server][n % 2](mayfly))
        if n % 50 == 0:
            mayfly.assert_gone()
    start(mayfly)
    ledger.look()
    ledger.look_for(sorted(ledger.kept))
    mayfly.stop()
    report(ledger)
    with sqlite3.connect(os.path.join(mayfly.directory, "data", "mayfly.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    assert os.path.getsize(mayfly.log_path) < 1 << 20


def test_no_acknowledged_upload_is_lost_when_redis_is_killed_too(own, redis_server):
    """appendfsync always: what Redis acknowledges is on its disk."""
    print(f"MAYFLY_SEED={SEED}")
    mayfly = own(**SETTINGS, **redis_server.settings())
    ledger = Ledger(mayfly, SEED)

    def kill_redis(_):
        redis_server.kill()
        time.sleep(0.05)  # it is missed, and that is told

    kills = [kill_keeper, kill_redis, kill_server, kill_redis]
    start(mayfly)
    for n in range(max(4, ROUNDS // 10)):
        ledger.look()
        ledger.upload_until(lambda: kills[n % 4](mayfly))
        if redis_server.process.poll() is not None:
            redis_server.start()
            eventually(mayfly.is_ready, mayfly.log)
        else:
            start(mayfly)
    ledger.look()
    ledger.look_for(sorted(ledger.kept))
    mayfly.stop()
    report(ledger)
    assert os.path.getsize(mayfly.log_path) < 1 << 20
