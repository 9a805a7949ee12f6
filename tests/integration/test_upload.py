"""POST /upload: what is stored, under which version, and what is refused. On both stores."""

import os
import sqlite3
import time

import pytest

LANGUAGES = {
    "javascript": "return 'in javascript'",
    "typescript": "const x: string = 'in typescript'; return x",
    "python": "return 'in python'",
}
MEMBERS = {"path", "language", "version", "created", "size", "hash"}


@pytest.fixture(scope="module")
def mayfly(stored):
    return stored


@pytest.mark.parametrize("language", LANGUAGES)
def test_upload_tells_path_language_and_version(mayfly, language):
    before_ms = time.time_ns() // 1_000_000
    answer = mayfly.upload(f"upload/{language}", language, LANGUAGES[language])
    assert answer.status == 200, answer
    assert set(answer.json) == MEMBERS
    assert (answer.json["path"], answer.json["language"]) == (f"upload/{language}", language)
    assert before_ms - 1000 <= answer.json["version"] <= time.time_ns() // 1_000_000 + 1000


@pytest.mark.parametrize("language", LANGUAGES)
def test_uploaded_function_runs(mayfly, language):
    mayfly.upload(f"upload/runs/{language}", language, LANGUAGES[language])
    assert mayfly.run(f"upload/runs/{language}").data == f"in {language}"


def test_versions_rise_even_within_a_millisecond(mayfly):
    versions = [mayfly.upload("upload/fast", "python", f"return {n}").json["version"] for n in range(30)]
    assert versions == sorted(set(versions))
    assert [mayfly.run("upload/fast", version=v).data for v in versions[:3]] == [0, 1, 2]
    assert mayfly.run("upload/fast").data == 29


def test_version_keeps_its_own_language(mayfly):
    first = mayfly.upload("upload/changing", "python", "return 1 // 2").json["version"]
    second = mayfly.upload("upload/changing", "javascript", "return 1 / 2").json["version"]
    assert mayfly.run("upload/changing", version=first).data == 0
    assert mayfly.run("upload/changing", version=second).data == 0.5
    assert mayfly.run("upload/changing").data == 0.5


def test_upload_runs_nothing(mayfly):
    assert mayfly.upload("upload/endless", "python", "while True: pass").status == 200
    assert mayfly.upload("upload/endless", "javascript", "for (;;) {}").status == 200


@pytest.mark.parametrize(
    "language, code, line, column",
    [
        ("python", "x = 1\ny = = 2\n", 2, 5),
        ("python", "if x:\nreturn 1\n", 2, None),
        ("python", "yield 1\n", 1, 1),
        ("javascript", "let x = 1;\nlet y = = 2;\n", 2, 9),
        ("javascript", "return {", None, None),
        ("typescript", "let x: number = 1;\nlet y: = 2;\n", 2, None),
    ],
)
def test_syntax_error_is_told_with_its_place_and_nothing_is_stored(mayfly, language, code, line, column):
    path = f"upload/broken/{language}"
    answer = mayfly.upload(path, language, code)
    assert (answer.status, answer.code) == (422, "syntax_error"), answer
    assert line in (None, answer.error["line"])
    assert column in (None, answer.error["column"])
    assert mayfly.run(path).status == 404


def test_syntax_error_leaves_the_former_version_in_force(mayfly):
    mayfly.upload("upload/former", "python", "return 1")
    assert mayfly.upload("upload/former", "python", "return (").status == 422
    assert mayfly.run("upload/former").data == 1


@pytest.mark.parametrize(
    "path", ["a", "a/b", "A-1_b.c/d", "..a", "a..", ".a", "x" * 255, "/".join(["ab"] * 85)]
)
def test_valid_paths(mayfly, path):
    assert mayfly.upload(path, "python", "return 7").status == 200
    assert mayfly.run(path).data == 7


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "./a",
        "a b",
        "a?b",
        "a%2fb",
        "ä",
        "a\\b",
        "a\n",
        "x" * 256,
    ],
)
def test_bad_paths_are_refused(mayfly, path):
    answer = mayfly.upload(path, "python", "return 1")
    assert (answer.status, answer.code) == (400, "bad_request"), answer


@pytest.mark.parametrize(
    "body",
    [
        {"language": "python", "code": "return 1"},
        {"path": "a", "code": "return 1"},
        {"path": "a", "language": "python"},
        {"path": 1, "language": "python", "code": "return 1"},
        {"path": "a", "language": "python", "code": None},
        {"path": "a", "language": ["python"], "code": "return 1"},
        {"path": "a", "language": "ruby", "code": "1"},
        {"path": "a", "language": "Python", "code": "return 1"},
    ],
)
def test_missing_and_mistyped_members_are_refused(mayfly, body):
    answer = mayfly.post("/upload", body)
    assert (answer.status, answer.code) == (400, "bad_request"), answer


def test_code_may_have_as_many_bytes_as_the_limit_and_no_more(mayfly):
    code = "return 1 # " + "é" * 131_066
    assert len(code.encode()) == 262_143
    assert mayfly.upload("upload/large", "python", code + "x").status == 200
    answer = mayfly.upload("upload/large", "python", code + "xx")
    assert (answer.status, answer.code) == (413, "too_large"), answer


def test_members_may_come_in_any_order_and_strangers_are_ignored(mayfly):
    body = b'{"x": [1], "code": "return 1", "language": "python", "path": "upload/order"}'
    assert mayfly.post("/upload", body).status == 200


