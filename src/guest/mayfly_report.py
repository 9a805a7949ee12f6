"""What a script came to, as the bytes of its last frame: its value as JSON, or what went wrong and where.

Runs inside a cell after the script did, so nothing of the interpreter can be trusted to be as it was.
"""

import errno
import json
import linecache
import math
import os
import sys
import traceback

from mayfly_script import FILE

NAME_MAX = 256
MESSAGE_MAX = 16 * 1024
STACK_MAX = 64 * 1024

# Made while there is memory.
OUT_OF_MEMORY = (
    b'{"name":"MemoryError","message":"out of memory","stack":"MemoryError","line":null,"column":null,'
    b'"code":"ENOMEM"}'
)

_HERE = os.path.dirname(__file__) + os.sep
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_scan = json.JSONDecoder().scan_once
_set_int_digits = getattr(sys, "set_int_max_str_digits", lambda digits: None)
_get_int_digits = getattr(sys, "get_int_max_str_digits", lambda: 0)


# Values


class ResultError(TypeError):
    """The script returned what JSON cannot hold. Its callers see a TypeError without a stack."""


# By class name, nearest base class first: naming the class costs no import of its module.
_HINTS = {
    "bytes": "return .decode(), or base64.b64encode(…).decode()",
    "bytearray": "return .decode(), or base64.b64encode(…).decode()",
    "memoryview": "return bytes(…).decode(), or base64.b64encode(…).decode()",
    "set": "return list(…)",
    "frozenset": "return list(…)",
    "range": "return list(…)",
    "generator": "return list(…)",
    "dict_keys": "return list(…)",
    "dict_values": "return list(…)",
    "dict_items": "return dict(…) or list(…)",
    "map": "return list(…)",
    "filter": "return list(…)",
    "zip": "return list(…)",
    "enumerate": "return list(…)",
    "reversed": "return list(…)",
    "deque": "return list(…)",
    "datetime": "return .isoformat()",
    "date": "return .isoformat()",
    "time": "return .isoformat()",
    "timedelta": "return .total_seconds()",
    "Decimal": "return str(…), or float(…) if rounding is fine",
    "Fraction": "return str(…) or float(…)",
    "complex": "return [….real, ….imag]",
    "UUID": "return str(…)",
    "PurePath": "return str(…)",
    "Enum": "return .value",
    "coroutine": "await it",
    "function": "call it, and return what it returns",
    "ndarray": "return .tolist()",
    "generic": "return .item()",
    "DataFrame": "return .to_dict('records')",
    "Series": "return .tolist()",
}


def encode_result(value):
    """The JSON text of a value. Raises ResultError, which says what part of it is wrong and what to do."""
    digits = _get_int_digits()
    _set_int_digits(0)  # any integer that the script could make
    try:
        return _utf8(_encode(value))
    except (TypeError, ValueError, RecursionError):
        _blame(value, "result", [])
        raise
    finally:
        _set_int_digits(digits)


def decode_event(text):
    digits = _get_int_digits()
    _set_int_digits(0)
    try:
        text = text.decode().strip(" \t\n\r")
        event, end = _scan(text, 0)
    finally:
        _set_int_digits(digits)
    if end != len(text):
        raise ValueError("the event is no JSON text")
    return event


def _utf8(text):
    """A lone surrogate cannot be written in UTF-8; backslashreplace happens to write it as JSON does."""
    return text.encode("utf-8", "backslashreplace")


def _blame(value, path, parents):
    """Raises for the first part of the value that JSON cannot hold."""
    if any(value is parent for parent in parents):
        raise ResultError(f"{_short(path)} contains itself, which JSON cannot hold") from None
    if len(parents) > 500:
        raise ResultError(f"{_short(path)} is nested too deeply for JSON") from None
    inside = parents + [value]
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int, float, type(None))):
                _refuse(key, f"a key of {path}", "use a string")
            _blame(item, f"{path}[{_short(repr(key))}]", inside)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _blame(item, f"{path}[{index}]", inside)
    elif isinstance(value, float):
        if not math.isfinite(value):
            advice = "which JSON cannot hold; return None or a string instead"
            raise ResultError(f"{path} is {float(value)}, {advice}") from None
    elif not isinstance(value, (str, int, type(None))):
        _refuse(value, path, "turn it into dicts, lists, strings and numbers")


def _refuse(value, path, advice):
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        advice = "return dataclasses.asdict(…)"
    for base in reversed(kind.__mro__):
        advice = _HINTS.get(base.__name__, advice)
    raise ResultError(f"{path} is of type {kind.__name__}, which JSON cannot hold; {advice}") from None


def _short(text):
    return text if len(text) <= 60 else text[:57] + "..."


# Errors


