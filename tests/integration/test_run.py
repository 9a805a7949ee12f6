"""POST /run/{path}: which version runs. On both stores; aliases are in test_functions.py."""

import concurrent.futures

import pytest


@pytest.fixture(scope="module")
def mayfly(stored):
    return stored


@pytest.fixture(scope="module")
def versions(mayfly):
    """Three versions of one function, oldest first."""
    return [mayfly.upload("run/steps", "python", f"return {n}").json["version"] for n in (1, 2, 3)]


def test_latest_version_runs_when_none_is_named(mayfly, versions):
    assert mayfly.run("run/steps").data == 3


def test_named_version_runs(mayfly, versions):
    assert [mayfly.run("run/steps", version=version).data for version in versions] == [1, 2, 3]


@pytest.mark.parametrize("version", ["0", "1", "99999999999999"])
def test_unknown_version_is_not_found(mayfly, versions, version):
    answer = mayfly.run("run/steps", version=version)
    assert (answer.status, answer.code) == (404, "not_found"), answer


@pytest.mark.parametrize("version", ["", "latest", "-1", "1.5", "1e3", "0x10", "+1", "%201", "9" * 40])
def test_version_that_is_neither_number_nor_name_is_refused(mayfly, versions, version):
    answer = mayfly.run("run/steps", version=version)
    assert (answer.status, answer.code) == (400, "bad_request"), answer


def test_unknown_function_is_not_found(mayfly):
    answer = mayfly.run("run/nowhere")
    assert (answer.status, answer.code) == (404, "not_found"), answer


@pytest.mark.parametrize("path", ["", "a//b", "../etc", "a/", "%2e%2e/a", "a%20b", "x" * 256])
def test_bad_path_is_refused(mayfly, path):
    answer = mayfly.run(path)
    assert (answer.status, answer.code) == (400, "bad_request"), answer


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"{", b"{} {}", b'{"input": }', b"\xff{}"])
def test_body_that_is_no_object_is_refused(mayfly, versions, body):
    answer = mayfly.post("/run/run/steps", body)
    assert (answer.status, answer.code) == (400, "bad_request"), answer


@pytest.mark.parametrize("limits", [{}, {"cpus": 0.5}, 1])
def test_limits_are_the_uploader_s(mayfly, versions, limits):
    answer = mayfly.run("run/steps", limits=limits)
    assert (answer.status, answer.code) == (400, "bad_request"), answer
    assert "/upload and /run-now" in answer.json["detail"]
    assert mayfly.run("run/steps", limits=None).data == 3


def test_calls_at_the_same_time_get_their_own_answers(mayfly):
    for n in 0, 2:
        mayfly.upload(f"run/own/{n}", "javascript", f"return [{n}, event.n]")
        mayfly.upload(f"run/own/{n + 1}", "python", f"return [{n + 1}, event['n']]")
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: mayfly.run(f"run/own/{n % 4}", input={"n": n}).data, range(60)))
    assert answers == [[n % 4, n] for n in range(60)]


def test_function_that_stops_parsing_is_the_script_s_error_not_the_caller_s(mayfly):
    """What was stored once parsed, so a run never answers 422."""
    mayfly.upload("run/late", "python", "eval('1 +')")
    answer = mayfly.run("run/late")
    assert (answer.status, answer.code) == (500, "script_error")
    assert answer.error["name"] == "SyntaxError"
