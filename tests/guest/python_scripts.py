"""Scripts in every form that an author may write, which `python3 function.py` and mayfly must run alike.

Each prints what it found out.
"""

# fmt: off
SCRIPTS = {
    "nothing": "",
    "only_a_comment": "# nothing\n",
    "only_a_docstring": '"""What it is for."""\n',
    "print": 'print("hello", 1, end="!\\n")\n',
    "no_newline_at_the_end": "print(1)",
    "windows_line_ends": "x = 1\r\nif x:\r\n    print('''a\r\nb''')\r\n",
    "byte_order_mark": "\ufeffprint(1)\n",
    "coding_comment": """\
# -*- coding: utf-8 -*-
print('é')
""",
    "form_feed": "x = 1\n\x0cprint(x)\n",
    "tabs": "if 1:\n\tprint('tab')\n",
    "semicolons": "a = 1; b = 2; print(a + b)\n",
    "continued_line": """\
x = 1 + \\
    2
print(x)
""",
    "docstring_is_doc": '"""One\n\n    two\n"""\nprint(repr(__doc__))\n',
    "no_docstring": "print(__doc__)\n",
    "text_in_the_middle_is_no_docstring": """\
x = 1
"text"
print(__doc__)
""",
    "long_string_keeps_its_blanks": 'x = """\n  a\n\tb\n"""\nprint(repr(x))\n',
    "name_is_main": """\
if __name__ == "__main__":
    print("main")
else:
    print(__name__)
""",
    "import_main": """\
import __main__
x = 5
print(__main__.x)
""",
    "module_dunders": "print(__name__, __package__, __spec__, sorted(vars(__builtins__))[:3])\n",
    "arguments": """\
import sys
print(sys.argv)
""",
    "import_as": """\
import os.path as p, json
import xml.dom
print(p.sep, json.dumps(1), xml.__name__)
""",
    "import_star": """\
from math import *
print(floor(pi))
""",
    "import_star_in_a_block": """\
try:
    from math import *
finally:
    print(ceil(e))
""",
    "import_star_shadowed": """\
floor = 1
from math import *
print(floor)
pi = 3
print(pi)
""",
    "import_star_fails": """\

from no_such_module import *
""",
    "import_star_of_missing_name": """\
import math
math.__all__ = ['nope']
from math import *
""",
    "import_missing": """\
try:
    import nope
except ImportError as e:
    print(e, e.name)
""",
    "relative_import": "from . import something\n",
    "future_annotations": """\
'doc'
from __future__ import annotations
from __future__ import division as d
def f(x: Nowhere) -> 'int': pass
print(f.__annotations__, d.mandatory, __doc__)
""",
    "future_annotations_of_the_module": """\
from __future__ import annotations
x: List[Nowhere] = 1
y: a.b
print(__annotations__)
""",
    "annotations": """\
x: int = 5
y: str
if x:
    z: 'list' = [x]
print(x, z, __annotations__)
""",
    "annotation_of_an_attribute": """\
class A: pass
a = A()
a.x: int = 3
(b): int = 4
print(a.x, b)
""",
    "no_annotations": "print(__annotations__)\n",
    "function": """\
def f(a, *b, c=1, **d):
    return a, b, c, d
print(f(1, 2, c=3, e=4))
""",
    "recursion": """\
def f(n):
    return 1 if n < 2 else n * f(n - 1)
print(f(20))
""",
    "mutual_recursion": """\
def even(n):
    return n == 0 or odd(n - 1)
def odd(n):
    return n != 0 and even(n - 1)
print(even(10))
""",
    "closure": """\
def counter():
    n = 0
    def add():
        nonlocal n
        n += 1
        return n
    return add
c = counter()
c()
print(c(), counter.__qualname__, c.__qualname__)
""",
    "global_in_a_function": """\
n = 0
def f():
    global n, m
    n += 1
    m = 7
f()
print(n, m)
""",
    "global_at_the_top": """\
global x
x = 1
def f():
    return x
print(f())
""",
    "late_global": """\
def f():
    return later
later = 3
print(f())
""",
    "name_error_in_a_function": """\
def f():
    return never
f()
""",
    "name_error": """\
print(1)
print(never)
never = 1
""",
    "delete": """\
x = 1
del x
try:
    x
except NameError as e:
    print(e)
""",
    "delete_twice": """\
x = 1
del x
del x
""",
    "except_name_goes": """\
try:
    1 / 0
except ZeroDivisionError as e:
    pass
print('e' in globals())
""",
    "lambda": """\
f = lambda a: (lambda b: a + b)
print(f(1)(2), f.__qualname__, f(1).__qualname__)
""",
    "lambda_in_a_loop": """\
fs = [lambda: i for i in range(3)]
print([f() for f in fs])
""",
    "lambda_sees_later_names": """\
f = lambda: y
y = 2
print(f())
""",
    "decorators": """\
def twice(f):
    def g(*a):
        return f(*a) * 2
    return g
@twice
def h(x):
    return x + 1
print(h(1))
""",
    "class": """\
class A:
    n = 1
    def f(self):
        return __class__, self.n, super().__repr__()[:10]
    class B: pass
print(A, A.B, A.__module__, A.f.__qualname__, A.B.__qualname__, A().f())
""",
    "class_body_sees_the_module": """\
n = 1
class A:
    n = n + 1
    m = [n for _ in 'a']
print(A.n, A.m)
""",
    "inheritance": """\
class A:
    def f(self): return 1
class B(A):
    def f(self): return super().f() + 1
print(B().f())
""",
    "metaclass": """\
class M(type):
    pass
class A(metaclass=M):
    pass
print(type(A), M.__qualname__)
""",
    "dataclass": """\
from dataclasses import dataclass, field, asdict
@dataclass
class P:
    x: int
    y: 'list' = field(default_factory=list)
print(P(1), P(1) == P(1), asdict(P(2)))
""",
    "dataclass_with_future": """\
from __future__ import annotations
from dataclasses import dataclass, fields
from typing import ClassVar
@dataclass
class P:
    a: ClassVar[int] = 1
    x: int = 2
print([f.name for f in fields(P)], P())
""",
    "type_hints": """\
import typing
class A:
    b: 'B'
class B: pass
print(typing.get_type_hints(A))
""",
    "named_tuple": """\
from typing import NamedTuple
class P(NamedTuple):
    x: int
print(P(1), P.__module__)
""",
    "enum": """\
import enum
class C(enum.Enum):
    RED = 1
print(C.RED, repr(C.RED), C['RED'])
""",
    "abstract_class": """\
import abc
class A(abc.ABC):
    @abc.abstractmethod
    def f(self): ...
A()
""",
    "pickle": """\
import pickle
class A:
    def __init__(self): self.x = 1
    def __eq__(self, o): return self.x == o.x
def f(): pass
print(pickle.loads(pickle.dumps(A())) == A(), pickle.loads(pickle.dumps(f)) is f)
""",
    "pickle_lambda": """\
import pickle
try:
    pickle.dumps(lambda: 1)
except Exception as e:
    print(type(e).__name__)
""",
    "generator": """\
def g():
    x = yield 1
    print(x)
    yield from (2, 3)
i = g()
print(next(i), i.send('s'), list(i))
""",
    "comprehensions": """\
x = 5
y = [x for x in range(3)]
print(x, y, {k: v for k, v in zip('ab', y)}, {c for c in 'a'})
print(sum(a * b for a in y for b in y if a), [[i * j for i in y] for j in y])
""",
    "comprehension_sees_the_module": """\
n = 3
print([n + i for i in range(n)], list(n + i for i in range(n)))
""",
    "raises_in_a_comprehension": """\
x = 1
print([1 // i for i in (1, 0)])
""",
    "locals_after_a_comprehension": """\
x = 5
y = [x for x in range(3)]
print(x, locals() is globals(), x, 'x' in dir(), eval('x'), vars()['x'])
z = [lambda: x for x in range(2)]
print(eval('x'), x, z[0](), '.x' in globals())
""",
    "walrus": """\
if (n := 10) > 5:
    print(n)
print([y := f for f in range(3)], y)
while (n := n - 4) > 0:
    print(n)
""",
    "walrus_in_a_generator": "print(any((hit := c) == 'b' for c in 'abc'), hit)\n",
    "unpacking": """\
a, (b, *c), d = 1, (2, 3, 4), 5
[e, f] = a, b
print(a, b, c, d, e, f)
for i, (j, k) in [(1, (2, 3))]:
    print(i, j, k)
""",
    "augmented": """\
x = [1]
y = x
x += [2]
x[0] -= 1
print(y)
""",
    "with": """\
import io
with io.StringIO('a') as f, io.StringIO('b') as (g):
    print(f.read(), g.read())
""",
    "loops_with_else": """\
for i in range(2):
    pass
else:
    print('else', i)
while True:
    break
else:
    print('no')
""",
    "try_finally": """\
try:
    try:
        1 / 0
    finally:
        print('finally')
except ZeroDivisionError:
    print('except')
else:
    print('no')
""",
    "exec_makes_names": """\
exec('made = 4')
print(made)
""",
    "eval_and_exec_see_names": """\
x = 2
print(eval('x + 1'))
exec('x = 9')
print(x)
exec('def f(): return x')
print(f())
""",
    "locals_and_globals": """\
locals()['a'] = 1
globals()['b'] = 2
vars()['c'] = 3
print(a, b, c, locals() is globals() is vars())
""",
    "dir_of_the_module": """\
a = 1
def b(): pass
print([n for n in dir() if not n.startswith('__') and n not in ('event', 'input')])
""",
    "names_are_attributes": """\
import sys
x = 1
print(sys.modules[__name__].x, getattr(sys.modules['__main__'], 'x'))
""",
    "match": """\
match {'a': [1, 2, 3], 'z': 0}:
    case {'a': [first, *others], **rest}:
        print(first, others, rest)
match 5:
    case int() as n if n > 3:
        print(n)
""",
    "except_star": """\
try:
    raise ExceptionGroup('g', [ValueError(1), TypeError(2)])
except* ValueError as e:
    print(e.exceptions)
except* TypeError:
    print('t')
""",
    "type_parameters": """\
type Pair[T] = tuple[T, T]
class Box[T]:
    def f[U](self, u: U) -> T: ...
def g[T](x: T) -> T:
    return x
print(Pair, Box.__qualname__, Box.f.__qualname__, g.__qualname__, g(1), Box.__type_params__)
""",
    "nested_f_strings": """\
x = {'a': 1.5}
print(f"{x['a']:>{5}.2f}|{x['a']!r}|{'{}'}")
""",
    "star_expressions": """\
def f(*a): return a
print(f(*[1], *(2,)), [*range(2), 3], {**{'a': 1}})
""",
    "assert": """\
assert True
assert 1 == 2, 'not equal'
""",
    "asyncio_run": """\
import asyncio
async def main():
    await asyncio.sleep(0)
    return 'done'
print(asyncio.run(main()))
""",
    "async_generator": """\
import asyncio
async def g():
    yield 1
    yield 2
async def main():
    return [x async for x in g()]
print(asyncio.run(main()))
""",
    "gather": """\
import asyncio
async def f(n):
    await asyncio.sleep(0.001)
    return n
async def main():
    print(await asyncio.gather(f(1), f(2)))
asyncio.run(main())
""",
    "threads": """\
import threading
out = []
ts = [threading.Thread(target=out.append, args=(i,)) for i in range(5)]
[t.start() for t in ts]
[t.join() for t in ts]
print(sorted(out), threading.current_thread() is threading.main_thread())
""",
    "thread_outlives_the_body": """\
import threading, time
def f():
    time.sleep(0.05)
    print('thread')
threading.Thread(target=f).start()
print('body')
""",
    "daemon_thread_does_not": """\
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print('body')
""",
    "executor": """\
from concurrent.futures import ThreadPoolExecutor
print(list(ThreadPoolExecutor(2).map(abs, [-1, 2])))
""",
    "thread_local": """\
import threading
l = threading.local()
l.x = 1
print(l.x)
""",
    "contextvars": """\
import contextvars
v = contextvars.ContextVar('v', default=1)
v.set(2)
print(v.get())
""",
    "atexit": """\
import atexit
atexit.register(print, 'bye')
print('hello')
""",
    "fork": """\
import os, sys
pid = os.fork()
if pid == 0:
    print('child', flush=True)
    os._exit(3)
print(os.waitpid(pid, 0)[1] >> 8)
""",
    "multiprocessing": """\
import multiprocessing as m
def f(q):
    q.send(2)
if __name__ == '__main__':
    c = m.get_context('fork')
    a, b = c.Pipe()
    p = c.Process(target=f, args=(b,))
    p.start()
    print(a.recv())
    p.join()
""",
    "logging": """\
import logging, sys
logging.basicConfig(stream=sys.stdout)
logging.getLogger('a').warning('careful %d', 1)
""",
    "warnings": """\
import warnings
with warnings.catch_warnings(record=True) as w:
    warnings.simplefilter('always')
    warnings.warn('old')
print(w[0].message)
""",
    "syntax_warning": """\
x = 1
if x is 1:
    print('same')
""",
    "stdin_is_empty": """\
import sys
print(repr(sys.stdin.read()))
""",
    "stdout_buffer": """\
import sys
sys.stdout.buffer.write(b'raw\\n')
sys.stdout.write('text')
""",
    "redirected_stdout": """\
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as f:
    print('inside')
print(f.getvalue().upper())
""",
    "inspect_source": """\
import inspect
def f():
    return 1  # é
class A:
    x = 1
print(inspect.getsource(f), inspect.getsource(A))
""",
    "own_traceback": """\
import traceback
def f():
    raise ValueError('x')
try:
    f()
except ValueError:
    print(traceback.format_exc())
""",
    "frame_names": """\
import sys
f = sys._getframe()
print(f.f_code.co_name, f.f_code.co_filename, f.f_lineno, f.f_locals is f.f_globals)
""",
    "doctest": """\
def f():
    '''
    >>> f()
    1
    '''
    return 1
import doctest
print(doctest.testmod())
""",
    "unittest": """\
import unittest
class T(unittest.TestCase):
    def test_a(self): self.assertTrue(True)
runner = unittest.TextTestRunner(open('/dev/null', 'w'))
r = unittest.main(exit=False, argv=['x'], testRunner=runner).result
print(r.testsRun)
""",
    "many_elifs": "x = 1\nif x == 0: pass\n"
    + "".join(f"elif x == -{n}: pass\n" for n in range(150))
    + "else: y = 2\nprint(y)\n",
    "raises": """\
def f(x):
    return 1 / x

print('é', f(0))
""",
    "raises_in_a_method": """\
class A:
    def f(self):
        raise KeyError('k')
A().f()
""",
    "raises_from": """\
try:
    {}['a']
except KeyError as e:
    raise ValueError('no a') from e
""",
    "raises_while_handling": """\
try:
    {}['a']
except KeyError:
    raise ValueError('no a')
""",
    "raises_from_none": """\
try:
    {}['a']
except KeyError:
    raise ValueError('no a') from None
""",
    "raises_in_a_library": """\
import json
json.loads('{')
""",
    "raises_own_error": """\
class MyError(Exception):
    def __str__(self):
        return 'mine'
raise MyError(1)
""",
    "raises_in_a_lambda": """\
f = lambda: 1 / 0
f()
""",
    "raises_in_exec": "exec('1 / 0')\n",
    "raises_group": "raise ExceptionGroup('both', [ValueError(1), ExceptionGroup('in', [TypeError(2)])])\n",
    "raises_with_note": """\
e = ValueError('x')
e.add_note('by the way')
raise e
""",
    "raises_unprintable": """\
class E(Exception):
    def __str__(self):
        raise RuntimeError
raise E
""",
    "recursion_error": """\
def f():
    f()
f()
""",
    "keyboard_interrupt": "raise KeyboardInterrupt\n",
    "generator_exit": "raise GeneratorExit\n",
    "syntax_error_at_run_time": """\
x = 1
compile('x = = 1', 'other.py', 'exec')
""",
}

