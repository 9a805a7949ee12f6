"""GET and DELETE /functions: what is kept, how it is told, and how it goes. On both stores."""

import concurrent.futures
import datetime
import hashlib
import re
import time

import pytest

from host import Background
from test_stream import resident

LANGUAGES = {
    "javascript": "return 'one'",
    "typescript": "const x: string = 'one'; return x",
    "python": "return 'one'",
}


@pytest.fixture(scope="module")
def mayfly(stored):
    return stored


def digest(code):
    return hashlib.sha256(code.encode()).hexdigest()


def upload(mayfly, path, code, language="python", **members):
    """Its version, which must be a new one."""
    answer = mayfly.upload(path, language, code, **members)
    assert answer.status == 200 and answer.json["created"] is True, answer
    return answer.json["version"]


def versions_of(mayfly, path):
    """Of all pages, as they come."""
    found, query = [], {}
    while True:
        page = mayfly.describe(path, **query)
        assert page.status == 200, page
        found += [entry["version"] for entry in page.json["versions"]]
        if page.json["next"] is None:
            return found
        query = {"before": page.json["next"]}


def pages_of(mayfly, **query):
    """The paths of each page."""
    pages = []
    while True:
        page = mayfly.functions(**query)
        assert page.status == 200, page
        pages.append([entry["path"] for entry in page.json["functions"]])
        if page.json["next"] is None:
            return pages
        query["after"] = page.json["next"]


def paths_of(mayfly, **query):
    return sum(pages_of(mayfly, **query), [])


def is_not_found(answer):
    return (answer.status, answer.code) == (404, "not_found")


def is_bad(answer):
    return (answer.status, answer.code) == (400, "bad_request")


# What an upload answers


@pytest.mark.parametrize("language", LANGUAGES)
def test_upload_tells_what_was_kept(mayfly, language):
    code = LANGUAGES[language]
    answer = mayfly.upload(f"functions/told/{language}", language, code)
    assert answer.json["created"] is True
    assert answer.json["size"] == len(code)
    assert answer.json["hash"] == digest(code)


def test_size_and_hash_are_of_the_bytes(mayfly):
    code = "return 'äöü €🦋'"
    answer = mayfly.upload("functions/bytes", "python", code)
    assert (answer.json["size"], answer.json["hash"]) == (len(code.encode()), digest(code))


@pytest.mark.parametrize("limits", [{}, {"cpus": 0.5, "timeout_ms": 2000}])
@pytest.mark.parametrize("language", LANGUAGES)
def test_identical_content_is_the_version_that_is_there(mayfly, language, limits):
    path = f"functions/identical/{language}/{len(limits)}"
    first = mayfly.upload(path, language, LANGUAGES[language], limits=limits)
    again = mayfly.upload(path, language, LANGUAGES[language], limits=dict(reversed(limits.items())))
    assert again.json == {**first.json, "created": False}
    assert versions_of(mayfly, path) == [first.json["version"]]
    assert mayfly.run(path).data == "one"


def test_other_limits_or_another_language_make_a_new_version(mayfly):
    path = "functions/other"
    versions = [
        upload(mayfly, path, "return 1"),
        upload(mayfly, path, "return 1", limits={"cpus": 0.5}),
        upload(mayfly, path, "return 1", limits={"cpus": 0.25}),
        upload(mayfly, path, "return 1", limits={"cpus": 0.25, "processes": 8}),
        upload(mayfly, path, "return 1"),
        upload(mayfly, path, "return 1", "javascript"),
    ]
    assert versions_of(mayfly, path) == sorted(versions, reverse=True)
    assert mayfly.upload(path, "javascript", "return 1").json["created"] is False


@pytest.mark.parametrize(
    "same", [b'{"cpus":0.50}', b'{ "cpus" : 0.5 }', b'{"cpus":0.5,"timeout_ms":null}', b'{"timeout_ms":null,"cpus":0.500}']
)
def test_limits_are_the_same_however_they_are_written(mayfly, same):
    path = "functions/written"
    first = mayfly.upload(path, "python", "return 1", limits={"cpus": 0.5}).json["version"]
    answer = mayfly.post("/upload", b'{"path":"%s","language":"python","code":"return 1","limits":%s}' % (path.encode(), same))
    assert (answer.status, answer.json["version"], answer.json["created"]) == (200, first, False)


