"""From what was measured to a line of the table: which figures, and whether they are what was asked for. Pure functions.

A finder takes all that was seen, measurement → figures, and returns a Figure, or None if that was not measured.
"""

import dataclasses
import typing


@dataclasses.dataclass
class Figure:
    ours: float
    unit: str
    theirs: float | None = None
    ratio: float | None = None  # how many times better than theirs; for "within", times worse than what it is held against
    note: str = ""


@dataclasses.dataclass
class Target:
    text: str
    met: typing.Callable[[Figure], bool]


def faster(times, about=None):
    return Target(f"≥ {times} × faster" + (f" (≈ {about})" if about else ""), lambda figure: figure.ratio is not None and figure.ratio >= times)


def more(times, about):
    return Target(f"≥ {times} × (≥ {about})", lambda figure: figure.ratio is not None and figure.ratio >= times)


def at_most(limit, unit):
    return Target(f"≤ {limit:g} {unit}", lambda figure: figure.ours <= limit)


def at_least(limit, unit):
    return Target(f"≥ {limit:,}{unit}", lambda figure: figure.ours >= limit)


def within(percent, of):
    """`ratio` is then what it takes, divided by what that takes."""
    return Target(f"{of} + {percent} %", lambda figure: figure.ratio is not None and figure.ratio <= 1 + percent / 100)


def finder(find):
    """Turns a figure that was not measured into None."""
    def found(seen):
        try:
            return find(seen)
        except KeyError:
            return None
    return found


def paced(language, which="p50", peer="bwrap"):
    slower = {"p50": "slower", "p99": "slower_p99"}[which]

    def find(seen):
        sides = seen["latency"]["sides"][language]
        return Figure(sides["mayfly"][which], "ms", sides[peer][which], sides[peer][slower])
    return finder(find)


def busy(language, peer="bwrap"):
    def find(seen):
        sides = seen["throughput"][language]
        return Figure(sides["mayfly"]["per_second"], "/s", sides[peer]["per_second"], sides[peer]["more"])
    return finder(find)


@finder
def typescript_paced(seen):
    sides = seen["latency"]["sides"]["typescript"]
    return Figure(sides["mayfly"]["p50"], "ms", sides["bwrap"]["p50"], seen["latency"]["typescript_over_javascript"],
                  f"{sides['bwrap']['slower']:.0f} × faster than the peer")


@finder
def typescript_busy(seen):
    sides = seen["throughput"]["typescript"]
    return Figure(sides["mayfly"]["per_second"], "/s", sides["bwrap"]["per_second"], 1 / sides["mayfly"]["of_javascript"],
                  f"{sides['bwrap']['more']:.0f} × the peer")


@finder
def numpy(seen):
    return Figure(seen["numpy"]["added"], "ms", seen["numpy"]["added_bwrap"], seen["numpy"]["added_bwrap"] / max(seen["numpy"]["added"], 0.001))


def event(language):
    return finder(lambda seen: Figure(seen["first_event"][language]["after_print"], "ms", seen["first_event"][language]["bwrap"],
                                      note=f"{seen['first_event'][language]['after_request']:.1f} ms after the request"))


def cell(runtime):
    return finder(lambda seen: Figure(seen["memory"]["private"][runtime], "MB"))


@finder
def idle_rss(seen):
    return Figure(sum(seen["memory"]["rss"].values()), "MB")


@finder
def idle_pss(seen):
    return Figure(seen["memory"]["pss_sum"], "MB")


@finder
def cpu(seen):
    ratio, language, workload = max((figures["ratio"], language, workload)
                                    for language, workloads in seen["cpu"].items() for workload, figures in workloads.items())
    figures = seen["cpu"][language][workload]
    return Figure(figures["cell_ms"], "ms", figures["stock_ms"], ratio, f"{language}, {workload}")


def many(store, which):
    ratio = {"p50": "of_one", "p99": "of_one_p99"}[which]

    def find(seen):
        table = seen["many"][store]
        return Figure(table["many"][which], "ms", table["one"][which], table[ratio], f"from the store {table['loaded'][which]:.2f} ms")
    return finder(find)


@finder
def deadline(seen):
    slowest = max(seen["deadline"].values(), key=lambda figures: figures["p50"])
    return Figure(slowest["p50"], "ms", note=f"p99 {slowest['p99']:.1f} ms")


@finder
def overload(seen):
    table = seen["overload"]
    return Figure(table["p99"], "ms", note=f"{table['admitted']:,} admitted, {table['refused']:,} refused, server {table['rss_after']:.1f} MB")
