"""What a Python template and its cells run: `python3 -I -B boot.py`.

The template imports what scripts commonly use, and with a further argument, the descriptor of a file, the
packages that are named there: an import set. Then it waits in C (mayfly_guest.serve) and is forked once for
each cell. A cell serves one call: it readies itself, says so, waits, runs the script, reports, ends.
"""

import atexit
import functools
import gc
import importlib.util
import os
import sys

# Functions that modules want called around a fork. Called for every cell they cost more than the script does,
# mostly to renew locks that nobody can hold: a template has one thread. So they are called for the forks
# alone that a script makes; of what they do a cell takes over what is done for its randomness.
fork_hooks = []
package_hooks = []  # those of packages, which may need more than that
register_at_fork = os.register_at_fork
os.register_at_fork = lambda **hooks: fork_hooks.append(hooks)
is_cell = False


def hooks_caller(when, order):
    """For os.register_at_fork: calls what modules have registered for this moment."""

    def call_hooks():
        if not is_cell:
            return
        for hooks in (fork_hooks + package_hooks)[::order]:
            try:
                hooks.get(when, bool)()
            except BaseException:  # the interpreter prints it and goes on, too
                sys.excepthook(*sys.exc_info())

    return call_hooks


register_at_fork(
    before=hooks_caller("before", -1),
    after_in_parent=hooks_caller("after_in_parent", 1),
    after_in_child=hooks_caller("after_in_child", 1),
)
template_pid = os.getpid()
warm_modules = set()  # what a check need not name as a script's imports
set_modules = []  # what an import set has beyond that

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import mayfly_code as code  # noqa: E402
import mayfly_guest as guest  # noqa: E402
import mayfly_report as report  # noqa: E402
import mayfly_script as script  # noqa: E402
import mayfly_selftest as selftest  # noqa: E402

# Slow to import and often imported: together about 0.1 s that a call would otherwise spend.
WARM_MODULES = """
abc argparse ast asyncio base64 binascii bisect calendar collections collections.abc concurrent.futures
contextlib copy csv dataclasses datetime decimal difflib enum fractions functools glob gzip hashlib heapq hmac
html http.client inspect io itertools json logging math numbers operator os.path pathlib pickle platform
pprint queue random re secrets shutil socket statistics string struct subprocess tempfile textwrap threading
time traceback types typing unicodedata urllib.parse urllib.request uuid weakref zlib zoneinfo
""".split()

NAMES_MAX = 1 << 16
EXIT_BROKEN = 125
CELL_PID = 2  # in the pid namespace of every cell; the self-test asks
SPARE_AFTER_MS = 1  # on a busy host the call is there by then, and rehearsing would only delay others
REHEARSALS = 64  # after some the interpreter has specialised the bytecode, and writes to it no more
CHANNEL_LOST = "mayfly python: the answer cannot be sent: the script has closed or replaced descriptor 3"

WARM_SCRIPT = b"""
def double(n):
    return 2 * n
name = event.get("name", "")
print(end="")
return {"note": f"hello {name}", "list": [double(n) for n in range(3)]}
"""
WARM_EVENT = b'{"name": "world"}'


# In the template


def warm_up():
    for name in WARM_MODULES:
        try:
            __import__(name)
        except ImportError:  # distributions leave parts of the library out
            pass
    open_streams()
    sys.path.remove(HERE)
    sys.path_importer_cache.pop(HERE, None)
    if len(sys.argv) > 1:
        import_set(os.pread(int(sys.argv[1]), NAMES_MAX, 0).decode().split())
        os.close(int(sys.argv[1]))
    prepare_cells()
    make_sample()
    for _ in range(REHEARSALS):
        rehearse(b"")
        rehearse(sample_code)
    sys.path.insert(0, script.DIRECTORY)  # as `python3 function.py` has it
    sys.argv = [script.FILE]
    os.register_at_fork = register_at_fork
    warm_modules.update(sys.modules)
    gc.collect()
    gc.freeze()  # what is here now is never garbage: let no cell's collector touch it