# Syntax that older Pythons do not know.
NEWER = {
    "match": (3, 10),
    "except_star": (3, 11),
    "raises_group": (3, 11),
    "raises_with_note": (3, 11),
    "type_parameters": (3, 12),
}

# What only mayfly has. name: (source, event, what comes back).
RETURNING = {
    "return": ("return 1", {}, 1),
    "return_nothing": ("return", {}, None),
    "return_in_a_block": ("""\
if event['a']:
    return 'yes'
else:
    return 'no'""", {"a": 1}, "yes"),
    "return_in_a_loop": ("""\
for i in range(9):
    if i == 3:
        return i""", {}, 3),
    "return_in_try": ("""\
try:
    return 1
finally:
    x = 2""", {}, 1),
    "return_in_with": ("""\
import io
with io.StringIO('a') as f:
    return f.read()""", {}, "a"),
    "return_before_the_end": ("""\
x = 1
return x
x = 2""", {}, 1),
    "return_only_if": ("""\
if not event:
    return 1
x = 2""", {"a": 1}, None),
    "return_in_a_long_string": ("""\
x = '''
return 1
'''
def handler(event):
    return x""", {}, "\nreturn 1\n"),
    "return_and_docstring": ('"""doc"""\nreturn __doc__', {}, "doc"),
    "return_and_future": ("""\
from __future__ import annotations
def f(a: Nowhere): pass
return f.__annotations__""", {}, {"a": "Nowhere"}),
    "return_a_recursive_function_s_value": ("""\
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
return fib(event['n'])""", {"n": 12}, 144),
    "event_and_input": ("return [event['x'], input['x'], event is input]", {"x": 5}, [5, 5, True]),
    "await": ("""\
import asyncio
return await asyncio.sleep(0, 'slept')""", {}, "slept"),
    "await_without_return": ("""\
import asyncio
x = await asyncio.sleep(0, 2)
def handler(e): return x""", {}, 2),
    "async_with_and_for": ("""\
import contextlib
@contextlib.asynccontextmanager
async def c():
    yield 1
async def g():
    yield 2
    yield 3
async with c() as one:
    async for n in g():
        one += n
return one""", {}, 6),
    "async_comprehension": ("""\
async def g():
    yield 1
return [x async for x in g()]""", {}, [1]),
    "await_in_a_comprehension": ("""\
import asyncio
return [await asyncio.sleep(0, n) for n in (1, 2)]""", {}, [1, 2]),
    "await_and_locals": ("""\
import asyncio
x = await asyncio.sleep(0, 1)
class A: pass
return [locals() is globals(), A.__qualname__]""", {}, [True, "A"]),
    "return_a_coroutine": ("""\
async def f():
    return 3
return f()""", {}, 3),
    "asyncio_run": ("""\
import asyncio
async def f():
    return 3
return asyncio.run(f())""", {}, 3),
    "handler": ("""\
def handler(event):
    return event['a'] + 1""", {"a": 1}, 2),
    "handler_after_return_nothing": ("""\
def handler(event):
    return 2
return""", {}, 2),
    "handler_not_called": ("""\
def handler(event):
    return 2
return 1""", {}, 1),
    "handler_is_no_function": ("handler = 5", {}, None),
    "async_handler": ("""\
import asyncio
async def handler(event):
    return await asyncio.sleep(0, 4)""", {}, 4),
    "async_handler_in_the_body_s_loop": ("""\
import asyncio
loop = asyncio.get_running_loop()
await asyncio.sleep(0)
async def handler(event):
    return asyncio.get_running_loop() is loop""", {}, True),
    "async_handler_returns_nothing": ("""\
calls = []
import asyncio
await asyncio.sleep(0)
async def handler(event):
    assert not calls
    calls.append(1)""", {}, None),
    "handler_runs_a_loop_after_await": ("""\
import asyncio
await asyncio.sleep(0)
def handler(event):
    return asyncio.run(asyncio.sleep(0, 5))""", {}, 5),
    "handler_in_a_class": ("""\
class H:
    def __call__(self, event): return 6
handler = H()""", {}, 6),
    "exit_0": ("""\
import sys
sys.exit(0)""", {}, None),
    "big_numbers": ("return event['n'] + 1", {"n": 10**30}, 10**30 + 1),
    "very_big_numbers": ("return 10 ** 5000", {}, 10**5000),
    "tuple": ("return (1, (2,))", {}, [1, [2]]),
    "number_keys": ("return {1: 2, None: 3, True: 4, 1.5: 5}", {}, {"1": 4, "null": 3, "1.5": 5}),
    "subclasses": ("""\
import collections, enum
class C(enum.IntEnum):
    A = 1
return [collections.Counter('aa'), collections.OrderedDict(b=1), C.A]""", {}, [{"a": 2}, {"b": 1}, 1]),
    "lone_surrogate": ("return 'a\\ud800b'", {}, "a\ud800b"),
    "unicode": ("return 'é😀\\x00'", {}, "é😀\x00"),
    "globals_set_by_exec": ("""\
exec('x = 1')
return x""", {}, 1),
    "pickle_own_class": ("""\
import pickle
class A:
    x = 1
return pickle.loads(pickle.dumps(A())).x""", {}, 1),
    "assigned_everywhere": ("""\
import os as a
from os import path as b, sep
for c in [1]: pass
with open('/dev/null') as d: pass
try:
    raise ValueError
except ValueError as e: e2 = 1
(f := 2)
g, *h = 1, 2
i: int = 3
class j: pass
def k(): pass
async def l(): pass
for [m, n] in [(1, 2)]: pass
return [x for x in 'a b sep c d e2 f g h i j k l m n'.split() if x not in globals()]""", {}, []),
}