def test_what_an_older_version_holds_makes_a_new_one(mayfly):
    """Whoever uploads it wants to have it called."""
    first = upload(mayfly, "functions/back", "return 'old'")
    second = upload(mayfly, "functions/back", "return 'new'")
    third = upload(mayfly, "functions/back", "return 'old'")
    assert first < second < third
    assert mayfly.run("functions/back").data == "old"
    assert mayfly.run("functions/back", version=second).data == "new"


def test_the_same_content_at_two_paths_is_two_functions(mayfly):
    assert upload(mayfly, "functions/twin/a", "return 'twin'")
    assert upload(mayfly, "functions/twin/b", "return 'twin'")
    assert mayfly.remove("functions/twin/a").status == 204
    assert mayfly.run("functions/twin/b").data == "twin"


def test_parallel_uploads_of_one_path_have_versions_of_their_own(mayfly):
    def client(number):
        return [upload(mayfly, "functions/parallel", f"return [{number}, {n}]") for n in range(10)]

    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answered = list(clients.map(client, range(8)))
    assert all(versions == sorted(set(versions)) for versions in answered)
    expected = {version: [c, n] for c, versions in enumerate(answered) for n, version in enumerate(versions)}
    assert len(expected) == 80
    assert versions_of(mayfly, "functions/parallel") == sorted(expected, reverse=True)
    for version in sorted(expected)[::8]:
        assert mayfly.run("functions/parallel", version=version).data == expected[version]
    assert mayfly.run("functions/parallel").data == expected[max(expected)]


def test_parallel_uploads_of_the_same_content_make_one_version(mayfly):
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: mayfly.upload("functions/same", "python", "return 1"), range(24)))
    assert [answer.json["created"] for answer in answers].count(True) == 1
    assert len({answer.json["version"] for answer in answers}) == 1


@pytest.mark.parametrize("path", ["functions/x/aliases/y", "aliases/y", "aliases/aliases"])
def test_path_that_would_be_an_alias_is_refused(mayfly, path):
    answer = mayfly.upload(path, "python", "return 1")
    assert is_bad(answer) and "aliases" in answer.json["detail"], answer


@pytest.mark.parametrize("path", ["functions/x/aliases", "functions/aliases/y/z", "aliases", "functions/aliases1/y"])
def test_path_with_aliases_elsewhere_is_a_path_like_any_other(mayfly, path):
    version = upload(mayfly, path, f"return '{path}'")
    assert mayfly.run(path).data == path
    assert mayfly.describe(path).json["latest"] == version
    assert mayfly.set_alias(path, "prod", version).status == 200
    assert mayfly.run(path, version="prod").data == path
    assert mayfly.remove(path).status == 204
    assert is_not_found(mayfly.describe(path))


# The list


@pytest.fixture(scope="module")
def many(mayfly):
    """250 functions below `many/`; their paths as they are ordered."""
    paths = [f"many/{n % 7}/{n}" for n in range(250)]
    with concurrent.futures.ThreadPoolExecutor(4) as clients:
        list(clients.map(lambda path: upload(mayfly, path, f"return '{path}'"), paths))
    return sorted(paths)


@pytest.mark.parametrize("limit, pages", [(None, 3), (100, 3), (99, 3), (125, 2), (249, 2), (250, 1), (1000, 1), (7, 36)])
def test_pages_together_hold_every_function_once(mayfly, many, limit, pages):
    found = pages_of(mayfly, prefix="many/", **({"limit": limit} if limit else {}))
    assert sum(found, []) == many
    assert len(found) == pages and all(found)


def test_pages_of_one(mayfly, many):
    paths = [path for path in many if path.startswith("many/3/")]
    found = pages_of(mayfly, prefix="many/3/", limit=1)
    assert found == [[path] for path in paths]


def test_prefix_is_of_the_text_not_of_segments(mayfly, many):
    assert paths_of(mayfly, prefix="many/1/1") == [path for path in many if path.startswith("many/1/1")]
    assert paths_of(mayfly, prefix="many/1/1%") == []
    assert paths_of(mayfly, prefix="many/_/") == []
    assert paths_of(mayfly, prefix="many/*") == []
    assert paths_of(mayfly, prefix="MANY/") == []
    assert paths_of(mayfly, prefix=many[7]) == [path for path in many if path.startswith(many[7])]


def test_prefix_that_nothing_has_is_an_empty_list(mayfly):
    answer = mayfly.functions(prefix="no/such/")
    assert (answer.status, answer.json) == (200, {"functions": [], "next": None})


def test_without_prefix_everything_is_listed(mayfly, many):
    found = paths_of(mayfly, limit=1000)
    assert found == sorted(set(found))
    assert set(many) <= set(found)


