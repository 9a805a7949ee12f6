"""A Python script as its author wrote it, turned into code and run as the module `__main__`.

Runs inside a cell, on source and input that nobody has vouched for.

A script may end with a top-level `return`, which CPython has only inside functions. Its text stays as it is,
since every line, column and string in it belongs to the author; its syntax tree is moved into a function
instead, and of that function only the code object is kept, changed to run in the module's own names. So a
script with a `return` means what the same script means without it.
"""

import ast
import builtins
import importlib.util
import inspect
import linecache
import re
import sys
import types
import warnings
from collections.abc import Awaitable

FILE = "function.py"
DIRECTORY = "/tmp"

_BODY = "<mayfly>"  # the function's name for as long as it has one
_STAR = "<import *>"  # the helper's name: no word that a script could write
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_TARGETS = (ast.Name, ast.Tuple, ast.List, ast.Starred)
_ASYNC = (ast.Await, ast.AsyncFor, ast.AsyncWith)
_MODULE = "<module>"  # what CPython calls code at the top of a module


# From source to code


def decode_script(source):
    """Text of the bytes of a script, as CPython reads a file. Positions in text count characters; in bytes,
    before 3.13, the parser would count bytes."""
    if source.isascii() and b"\r" not in source and b"coding" not in source:
        return source.decode()  # what decode_source() would come to, for a tenth of the work
    return importlib.util.decode_source(source)


def compile_script(source):
    """The code objects to run one after the other; the last one's value is what the script returned.

    Raises what the compiler raises."""
    if re.search(r"^return\b", source, re.MULTILINE):
        return _compile_with_return(source)
    try:
        return _compile(source)
    except SyntaxError as error:
        if error.msg != "'return' outside function":
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the attempt above has printed them
        return _compile_with_return(source)


def _compile(source):
    return [compile(source, FILE, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)]


def _compile_with_return(source):
    tree = ast.parse(source, FILE)
    deep = re.search(r"await|async|yield|:=", source)  # else no expression within a statement matters
    nodes = list(_top_scope(tree.body, deep))
    if not any(isinstance(node, ast.Return) for node in nodes):
        return _compile(source)
    _refuse_yield(nodes)

    head, body = _split_head(tree.body)
    postponed = any(alias.name == "annotations" for node in head for alias in getattr(node, "names", ()))
    for block in _top_blocks(body):
        block[:] = [new for old in block for new in _adapt(old, postponed)]
    names = sorted(set(_bound_names(nodes)))
    if names:  # bound in the module, as they would be without the function
        body.insert(0, ast.copy_location(ast.Global(names), body[0]))

    # Parsed, not built: what a node needs differs from one CPython to the next.
    is_async = any(isinstance(node, _ASYNC) or getattr(node, "is_async", 0) for node in nodes)
    outer = ast.parse("async def f(): pass" if is_async else "def f(): pass", FILE)
    outer.body[0].name, outer.body[0].body = _BODY, body
    outer.body[:0] = head  # __future__ imports take effect here too
    code = compile(outer, FILE, "exec", dont_inherit=True)
    first = [compile(ast.Module(head, []), FILE, "exec", dont_inherit=True)] if head else []
    return first + [_as_module(next(const for const in code.co_consts if isinstance(const, types.CodeType)))]


def _top_scope(body, deep):
    """Every node that is evaluated in the script's own scope, not in that of a function or class in it.

    Not deep: of the expressions only those that can be assigned to, which is much quicker."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        for field in node._fields:
            if field in ("body", "type_params") and isinstance(node, _SCOPES):
                continue
            child = getattr(node, field, None)
            for item in child if isinstance(child, list) else (child,):
                if isinstance(item, ast.AST) and (
                    deep or not isinstance(item, ast.expr) or isinstance(item, _TARGETS)
                ):
                    stack.append(item)


def _top_blocks(body):
    """Every list of statements of the script's own scope."""
    stack = [body]
    while stack:
        block = stack.pop()
        yield block
        for node in block:
            if isinstance(node, _SCOPES):
                continue
            stack += filter(None, (getattr(node, field, None) for field in ("body", "orelse", "finalbody")))
            stack += (part.body for part in getattr(node, "handlers", None) or getattr(node, "cases", ()))


def _refuse_yield(nodes):
    for node in nodes:
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            raise SyntaxError("'yield' outside function", (FILE, node.lineno, node.col_offset + 1, None))


