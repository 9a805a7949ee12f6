"""Calls and commands, timed by tests/bench/client.c, and what is made of their times."""

import json
import statistics
import subprocess
import time

import stage

EVENT = '{"name":"mayfly"}'
BODY = '{"input":%s}' % EVENT
GIVE_UP_S = 300  # nothing here takes as long
SETTLE_S = 0.05  # what a side leaves behind, as the kernel's own cleaning of namespaces, is not to meet the next one


def client(what, *options):
    """`what`: an address, or a command as a list."""
    target = [what] if isinstance(what, str) else ["--", *map(str, what)]
    done = subprocess.run([stage.CLIENT, *map(str, options), *target], capture_output=True, text=True, timeout=GIVE_UP_S)
    if done.returncode != 0:
        raise RuntimeError(f"{what}: {done.stderr or done.stdout}")
    report = json.loads(done.stdout)
    if report["failed"]:
        raise RuntimeError(f"{what}: {report['failed']} calls failed: {report['first_failure']}")
    return report


def paced(what, calls=25, pace_ms=20, body=BODY, *options):
    """One client, a call each 20 ms: what a caller sees of a host that is not busy. Samples included."""
    return client(what, "-v", "-w", 2, "-n", calls, "-p", pace_ms, "-d", body, *options)


def closed(what, clients=8, full_seconds=2.0, body=BODY, *options):
    """As many as are answered: each client begins its next call at once."""
    return client(what, "-w", clients, "-c", clients, "-s", stage.seconds(full_seconds), "-d", body, *options)


def interleaved(name, count, sides):
    """Each round measures all sides, name → function, within the same seconds; every other round in the opposite order.
    Returns name → what its function returned, a list with one per round."""
    results = {side: [] for side in sides}
    for number in range(count):
        stage.say(f"\r{name}: round {number + 1} of {count}", end="")
        for side in list(sides) if number % 2 == 0 else reversed(list(sides)):
            results[side].append(sides[side]())
            time.sleep(SETTLE_S)
    stage.say("")
    return results


def percentile(samples, p):
    """The smallest sample that at least p % are not above, as report.c has it."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * p // 100) - 1)]


def pooled(reports, p):
    """A percentile of all rounds' samples together: a round alone has too few for the high ones."""
    return percentile([sample for report in reports for sample in report["samples"]], p)


def median_of(reports, *keys):
    """The median over rounds of report[key][key]…"""
    return statistics.median(dig(report, keys) for report in reports)


def dig(report, keys):
    for key in keys:
        report = report[key]
    return report


def ratio_of(numerators, denominators, *keys):
    """The median of the rounds' ratios: what disturbs one round disturbs both sides of it."""
    return statistics.median(dig(a, keys) / dig(b, keys) for a, b in zip(numerators, denominators))


def summary(reports):
    """What the tables and plots need of paced rounds."""
    return {
        "p50": median_of(reports, "ms", "p50"),
        "p90": pooled(reports, 90),
        "p99": pooled(reports, 99),
        "calls": sum(report["calls"] for report in reports),
        "client_cpu_share": median_of(reports, "client_cpu_share"),
    }
