"""Eight clients that do not pause. And the sandbox alone: the runtime in C, so that no interpreter is measured."""

import load
import peers
import stage

CLIENTS = 8
SECONDS = 2.0


def measure():
    """language → side → calls per second."""
    with stage.mayfly() as mayfly, stage.mayfly("--runtimes=fake") as fake, peers.fastify() as fastify:
        sides = {("fake", "mayfly"): fake.upload("bench", "python", "echo"), **peers.sides(mayfly, fastify)}
        sides["fake", "bwrap"] = [*peers.BWRAP, "/bin/echo", "{}"]
        return figures(load.interleaved("throughput", stage.rounds(0.25), {side: closed(what) for side, what in sides.items()}))


def closed(what):
    return lambda: load.closed(what, CLIENTS, SECONDS)


def figures(seen):
    """With `more`: how many times as many calls mayfly answers in the same rounds."""
    table = {}
    for (language, side), reports in seen.items():
        table.setdefault(language, {})[side] = {
            "per_second": load.median_of(reports, "per_second"),
            "p50": load.median_of(reports, "ms", "p50"),
            "p99": load.median_of(reports, "ms", "p99"),
            "client_cpu_share": load.median_of(reports, "client_cpu_share"),
            "more": load.ratio_of(seen[language, "mayfly"], reports, "per_second"),
            "calls": sum(report["calls"] for report in reports),
        }
    table["typescript"]["mayfly"]["of_javascript"] = load.ratio_of(seen["typescript", "mayfly"], seen["javascript", "mayfly"], "per_second")
    return table
