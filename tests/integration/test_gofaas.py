"""What go-faas has stored is served where it lies, its clients notice nothing, and it can be taken along into SQLite."""

import contextlib
import datetime
import hashlib
import json
import os
import subprocess

import pytest
import redis

from conftest import started
from gofaas import CALCULATOR, OLDEST, GoFaas, digest
from host import BUILD, environment, eventually
from redis_host import Redis
from test_functions import paths_of

IMPORT = os.path.join(BUILD, "src/cli/mayfly")
LANGUAGES = list(CALCULATOR)


@pytest.fixture(scope="module")
def there(on_redis):
    """A go-faas that writes into the Redis of on_redis."""
    settings = on_redis.settings
    with redis.Redis(
        settings["REDIS_HOST"], settings["REDIS_PORT"], password=settings["REDIS_PASSWORD"], decode_responses=True
    ) as client:
        yield GoFaas(client)


def described(mayfly, path):
    answer = mayfly.describe(path)
    assert answer.status == 200, answer
    return answer.json


# What is there is served


@pytest.mark.parametrize("language", LANGUAGES)
def test_function_of_go_faas_runs(on_redis, there, language):
    path = f"test/calculator/{language}"
    there.upload(path, language, CALCULATOR[language], OLDEST)
    answer = on_redis.post(f"/run/{path}", {"input": json.dumps({"a": 1, "b": 2})})
    assert (answer.status, answer.json) == (200, {"data": {"sum": 3}, "type": "json"})
    assert on_redis.run(path, version=OLDEST, input={"a": 2, "b": 2}).data == {"sum": 4}


def test_older_versions_run(on_redis, there):
    for n in range(4):
        there.upload("test/older", "javascript", f"return {n}", OLDEST + n)
    assert [on_redis.run("test/older", version=OLDEST + n).data for n in range(4)] == [0, 1, 2, 3]
    assert on_redis.run("test/older").data == 3
    for version in OLDEST - 1, OLDEST + 4, 0:
        assert on_redis.run("test/older", version=version).status == 404


def test_it_is_not_written_over_by_being_served(on_redis, there):
    there.upload("test/untouched", "typescript", CALCULATOR["typescript"], OLDEST)
    keys = there.keys("test/untouched")
    before = [there.redis.dump(key) for key in keys]
    for _ in range(3):
        assert on_redis.run("test/untouched", input={"a": 1, "b": 1}).data == {"sum": 2}
    on_redis.upload("test/untouched", "python", "return 1")
    assert there.keys("test/untouched") == keys
    assert [there.redis.dump(key) for key in keys] == before


def test_typescript_is_compiled_at_the_first_call_and_kept(on_redis, there):
    version = there.upload("test/typed", "typescript", "enum E { A = 'typed' }\nreturn E.A", OLDEST)
    assert on_redis.run("test/typed").data == "typed"
    key = f"mayfly:version:test/typed:{version}"
    eventually(lambda: there.redis.hexists(key, "compiled"), lambda: str(there.redis.keys("mayfly:version:test/typed*")))
    assert not there.redis.hexists(key, "code")
    assert on_redis.run("test/typed").data == "typed"


def test_typescript_that_does_not_compile_is_an_error_of_the_script(on_redis, there):
    there.upload("test/broken", "typescript", "const x: = 1;", OLDEST)
    answer = on_redis.run("test/broken")
    assert answer.status in (422, 500) and answer.code in ("syntax_error", "script_error"), answer


def test_upload_continues_an_old_path_in_any_language(on_redis, there):
    old = [there.upload("test/continued", "javascript", f"return 'old {n}'", OLDEST + n) for n in range(2)]
    assert on_redis.run("test/continued").data == "old 1"
    answer = on_redis.upload("test/continued", "python", "return 'new'")
    assert answer.status == 200 and answer.json["created"] is True
    new = answer.json["version"]
    assert new > old[1]
    assert on_redis.run("test/continued").data == "new"
    assert [on_redis.run("test/continued", version=v).data for v in (*old, new)] == ["old 0", "old 1", "new"]
    assert [entry["version"] for entry in described(on_redis, "test/continued")["versions"]] == [new, *old[::-1]]
    assert described(on_redis, "test/continued")["language"] == "python"


