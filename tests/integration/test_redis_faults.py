"""Redis away, hung, full, demoted, replaced or mad: a clear error, no wrong answer, what is known keeps running, and a return by itself."""

import concurrent.futures
import contextlib
import http.client
import itertools
import json
import os
import socket
import threading
import time

import pytest

from faults import Known, expect_away, expect_back, expect_works, is_away, says_away, start_with_stored, wait_back
from host import Background, eventually
from redis_host import Redis, Sentinel


@pytest.fixture
def node(own, redis_server):
    """A mayfly on redis_server, which the test may ail."""
    mayfly = start_with_stored(own(**redis_server.settings()))
    yield mayfly
    mayfly.stop()


def test_killed_redis(node, redis_server):
    known = Known(node)
    for _ in range(2):
        redis_server.kill()
        expect_away(known)
        redis_server.start()
        expect_back(known)
    assert node.run("stored").data == "read"


def test_restarted_redis(node, redis_server):
    known = Known(node)
    redis_server.stop()
    redis_server.start()
    expect_back(known)


def test_hung_redis_delays_what_needs_it_and_nothing_else(own, redis_server):
    mayfly = start_with_stored(own(REDIS_TIMEOUT=20, **redis_server.settings()))
    known = Known(mayfly)
    redis_server.pause()
    waiting = [Background(mayfly.upload, f"waits/{n}", "python", f"return {n}") for n in range(3)]
    waiting += [Background(mayfly.run, "stored"), Background(mayfly.functions)]
    for _ in range(5):
        known.expect_served()
    assert not any(request.future.done() for request in waiting)
    redis_server.resume()
    assert [request.result().status for request in waiting] == [200] * 5
    assert mayfly.run("waits/2").data == 2
    assert mayfly.run("stored").data == "read"
    expect_back(known)
    mayfly.stop()


def test_hung_redis_is_given_up_in_time(node, redis_server):
    known = Known(node)
    for _ in range(2):
        redis_server.pause()
        expect_away(known, refused=False)
        redis_server.resume()
        wait_back(node)
        known.expect_served()
        expect_works(node)


def ask_and_leave(mayfly, method, path, body, wait_s):
    connection = http.client.HTTPConnection("127.0.0.1", mayfly.port)
    connection.request(method, path, json.dumps(body) if body else None)
    time.sleep(wait_s)
    connection.close()


def test_clients_that_leave_while_redis_hangs(own, redis_server):
    """Some while it hangs, some just when they are answered; nobody else notices."""
    mayfly = own(REDIS_TIMEOUT=1, **redis_server.settings()).start()
    known = Known(mayfly)
    redis_server.pause()
    questions = [
        ("POST", "/upload", {"path": "leaves", "language": "python", "code": "return 1"}),
        ("POST", "/run/leaves", None),
        ("GET", "/functions", None),
        ("GET", "/functions/known?version=1", None),
        ("DELETE", "/functions/leaves", None),
        ("PUT", "/functions/leaves/aliases/a", {"version": 1}),
    ]
    with concurrent.futures.ThreadPoolExecutor(30) as clients:
        for n in range(60):
            clients.submit(ask_and_leave, mayfly, *questions[n % len(questions)], n % 10 * 0.13)
    known.expect_served()
    redis_server.resume()
    expect_back(known)
    mayfly.stop()


def test_end_while_redis_hangs(own, redis_server):
    """Who waits is answered first; then it ends as ever."""
    mayfly = own(REDIS_TIMEOUT=2, **redis_server.settings()).start()
    redis_server.pause()
    waiting = Background(mayfly.upload, "waits", "python", "return 1")
    time.sleep(0.5)
    mayfly.stop()
    assert is_away(waiting.result())


