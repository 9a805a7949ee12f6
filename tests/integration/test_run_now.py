"""POST /run-now: code that is run once and not stored."""

import pytest

LANGUAGES = {
    "javascript": "return event.n + 1",
    "typescript": "const n: number = event.n; return n + 1",
    "python": "return event['n'] + 1",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_code_runs_with_its_input(mayfly, language):
    answer = mayfly.run_now(language, LANGUAGES[language], input={"n": 41})
    assert answer.status == 200, answer
    assert answer.json == {"data": 42, "type": "number"}
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("language", LANGUAGES)
def test_same_code_again_knows_nothing_of_the_first_time(mayfly, language):
    count = {
        "javascript": "globalThis.n = (globalThis.n || 0) + 1; return globalThis.n",
        "typescript": "const g: any = globalThis; g.n = (g.n || 0) + 1; return g.n as number",
        "python": "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nreturn builtins.n",
    }[language]
    assert [mayfly.run_now(language, count).data for _ in range(5)] == [1] * 5


@pytest.mark.parametrize("language", LANGUAGES)
def test_syntax_error(mayfly, language):
    answer = mayfly.run_now(language, "\nreturn ((")
    assert (answer.status, answer.code) == (422, "syntax_error"), answer
    assert answer.error["name"] == "SyntaxError"
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_path_and_version_are_nothing_to_it(mayfly):
    assert mayfly.python("return 1", path="a", version=3).data == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"language": "python"},
        {"code": "return 1"},
        {"language": "php", "code": ""},
        {"language": "python", "code": 1},
    ],
)
def test_missing_and_mistyped_members_are_refused(mayfly, body):
    answer = mayfly.post("/run-now", body)
    assert (answer.status, answer.code) == (400, "bad_request"), answer


@pytest.mark.parametrize("language", LANGUAGES)
def test_limits_come_with_the_code(mayfly, language):
    limits = {"timeout_ms": 20_000, "cpus": 0.5, "memory_bytes": 1 << 26, "processes": 16}
    for n in 1, 2:
        assert mayfly.run_now(language, LANGUAGES[language], input={"n": n}, limits=limits).data == n + 1


def test_limits_above_the_settings_are_refused(strict):
    answer = strict.python("return 1", limits={"timeout_ms": 1501})
    assert (answer.status, answer.code) == (400, "bad_request"), answer
    assert "at most 1500 (TIMEOUT_SCRIPT)" in answer.json["detail"]
    assert strict.python("return 1", limits={"timeout_ms": 1500}).data == 1


@pytest.mark.parametrize("name", ["stream", "detail"])
@pytest.mark.parametrize("value", [1, "true", [], {}])
def test_switches_are_true_or_false(mayfly, name, value):
    answer = mayfly.python("return 1", **{name: value})
    assert (answer.status, answer.code) == (400, "bad_request"), answer
    assert f"`{name}` must be true or false" in answer.json["detail"]


@pytest.mark.parametrize("name", ["stream", "detail"])
@pytest.mark.parametrize("value", [False, None])
def test_switches_may_be_off(mayfly, name, value):
    assert mayfly.python("return 1", **{name: value}).json == {"data": 1, "type": "number"}


def test_code_over_the_limit_is_refused(mayfly):
    answer = mayfly.python("#" * 262_145)
    assert (answer.status, answer.code) == (413, "too_large"), answer


def test_answer_carries_timing_and_request_id(mayfly):
    answer = mayfly.python("return 1")
    assert "total;dur=" in answer.headers["server-timing"]
    assert answer.headers["x-request-id"]


def test_caller_s_request_id_is_kept(mayfly):
    answer = mayfly.request(
        "POST", "/run-now", {"language": "python", "code": "return 1"}, {"X-Request-Id": "my-id-1"}
    )
    assert answer.headers["x-request-id"] == "my-id-1"


def test_request_ids_differ(mayfly):
    assert len({mayfly.python("return 1").headers["x-request-id"] for _ in range(10)}) == 10