def test_after_need_not_be_a_function(mayfly, many):
    assert paths_of(mayfly, prefix="many/", after="many/4") == [path for path in many if path > "many/4"]
    assert paths_of(mayfly, prefix="many/", after="many/zzz") == []
    assert paths_of(mayfly, prefix="many/", after="a") == many
    assert paths_of(mayfly, prefix="many/", after=many[-2]) == many[-1:]


def test_order_is_bytewise(mayfly):
    names = ["-", ".x", "0", "10", "9", "A", "Z", "_", "a", "a-b", "a.b", "a/b", "a0", "aB", "a_b", "aa", "z"]
    for name in reversed(names):
        upload(mayfly, f"order/{name}", "return 1")
    assert paths_of(mayfly, prefix="order/", limit=3) == [f"order/{name}" for name in names]


def test_entry_tells_of_the_latest_version(mayfly):
    path = "functions/entry"
    upload(mayfly, path, "return 1", "javascript")
    before = datetime.datetime.now(datetime.timezone.utc)
    version = upload(mayfly, path, "return 'second'")
    (entry,) = mayfly.functions(prefix=path).json["functions"]
    created_at = entry.pop("created_at")
    assert entry == {
        "path": path,
        "language": "python",
        "latest": version,
        "versions": 2,
        "size": len("return 'second'"),
        "hash": digest("return 'second'"),
    }
    assert_plausible(created_at, before)


def assert_plausible(created_at, before):
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", created_at)
    time_ = datetime.datetime.strptime(created_at, "%Y-%m-%dT%H:%M:%S.%f%z")
    slack = datetime.timedelta(seconds=1)
    assert before - slack <= time_ <= datetime.datetime.now(datetime.timezone.utc) + slack


