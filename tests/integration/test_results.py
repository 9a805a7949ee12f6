"""What `data` and `type` are: the returned value, or else the last JSON line of stdout, or stdout, or null."""

import json

import pytest


@pytest.mark.parametrize(
    "code, data, kind",
    [
        ("return 1", 1, "number"),
        ("return -2.5e300", -2.5e300, "number"),
        ("return 'text'", "text", "string"),
        ("return ''", "", "string"),
        ("return True", True, "json"),
        ("return [1, 'a', None]", [1, "a", None], "json"),
        ("return {'a': {'b': []}}", {"a": {"b": []}}, "json"),
        ("return 'é😀\\n\\x00\"'", 'é😀\n\0"', "string"),
        ("return None", None, "json"),
        ("pass", None, "json"),
        ("return {}", {}, "json"),
        ("return (1, 2)", [1, 2], "json"),
    ],
)
def test_python_value(mayfly, code, data, kind):
    assert mayfly.python(code).json == {"data": data, "type": kind}


@pytest.mark.parametrize(
    "code, data, kind",
    [
        ("return 1", 1, "number"),
        ("return 'text'", "text", "string"),
        ("return true", True, "json"),
        ("return [1, 'a', null]", [1, "a", None], "json"),
        ("return {a: {b: []}}", {"a": {"b": []}}, "json"),
        ("return null", None, "json"),
        ("return undefined", None, "json"),
        ("return new Date(0)", "1970-01-01T00:00:00.000Z", "string"),
        ("return {toJSON() { return 5 }}", 5, "number"),
        ("return {a: undefined, b: 1}", {"b": 1}, "json"),
        ("return 'é😀\\u0000'", "é😀\0", "string"),
    ],
)
def test_javascript_value(mayfly, code, data, kind):
    assert mayfly.javascript(code).json == {"data": data, "type": kind}


@pytest.mark.parametrize(
    "returned, data, kind",
    [
        ('{"a": 1}', {"a": 1}, "json"),
        ("[1, 2]", [1, 2], "json"),
        ("5", 5, "number"),
        ('"inner"', "inner", "string"),
        (" null ", None, "json"),
        ("{not json}", "{not json}", "string"),
        ('{"a": 1} and more', '{"a": 1} and more', "string"),
        ("NaN", "NaN", "string"),
    ],
)
def test_returned_string_that_holds_json_is_that_json(mayfly, returned, data, kind):
    for answer in mayfly.python(f"return {returned!r}"), mayfly.javascript(f"return {json.dumps(returned)}"):
        assert answer.json == {"data": data, "type": kind}


def test_json_in_a_string_in_an_object_stays_a_string(mayfly):
    assert mayfly.python("return {'a': '[1]'}").data == {"a": "[1]"}


def test_integers_beyond_64_bits_are_exact(mayfly):
    digits = "123456789012345678901234567890"
    assert mayfly.python(f"return [{digits}, -{digits}]").body.startswith(
        f'{{"data":[{digits},-{digits}]'.encode()
    )


def test_bigint_is_a_number(mayfly):
    assert mayfly.javascript("return [2n ** 70n]").body == b'{"data":[1180591620717411303424],"type":"json"}'


def test_keys_keep_their_order(mayfly):
    assert list(mayfly.python("return {'z': 1, 'a': 2, 'm': 3}").data) == ["z", "a", "m"]
    assert list(mayfly.javascript("return {z: 1, a: 2, m: 3}").data) == ["z", "a", "m"]


@pytest.mark.parametrize(
    "printed, data, kind",
    [
        (["hello"], "hello", "text"),
        (["a", "b"], "a\nb", "text"),
        (['{"a": 1}'], {"a": 1}, "json"),
        (["log", "42", "log again"], 42, "number"),
        (["1", "2", '"three"'], "three", "string"),
        (["{broken"], "{broken", "text"),
        (["null"], None, "json"),
        (["  [1]  "], [1], "json"),
        (["", "text", ""], "\ntext\n", "text"),
        (["é"], "é", "text"),
    ],
)
def test_stdout_speaks_when_nothing_is_returned(mayfly, printed, data, kind):
    python = mayfly.python("\n".join(f"print({line!r})" for line in printed))
    javascript = mayfly.javascript("\n".join(f"console.log({json.dumps(line)})" for line in printed))
    assert python.json == javascript.json == {"data": data, "type": kind}


def test_stdout_without_a_line_break_is_text(mayfly):
    assert mayfly.python("import sys; sys.stdout.write('no line break')").data == "no line break"


def test_returned_value_comes_before_stdout(mayfly):
    assert mayfly.python("print(1)\nreturn 2").data == 2
    assert mayfly.javascript("console.log(1); return 2").data == 2


def test_falsy_values_are_returned_values(mayfly):
    for value in "0", "''", "[]":
        assert mayfly.python(f"print(7)\nreturn {value}").data != 7
        assert mayfly.javascript(f"console.log(7); return {value}").data != 7
    assert mayfly.python("print(7)\nreturn False").data is False


def test_stderr_is_no_result(mayfly):
    assert mayfly.python("import sys\nprint(1, file=sys.stderr)").data is None
    assert mayfly.javascript("console.error(1)").data is None


def test_stdout_of_child_processes_counts(mayfly):
    assert (
        mayfly.python(
            "import os\nif os.fork() == 0:\n    os.write(1, b'5\\n')\n    os._exit(0)\nos.wait()"
        ).data
        == 5
    )


def test_stdout_that_is_no_utf8_is_text(mayfly):
    answer = mayfly.python("import sys\nsys.stdout.buffer.write(b'a\\xffb')")
    assert (answer.data, answer.type) == ("a\ufffdb", "text")


def test_large_results_arrive_whole(mayfly):
    assert mayfly.python("return 'x' * 3_000_000").data == "x" * 3_000_000
    assert mayfly.javascript("return 'é'.repeat(1_000_000)").data == "é" * 1_000_000
    assert mayfly.python("print('y' * 3_000_000)").data == "y" * 3_000_000


@pytest.mark.parametrize("value", ["float('nan')", "{1, 2}", "b'x'", "object()", "[float('inf')]"])
def test_python_value_that_json_cannot_hold_is_the_script_s_error(mayfly, value):
    answer = mayfly.python(f"return {value}")
    assert (answer.status, answer.code, answer.error["name"]) == (500, "script_error", "TypeError"), answer
    assert "result" in answer.error["message"]


@pytest.mark.parametrize(
    "value", ["(() => { const a = {}; a.a = a; return a })()", "{toJSON() { throw TypeError() }}"]
)
def test_javascript_value_that_json_cannot_hold_is_the_script_s_error(mayfly, value):
    answer = mayfly.javascript(f"return {value}")
    assert (answer.status, answer.code, answer.error["name"]) == (500, "script_error", "TypeError"), answer


def test_deep_values(mayfly):
    deep = "a = []\nfor _ in range({}):\n    a = [a]\nreturn a"
    assert mayfly.python(deep.format(100)).status == 200
    answer = mayfly.python(deep.format(100_000))
    assert (answer.status, answer.code) == (500, "script_error"), answer