def test_uploads_into_a_redis_that_stops_now_and_then(node, redis_server):
    """What was answered 200 is there; what was answered 503 is there whole or not at all."""
    given, done = {}, threading.Event()

    def client(number):
        n = 0
        while not done.is_set():
            n += 1
            answer = node.upload(f"now-and-then/{number}/{n}", "python", f"return [{number}, {n}]")
            assert answer.status == 200 or is_away(answer), answer
            given[number, n] = answer.json["version"] if answer.status == 200 else None

    clients = [Background(client, number) for number in range(4)]
    for _ in range(2):
        done.wait(0.3)
        redis_server.pause()
        done.wait(1.5)
        redis_server.resume()
    wait_back(node)
    done.wait(0.3)
    done.set()
    for one in clients:
        one.result()
    for (number, n), version in given.items():
        answer = node.run(f"now-and-then/{number}/{n}")
        if version or answer.status != 404:
            assert answer.data == [number, n]


def test_redis_without_memory(node, redis_server):
    known = Known(node)
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        expect_away(known, reads_too=False)
        assert "OOM" in node.log()
        assert node.describe("known", version="prod").status == 200
        client.config_set("maxmemory", "0")
    expect_back(known)


def test_redis_that_cannot_write_its_file(node, redis_server):
    """-MISCONF, as after a failed snapshot."""
    known = Known(node)
    with redis_server.client() as client:
        client.config_set("save", "3600 1")
        os.mkdir(os.path.join(redis_server.directory, "dump.rdb"))  # where the file should be
        client.bgsave()
        eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", redis_server.log)
        expect_away(known, reads_too=False)
        assert "MISCONF" in node.log()
        client.config_set("save", "")
    expect_back(known)


def test_redis_that_became_a_replica(node, redis_server):
    """-READONLY: so after a failover that mayfly was not told of."""
    known = Known(node)
    with redis_server.client() as client:
        client.replicaof("127.0.0.1", 1)
        expect_away(known, reads_too=False)
        client.replicaof("NO", "ONE")
    expect_back(known)


def test_emptied_redis(node, redis_server):
    """What was taken away is gone for whoever has it not in memory; nothing is made up."""
    node.upload("f", "python", "return 1")
    with redis_server.client() as client:
        client.flushall()
        assert node.functions().json["functions"] == []
        assert node.run("stored").status == 404  # it was not in memory
        expect_works(node, "f")
        expect_works(node)


def test_scripts_that_redis_forgot(node, redis_server):
    """SCRIPT FLUSH and a restart take loaded scripts away."""
    known = Known(node)
    with redis_server.client() as client:
        client.script_flush()
    expect_works(node)
    known.expect_served()


def test_connections_that_are_cut(node, redis_server):
    known = Known(node)
    with redis_server.client() as client:
        for n in range(10):
            client.client_kill_filter(_type="normal", skipme=True)
            known.expect_served()
            eventually(lambda: node.upload("cut", "python", f"return {n}").status == 200, node.log)
            assert node.run("cut").data == n
    wait_back(node)


# At the start


def test_wrong_password_at_the_start(own, tmp_path):
    server = Redis(tmp_path / "redis", password="right").start()
    mayfly = own(**{**server.settings(), "REDIS_PASSWORD": "not-this-one"}).start(wait=False)
    try:
        eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
        assert is_away(mayfly.upload("f", "python", "return 1"))
        assert mayfly.python("return 1").data == 1
        eventually(lambda: "REDIS_PASSWORD is wrong" in mayfly.log(), mayfly.log)
        assert "not-this-one" not in mayfly.log()
        with server.client() as client:
            client.config_set("requirepass", "not-this-one")
        mayfly.wait_ready()
        expect_works(mayfly)
        mayfly.stop()
    finally:
        server.kill()


@pytest.mark.parametrize("password", [None, "some"])
def test_password_where_none_or_none_where_one(own, tmp_path, password):
    server = Redis(tmp_path / "redis", password=password).start()
    mayfly = own(**{**server.settings(), "REDIS_PASSWORD": None if password else "some"}).start(wait=False)
    try:
        eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
        eventually(lambda: "REDIS_PASSWORD" in mayfly.log(), mayfly.log)
        mayfly.stop()
    finally:
        server.kill()


def test_user_of_redis_with_its_own_rights(own, redis_server):
    """All that mayfly does stays within its prefix and what go-faas has, and wants no administrator."""
    with redis_server.client() as client:
        client.acl_setuser(
            "mayfly",
            enabled=True,
            passwords=["+pass"],
            keys=["mayfly:*", "meta:*", "code:*"],
            channels=["*"],
            categories=["+@all", "-@admin", "-@dangerous"],
        )
    mayfly = own(**{**redis_server.settings(), "REDIS_USERNAME": "mayfly", "REDIS_PASSWORD": "pass"}).start()
    expect_works(mayfly)
    mayfly.stop()