def import_set(names):
    """Imports what is installed of these, as the scripts of the set would. What raises is left to them, and so is
    every set that leaves what a fork cannot take over, or that a script would notice: the template does not start.
    """
    os.register_at_fork = lambda **hooks: package_hooks.append(hooks)
    before = set(os.listdir("/proc/self/fd"))
    own = [os.dup(descriptor) for descriptor in (1, 2)]
    said = os.memfd_create("said")
    os.dup2(said, 1)
    os.dup2(said, 2)
    for name in names:
        try:
            # A `__main__` is a program: importing it would run it.
            if "__main__" not in name and importlib.util.find_spec(name.partition(".")[0]):
                importlib.import_module(name)
                set_modules.append(name)
        except BaseException:  # SystemExit too
            pass
    flush_streams()
    for descriptor, end in zip(own, (1, 2)):
        os.dup2(descriptor, end)
        os.close(descriptor)
    size = os.fstat(said).st_size
    os.close(said)
    if not set_modules:
        give_up("can be imported by none of its names")
    if size > 0:
        give_up("prints when it is imported")
    if set(os.listdir("/proc/self/fd")) - before:
        give_up("keeps a descriptor open")
    if len(os.listdir("/proc/self/task")) > 1:
        give_up("leaves a thread running")


def give_up(why):
    os.write(2, f"mayfly template: no template for this import set: it {why}\n".encode())
    guest.exit(EXIT_BROKEN)


def open_streams():
    """The cells' sys.stdin, stdout and stderr. Made on descriptors of the kind that a cell has, /dev/null and
    pipes: the streams remember what they found. Making them in each cell would cost 0.7 ms."""
    own = [os.dup(descriptor) for descriptor in range(3)]
    ends = [os.open(os.devnull, os.O_RDONLY), *os.pipe()]
    for descriptor, end in enumerate((ends[0], ends[2], ends[2])):
        os.dup2(end, descriptor)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)
    for descriptor, name, errors in (1, "stdout", "surrogateescape"), (2, "stderr", "backslashreplace"):
        stream = open(descriptor, "w", encoding="utf-8", errors=errors, closefd=False)
        stream.reconfigure(line_buffering=True)  # a line is a log entry as soon as it is written
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    for descriptor, end in enumerate(own):
        os.dup2(end, descriptor)
    for end in own + ends:
        os.close(end)


def make_sample():
    """A call as most of this template's are: what cells rehearse, and what shows which memory calls use."""
    global sample_source, sample_code
    imports = "".join(f"import {name}\n" for name in set_modules)
    sample_source = imports.encode() + WARM_SCRIPT
    text = script.decode_script(sample_source)
    sample_code = code.dump_code(script.compile_script(text), text)


def rehearse(compiled):
    """Walks the way of a call. In a waiting cell this maps the memory that the call would otherwise map page
    by page, which takes most of a short call's time. The call's own module replaces this one."""
    serve_call(guest.RUN, sample_source, compiled, WARM_EVENT)
    run_exit_handlers()
    flush_streams()
    del sys.modules["__main__"]


def prepare_cells():
    """What would be the same in every cell is done here, once."""
    threading = sys.modules.get("threading")
    if threading:
        threading.main_thread()._native_id = CELL_PID
    logging = sys.modules.get("logging")
    if logging:
        atexit.unregister(logging.shutdown)
        log_handlers.extend(logging._handlerList)
    if "random" in sys.modules:
        random = sys.modules["random"]
        seeds.append(functools.partial(random.Random.__base__.seed, random._inst))
    if "numpy.random" in sys.modules:
        seeds.append(sys.modules["numpy.random"].seed)
    if "multiprocessing.process" in sys.modules:
        seeds.append(renew_authkey)


# In a cell

getpid = os.getpid  # whatever a script makes of os
seeds = []
log_handlers = []  # of the template; where there are more, they are the script's


def ready_cell():
    global is_cell
    for hooks in package_hooks:
        run_package_hooks(hooks)
    renew_randomness()
    is_cell = True


def run_package_hooks(hooks):
    """As if the fork happened here, where nothing runs beside it. The standard library's need not run."""
    if any(is_of_library(hook) for hook in hooks.values()):
        return
    for name in "before", "after_in_child":
        try:
            hooks.get(name, int)()
        except Exception:  # os.fork() would pass over it, too
            pass


