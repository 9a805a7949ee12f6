"""`import numpy` at the top of a script: what it adds to the plain call, and what it costs where every call imports it anew."""

import importlib.util
import statistics

import load
import peers
import stage

IMPORT = "import numpy\n"
WARM_S = 4  # a function that imports may get a template that has imported, once it is called


def measure():
    """None where numpy is not installed: it is no part of mayfly."""
    if importlib.util.find_spec("numpy") is None:
        return None
    code = IMPORT + peers.SCRIPTS["python"]
    with stage.mayfly() as mayfly:
        url = mayfly.upload("bench/numpy", "python", code)
        plain = mayfly.upload("bench/plain", "python", peers.SCRIPTS["python"])
        sides = {
            "numpy": lambda: load.paced(url),
            "plain": lambda: load.paced(plain),
            "bwrap": lambda: load.paced(peers.bwrap("python", code), 4),
            "bwrap plain": lambda: load.paced(peers.bwrap("python"), 4),
        }
        load.client(url, "-p", 50, "-s", WARM_S, "-d", load.BODY)
        seen = load.interleaved("numpy", stage.rounds(0.5), sides)
    added = [a["ms"]["p50"] - b["ms"]["p50"] for a, b in zip(seen["numpy"], seen["plain"])]
    there = [a["ms"]["p50"] - b["ms"]["p50"] for a, b in zip(seen["bwrap"], seen["bwrap plain"])]
    return {name: load.summary(reports) for name, reports in seen.items()} | {
        "added": statistics.median(added), "added_bwrap": statistics.median(there)}