def test_uploads_and_removals_between_pages_lose_nothing_that_stays(mayfly):
    staying = [f"paged/{n:03}/stays" for n in range(60)]
    leaving = [f"paged/{n:03}/leaves" for n in range(0, 60, 3)]
    for path in staying + leaving:
        upload(mayfly, path, "return 1")

    def disturb():
        for n in range(60):
            upload(mayfly, f"paged/{n:03}/comes", "return 1")
            upload(mayfly, staying[n], "return 2")
            if n % 3 == 0:
                assert mayfly.remove(leaving[n // 3]).status == 204

    disturbance = Background(disturb)
    while not disturbance.future.done():
        found = paths_of(mayfly, prefix="paged/", limit=10)
        assert found == sorted(set(found))
        assert set(staying) <= set(found)
    disturbance.result()
    assert paths_of(mayfly, prefix="paged/") == sorted(staying + [path.replace("stays", "comes") for path in staying])


# One function


def test_description_has_the_newest_version_first(mayfly):
    path, codes = "functions/described", [f"return {'x' * n!r}" for n in range(5)]
    before = datetime.datetime.now(datetime.timezone.utc)
    versions = [upload(mayfly, path, code) for code in codes]
    limited = upload(mayfly, path, "return 1", "javascript", limits={"cpus": 0.5})
    mayfly.set_alias(path, "prod", versions[1])
    answer = mayfly.describe(path)
    assert answer.status == 200 and set(answer.json) == {"path", "language", "latest", "aliases", "versions", "next"}
    assert (answer.json["path"], answer.json["language"], answer.json["latest"]) == (path, "javascript", limited)
    assert (answer.json["aliases"], answer.json["next"]) == ({"prod": versions[1]}, None)
    newest, *older = answer.json["versions"]
    for entry in newest, *older:
        assert_plausible(entry.pop("created_at"), before)
    assert newest == {
        "version": limited,
        "language": "javascript",
        "size": len("return 1"),
        "hash": digest("return 1"),
        "limits": {"cpus": 0.5},
    }
    assert older == [
        {"version": version, "language": "python", "size": len(code), "hash": digest(code)}
        for version, code in reversed(list(zip(versions, codes)))
    ]


@pytest.fixture(scope="module")
def long(mayfly):
    """A function of 120 versions, newest first."""
    return [upload(mayfly, "functions/long", f"return {n}") for n in range(120)][::-1]


@pytest.mark.parametrize("limit", [None, 1000, 120, 119, 50, 7])
def test_pages_of_versions_hold_each_once(mayfly, long, limit):
    found, query = [], {"limit": limit} if limit else {}
    while True:
        page = mayfly.describe("functions/long", **query).json
        assert page["latest"] == long[0]
        assert 0 < len(page["versions"]) <= (limit or 100)
        found += [entry["version"] for entry in page["versions"]]
        if page["next"] is None:
            break
        query["before"] = page["next"]
    assert found == long


def test_before_need_not_be_a_version(mayfly, long):
    page = mayfly.describe("functions/long", before=long[60] + 1, limit=5).json
    assert [entry["version"] for entry in page["versions"]] == long[60:65]
    page = mayfly.describe("functions/long", before=1)
    assert (page.status, page.json["versions"], page.json["next"]) == (200, [], None)


@pytest.mark.parametrize("path", ["functions/nowhere", "functions", "functions/lon"])
def test_unknown_function_is_not_found(mayfly, long, path):
    for answer in mayfly.describe(path), mayfly.describe(path, version=1), mayfly.remove(path):
        assert is_not_found(answer), answer


@pytest.mark.parametrize(
    "language, code",
    [
        ("python", "return 'äöü €🦋'"),
        ("python", "x = 1\r\nreturn x\r\n"),
        ("python", "\n\n  \nreturn 1\n\n"),
        ("python", "return '\\x00\\\\\"/'"),
        ("python", "return '</script>\u2028\u2029\x7f'"),
        ("javascript", "return 'a\0b'.length"),
        ("javascript", "// " + "".join(map(chr, range(1, 32))).replace("\n", "").replace("\r", "") + "\nreturn 1"),
        ("javascript", "\ufeffreturn 1"),
        ("typescript", "enum E { A = 'é' }\r\nreturn E.A"),
        ("python", "# " + "x" * 200_000 + "\nreturn 1"),
        ("python", ""),
    ],
    ids=str.split("unicode crlf blank-lines escapes separators nul controls bom typescript large empty"),
)
def test_code_comes_back_byte_for_byte(mayfly, language, code):
    path = f"functions/code/{language}/{digest(code)[:8]}"
    before = datetime.datetime.now(datetime.timezone.utc)
    version = upload(mayfly, path, code, language)
    answer = mayfly.describe(path, version=version)
    assert answer.status == 200
    assert_plausible(answer.json["created_at"], before)
    assert {**answer.json, "created_at": ""} == {
        "path": path,
        "version": version,
        "language": language,
        "latest": version,
        "size": len(code.encode()),
        "hash": digest(code),
        "created_at": "",
        "code": code,
    }


def test_code_of_each_version_is_told_with_its_limits(mayfly):
    path = "functions/each"
    first = upload(mayfly, path, "return 1", limits={"cpus": 0.5})
    second = upload(mayfly, path, "return 2")
    mayfly.set_alias(path, "prod", first)
    for name, version in (first, first), ("prod", first), (second, second):
        answer = mayfly.describe(path, version=name).json
        assert (answer["version"], answer["latest"]) == (version, second)
        assert answer["code"] == ("return 1" if version == first else "return 2")
        assert answer.get("limits") == ({"cpus": 0.5} if version == first else None)
    for name in first + 1, "stage", 0:
        assert is_not_found(mayfly.describe(path, version=name))


def test_code_is_told_for_a_function_that_ran(mayfly):
    """Also when it comes from what the server has in memory."""
    version = upload(mayfly, "functions/ran", "enum E { A = 'ran' }\nreturn E.A", "typescript")
    assert mayfly.run("functions/ran").data == "ran"
    answer = mayfly.describe("functions/ran", version=version)
    assert answer.json["code"] == "enum E { A = 'ran' }\nreturn E.A"


# Removal


def test_removed_version_is_gone_and_the_others_stay(mayfly):
    path = "functions/remove-one"
    first, second, third = [upload(mayfly, path, f"return {n}") for n in (1, 2, 3)]
    assert mayfly.run(path, version=second).data == 2
    answer = mayfly.remove(path, version=second)
    assert (answer.status, answer.body) == (204, b"")
    assert is_not_found(mayfly.run(path, version=second))
    assert is_not_found(mayfly.describe(path, version=second))
    assert is_not_found(mayfly.remove(path, version=second))
    assert versions_of(mayfly, path) == [third, first]
    assert mayfly.functions(prefix=path).json["functions"][0]["versions"] == 2
    assert [mayfly.run(path, version=version).data for version in (first, third)] == [1, 3]
    assert mayfly.run(path).data == 3


def test_when_the_latest_version_is_removed_the_one_before_runs(mayfly):
    path = "functions/remove-latest"
    first = upload(mayfly, path, "return 'first'", "javascript")
    second = upload(mayfly, path, "return 'second'")
    assert mayfly.run(path).data == "second"
    assert mayfly.remove(path, version=second).status == 204
    assert mayfly.run(path).data == "first"
    answer = mayfly.describe(path).json
    assert (answer["latest"], answer["language"]) == (first, "javascript")
    (entry,) = mayfly.functions(prefix=path).json["functions"]
    assert (entry["latest"], entry["language"], entry["hash"]) == (first, "javascript", digest("return 'first'"))
    third = upload(mayfly, path, "return 'second'")
    assert third > second
    assert mayfly.run(path).data == "second"


def is_gone(mayfly, path, *versions):
    assert is_not_found(mayfly.run(path))
    assert is_not_found(mayfly.describe(path))
    for version in versions:
        assert is_not_found(mayfly.run(path, version=version))
        assert is_not_found(mayfly.describe(path, version=version))
    return path not in paths_of(mayfly, prefix=path)


def test_function_without_a_last_version_is_gone(mayfly):
    path = "functions/remove-last"
    versions = [upload(mayfly, path, f"return {n}") for n in (1, 2)]
    for version in versions:
        assert mayfly.remove(path, version=version).status == 204
    assert is_gone(mayfly, path, *versions)
    assert is_not_found(mayfly.remove(path))


def test_removed_function_is_gone_with_all_its_versions_and_aliases(mayfly):
    path = "functions/remove-all"
    versions = [upload(mayfly, path, f"return {n}") for n in range(12)]
    mayfly.set_alias(path, "prod", versions[2])
    neighbours = path + "-1", path + "/below", path[:-1]
    for neighbour in neighbours:
        upload(mayfly, neighbour, "return 'still here'")
    assert mayfly.run(path, version="prod").data == 2
    assert mayfly.remove(path).status == 204
    assert is_gone(mayfly, path, "prod", *versions)
    assert is_not_found(mayfly.remove(path))
    assert is_not_found(mayfly.get(f"/functions/{path}/aliases/prod"))
    for neighbour in neighbours:
        assert mayfly.run(neighbour).data == "still here"
    again = upload(mayfly, path, "return 11")
    assert again > versions[-1]
    assert mayfly.describe(path).json["aliases"] == {}
    assert versions_of(mayfly, path) == [again]


def test_number_of_a_removed_version_is_never_given_again(mayfly):
    path, given = "functions/numbers", []
    for n in range(20):
        given.append(upload(mayfly, path, "return 1"))
        assert mayfly.remove(path, **({"version": given[-1]} if n % 2 else {})).status == 204
    assert given == sorted(set(given))


def test_version_that_an_alias_names_stays(mayfly):
    path = "functions/in-use"
    version = upload(mayfly, path, "return 1")
    mayfly.set_alias(path, "prod", version)
    answer = mayfly.remove(path, version=version)
    assert (answer.status, answer.code) == (409, "version_in_use"), answer
    assert "prod" in answer.json["detail"]
    assert mayfly.run(path).data == 1
    assert mayfly.delete(f"/functions/{path}/aliases/prod").status == 204
    assert mayfly.remove(path, version=version).status == 204


def test_running_call_keeps_the_version_it_began_with(mayfly):
    path = "functions/running"
    slow = "import time\nprint('began', flush=True)\ntime.sleep(1.5)\nreturn 'old'"
    version = upload(mayfly, path, slow)
    running = [Background(mayfly.run, path, name) for name in (None, version)]
    time.sleep(0.5)
    upload(mayfly, path, "return 'new'")
    assert mayfly.run(path).data == "new"
    assert mayfly.remove(path, version=version).status == 204
    assert mayfly.remove(path).status == 204
    assert is_not_found(mayfly.run(path))
    assert [call.result().data for call in running] == ["old"] * 2


# What is refused


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1", "limit=1.5", "limit=" + "9" * 30, "prefix=%", "after=%ff"],
)
def test_bad_query_of_the_list_is_refused(mayfly, query):
    answer = mayfly.get(f"/functions?{query}")
    assert is_bad(answer), answer


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=x",
        "before=x",
        "before=-1",
        "before=",
        "before=1e3",
        "before=" + "9" * 30,
        "version=",
        "version=-1",
        "version=1.5",
        "version=a%20b",
        "version=latest",
        "version=" + "a" * 65,
        "version=" + "9" * 40,
    ],
)
def test_bad_query_of_a_function_is_refused(mayfly, long, query):
    answer = mayfly.get(f"/functions/functions/long?{query}")
    assert is_bad(answer), answer