# name: (source, line, column, part of the message). Older Pythons put some of them elsewhere: None.
BROKEN = {
    "syntax": ("x = 1\ny = = 2\n", 2, 5, "invalid syntax"),
    "syntax_after_umlauts": ("ü = 'äöü'; x = = 2\n", 1, 16, "invalid syntax"),
    "unclosed": ("x = (1,\n", 1, None, ""),
    "indentation": ("x = 1\n  y = 2\n", 2, None, "indent"),
    "mixed_tabs": ("if 1:\n\tx = 1\n        y = 2\n", 3, None, ""),
    "unfinished_string": ("x = 'abc\n", 1, None, ""),
    "yield_at_the_top": ("yield 1\n", 1, 1, "'yield' outside function"),
    "yield_beside_return": ("x = 1\nyü = (yield 1)\nreturn 2\n", 2, 7, "'yield' outside function"),
    "return_in_a_class": ("class A:\n    return 1\n", 2, 5, "'return' outside function"),
    "return_in_a_class_and_below": ("class A:\n    return 1\nreturn 2\n", 2, 5, "'return' outside function"),
    "break_outside": ("break\nreturn 1\n", 1, 1, "'break' outside loop"),
    "late_future": ("x = 1\nfrom __future__ import annotations\nreturn 1\n", 2, None, "beginning"),
    "unknown_future": ("from __future__ import braces\nreturn 1\n", 1, None, "not a chance"),
    "nonlocal_at_the_top": ("nonlocal x\n", 1, None, "nonlocal"),
    "star_import_in_a_function": ("def f():\n    from os import *\nreturn 1\n", None, None, "import *"),
    "await_in_a_plain_function": ("def f():\n    await g()\nreturn 1\n", 2, None, "'await' outside"),
    "null_byte": ("x = 1\ny = '\x00'\n", None, None, "null bytes"),
    "unknown_encoding": ("# coding: klingon\nreturn 1\n", None, None, "klingon"),
    "too_many_parentheses": ("(" * 5000 + ")" * 5000, None, None, ""),
    "too_many_signs": ("-" * 200_000 + "1\n", None, None, ""),
    "too_long_a_sum": ("return " + "+".join(["1 .x"] * 40_000), None, None, "too deeply"),
}
