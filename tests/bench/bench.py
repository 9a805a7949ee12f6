#!/usr/bin/python3
"""`make bench`: mayfly beside what it replaces, in one table, and docs/benchmarks.md with it.

    make bench                         all of it, about 15 minutes on two cores; writes docs/benchmarks.md
    make bench QUICK=1                 a few rounds, about 2 minutes: noisy, writes nothing
    ROUNDS=40 make bench               more rounds
    tests/bench/bench.py latency cpu   these measurements alone, writes nothing
    tests/bench/bench.py --render      writes docs/benchmarks.md anew from the last full run, build/bench.json

A row of MEASUREMENTS is a file here with a function that returns figures. A row of ROWS is a line of the table: what, who else, how much is
asked for, and the function that finds the figures among those. Everything is measured in interleaved rounds, mayfly and its peers within the
same seconds, and a ratio is the median of the rounds' ratios: on a noisy machine it says more than any figure.
"""

import importlib.util
import json
import os
import shutil
import signal
import sys
import time
import traceback

import figures
import first_event
import imports
import latency
import many
import memory
import overload
import report
import scaling
import stage
import throughput
from figures import at_least, at_most, faster, more, within

cpu = importlib.import_module("cpu") if importlib.util.find_spec("cpu") else None

MEASUREMENTS = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "numpy": imports.measure,
    "first_event": first_event.measure,
    "memory": memory.measure,
    "cpu": lambda: cpu and measure_cpu(),
    "deadline": overload.measure_deadline,
    "overload": overload.measure_overload,
    "clients": scaling.measure_clients,
    "cores": scaling.measure_cores,
    "functions": scaling.measure_functions,
    "many": many.measure,
}

#    what                                            beside                            asked for                             found among the figures by
ROWS = (
    ("Python, one call, p50",                        "`bwrap` + python3",              faster(60, "0.4 ms"),                 figures.paced("python")),
    ("Python, one call, p99",                        "`bwrap` + python3",              faster(12),                           figures.paced("python", "p99")),
    ("Python, 8 clients",                            "8 loops of it",                  more(16, "1,100/s"),                  figures.busy("python")),
    ("JavaScript, one call, p50",                    "`bwrap` + node",                 faster(50, "0.7 ms"),                 figures.paced("javascript")),
    ("JavaScript, 8 clients",                        "8 loops of it",                  more(13, "680/s"),                    figures.busy("javascript")),
    ("TypeScript, one call, p50",                    "`bwrap` + node + transpile",     within(10, "JavaScript"),             figures.typescript_paced),
    ("TypeScript, 8 clients",                        "8 loops of it",                  within(10, "JavaScript"),             figures.typescript_busy),
    ("`import numpy` adds, p50",                     "the same in `bwrap`",            at_most(1.0, "ms"),                   figures.numpy),
    ("first stream event after print, Python",       "`bwrap`: start to first line",   at_most(1.0, "ms"),                   figures.event("python")),
    ("first stream event after print, JavaScript",   "`bwrap`: start to first line",   at_most(1.0, "ms"),                   figures.event("javascript")),
    ("a waiting cell's own memory, Python",          None,                             at_most(1.5, "MB"),                   figures.cell("python")),
    ("a waiting cell's own memory, Node.js",         None,                             at_most(1.5, "MB"),                   figures.cell("node")),
    ("idle: keeper + server, RSS",                   None,                             at_most(12, "MB"),                    figures.idle_rss),
    ("idle: all of it with templates and spares, PSS", None,                           at_most(130, "MB"),                   figures.idle_pss),
    ("sandbox alone (runtime in C), 8 clients",      "`bwrap` + echo, 8 loops",        at_least(5000, "/s"),                 figures.busy("fake")),
    ("CPU-bound code in a cell, slowest workload",   "stock interpreter",              within(5, "stock"),                   figures.cpu),
    ("100,000 functions in SQLite, a cached one, p50", "1 function stored",            within(10, "1 stored"),               figures.many("SQLite", "p50")),
    ("100,000 functions in SQLite, a cached one, p99", "1 function stored",            within(10, "1 stored"),               figures.many("SQLite", "p99")),
    ("100,000 functions in Redis, a cached one, p50", "1 function stored",             within(10, "1 stored"),               figures.many("Redis", "p50")),
    ("100,000 functions in Redis, a cached one, p99", "1 function stored",             within(10, "1 stored"),               figures.many("Redis", "p99")),
    # Nothing is asked for here: what it is like when things go wrong, and the bound of no isolation.
    ("a spinning call outlives its deadline, p50",   None,                             None,                                 figures.deadline),
    ("ten times too many clients: admitted, p99",    None,                             None,                                 figures.overload),
    ("JavaScript, one call, p50",                    "Fastify, no isolation",          None,                                 figures.paced("javascript", "p50", "fastify")),
    ("JavaScript, 8 clients",                        "Fastify, no isolation",          None,                                 figures.busy("javascript", "fastify")),
)

KEPT = stage.BUILD / "bench.json"


def measure_cpu():
    with stage.mayfly() as mayfly:
        return cpu.measure(mayfly.url, stage.rounds(0.25))


def main(arguments):
    unknown = set(arguments) - set(MEASUREMENTS) - {"--render"}
    if unknown:
        sys.exit(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    if "--render" in arguments:
        run = json.loads(KEPT.read_text())
        print(report.terminal(report.table(ROWS, run["seen"])))
        report.write(run, report.table(ROWS, run["seen"]))
        return
    for tool in ("bwrap", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: scripts/install all")
    for ending in signal.SIGINT, signal.SIGTERM:  # what was started is stopped then too
        signal.signal(ending, lambda number, _: sys.exit(128 + number))
    run, failed = measure_all(arguments or MEASUREMENTS)
    rows = report.table(ROWS, run["seen"])
    print(report.terminal([row for row in rows if not arguments or row[1] != report.NOT_MEASURED]))
    print(report.notes(run))
    if not arguments:
        KEPT.write_text(json.dumps(run, indent=1))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
    if not arguments and not stage.QUICK:
        report.write(run, rows)


def measure_all(names):
    """All that is known of this run, and the measurements that failed: one does not cost the others their minutes."""
    run = {"date": time.strftime("%Y-%m-%d"), "machine": report.machine(), "load_before": os.getloadavg()[0], "rounds": stage.ROUNDS, "seen": {}}
    begin, failed = time.monotonic(), []
    for name in names:
        stage.say(f"{name} …")
        before = time.monotonic()
        try:
            seen = MEASUREMENTS[name]()
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        if seen:
            run["seen"][name] = seen
        stage.say(f"{name}: {time.monotonic() - before:.0f} s" if seen else f"{name}: not measured here")
    return run | {"minutes": (time.monotonic() - begin) / 60}, failed


if __name__ == "__main__":
    main(sys.argv[1:])
