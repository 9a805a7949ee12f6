"""PUT, GET and DELETE /functions/{path}/aliases/{name}: names for versions, and what they are for. On both stores."""

import concurrent.futures

import pytest

from test_functions import is_bad, is_not_found, upload


@pytest.fixture(scope="module")
def mayfly(stored):
    return stored


@pytest.fixture
def three(mayfly, request):
    """Path and versions of a function that returns 0, 1 or 2."""
    path = "aliases-of/" + "".join(c for c in request.node.name if c.isalnum())[:200]
    mayfly.remove(path)
    return path, [upload(mayfly, path, f"return {n}") for n in range(3)]


def alias(mayfly, path, name):
    return mayfly.get(f"/functions/{path}/aliases/{name}")


def remove_alias(mayfly, path, name):
    return mayfly.delete(f"/functions/{path}/aliases/{name}")


def test_alias_is_set_told_moved_and_removed(mayfly, three):
    path, versions = three
    for version in versions[1], versions[0], versions[0]:
        expected = {"path": path, "alias": "prod", "version": version}
        answer = mayfly.set_alias(path, "prod", version)
        assert (answer.status, answer.json) == (200, expected)
        answer = alias(mayfly, path, "prod")
        assert (answer.status, answer.json) == (200, expected)
        assert mayfly.describe(path).json["aliases"] == {"prod": version}
    answer = remove_alias(mayfly, path, "prod")
    assert (answer.status, answer.body) == (204, b"")
    assert is_not_found(alias(mayfly, path, "prod"))
    assert is_not_found(remove_alias(mayfly, path, "prod"))
    assert mayfly.describe(path).json["aliases"] == {}
    assert mayfly.run(path).data == 2


def test_function_runs_by_alias_and_a_rollback_moves_it(mayfly, three):
    path, versions = three
    mayfly.set_alias(path, "prod", versions[2])
    mayfly.set_alias(path, "stage", versions[2])
    assert mayfly.run(path, version="prod").data == 2
    mayfly.set_alias(path, "prod", versions[0])
    assert mayfly.run(path, version="prod").data == 0
    assert mayfly.run(path, version="stage").data == 2
    assert mayfly.run(path).data == 2
    remove_alias(mayfly, path, "prod")
    assert is_not_found(mayfly.run(path, version="prod"))


def test_upload_moves_no_alias(mayfly, three):
    path, versions = three
    mayfly.set_alias(path, "prod", versions[2])
    newest = upload(mayfly, path, "return 3")
    assert mayfly.run(path).data == 3
    assert mayfly.run(path, version="prod").data == 2
    mayfly.set_alias(path, "prod", newest)
    assert mayfly.run(path, version="prod").data == 3


def test_call_by_alias_is_like_any_other(mayfly, three):
    path, versions = three
    version = upload(mayfly, path, "print('said')\nreturn event")
    mayfly.set_alias(path, "prod", version)
    answer = mayfly.run(path, version="prod", input={"a": [1]}, detail=True)
    assert (answer.data, answer.json["stdout"]) == ({"a": [1]}, "said\n")
    answer = mayfly.run(path, version="prod", input=1, stream=True)
    assert answer.status == 200 and b'"event":"result","data":1' in answer.body
    answer = mayfly.request("POST", f"/run/{path}?version=prod", {"input": 1}, {"Prefer": "respond-async"})
    assert answer.status == 202


NAMES = ["a", "Z", "prod", "Prod", "v1", "a.b_c-d", "a..b", "Latest", "latest1", "x" * 64, "aliases", "constructor"]


@pytest.mark.parametrize("name", NAMES)
def test_good_names(mayfly, three, name):
    path, versions = three
    assert mayfly.set_alias(path, name, versions[1]).status == 200
    assert mayfly.describe(path).json["aliases"] == {name: versions[1]}
    assert mayfly.run(path, version=name).data == 1
    assert mayfly.describe(path, version=name).json["version"] == versions[1]


@pytest.mark.parametrize("name", ["1", "1a", "-a", ".a", "_a", "a%20b", "%C3%A4", "a+b", "latest", "x" * 65, "a%00"])
def test_bad_names_are_refused(mayfly, three, name):
    path, versions = three
    for answer in mayfly.set_alias(path, name, versions[1]), alias(mayfly, path, name), remove_alias(mayfly, path, name):
        assert is_bad(answer), answer
    assert mayfly.describe(path).json["aliases"] == {}


