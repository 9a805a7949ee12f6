"""Paced calls: what one caller sees of mayfly, of an interpreter per call, and of a server without isolation. And the split of a call."""

import load
import peers
import stage

CALLS = {"mayfly": 25, "fastify": 25, "bwrap": 10, "plain": 10, "podman": 4}
SLOW = {("typescript", "bwrap"): 3}  # a third of a second each


def measure():
    """language → side → figures, sides in the same rounds."""
    with stage.mayfly() as mayfly, peers.fastify() as fastify:
        sides = peers.sides(mayfly, fastify)
        seen = load.interleaved("latency", stage.rounds(), {side: paced(side, what) for side, what in sides.items()})
        split = {language: split_of(seen[language, "mayfly"], usage(mayfly, language)) for language in peers.SCRIPTS}
    split["fake"] = fake_split()
    return {"sides": figures(seen), "split": split, "typescript_over_javascript": load.ratio_of(
        seen["typescript", "mayfly"], seen["javascript", "mayfly"], "ms", "p50")}


def paced(side, what):
    return lambda: load.paced(what, SLOW.get(side, CALLS[side[1]]))


def figures(seen):
    """With `slower`: how many times as long as mayfly's, by p50 of the same rounds and by p99 of all."""
    table = {}
    for (language, side), reports in seen.items():
        ours = seen[language, "mayfly"]
        table.setdefault(language, {})[side] = load.summary(reports) | {
            "slower": load.ratio_of(reports, ours, "ms", "p50"),
            "slower_p99": load.pooled(reports, 99) / load.pooled(ours, 99),
        }
    return table


def split_of(reports, used):
    """Where the calls around the median were: the mean over the middle half of the rounds, so that the parts add up to `seen`."""
    ordered, quarter = sorted((report["middle"] for report in reports), key=lambda middle: middle["seen"]), len(reports) // 4
    middle = ordered[quarter:len(ordered) - quarter]
    part = {name: sum(each[name] for each in middle) / len(middle) for name in middle[0]}
    inside = part["queue"] + part["start"] + part["run"]
    return {
        "queue": part["queue"],
        "hand-over": part["start"],
        "run": part["run"],
        "answer": max(0, part["total"] - inside),
        "HTTP": max(0, part["seen"] - part["total"]),
        "seen": part["seen"],
    } | used


def usage(mayfly, language, calls=15):
    """What a call used, as its own `usage` says: medians. (Asking for it makes the call a little longer, so it is not asked while calls are timed.)"""
    told = [mayfly.post(f"/run/bench/{language}", input={"name": "mayfly"}, detail=True)["usage"] for _ in range(calls)]
    return {name: load.median_of(told, name) for name in ("cpu_ms", "peak_memory_bytes") if told[0][name] is not None}


def fake_split():
    """The runtime in C of the tests: a call without an interpreter."""
    with stage.mayfly("--runtimes=fake") as mayfly:
        url = mayfly.upload("bench/python", "python", "echo")
        reports = [load.paced(url, 50) for _ in range(stage.rounds(0.25))]
        return split_of(reports, usage(mayfly, "python"))