def describe_error(error):
    """FRAME_ERROR's body for an exception that left the script."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000))
    try:
        line, column = _position(error.__traceback__)
        stack = "" if isinstance(error, ResultError) else _stack(error)
        return _body(error, _message(error), stack, line, column, _system_code(error))
    except MemoryError:
        return OUT_OF_MEMORY
    except BaseException:  # the script bent what this stands on; its error still has a name
        return _body(error, "", "", None, None)


def print_error(error):
    """What the interpreter would print of it, without mayfly's own frames."""
    print(_stack(error), end="", file=sys.stderr)


def describe_syntax_error(error, source):
    """FRAME_SYNTAX's body for what compile_script() raised."""
    if not isinstance(error, SyntaxError):
        error = _as_syntax_error(error, source)
    line, column, text = error.lineno, error.offset, error.text
    lines = source.decode("utf-8", "replace").split("\n")
    if line and not text and line <= len(lines):
        # The compiler, unlike the parser, tells no text and counts bytes.
        text = error.text = lines[line - 1]
        column = error.offset = _characters(text, (column or 1) - 1) + 1
    where = f" (line {line}, column {column}): {text.strip()[:200]}" if line and text else ""
    stack = "".join(traceback.format_exception_only(SyntaxError, error))
    return _body(error, f"{error.msg}{where}", stack, line or None, column or None)


def _as_syntax_error(error, source):
    nul = source.find(b"\0")
    if isinstance(error, ValueError) and nul >= 0:
        start = source.rfind(b"\n", 0, nul) + 1
        where = FILE, source.count(b"\n", 0, nul) + 1, nul - start + 1, None
        return SyntaxError("source code cannot contain null bytes", where)
    if isinstance(error, (RecursionError, MemoryError)):
        return SyntaxError("the script is nested too deeply, too complex to compile")
    return SyntaxError(str(error))


def _message(error):
    try:
        return str(error) or ("out of memory" if isinstance(error, MemoryError) else "")
    except Exception as second:
        return f"<its __str__ raised {type(second).__name__}>"


def _system_code(error):
    """The symbolic errno of the error, or of the nearest one that its traceback tells of: those in its group,
    its cause, or what was being handled. None: nothing of the operating system was behind it."""
    todo, seen = [error], set()
    while todo:
        error = todo.pop(0)
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        if isinstance(error, MemoryError):
            return "ENOMEM"
        number = _errno(error) if isinstance(error, OSError) else None
        if number in errno.errorcode:
            return errno.errorcode[number]
        todo += getattr(error, "exceptions", None) or ()
        hidden = error.__cause__ is not None or error.__suppress_context__
        todo.append(error.__cause__ if hidden else error.__context__)
    return None


def _errno(error):
    """A class of the script's may have made anything of it."""
    try:
        return error.errno if isinstance(error.errno, int) else None
    except Exception:
        return None


def _stack(error):
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    _keep_user_frames(report)
    return "".join(report.format())


def _keep_user_frames(report):
    """Takes mayfly's own frames, and the interpreter's on the way to the script, out of a traceback."""
    todo, seen = [report], set()
    while todo:
        report = todo.pop()
        if report is None or id(report) in seen:
            continue
        seen.add(id(report))
        frames = [frame for frame in report.stack if not frame.filename.startswith(_HERE)]
        users = [n for n, frame in enumerate(frames) if frame.filename == FILE]
        report.stack[:] = frames[users[0] :] if users else frames
        todo += [report.__cause__, report.__context__, *(getattr(report, "exceptions", None) or ())]


def _position(tb):
    """Line and column, from 1, of the innermost frame in the script; None where there is none."""
    line = column = None
    while tb:
        code = tb.tb_frame.f_code
        if code.co_filename == FILE:
            line, column = tb.tb_lineno, _column(code, tb)
        tb = tb.tb_next
    return line, column


def _column(code, tb):
    if not hasattr(code, "co_positions"):  # before 3.11
        return None
    offset = list(code.co_positions())[tb.tb_lasti // 2][2]
    return None if offset is None else _characters(linecache.getline(FILE, tb.tb_lineno), offset) + 1


def _characters(line, offset):
    """CPython counts bytes of UTF-8, editors count characters."""
    return len(line.encode("utf-8", "replace")[:offset].decode("utf-8", "replace"))


def _body(error, message, stack, line, column, code=None):
    name = "TypeError" if isinstance(error, ResultError) else type(error).__name__[:NAME_MAX]
    fields = {
        "name": name,
        "message": _cut(message, MESSAGE_MAX),
        "stack": _cut(stack or f"{name}: {message}", STACK_MAX),
        "line": line,
        "column": column,
    }
    if code is not None:
        fields["code"] = code
    return _utf8(_encode(fields))


def _cut(text, limit):
    """Both ends of a long text: a stack begins at its end."""
    return text if len(text) <= limit else f"{text[: limit // 2]}\n…\n{text[-limit // 2 :]}"
