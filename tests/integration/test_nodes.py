"""Two mayflies on one Redis: each serves what the other was given, and hears of what the other changes."""

import concurrent.futures
import contextlib
import time

import pytest

from conftest import started
from host import eventually
from redis_host import Redis
from test_functions import is_not_found, upload, versions_of


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    with contextlib.ExitStack() as stack:
        server = Redis(tmp_path_factory.mktemp("redis")).start()
        stack.callback(server.kill)
        settings = {"RUNTIMES": "python", "LOG_LEVEL": "warn", **server.settings()}
        yield [
            stack.enter_context(contextlib.contextmanager(started)(tmp_path_factory, "node", **settings))
            for _ in range(2)
        ]


def test_each_serves_what_the_other_was_given(two):
    first, second = two
    versions = []
    for n, (giver, server) in enumerate([(first, second), (second, first)] * 3):
        versions.append(upload(giver, "shared", f"return {n}"))
        upload(giver, f"own/{n}", f"return {n}", limits={"cpus": 0.5})
        assert server.run(f"own/{n}").data == n
        assert server.run("shared", version=versions[-1]).data == n
    assert versions == sorted(set(versions))
    assert versions_of(first, "shared") == versions_of(second, "shared") == versions[::-1]
    assert first.functions().json == second.functions().json
    assert first.code("own/3").json == second.code("own/3").json


def test_new_version_is_seen_by_the_other(two):
    """By one that has an older one in memory, and calls it all the time."""
    first, second = two
    upload(first, "newer", "return -1")
    assert second.run("newer").data == -1
    longest = 0
    for n in range(10):
        upload(first, "newer", f"return {n}")
        begin = time.monotonic()
        eventually(lambda: second.run("newer").data == n)
        longest = max(longest, time.monotonic() - begin)
    print(f"a new version was seen after {longest * 1000:.0f} ms at the longest")


def test_moved_alias_is_seen_by_the_other(two):
    first, second = two
    versions = [upload(first, "named", f"return {n}") for n in range(3)]
    assert is_not_found(second.run("named", version="prod"))
    longest = 0
    for n in 0, 2, 1, 0:
        assert first.set_alias("named", "prod", versions[n]).status == 200
        begin = time.monotonic()
        eventually(lambda: second.run("named", version="prod").status == 200 and second.run("named", version="prod").data == n)
        longest = max(longest, time.monotonic() - begin)
    assert first.delete("/functions/named/aliases/prod").status == 204
    eventually(lambda: is_not_found(second.run("named", version="prod")))
    print(f"a moved alias was seen after {longest * 1000:.0f} ms at the longest")


def test_removal_is_seen_by_the_other(two):
    first, second = two
    versions = [upload(first, "removed", f"return {n}") for n in range(3)]
    assert [second.run("removed", version=version).data for version in versions] == [0, 1, 2]
    assert first.remove("removed", version=versions[2]).status == 204
    eventually(lambda: is_not_found(second.run("removed", version=versions[2])))
    eventually(lambda: second.run("removed").data == 1)
    assert first.remove("removed").status == 204
    eventually(lambda: is_not_found(second.run("removed")) and is_not_found(second.run("removed", version=versions[0])))
    assert upload(second, "removed", "return 'again'") > versions[2]
    eventually(lambda: first.run("removed").status == 200)


def test_what_was_not_there_is_seen_once_it_is(two):
    """A function that was asked for in vain is not taken for missing for long."""
    first, second = two
    for n in range(3):
        assert is_not_found(second.run(f"late/{n}"))
        upload(first, f"late/{n}", "return 1")
        eventually(lambda: second.run(f"late/{n}").status == 200)


def test_parallel_uploads_through_both_are_unique_and_rise(two):
    def client(number):
        return [upload(two[number % 2], "contended", f"return [{number}, {n}]") for n in range(12)]

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answered = list(clients.map(client, range(8)))
    assert all(versions == sorted(set(versions)) for versions in answered)
    expected = {version: [c, n] for c, versions in enumerate(answered) for n, version in enumerate(versions)}
    assert len(expected) == 96
    for node in two:
        assert versions_of(node, "contended") == sorted(expected, reverse=True)
        for version in sorted(expected)[::12]:
            assert node.run("contended", version=version).data == expected[version]
        eventually(lambda: node.run("contended").data == expected[max(expected)])


def test_same_content_through_both_is_one_version(two):
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: two[n % 2].upload("same", "python", "return 1").json, range(24)))
    assert [answer["created"] for answer in answers].count(True) == 1
    assert len({answer["version"] for answer in answers}) == 1
    assert len(versions_of(two[0], "same")) == 1


def test_removal_and_alias_through_two_nodes_agree(two):
    first, second = two
    upload(first, "raced", "return 'stays'")
    for n in range(15):
        version = upload(first, "raced", f"return {n}")
        with concurrent.futures.ThreadPoolExecutor(2) as clients:
            removed = clients.submit(first.remove, "raced", version=version)
            named = clients.submit(second.set_alias, "raced", "prod", version)
        outcome = removed.result().status, named.result().status
        assert outcome in ((204, 404), (409, 200)), outcome
        second.delete("/functions/raced/aliases/prod")


def test_functions_with_another_prefix_are_others(own, redis_server):
    first, second = [own(REDIS_PREFIX=prefix, **redis_server.settings()).start() for prefix in ("a:", "b:")]
    upload(first, "f", "return 'a'")
    assert is_not_found(second.run("f"))
    upload(second, "f", "return 'b'")
    assert (first.run("f").data, second.run("f").data) == ("a", "b")
    assert {key[:2] for key in redis_server.client().keys()} == {"a:", "b:"}
    first.stop()
    second.stop()


def test_one_node_s_end_is_nothing_to_the_other(own, redis_server):
    first, second = [own(**redis_server.settings()).start() for _ in range(2)]
    version = upload(first, "f", "return 1")
    first.kill()
    first.assert_gone()
    assert second.run("f").data == 1
    assert upload(second, "f", "return 2") > version
    first.start()
    assert first.run("f").data == 2
    first.stop()
    second.stop()