def test_identical_content_is_the_old_version(on_redis, there):
    """Its hash is not kept, yet it is the same code."""
    version = there.upload("test/identical", "javascript", "return 1", OLDEST)
    answer = on_redis.upload("test/identical", "javascript", "return 1")
    assert answer.status == 200
    assert answer.json["created"] is (answer.json["version"] != version)
    assert on_redis.run("test/identical").data == 1


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A mayfly that was started when all was there: it has looked for it. The hundred are half of go-faas, half its own."""
    with contextlib.ExitStack() as stack:
        server = Redis(tmp_path_factory.mktemp("redis")).start()
        stack.callback(server.kill)
        there = GoFaas(server.client())
        for n, code in enumerate(["return 1", "return 'ä'"]):
            there.upload("listed/b", "javascript", code, OLDEST + n)
        there.upload("listed/c", "python", "return 1", OLDEST)
        for n in range(1, 100, 2):
            there.upload(f"hundred/{n}", "python", "return 1", OLDEST)
        start = contextlib.contextmanager(started)
        mayfly = stack.enter_context(start(tmp_path_factory, "found", RUNTIMES="python", **server.settings()))
        for path in "listed/a", "listed/c", *(f"hundred/{n}" for n in range(0, 100, 2)):
            assert mayfly.upload(path, "python", "return 2").status == 200
        eventually(lambda: len(mayfly.functions(limit=1000).json["functions"]) == 103, mayfly.log)
        yield mayfly


def test_it_is_listed_and_described(found):
    code = "return 'ä'"
    created_at = datetime.datetime.fromtimestamp(OLDEST + 1, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    entries = {entry["path"]: entry for entry in found.functions(prefix="listed/").json["functions"]}
    assert list(entries) == ["listed/a", "listed/b", "listed/c"]
    assert entries["listed/b"] == {
        "path": "listed/b",
        "language": "javascript",
        "latest": OLDEST + 1,
        "versions": 2,
        "size": len(code.encode()),
        "hash": None,
        "created_at": created_at,
    }
    assert entries["listed/c"]["versions"] == 2
    assert entries["listed/c"]["hash"] == hashlib.sha256(b"return 2").hexdigest()
    newest = {"version": OLDEST + 1, "language": "javascript", "size": len(code.encode()), "hash": None, "created_at": created_at}
    oldest = {**newest, "version": OLDEST, "size": len("return 1"), "created_at": created_at.replace("21.000Z", "20.000Z")}
    assert described(found, "listed/b") == {
        "path": "listed/b",
        "language": "javascript",
        "latest": OLDEST + 1,
        "aliases": {},
        "versions": [newest, oldest],
        "next": None,
    }
    answer = found.describe("listed/b", version=OLDEST).json
    assert (answer["code"], answer["hash"], answer["latest"]) == ("return 1", None, OLDEST + 1)


def test_a_hundred_of_them_are_listed_in_pages(found):
    assert paths_of(found, prefix="hundred/", limit=9) == sorted(f"hundred/{n}" for n in range(100))


def test_aliases_name_its_versions(on_redis, there):
    versions = [there.upload("test/named", "python", f"return {n}", OLDEST + n) for n in range(2)]
    assert on_redis.set_alias("test/named", "prod", versions[0]).status == 200
    assert on_redis.run("test/named", version="prod").data == 0
    assert described(on_redis, "test/named")["aliases"] == {"prod": versions[0]}
    answer = on_redis.remove("test/named", version=versions[0])
    assert (answer.status, answer.code) == (409, "version_in_use"), answer


# It is still writing


def test_what_go_faas_uploads_meanwhile_is_served_soon(on_redis, there):
    there.upload("test/beside", "javascript", "return 'first'", OLDEST)
    assert on_redis.run("test/beside").data == "first"
    there.upload("test/beside", "python", "return 'second'")
    eventually(lambda: on_redis.run("test/beside").data == "second")
    assert described(on_redis, "test/beside")["language"] == "python"


def test_what_it_writes_over_within_a_second_is_served_soon(on_redis, there):
    """Two of its uploads in one second have the same number."""
    version = there.upload("test/over", "python", "return 'first'")
    assert on_redis.run("test/over").data == "first"
    assert there.upload("test/over", "python", "return 'second'", version) == version
    eventually(lambda: on_redis.run("test/over").data == "second")


def test_what_was_not_there_at_first_is_served_soon(on_redis, there):
    assert on_redis.run("test/late").status == 404
    there.upload("test/late", "python", "return 'there'")
    eventually(lambda: on_redis.run("test/late").status == 200)


# Removal


def test_removed_version_of_go_faas_is_gone_there_too(on_redis, there):
    versions = [there.upload("test/remove", "python", f"return {n}", OLDEST + n) for n in range(3)]
    assert on_redis.remove("test/remove", version=versions[1]).status == 204
    assert on_redis.run("test/remove", version=versions[1]).status == 404
    assert [on_redis.run("test/remove", version=versions[n]).data for n in (0, 2)] == [0, 2]
    assert not there.redis.exists(f"code:{digest('test/remove')}:{versions[1]}")
    assert there.redis.smembers(f"meta:{digest('test/remove')}:version") == {str(versions[0]), str(versions[2])}
    assert on_redis.remove("test/remove", version=versions[2]).status == 204
    assert on_redis.run("test/remove").data == 0
    assert described(on_redis, "test/remove")["latest"] == versions[0]
    assert there.redis.hget(f"meta:{digest('test/remove')}", "latest") == str(versions[0])


def test_removed_function_of_go_faas_is_gone_there_too(on_redis, there):
    for n in range(3):
        there.upload("test/remove-all", "python", f"return {n}", OLDEST + n)
    on_redis.upload("test/remove-all", "python", "return 'ours'")
    there.upload("test/remove-all-1", "python", "return 'neighbour'", OLDEST)
    assert on_redis.remove("test/remove-all").status == 204
    assert there.keys("test/remove-all") == []
    for answer in (
        on_redis.run("test/remove-all"),
        on_redis.run("test/remove-all", version=OLDEST),
        on_redis.describe("test/remove-all"),
        on_redis.remove("test/remove-all"),
    ):
        assert answer.status == 404, answer
    assert on_redis.run("test/remove-all-1").data == "neighbour"
    there.upload("test/remove-all", "python", "return 'again'")
    eventually(lambda: on_redis.run("test/remove-all").status == 200)


# What cannot be


ODD = {
    "no code": lambda r, name: r.delete(f"code:{name}:{OLDEST}"),
    "no latest": lambda r, name: r.hdel(f"meta:{name}", "latest"),
    "latest is no number": lambda r, name: r.hset(f"meta:{name}", "latest", "soon"),
    "latest is negative": lambda r, name: r.hset(f"meta:{name}", "latest", "-5"),
    "latest is huge": lambda r, name: r.hset(f"meta:{name}", "latest", "9" * 40),
    "latest is of no version": lambda r, name: r.hset(f"meta:{name}", "latest", OLDEST + 1),
    "no language": lambda r, name: r.hdel(f"meta:{name}", "language"),
    "unknown language": lambda r, name: r.hset(f"meta:{name}", "language", "ruby"),
    "meta is a string": lambda r, name: (r.delete(f"meta:{name}"), r.set(f"meta:{name}", "x")),
    "meta is a list": lambda r, name: (r.delete(f"meta:{name}"), r.rpush(f"meta:{name}", "a", "b")),
    "code is a hash": lambda r, name: (r.delete(f"code:{name}:{OLDEST}"), r.hset(f"code:{name}:{OLDEST}", "a", "b")),
    "code is not UTF-8": lambda r, name: r.set(f"code:{name}:{OLDEST}", b"return '\xff\xfe'"),
    "versions are a string": lambda r, name: (r.delete(f"meta:{name}:version"), r.set(f"meta:{name}:version", "x")),
    "versions are no numbers": lambda r, name: r.sadd(f"meta:{name}:version", "x", "-1", "9" * 40),
    "nothing but versions": lambda r, name: r.delete(f"meta:{name}"),
}
HARMLESS = {"versions are a string", "versions are no numbers", "code is not UTF-8"}  # for a call of the latest


@pytest.mark.parametrize("oddity", ODD)
def test_odd_data_is_told_and_harms_nobody_else(on_redis, there, oddity):
    path = "odd/" + oddity.replace(" ", "-")
    there.upload("odd/neighbour", "python", "return 'neighbour'", OLDEST)
    there.upload(path, "python", "return 'odd'", OLDEST)
    ODD[oddity](there.redis, digest(path))
    expected = (404, 500)
    for answer in (
        on_redis.run(path),
        on_redis.run(path, version=OLDEST),
        on_redis.run(path, version="prod"),
        on_redis.describe(path),
        on_redis.describe(path, version=OLDEST),
        on_redis.functions(prefix="odd/"),
    ):
        assert answer.status in (200, *expected), answer
        if answer.status != 200:
            assert answer.code and answer.json["detail"], answer
    if oddity not in HARMLESS:
        assert on_redis.run(path).status in expected
    assert on_redis.run("odd/neighbour").data == "neighbour"
    assert on_redis.is_ready()
    entries = on_redis.functions(prefix="odd/neighbour").json["functions"]
    assert [entry["path"] for entry in entries] == ["odd/neighbour"]
    name = digest(path)
    there.redis.delete(f"meta:{name}", f"meta:{name}:version", f"code:{name}:{OLDEST}")


def test_keys_that_only_look_like_its_own_are_let_be(on_redis, there):
    strangers = {"meta:": "x", "meta:x": "y", "meta:" + "0" * 31: "z", "code:x:1": "y", "meta:" + "f" * 32 + ":versions": "x"}
    there.redis.mset(strangers)
    there.redis.hset("meta:" + "0" * 32, mapping={"path": "not/of/this/digest", "language": "python", "latest": OLDEST})
    assert on_redis.functions().status == 200
    assert on_redis.is_ready()
    assert on_redis.run("not/of/this/digest").status == 404
    assert there.redis.mget(*strangers) == list(strangers.values())
    there.redis.delete("meta:" + "0" * 32, *strangers)


# Its clients


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_its_clients_ask_is_answered_as_ever(stored, language):
    answer = stored.post("/upload", {"path": "client/calculator", "language": language, "code": CALCULATOR[language]})
    assert answer.status == 200
    assert (answer.json["path"], answer.json["language"]) == ("client/calculator", language)
    assert isinstance(answer.json["version"], int)
    answer = stored.post("/run/client/calculator", {"input": '{"a": 1, "b": 2}'})
    assert (answer.status, answer.json) == (200, {"data": {"sum": 3}, "type": "json"})
    body = {"language": language, "code": CALCULATOR[language], "input": '{"a": 1, "b": 2}'}
    answer = stored.post("/run-now", body)
    assert (answer.status, answer.json) == (200, {"data": {"sum": 3}, "type": "json"})
    answer = stored.post("/run/client/calculator", {"input": '{"a": 1, "b": 2}', "stream": True})
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/event-stream")
    assert b'"event":"result","data":{"sum": 3}' in answer.body or b'"event":"result","data":{"sum":3}' in answer.body


# Taking it along


def mayfly_import(redis_server, data_dir, *arguments):
    settings = {**redis_server.settings(), "DATA_DIR": data_dir}
    ended = subprocess.run(
        [IMPORT, "import", *arguments],
        cwd=os.path.dirname(data_dir),
        env=environment(settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return ended


@pytest.fixture
def filled(redis_server):
    """30 functions of go-faas, three versions each."""
    there = GoFaas(redis_server.client())
    for n in range(30):
        language = LANGUAGES[n % 3]
        for v in range(3):
            there.upload(f"moved/{n}", language, CALCULATOR[language] + "\n" * v, OLDEST + v)
    return redis_server


def expect_moved(mayfly):
    for n in range(30):
        assert mayfly.run(f"moved/{n}", input={"a": n, "b": 1}).data == {"sum": n + 1}
        code = CALCULATOR[LANGUAGES[n % 3]]
        for v in range(3):
            assert mayfly.describe(f"moved/{n}", version=OLDEST + v).json["code"] == code + "\n" * v
    answer = described(mayfly, "moved/7")
    assert [entry["version"] for entry in answer["versions"]] == [OLDEST + 2, OLDEST + 1, OLDEST]
    assert answer["versions"][0]["created_at"].endswith(":22.000Z")
    assert len(mayfly.functions(prefix="moved/").json["functions"]) == 30


def test_import_brings_everything_into_sqlite_and_twice_is_once(own, filled):
    mayfly = own(RUNTIMES="python,node")
    data_dir = os.path.join(mayfly.directory, "data")
    for arguments in ["--dry-run"], [], []:
        ended = mayfly_import(filled, data_dir, *arguments)
        assert ended.returncode == 0, ended
        print(arguments, ended.stdout, ended.stderr)
        if arguments:
            assert not os.path.exists(os.path.join(data_dir, "mayfly.db"))
    keys = len(filled.client().keys("*"))
    filled.kill()
    mayfly.start()
    expect_moved(mayfly)
    version = mayfly.upload("moved/1", "python", "return 'newer'").json["version"]
    assert version > OLDEST + 2
    mayfly.stop()
    filled.start()
    assert len(filled.client().keys("*")) == keys == 30 * 5
    ended = mayfly_import(filled, data_dir)
    assert ended.returncode == 0, ended
    filled.kill()
    mayfly.settings["RUNTIMES"] = "python"
    mayfly.start()
    assert mayfly.run("moved/1").data == "newer"
    assert len(described(mayfly, "moved/1")["versions"]) == 4
    mayfly.stop()


def test_import_says_what_it_could_not_read(own, filled):
    mayfly = own()
    name = digest("moved/5")
    filled.client().delete(f"code:{name}:{OLDEST + 1}")
    ended = mayfly_import(filled, os.path.join(mayfly.directory, "data"))
    assert "moved/5" in ended.stdout + ended.stderr, ended
    mayfly.start()
    assert mayfly.run("moved/5", version=OLDEST + 1).status == 404
    assert mayfly.run("moved/5", input={"a": 1, "b": 1}).data == {"sum": 2}
    assert mayfly.run("moved/8", input={"a": 1, "b": 1}).data == {"sum": 2}
    mayfly.stop()