def test_queries_that_nobody_knows_are_ignored(mayfly, long):
    assert mayfly.functions(prefix="functions/long", x="y").json == mayfly.functions(prefix="functions/long").json
    assert mayfly.describe("functions/long", x="y").json == mayfly.describe("functions/long").json


@pytest.mark.parametrize("version", ["", "x y", "-1", "1.5", "latest", "9" * 40])
def test_removal_of_what_cannot_be_a_version_is_refused(mayfly, long, version):
    """Least of all may it be taken for a removal of everything."""
    answer = mayfly.remove("functions/long", version=version)
    assert is_bad(answer), answer
    assert mayfly.run("functions/long").data == 119


@pytest.mark.parametrize("path", ["a//b", "../etc", "a/", "%2e%2e/a", "a%20b", "x" * 256])
def test_bad_path_is_refused(mayfly, path):
    for answer in mayfly.describe(path), mayfly.remove(path):
        assert is_bad(answer), answer


@pytest.mark.parametrize(
    "path, allowed",
    [
        ("/functions", {"GET", "HEAD"}),
        ("/functions/functions/long", {"GET", "HEAD", "DELETE"}),
        ("/functions/functions/long/aliases/prod", {"GET", "HEAD", "PUT", "DELETE"}),
    ],
)
def test_other_methods_are_told_which_there_are(mayfly, long, path, allowed):
    for method in {"GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"} - allowed:
        answer = mayfly.request(method, path, {"version": 1} if method in ("PUT", "POST") else None)
        assert (answer.status, answer.code) == (405, "method_not_allowed"), (method, answer)
        assert allowed <= set(answer.headers["allow"].split(", "))
    assert mayfly.run("functions/long").data == 119


