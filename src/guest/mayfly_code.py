"""What a check makes of a script that parses, for its calls to come: its code, and what it imports.

The code objects are kept marshalled. Whoever wrote the script may have made the check say what he likes, and
unmarshalling does no checks: so only cells of that very script are given what its check has made. The stamp keeps
the code of another CPython, or of another mayfly, out.
"""

import ast
import importlib.util
import marshal
import re
import sys
import warnings

import mayfly_script as script

_IMPORTS_MAX, _IMPORTS_MAX_BYTES = 32, 1024  # as in server/script.h
_CACHE_PER_BYTE, _CACHE_EXTRA = 8, 65536  # folded constants can be hundreds of times as long as their source
_TRIES = ast.Try, getattr(ast, "TryStar", ast.Try)  # `except*` is 3.11's
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)


def _make_stamp():
    parts = [importlib.util.MAGIC_NUMBER, sys.version.encode()]
    for path in script.__file__, __file__:
        with open(path, "rb") as file:
            parts.append(file.read())
    return importlib.util.source_hash(b"".join(parts)).hex()[:8]


STAMP = _make_stamp()
_HEAD = STAMP.encode()


def check_code(source, warm):
    """The body of FRAME_COMPILED: struct frame_compiled, then its parts. Raises what the compiler raises."""
    with warnings.catch_warnings(record=True) as complaints:
        codes = script.compile_script(source)
    cache = b"" if complaints else dump_code(codes, source)  # each call is to print them again
    parts = b"", b"", cache, list_imports(source, warm)
    return b"".join([len(part).to_bytes(4, sys.byteorder) for part in parts] + [*parts])


def dump_code(codes, source):
    try:
        cache = _HEAD + marshal.dumps(codes)
    except ValueError:  # nested too deep
        return b""
    return cache if len(cache) <= _CACHE_PER_BYTE * len(source) + _CACHE_EXTRA else b""


def load_code(cache):
    """The code objects that dump_code() was given, or None."""
    if not cache.startswith(_HEAD):
        return None
    try:
        return marshal.loads(memoryview(cache)[len(_HEAD) :])
    except Exception:
        return None


def list_imports(source, warm):
    """The modules that the script imports at its top level, whatever else happens, and that are not warm: sorted, with
    blanks between."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        names = sorted(set(filter(_NAME.fullmatch, _imports(ast.parse(source).body))).difference(warm))
    text = " ".join(names).encode()
    return text if len(names) <= _IMPORTS_MAX and len(text) <= _IMPORTS_MAX_BYTES else b""


def _imports(body):
    for node in body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module != "__future__":
            yield node.module
        elif isinstance(node, _TRIES):
            yield from _imports(node.body)
