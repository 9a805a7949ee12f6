#!/usr/bin/python3
"""Where the CPU time of a call goes, for somebody who wants less of it: `perf` beside eight clients that do not pause.

    tests/bench/where.py URL [PROCESS]     of a stored function of a mayfly that runs; PROCESS, such as python3.11 or mayfly-fake: that one by phases

Needs `perf` (Debian: linux-perf) and root. Prints microseconds per call, of all processes of that name together.
"""

import collections
import re
import subprocess
import sys
import tempfile

import load

SECONDS, HERTZ = 4.0, 5000
OURS = re.compile(r"mayfly|python3|node|MainThread|client|ksoftirqd|kworker|rcu")
# The first that matches a frame of the stack, from the inside outwards, says which phase it is.
PHASES = (
    ("fork: pages and page tables", r"copy_page_range"),
    ("fork: mappings", r"dup_mmap"),
    ("exit: memory", r"exit_mmap"),
    ("fork: the rest", r"kernel_clone"),
    ("exit: the rest", r"do_exit"),
    ("page faults", r"exc_page_fault"),
    ("entering the cgroups", r"cgroup.*procs_write|cgroup_attach_task"),
    ("seccomp", r"do_seccomp"),
    ("other system calls", r"do_syscall_64"),
)


def phase_of(stack):
    for phase, pattern in PHASES:
        if any(re.search(pattern, frame) for frame in stack):
            return phase
    return "its own code"


def samples(data):
    """(process, [functions of the stack])"""
    text = subprocess.run(["perf", "script", "-i", data, "-F", "comm,ip,sym"], capture_output=True, text=True, check=True).stdout
    for block in text.split("\n\n"):
        lines = block.strip("\n").split("\n")
        if lines[0].strip():
            yield lines[0].strip(), [line.split(None, 1)[-1] for line in lines[1:]]


def main(url, process=None):
    with tempfile.NamedTemporaryFile() as data:
        perf = subprocess.Popen(["perf", "record", "-q", "-a", "-e", "cpu-clock", "-F", str(HERTZ), "-g", "-o", data.name],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        calls = load.closed(url, 8, SECONDS)["calls"]
        perf.terminate()
        perf.wait()
        found = collections.Counter(name if process is None else phase_of(stack) for name, stack in samples(data.name) if process in (None, name))
    for name, count in found.most_common():
        us = count * 1e6 / HERTZ / calls
        if us >= 3 and (process or OURS.search(name)):
            print(f"{us:7.0f} us  {name}")
    print(f"of {calls} calls in {SECONDS:.0f} s")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(*sys.argv[1:])