@pytest.mark.parametrize("rest", ["?prefix=functions/long", "/functions/long", "/functions/long?before=1", "/nowhere"])
def test_head_is_get_without_a_body(mayfly, long, rest):
    get, head = [mayfly.request(method, f"/functions{rest}") for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert head.headers["content-length"] == get.headers["content-length"] or get.status == 404


def test_token_is_needed(own_stored):
    mayfly = own_stored(AUTH_TOKEN="secret").start()
    version = upload(mayfly, "f", "return 1")
    mayfly.token = None
    answers = [
        mayfly.functions(),
        mayfly.describe("f"),
        mayfly.describe("f", version=version),
        mayfly.remove("f"),
        mayfly.set_alias("f", "prod", version),
        mayfly.delete("/functions/f/aliases/prod"),
    ]
    assert [answer.status for answer in answers] == [401] * 6
    mayfly.token = "secret"
    assert mayfly.run("f").data == 1
    assert mayfly.describe("f").json["aliases"] == {}
    mayfly.stop()


# Memory, and a restart


def test_memory_for_functions_is_bounded(own_stored):
    mayfly = own_stored(CACHE_MAX_SIZE="1m", LOG_LEVEL="warn").start()
    server = mayfly.pid_of("server")

    def upload_and_run(kind, count):
        for n in range(count):
            upload(mayfly, f"{kind}/{n}", f"x = '{kind}{'y' * 200_000}'\nreturn {n}")
        assert [mayfly.run(f"{kind}/{n}").data for n in range(count)] == list(range(count))

    upload_and_run("warm", 10)
    before = resident(server)
    upload_and_run("more", 80)
    assert resident(server) < before + (10 << 20)
    mayfly.stop()


def test_all_of_it_survives_a_restart(own_stored):
    mayfly = own_stored().start()
    versions = [upload(mayfly, "kept/a", f"return {n}", limits={"cpus": 0.5}) for n in range(3)]
    upload(mayfly, "kept/b", "return 'b'")
    removed = upload(mayfly, "kept/d", "return 1")
    assert mayfly.remove("kept/d").status == 204
    mayfly.set_alias("kept/a", "prod", versions[0])
    questions = ["/functions", "/functions/kept/a", "/functions/kept/b", "/functions/kept/a?version=prod"]
    before = [mayfly.get(question).json for question in questions]
    mayfly.stop()
    mayfly.start()
    assert [mayfly.get(question).json for question in questions] == before
    assert [mayfly.run("kept/a", version=version).data for version in (*versions, "prod")] == [0, 1, 2, 0]
    assert mayfly.upload("kept/b", "python", "return 'b'").json["created"] is False
    assert upload(mayfly, "kept/d", "return 1") > removed
    mayfly.stop()