def test_database_number(own, redis_server):
    mayfly = own(REDIS_DB=3, **redis_server.settings()).start()
    mayfly.upload("f", "python", "return 1")
    with redis_server.client() as zero, redis_server.client(db=3) as three:
        assert zero.dbsize() == 0 and three.dbsize() > 0
        redis_server.kill()
        redis_server.start()
        wait_back(mayfly)
        expect_works(mayfly)
        assert zero.dbsize() == 0
    mayfly.stop()


def test_database_that_is_not_there(own, redis_server):
    mayfly = own(REDIS_DB=99, **redis_server.settings()).start(wait=False)
    eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
    eventually(lambda: "DB index" in mayfly.log(), mayfly.log)
    mayfly.stop()


def answers(mayfly):
    try:
        return mayfly.get("/healthz").status == 200
    except OSError:
        return False


def test_redis_that_comes_after_mayfly(own, redis_server):
    redis_server.kill()
    mayfly = own(**redis_server.settings()).start(wait=False)
    eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
    eventually(lambda: mayfly.python("return 1").status == 200, mayfly.log)
    for answer in mayfly.upload("f", "python", "return 1"), mayfly.run("f"), mayfly.functions():
        assert is_away(answer)
    redis_server.start()
    mayfly.wait_ready()
    expect_works(mayfly)
    mayfly.stop()


def test_redis_that_hangs_at_the_start(own, redis_server):
    redis_server.pause()
    mayfly = own(**redis_server.settings()).start(wait=False)
    eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
    assert is_away(mayfly.run("f"))
    redis_server.resume()
    mayfly.wait_ready()
    expect_works(mayfly)
    mayfly.stop()


def test_name_that_nobody_knows(own):
    mayfly = own(REDIS_HOST="no-such-host.invalid").start(wait=False)
    eventually(lambda: answers(mayfly) and says_away(mayfly), mayfly.log)
    assert is_away(mayfly.upload("f", "python", "return 1"))
    eventually(lambda: mayfly.python("return 1").status == 200, mayfly.log)
    mayfly.stop()


# What is stored there is damaged


DAMAGE = {
    "code": "return 'iarm'",
    "code ": None,
    "hash": "0" * 64,
    "language": "ruby",
    "limits": "{",
    "created": "soon",
}


def test_damaged_version_is_an_error_and_never_another_answer(own, redis_server):
    mayfly = own(**redis_server.settings()).start()
    versions = {n: mayfly.upload(f"f{n}", "python", "return 'charm'").json["version"] for n in range(len(DAMAGE))}
    mayfly.upload("neighbour", "python", "return 'neighbour'")
    mayfly.stop()
    with redis_server.client() as client:
        for n, (field, value) in enumerate(DAMAGE.items()):
            key, name = f"mayfly:version:f{n}:{versions[n]}", field.strip()
            assert client.exists(key)
            client.hdel(key, name) if value is None else client.hset(key, name, value)
    mayfly.start()
    for n, field in enumerate(DAMAGE):
        path, version = f"f{n}", versions[n]
        for answer in mayfly.run(path), mayfly.run(path, version=version), mayfly.describe(path, version=version):
            if answer.status == 200:
                assert field == "created" or "code" in answer.json and field == "language", (field, answer)
                assert "charm" in (answer.json.get("data") or answer.json["code"])
            else:
                assert answer.status in (404, 500), (field, answer)
        newer = mayfly.upload(path, "python", "return 'whole'")
        assert newer.status == 200 and newer.json["version"] > version, (field, newer)
        assert mayfly.run(path).data == "whole"
    assert mayfly.run("neighbour").data == "neighbour"
    assert mayfly.is_ready()
    mayfly.stop()


KEYS = ["function:{}", "versions:{}", "version:{}:{}", "aliases:{}"]