# What the shared mayfly allows at most, as docs/settings.md has it.
CAPS = {
    "timeout_ms": 30_000,
    "memory_bytes": 134_217_728,
    "cpus": 1,
    "processes": 64,
    "tmp_bytes": 67_108_864,
    "output_bytes": 4_194_304,
}
SETTINGS = {
    "timeout_ms": "TIMEOUT_SCRIPT",
    "memory_bytes": "MAX_MEMORY_PER_CONTAINER",
    "cpus": "MAX_CPUS_PER_CONTAINER",
    "processes": "MAX_PROCESSES_PER_CONTAINER",
    "tmp_bytes": "MAX_TMP_PER_CONTAINER",
    "output_bytes": "OUTPUT_MAX_SIZE",
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("limits", [CAPS, {"cpus": 0.25}, {"timeout_ms": 20_000, "processes": 16}])
def test_limits_are_told_back_and_the_function_runs(mayfly, language, limits):
    path = f"upload/limits/{language}"
    answer = mayfly.upload(path, language, LANGUAGES[language], limits=limits)
    assert answer.status == 200 and answer.json["limits"] == limits, answer
    assert mayfly.run(path).data == f"in {language}"


@pytest.mark.parametrize("limits", [None, {}, {"cpus": None}])
def test_no_limits_are_none_that_are_told(mayfly, limits):
    answer = mayfly.upload("upload/unlimited", "python", "return 1", limits=limits)
    assert answer.status == 200 and set(answer.json) == MEMBERS, answer


@pytest.mark.parametrize("name", CAPS)
def test_limit_above_the_setting_is_refused_and_nothing_is_stored(mayfly, name):
    most = CAPS[name]
    above = most + 0.001 if name == "cpus" else most + 1
    answer = mayfly.upload(f"upload/above/{name}", "python", "return 1", limits={name: above})
    assert (answer.status, answer.code) == (400, "bad_request"), answer
    assert answer.json["detail"] == (
        f"`limits.{name}` is {above}; this server allows at most {most} ({SETTINGS[name]})."
    )
    assert mayfly.run(f"upload/above/{name}").status == 404


@pytest.mark.parametrize(
    "limits, says",
    [
        ([], "`limits` must be an object"),
        ("8", "`limits` must be an object"),
        ({"memory": 1 << 26}, '"memory"; there are `timeout_ms`, `memory_bytes`, `cpus`, `processes`'),
        ({"processes": 8.5}, "`limits.processes` must be a whole number"),
        ({"processes": "8"}, "`limits.processes` must be a whole number"),
        ({"processes": 0}, "`limits.processes` is 0; it must be at least 4"),
        ({"timeout_ms": -1}, "`limits.timeout_ms` is -1; it must be at least 10"),
        ({"memory_bytes": 1 << 20}, "it must be at least 16777216"),
        ({"tmp_bytes": 1 << 64}, "at most 67108864"),
        ({"cpus": 1e-3}, "it must be at least 0.01"),
        ({"cpus": True}, "`limits.cpus` must be a number of cores"),
    ],
)
def test_bad_limits_are_refused(mayfly, limits, says):
    for answer in (
        mayfly.upload("upload/bad-limits", "python", "return 1", limits=limits),
        mayfly.python("return 1", limits=limits),
    ):
        assert (answer.status, answer.code) == (400, "bad_request"), answer
        assert says in answer.json["detail"]


def test_limit_twice_is_refused(mayfly):
    body = b'{"path":"a","language":"python","code":"","limits":{"cpus":1,"cpus":0.5}}'
    answer = mayfly.post("/upload", body)
    assert (answer.status, answer.code) == (400, "bad_request") and "twice" in answer.json["detail"]


def test_limits_outlive_a_restart_with_lower_settings(own_stored):
    mayfly = own_stored().start()
    limits = {"timeout_ms": 20_000, "output_bytes": 100_000}
    assert mayfly.upload("kept", "python", "return 'x' * 2000", limits=limits).status == 200
    mayfly.stop()
    mayfly.settings["TIMEOUT_SCRIPT"] = 5
    mayfly.start()
    assert mayfly.run("kept").data == "x" * 2000
    assert mayfly.upload("kept", "python", "return 1", limits=limits).status == 400
    mayfly.stop()


FIRST_SCHEMA = """
    CREATE TABLE function_version ( path TEXT NOT NULL, version INTEGER NOT NULL, created_ms INTEGER NOT NULL,
        language TEXT NOT NULL, code BLOB NOT NULL, compiled BLOB, map BLOB, PRIMARY KEY (path, version)) STRICT;
    PRAGMA user_version = 1;
    INSERT INTO function_version VALUES ('old', 1000, 1000, 'python', CAST('return 1' AS BLOB), NULL, NULL);
"""


def test_functions_of_the_first_mayfly_keep_running(own):
    mayfly = own(DATA_DIR="data")
    os.mkdir(os.path.join(mayfly.directory, "data"))
    with sqlite3.connect(os.path.join(mayfly.directory, "data", "mayfly.db")) as database:
        database.executescript(FIRST_SCHEMA)
    database.close()
    mayfly.start()
    assert mayfly.run("old").data == 1
    assert mayfly.upload("old", "python", "return 2", limits={"cpus": 0.5}).status == 200
    assert mayfly.run("old").data == 2
    assert mayfly.run("old", version=1000).data == 1
    mayfly.stop()


def test_empty_code_is_a_function_that_returns_nothing(mayfly):
    assert mayfly.upload("upload/empty", "python", "").status == 200
    assert mayfly.run("upload/empty").data is None
