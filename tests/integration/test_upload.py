"""POST /upload: what is stored, under which version, and what is refused."""

import time

import pytest

LANGUAGES = {
    "javascript": "return 'in javascript'",
    "typescript": "const x: string = 'in typescript'; return x",
    "python": "return 'in python'",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_upload_tells_path_language_and_version(mayfly, language):
    before_ms = time.time_ns() // 1_000_000
    answer = mayfly.upload(f"upload/{language}", language, LANGUAGES[language])
    assert answer.status == 200, answer
    assert set(answer.json) == {"path", "language", "version"}
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


def test_empty_code_is_a_function_that_returns_nothing(mayfly):
    assert mayfly.upload("upload/empty", "python", "").status == 200
    assert mayfly.run("upload/empty").data is None
