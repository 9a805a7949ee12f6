"""What a check makes of a script that parses, for its calls to come: the names of what it imports."""

import ast
import re
import sys
import warnings

_IMPORTS_MAX, _IMPORTS_MAX_BYTES = 32, 1024  # as in server/script.h
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


def describe_code(source):
    """The body of FRAME_COMPILED: struct frame_compiled, then its parts."""
    parts = b"", b"", b"", list_imports(source)
    return b"".join([len(part).to_bytes(4, sys.byteorder) for part in parts] + [*parts])


def list_imports(source):
    """The modules that the script imports at its top level, whatever else happens: sorted, with blanks between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler has printed them
        names = sorted(set(filter(_NAME.fullmatch, _imports(ast.parse(source).body))))
    text = " ".join(names).encode()
    return text if len(names) <= _IMPORTS_MAX and len(text) <= _IMPORTS_MAX_BYTES else b""


def _imports(body):
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module != "__future__":
            yield node.module
        elif isinstance(node, ast.Try):
            yield from _imports(node.body)