def ask_all(mayfly, path, version):
    """Everything that can be asked of it; the answers."""
    return [
        mayfly.run(path),
        mayfly.run(path, version="prod"),
        mayfly.describe(path),
        mayfly.upload(path, "python", "return 2"),
        mayfly.set_alias(path, "stage", version),
        mayfly.remove(path, version=version),
        mayfly.functions(),
    ]


def test_key_of_another_kind_is_an_error_of_that_function_alone(own, redis_server):
    mayfly = own(**redis_server.settings()).start()
    versions = [mayfly.upload(f"f{n}", "python", "return 1").json["version"] for n in range(len(KEYS))]
    for n, version in enumerate(versions):
        mayfly.set_alias(f"f{n}", "prod", version)
    mayfly.upload("neighbour", "python", "return 'neighbour'")
    mayfly.stop()
    with redis_server.client() as client:
        for n, key in enumerate(KEYS):
            name = "mayfly:" + key.format(f"f{n}", versions[n])
            assert client.delete(name)
            client.set(name, "something else")
    mayfly.start()
    for n, key in enumerate(KEYS):
        for answer in ask_all(mayfly, f"f{n}", versions[n]):
            assert answer.status in (200, 204, 404, 409, 500, 503), (key, answer)
            assert answer.status != 200 or answer.json.get("data", 1) in (1, 2), (key, answer)
        assert mayfly.run("neighbour").data == "neighbour"
        assert mayfly.upload("neighbour", "python", f"return 'neighbour'  # {n}").status == 200
        assert mayfly.is_ready()
    with redis_server.client() as client:
        client.delete("mayfly:functions")
        client.set("mayfly:functions", "something else")
    for answer in ask_all(mayfly, "neighbour", 1):
        assert answer.status in (200, 404, 409, 500, 503), answer
    assert mayfly.run("neighbour").data == "neighbour"
    mayfly.stop()


# Somebody else in its place


def hundred(connection):
    for _ in range(100):
        connection.sendall(b"+OK\r\n")


GARBAGE = {
    "closes": lambda connection: None,
    "nothing": lambda connection: connection.recv(1),
    "http": lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "noise": lambda connection: connection.sendall(os.urandom(4096)),
    "half": lambda connection: connection.sendall(b"*3\r\n$5\r\nab"),
    "huge": lambda connection: connection.sendall(b"$9999999999\r\nabc"),
    "negative": lambda connection: connection.sendall(b"$-5\r\n*-7\r\n:x\r\n"),
    "many": lambda connection: connection.sendall(b"*1000000000\r\n" * 3),
    "deep": lambda connection: connection.sendall(b"*1\r\n" * 1000),
    "ok": hundred,
    "nul": lambda connection: connection.sendall(b"\0" * 100_000),
}


@contextlib.contextmanager
def impostor(port):
    """Answers the first bytes of each connection with the next kind, and then drains it until the client leaves. Yields
    what it has served."""
    listener = socket.create_server(("127.0.0.1", port))
    open_ones, served, kinds = set(), [], itertools.cycle(GARBAGE)

    def serve(connection, kind):
        open_ones.add(connection)
        with contextlib.suppress(OSError), connection:
            served.append(kind)
            connection.recv(65536)
            GARBAGE[kind](connection)
            while kind != "closes" and connection.recv(65536):
                pass
        open_ones.discard(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0], next(kinds)), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in list(open_ones):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def test_garbage_in_place_of_redis(own, redis_server):
    """Each kind for a connection; then Redis again, and all is as it was."""
    mayfly = own(REDIS_TIMEOUT="0.2", **redis_server.settings()).start()
    known = Known(mayfly)
    redis_server.kill()
    with impostor(redis_server.port) as served:
        while len(served) <= len(GARBAGE):
            known.expect_served()
            for reply in mayfly.upload("away", "python", "return 1"), mayfly.run("unknown"), mayfly.functions():
                assert is_away(reply) or reply.status == 500, (served[-1:], reply)
    redis_server.start()
    expect_back(known)
    mayfly.stop()


