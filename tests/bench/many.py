"""Many stored functions, on both stores: what a call costs with one function stored and with 100,000, what loading one costs that is not in memory, how
long pages of the list take, and what the server holds with its cache full.

Two mayflies of each store, one with a single function and one with many, are called in turns. The many are put into the store itself, as copies of
one that was uploaded: to upload them would take minutes and is measured elsewhere (`functions`)."""

import contextlib
import http.client
import pathlib
import shutil
import signal
import sqlite3
import statistics
import subprocess
import tempfile
import time

import load
import memory
import peers
import stage

COUNT = 10_000 if stage.QUICK else 100_000
CODE_BYTES = 2048
CODE = peers.SCRIPTS["python"] + "\n" + "# so that it is as long as functions are\n" * 60
CACHE_BYTES = (4 if stage.QUICK else 32) << 20
PAGE = 100
BATCH = 1000
SHARE = 0.5  # of the rounds
CALLS, PACE_MS = 200, 5  # of a round: a p99 wants some thousand
PLACES = ("first", "middle", "last")


def measure():
    """store → figures. None where there is no Redis to start: half a table would look like a whole one."""
    if not shutil.which("redis-check-rdb"):
        return None
    return {store: measure_store(store) for store in STORES}


def measure_store(store):
    with contextlib.ExitStack() as stack:
        few, many = (stack.enter_context(STORES[store]()) for _ in range(2))
        cached = {place: place.mayfly.upload("bench", "python", CODE[:CODE_BYTES]) for place in (few, many)}
        any_of_them = many.mayfly.upload("many/0", "python", CODE[:CODE_BYTES]).replace("many/0", "many/%d")
        stage.say(f"many, {store}: storing {COUNT}")
        many.multiply("many/0", [f"many/{number}" for number in range(1, COUNT)])
        seen = load.interleaved(f"many, {store}", stage.rounds(SHARE), {
            "one": lambda: load.paced(cached[few], CALLS, PACE_MS),
            "many": lambda: load.paced(cached[many], CALLS, PACE_MS),
            "loaded": lambda: load.paced(any_of_them, 25, 20, load.BODY, "-r", COUNT),
        })
        pages = load.interleaved(f"many, {store}, pages", stage.rounds(SHARE), {place: page(many, place) for place in PLACES})
        before = server_mb(many)
        stage.say(f"many, {store}: filling the cache")
        load.client(any_of_them, "-c", 8, "-o", "-n", min(COUNT, CACHE_BYTES // CODE_BYTES), "-d", load.BODY)
        return {
            "count": COUNT,
            **{side: load.summary(reports) for side, reports in seen.items()},
            "of_one": load.ratio_of(seen["many"], seen["one"], "ms", "p50"),
            "of_one_p99": load.pooled(seen["many"], 99) / load.pooled(seen["one"], 99),
            "pages": {place: statistics.median(all_) for place, all_ in pages.items()},
            "cache_mb": CACHE_BYTES / 1e6, "server_before": before, "server_after": server_mb(many),
        }


def page(place, where):
    """A function that takes the time of such a page, in ms: the median of ten over a connection that is kept."""
    paths = sorted(["bench", *(f"many/{number}" for number in range(COUNT))])
    after = {"first": "", "middle": f"&after={paths[COUNT // 2]}", "last": f"&after={paths[-PAGE - 1]}"}[where]

    def take():
        connection = http.client.HTTPConnection("127.0.0.1", int(place.mayfly.url.rpartition(":")[2]))
        times = []
        for _ in range(10):
            begin = time.perf_counter()
            connection.request("GET", f"/functions?limit={PAGE}{after}")
            answer = connection.getresponse()
            body = answer.read()
            times.append((time.perf_counter() - begin) * 1000)
            assert answer.status == 200 and body.count(b'"path"') == PAGE, (answer.status, body[:200])
        connection.close()
        return statistics.median(times)
    return take


def server_mb(place):
    time.sleep(memory.SETTLE_S)
    for process, _ in memory.family(place.mayfly.process.pid):
        if memory.kind_of(process) == "server":
            return memory.sizes(process / "smaps_rollup")["Pss"]
    raise RuntimeError("there is no server")


FLAGS = ("--runtimes=python", f"--cache-max-size={CACHE_BYTES}")


class Sqlite:
    def __init__(self, mayfly):
        self.mayfly = mayfly

    def multiply(self, path, copies):
        database = sqlite3.connect(self.mayfly.directory / "mayfly.db", timeout=60)
        with database:
            for table in "function", "function_version":
                columns = ", ".join(row[1] for row in database.execute(f"PRAGMA table_info({table})") if row[1] != "path")
                database.executemany(f"INSERT INTO {table} (path, {columns}) SELECT ?, {columns} FROM {table} WHERE path = ?",
                                     ((copy, path) for copy in copies))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()


class Redis:
    def __init__(self, mayfly, client):
        self.mayfly, self.client = mayfly, client

    def multiply(self, path, copies):
        prefix = "mayfly:"
        function = self.client.hgetall(f"{prefix}function:{path}")
        number = int(function[b"latest"])
        version = self.client.hgetall(f"{prefix}version:{path}:{number}")
        for begin in range(0, len(copies), BATCH):
            pipe = self.client.pipeline(transaction=False)
            for copy in copies[begin:begin + BATCH]:
                pipe.hset(f"{prefix}function:{copy}", mapping=function)
                pipe.zadd(f"{prefix}versions:{copy}", {number: number})
                pipe.hset(f"{prefix}version:{copy}:{number}", mapping=version)
                pipe.zadd(f"{prefix}functions", {copy: 0})
            pipe.execute()


@contextlib.contextmanager
def on_sqlite():
    with stage.mayfly(*FLAGS) as mayfly:
        yield Sqlite(mayfly)


@contextlib.contextmanager
def on_redis():
    with redis_server() as (port, client), stage.mayfly(*FLAGS, "--redis-host=127.0.0.1", f"--redis-port={port}") as mayfly:
        yield Redis(mayfly, client)


@contextlib.contextmanager
def redis_server():
    """One of its own, as safe as the embedded store: each upload is on disk. The program is in redis-tools, under another name."""
    import redis  # needed for this alone

    directory, port = tempfile.mkdtemp(prefix="mayfly-bench-"), stage.free_port()
    options = {"port": port, "bind": "127.0.0.1", "dir": directory, "save": "", "appendonly": "yes", "appendfsync": "always"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    with open(f"{directory}/log", "w") as log:
        process = subprocess.Popen(["redis-server", *words], executable="redis-check-rdb", stdout=log, stderr=log)
    client = redis.Redis("127.0.0.1", port)
    try:
        until = time.monotonic() + stage.READY_S
        while True:
            try:
                client.ping()
                break
            except redis.RedisError:
                if time.monotonic() > until or process.poll() is not None:
                    raise RuntimeError(pathlib.Path(directory, "log").read_text()[-2000:])
                time.sleep(0.05)
        yield port, client
    finally:
        client.close()
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(directory)


STORES = {"SQLite": on_sqlite, "Redis": on_redis}
