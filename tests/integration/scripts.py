"""The same small scripts in every language: statements that are put together to a script by script()."""

import json

LANGUAGES = ("python", "javascript", "typescript")

# What a script may do to end otherwise than well: name → (Python, JavaScript).
FAULTS = {
    "throw": ("raise ValueError('no')", "throw new TypeError('no')"),
    "exit": ("import sys; sys.exit(3)", "process.exit(3)"),
    "spin": ("while True: pass", "for (;;);"),
    "idle": ("import time; time.sleep(600)", "await new Promise((done) => setTimeout(done, 600_000))"),
    "hoard": ("x = b'x' * (400 << 20)", "const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))"),
    "flood": ("while True: print('y' * 999)", "for (;;) console.log('y'.repeat(999))"),
    "flood stderr": ("import sys\nwhile True: print('y' * 999, file=sys.stderr)", "for (;;) console.error('y'.repeat(999))"),
    "syntax": ("return ((", "return (("),
}


def script(language, *statements):
    first = ["const typed: number = 1"] if language == "typescript" else []
    return "\n".join([*first, *statements])


def fault(language, name):
    return FAULTS[name][language != "python"]


def say(language, text, stream="stdout"):
    """One line, the way that language's scripts print it."""
    if language == "python":
        return f"import sys; print({text!r}, file=sys.{stream})"
    return f"console.{'log' if stream == 'stdout' else 'error'}({json.dumps(text)})"


def say_long(language, letter, length):
    """One line of so many letters."""
    return f"print({letter!r} * {length})" if language == "python" else f"console.log('{letter}'.repeat({length}))"


def count(language, number, stream="stdout"):
    """Lines 0 to number - 1."""
    if language == "python":
        return f"import sys\nfor n in range({number}): print(n, file=sys.{stream})"
    return f"for (let n = 0; n < {number}; n++) console.{'log' if stream == 'stdout' else 'error'}(n)"


def write(language, data, stream="stdout"):
    """These bytes, at once."""
    if language == "python":
        return f"import sys; sys.{stream}.flush(); sys.{stream}.buffer.write(bytes.fromhex('{data.hex()}')); sys.{stream}.flush()"
    return f"process.{stream}.write(Buffer.from('{data.hex()}', 'hex'))"


def sleep(language, seconds):
    if language == "python":
        return f"import time; time.sleep({seconds})"
    return f"await new Promise((done) => setTimeout(done, {seconds * 1000}))"


def give(language, value):
    return f"return {value!r}" if language == "python" else f"return {json.dumps(value)}"