def test_alias_of_no_version_is_not_found(mayfly, three):
    path, versions = three
    for version in versions[0] - 1, versions[2] + 1, 1:
        assert is_not_found(mayfly.set_alias(path, "prod", version))
    mayfly.remove(path, version=versions[1])
    assert is_not_found(mayfly.set_alias(path, "prod", versions[1]))
    assert is_not_found(mayfly.set_alias(path + "-nowhere", "prod", versions[0]))
    assert is_not_found(alias(mayfly, path + "-nowhere", "prod"))
    assert is_not_found(remove_alias(mayfly, path + "-nowhere", "prod"))
    assert is_not_found(mayfly.run(path, version="prod"))
    mayfly.set_alias(path, "prod", versions[0])
    assert is_not_found(mayfly.set_alias(path, "prod", versions[1]))
    assert mayfly.run(path, version="prod").data == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"version": null}',
        b'{"version": "prod"}',
        b'{"version": -1}',
        b'{"version": 1.5}',
        b'{"version": 1e3}',
        b'{"version": true}',
        b'{"version": ' + b"9" * 40 + b"}",
    ],
)
def test_bad_bodies_are_refused(mayfly, three, body):
    path, _ = three
    answer = mayfly.put(f"/functions/{path}/aliases/prod", body)
    assert is_bad(answer), answer
    assert is_not_found(alias(mayfly, path, "prod"))


def test_aliases_are_told_in_order_and_on_every_page(mayfly, three):
    path, versions = three
    names = ["Z", "a", "a-b", "a.b", "aB", "z"]
    for name in reversed(names):
        mayfly.set_alias(path, name, versions[0])
    for query in {}, {"limit": 1}, {"before": versions[1]}:
        assert list(mayfly.describe(path, **query).json["aliases"].items()) == [(name, versions[0]) for name in names]


def test_aliases_have_a_limit(own_stored):
    mayfly = own_stored(ALIASES_MAX=3).start()
    versions = [upload(mayfly, "f", f"return {n}") for n in range(2)]
    upload(mayfly, "g", "return 1")
    assert [mayfly.set_alias("f", name, versions[0]).status for name in "abc"] == [200] * 3
    answer = mayfly.set_alias("f", "d", versions[0])
    assert (answer.status, answer.code) == (409, "aliases_full"), answer
    assert is_not_found(mayfly.run("f", version="d"))
    assert mayfly.set_alias("f", "a", versions[1]).status == 200
    assert mayfly.run("f", version="a").data == 1
    assert remove_alias(mayfly, "f", "b").status == 204
    assert mayfly.set_alias("f", "d", versions[0]).status == 200
    assert mayfly.describe("f").json["aliases"] == {"a": versions[1], "c": versions[0], "d": versions[0]}
    mayfly.stop()


def test_concurrent_moves_leave_one_of_them(mayfly, three):
    """A call meanwhile runs the one or the other, and never none."""
    path, versions = three
    mayfly.set_alias(path, "prod", versions[0])

    def client(n):
        if n % 2:
            return mayfly.set_alias(path, "prod", versions[n % 3]).status
        return mayfly.run(path, version="prod").data in (0, 1, 2)

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        outcomes = list(clients.map(client, range(120)))
    assert outcomes == [True, 200] * 60
    assert mayfly.run(path, version="prod").data == versions.index(alias(mayfly, path, "prod").json["version"])


def test_removal_and_alias_at_the_same_time_agree(mayfly, three):
    """Either the alias came first, and the version stays, or the version went, and there is no such alias."""
    path, _ = three
    for n in range(20):
        version = upload(mayfly, path, f"return 'raced {n}'")
        with concurrent.futures.ThreadPoolExecutor(2) as clients:
            removed = clients.submit(mayfly.remove, path, version=version)
            named = clients.submit(mayfly.set_alias, path, "raced", version)
        outcome = removed.result().status, named.result().status
        assert outcome in ((204, 404), (409, 200)), outcome
        assert mayfly.describe(path, version=version).status == (200 if outcome[0] == 409 else 404)
        remove_alias(mayfly, path, "raced")