def _split_head(body):
    """The docstring and the __future__ imports, which mean something only at the top of a module."""
    n = 0
    if isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str):
        n = 1
    while isinstance(body[n], ast.ImportFrom) and body[n].module == "__future__":
        n += 1
    return body[:n], body[n:]


def _bound_names(nodes):
    for node in nodes:
        if isinstance(node, ast.alias):
            if node.name != "*":
                yield node.asname or node.name.partition(".")[0]
        elif isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                yield node.id
        else:
            # def, class, except … as, and the patterns of match
            for name in getattr(node, "name", None), getattr(node, "rest", None):
                if isinstance(name, str):
                    yield name


def _adapt(node, postponed):
    """The statements that say inside a function what this one says in a module."""
    if isinstance(node, ast.Global):
        new = [ast.Pass()]
    elif isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        statement = f"from {'.' * node.level}{node.module or ''} import *"
        new = [ast.Expr(ast.Call(ast.Name(_STAR, ast.Load()), [ast.Constant(statement)], []))]
    elif isinstance(node, ast.AnnAssign) and node.simple:
        note = ast.Constant(ast.unparse(node.annotation)) if postponed else node.annotation
        notes = ast.Name("__annotations__", ast.Load())
        note_place = ast.Subscript(notes, ast.Constant(node.target.id), ast.Store())
        new = [ast.Assign([node.target], node.value)] if node.value else []
        new.append(ast.Assign([note_place], note))
    else:
        return [node]
    return [ast.fix_missing_locations(ast.copy_location(statement, node)) for statement in new]


def _as_module(code):
    """A function's code changed to use the names of the module it is evaluated in, as module code does."""
    # From 3.12 on the variables of comprehensions are locals of the function, and 3.12's locals() would copy
    # them over the module's own: give them names that no script can write.
    hidden = {
        "co_varnames": tuple("." + name for name in code.co_varnames),
        "co_cellvars": tuple("." + name for name in code.co_cellvars),
    }
    code = _with_plain_names(code)
    flags = code.co_flags & ~(inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS)
    if hasattr(code, "co_qualname"):
        hidden["co_qualname"] = _MODULE
    return code.replace(co_flags=flags, co_name=_MODULE, **hidden)


def _with_plain_names(code):
    """Names a lambda `<lambda>`, not `<mayfly>.<locals>.<lambda>`."""
    prefix = f"{_BODY}.<locals>."
    consts = []
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            qualname = getattr(const, "co_qualname", None)
            if qualname is None:  # before 3.11 the names are constants beside the code
                const = _with_plain_names(const)
            elif qualname.startswith(prefix):
                const = _with_plain_names(const).replace(co_qualname=qualname[len(prefix) :])
        elif isinstance(const, str):
            const = const[len(prefix) :] if const.startswith(prefix) else const
        consts.append(const)
    return code.replace(co_consts=tuple(consts))


# Running it


def run_script(codes, source, event):
    """Runs the script as `__main__` and hands back what it, or else its handler, returned."""
    return run_codes(codes, _main_module(source, event))


def _main_module(source, event):
    module = types.ModuleType("__main__")
    names = vars(module)
    names.update(__annotations__={}, __builtins__=builtins, __cached__=None, __file__=f"{DIRECTORY}/{FILE}")
    names.update(event=event, input=event)
    sys.modules["__main__"] = module

    # Tracebacks and inspect find the source here; they never look for a file while the time is None.
    entry = len(source), None, [line + "\n" for line in source.split("\n")], FILE
    linecache.cache[FILE] = linecache.cache[names["__file__"]] = entry
    return names


def run_codes(codes, names):
    value, handled = None, False
    for code in codes:
        if _STAR in code.co_names:
            setattr(builtins, _STAR, lambda text: exec(compile(text, __file__, "exec"), names))
        value = eval(code, names)
    if isinstance(value, Awaitable):
        value, handled = _run_async(_settle(value, names))
    handler = names.get("handler")
    if value is None and not handled and callable(handler):
        value = handler(names["event"])
        if isinstance(value, Awaitable):
            value, _ = _run_async(_settle(value, {}))
    return value


async def _settle(value, names):
    """What an awaitable comes to. An async handler runs in the loop in which its script's body ran."""
    value = await value
    if isinstance(value, Awaitable):
        value = await value
    handler = names.get("handler")
    if value is None and inspect.iscoroutinefunction(handler):
        return await handler(names["event"]), True
    return value, False


def _run_async(coroutine):
    import asyncio  # most scripts do without

    return asyncio.run(coroutine)