def is_of_library(hook):
    module = getattr(hook, "__module__", None) or ""
    return module.partition(".")[0] in getattr(sys, "stdlib_module_names", ())


def renew_authkey():
    sys.modules["multiprocessing.process"].current_process().authkey = os.urandom(32)


def renew_randomness():
    """Whatever draws from memory instead of the kernel would give every cell the template's numbers.

    OpenSSL draws so too once it was used, and knows a fork by its process id; the template's own imports do not
    use it, and seeding it costs 2 ms."""
    for seed in seeds:
        seed()
    if "_ssl" in sys.modules and template_pid == getpid():
        sys.modules["_ssl"].RAND_add(os.urandom(32), 32)


def serve_call(mode, source, cache, event_text):
    """Kind and body of the frame that ends the call, and the status to exit with."""
    cell = getpid()  # a script that forks comes back in its children, too
    try:
        source_text = script.decode_script(source)
        if mode != guest.RUN:
            return guest.COMPILED, code.check_code(source_text, warm_modules), 0
        codes = code.load_code(cache) or script.compile_script(source_text)
    except Exception as error:
        return guest.SYNTAX, report.describe_syntax_error(error, source), 0
    try:
        value = script.run_script(codes, source_text, report.decode_event(event_text))
        if value is not None:
            return guest.RESULT, report.encode_result(value), 0
        join_threads()
        return guest.NOTHING, b"", 0
    except SystemExit as error:
        return leave(error.code)
    except BaseException as error:
        if sys.excepthook is not sys.__excepthook__:
            sys.excepthook(type(error), error, error.__traceback__)  # the script's own
        elif getpid() != cell:
            report.print_error(error)  # no frame tells of it
        if getpid() == cell:
            end_children()
        return guest.ERROR, report.describe_error(error), 1


def leave(code):
    """sys.exit(): with status 0 nothing was returned; any other ends the call without a last frame."""
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    join_threads()
    status = (code or 0) & 0xFF
    return (guest.NOTHING, b"", 0) if status == 0 else (None, b"", status)


def join_threads():
    """As the interpreter does at its end; executors rely on it to stop their threads."""
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()


def end_children():
    """A call that has failed waits for no child, as little as for a thread: the exit handler of multiprocessing
    would join them, and what they wait for may never come."""
    process = sys.modules.get("multiprocessing.process")
    try:
        for child in process.active_children() if process else ():
            child.kill()
    except Exception:  # the script bent it
        pass


def run_exit_handlers():
    run_registered()
    logging = sys.modules.get("logging")
    if logging and logging._handlerList != log_handlers:
        atexit.register(logging.shutdown)  # last, as it registers itself first
        run_registered()


def run_registered():
    try:
        if atexit._ncallbacks():
            atexit._run_exitfuncs()
    except BaseException:  # the handler's own trouble, printed by those CPythons that do not raise it
        pass


def flush_streams():
    for stream in sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__:
        try:
            stream.flush()
        except Exception:  # closed, or replaced by something that is no stream
            pass


def run_cell():
    ready_cell()
    if not guest.has_call(SPARE_AFTER_MS):  # a spare: what it readies now, its call need not wait for
        rehearse(sample_code)
    mode, _, source, cache, event_text = guest.receive()
    cell = getpid()
    kind, body, status = serve_call(mode, source, cache, event_text)
    run_exit_handlers()
    flush_streams()
    if kind is not None and getpid() == cell:
        send_word(kind, body)
    guest.exit(status)


def send_word(kind, body):
    try:
        guest.send(kind, body)
    except OSError:
        print(CHANNEL_LOST, file=sys.stderr)
        flush_streams()
        guest.exit(EXIT_BROKEN)


def main():
    warm_up()
    if guest.serve(code.STAMP, sample_source, sample_code, WARM_EVENT) == "cell":
        run_cell()
    ready_cell()
    guest.exit(selftest.run())


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        sys.__excepthook__(*sys.exc_info())
    guest.exit(1)