@contextlib.contextmanager
def in_between(redis_server):
    """Hands on what is said, until its `garbage` is set: then every answer becomes that. Yields (port, what is set)."""
    listener = socket.create_server(("127.0.0.1", 0))
    state, open_ones = {"garbage": None}, set()

    def pump(source, target, is_answer):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(state["garbage"] if is_answer and state["garbage"] is not None else data)
        for end in source, target:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", redis_server.port))
                open_ones.update((client, server))
                for ends in (client, server, False), (server, client, True):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], state
    finally:
        for one in listener, *open_ones:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


ANSWERS = [
    b"",
    b"+OK\r\n",
    b":0\r\n",
    b":18446744073709551616\r\n",
    b"$-1\r\n",
    b"*0\r\n",
    b"*1\r\n$0\r\n\r\n",
    b"*2\r\n:1\r\n:2\r\n",
    b"*3\r\n$4\r\ncode\r\n$8\r\nreturn 1\r\n*-1\r\n",
    b"*6\r\n" + b"$1\r\n1\r\n" * 6,
    b"*20\r\n" + b"*2\r\n$1\r\n1\r\n$-1\r\n" * 20,
    b"-ERR unknown\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    b"$5\r\nab",
    b"\xff\xfe\0\0",
    b"%1\r\n+a\r\n+b\r\n",
]


def test_garbage_for_answers(own, redis_server):
    """A connection that was good until then: whatever comes instead of an answer, none is made of it."""
    with in_between(redis_server) as (port, line):
        mayfly = start_with_stored(own(**{**redis_server.settings(), "REDIS_PORT": port, "REDIS_TIMEOUT": "0.2"}))
        known = Known(mayfly)
        for n, line["garbage"] in enumerate(ANSWERS):
            for reply in (
                mayfly.run("stored"),
                mayfly.run(f"unknown/{n}"),
                mayfly.upload(f"garbled/{n}", "python", "return 1"),
                mayfly.describe("known"),
                mayfly.functions(),
                mayfly.set_alias("known", "stage", known.version),
            ):
                assert is_away(reply) or reply.status in (404, 500), (ANSWERS[n], reply)
            known.expect_served()
            line["garbage"] = None
            eventually(lambda: mayfly.upload("between", "python", f"return {n}").status == 200, mayfly.log)
            assert mayfly.run("between").data == n
        assert mayfly.run("stored").data == "read"
        mayfly.delete("/functions/known/aliases/stage")
        expect_back(known)
        mayfly.stop()


# Several of them


def test_failover_by_sentinel(own, tmp_path):
    primary = Redis(tmp_path / "a", password="secret").start()
    replica = Redis(tmp_path / "b", password="secret", replicaof=f"127.0.0.1 {primary.port}").start()
    sentinel = Sentinel(tmp_path / "s", primary).start()
    try:
        eventually(sentinel.knows_replicas, sentinel.log)
        mayfly = own(REDIS_PASSWORD="secret", REDIS_REPLICAS=0, **sentinel.settings()).start()
        known = Known(mayfly)
        with primary.client() as client:
            assert client.wait(1, 30_000) == 1
        primary.kill()
        known.expect_served()
        eventually(lambda: sentinel.primary_port() == replica.port, sentinel.log)
        expect_back(known)
        primary.start()  # it comes back believing that it is the primary, and is told better
        expect_back(known)
        assert replica.client().exists("mayfly:versions:known")
        mayfly.stop()
    finally:
        for server in sentinel, replica, primary:
            server.kill()


def test_upload_waits_for_as_many_replicas_as_are_asked_for(own, tmp_path):
    primary = Redis(tmp_path / "a").start()
    replica = Redis(tmp_path / "b", replicaof=f"127.0.0.1 {primary.port}").start()
    try:
        eventually(lambda: primary.client().info("replication")["connected_slaves"] == 1, primary.log)
        mayfly = own(REDIS_REPLICAS=1, **primary.settings()).start()
        for n in range(5):
            version = mayfly.upload("f", "python", f"return {n}").json["version"]
            assert replica.client().exists(f"mayfly:version:f:{version}")
        replica.kill()
        assert is_away(mayfly.upload("g", "python", "return 1"))
        assert mayfly.run("f").data == 4
        replica.start()
        eventually(lambda: mayfly.upload("g", "python", "return 2").status == 200, mayfly.log)
        mayfly.stop()
    finally:
        replica.kill()
        primary.kill()
