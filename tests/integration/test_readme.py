"""The README's examples answer as printed, but for what differs by nature: versions and request ids."""

import pathlib
import re
import subprocess

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"


def examples():
    for block in re.findall(r"```console\n(.*?)```", README.read_text(), re.S):
        for example in re.split(r"^\$ ", block, flags=re.M)[1:]:
            yield example.split("\n", 1)


def without_accidents(text):
    return re.sub(r'"request_id":"[^"]*"', '"request_id":""', re.sub(r'"version":\d+', '"version":0', text.strip()))


def test_there_are_seven_examples():
    assert len(list(examples())) == 7


def test_examples_answer_as_printed(mayfly):
    for command, printed in examples():
        command = command.replace("localhost:8080", f"127.0.0.1:{mayfly.port}")
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30).stdout
        assert without_accidents(answer) == without_accidents(printed), command
