"""`input`: any JSON value, seen by the script as `event` and as `input`."""

import json

import pytest

ECHO = {
    "python": "return [event]",
    "javascript": "return [event]",
    "typescript": "return [event] as unknown[]",
}


@pytest.mark.parametrize("language", ECHO)
@pytest.mark.parametrize(
    "value",
    [{"a": [1, {"b": None}]}, [], [1, "2"], 5, -0.5, True, False, None, "", "plain text", "é😀\u0000\n", {}],
)
def test_any_json_value_arrives_as_itself(mayfly, language, value):
    assert mayfly.run_now(language, ECHO[language], input=value).data == [value]


@pytest.mark.parametrize("language", ECHO)
@pytest.mark.parametrize("value", [{"a": 1}, [1, 2], 5, True, None, "inner"])
def test_string_that_holds_json_is_parsed(mayfly, language, value):
    assert mayfly.run_now(language, ECHO[language], input=json.dumps(value)).data == [value]


@pytest.mark.parametrize("text", ["{a: 1}", "1 2", "hello", "'x'", "NaN", "0x10", " "])
def test_any_other_string_arrives_as_itself(mayfly, text):
    assert mayfly.python(ECHO["python"], input=text).data == [text]
    assert mayfly.javascript(ECHO["javascript"], input=text).data == [text]


@pytest.mark.parametrize("language", ECHO)
def test_absent_input_is_an_empty_object(mayfly, language):
    assert mayfly.run_now(language, ECHO[language]).data == [{}]


def test_event_and_input_are_the_same(mayfly):
    assert mayfly.python("return [event is input, input['a']]", input={"a": 1}).data == [True, 1]
    assert mayfly.javascript("return [event === input, input.a]", input={"a": 1}).data == [True, 1]


def test_integers_arrive_exactly(mayfly):
    for number in 2**53 + 1, 2**64, -(10**40):
        assert mayfly.python("return f'is {event}'", input=number).data == f"is {number}"


def test_integers_of_many_digits_arrive_in_python(mayfly):
    number = int("9" * 4000)
    assert (
        mayfly.python("return event + 1", input=number).body
        == b'{"data":1' + b"0" * 4000 + b',"type":"number"}'
    )


def test_blanks_and_escapes_in_the_body_do_not_matter(mayfly):
    body = b' \n{"language" : "python" , "code":"return event", "input" : { "\\u0061" : "\\u00e9\\ud83d\\ude00" } }\n '
    assert mayfly.post("/run-now", body).data == {"a": "é😀"}


def test_input_may_have_an_equal_key_twice(mayfly):
    body = b'{"language":"python","code":"return event","input":{"a":1,"a":2}}'
    assert mayfly.post("/run-now", body).data == {"a": 2}


def test_large_input(mayfly):
    value = {"text": "é" * 1_000_000, "list": list(range(50_000))}
    assert mayfly.python("return [len(event['text']), sum(event['list'])]", input=value).data == [
        1_000_000,
        sum(range(50_000)),
    ]
    assert mayfly.javascript("return event.text.length", input=value).data == 1_000_000


def test_deep_input(mayfly):
    depth = 100
    body = b'{"language":"python","code":"return 1","input":' + b"[" * depth + b"]" * depth + b"}"
    assert mayfly.post("/run-now", body).data == 1
    body = body.replace(b"[" * depth, b"[" * 100_000).replace(b"]" * depth, b"]" * 100_000)
    assert mayfly.post("/run-now", body).status == 400


def test_what_a_script_does_to_its_event_is_not_seen_by_the_next(mayfly):
    code = "event['a'].append(1)\nreturn event"
    assert [mayfly.python(code, input={"a": []}).data for _ in range(3)] == [{"a": [1]}] * 3
