#!/usr/bin/python3
"""What a change is worth: builds side by side, in interleaved rounds on the same machine.

    [ROUNDS=6] tests/bench/compare.py BUILD...     a table with a line per build; the first is what the others are compared with

Each build is started as an operator would, all at once, and called in turn: paced, and by eight clients that do not pause. The last columns are
page faults and CPU time of one cell, as a call itself finds them and as `detail` tells them: they are steady where times are not.
"""

import contextlib
import pathlib
import sys

import load
import stage

SCRIPTS = {
    "python": "return {'hello': event.get('name'), 'sum': sum(range(10))}",
    "javascript": "return {hello: event.name, sum: [...Array(10).keys()].reduce((a, b) => a + b)}",
}
FAULTS = {
    "python": "with open('/proc/self/stat') as file: return int(file.read().rsplit(')')[-1].split()[7])",
    "javascript": "return Number(require('fs').readFileSync('/proc/self/stat', 'utf8').split(') ').pop().split(' ')[7])",
}
KINDS = {"paced": lambda url: load.paced(url, 40), "busy": lambda url: load.closed(url, 8, 2.0)}


def prepare(mayfly):
    """language → address of the script that is called, with what a call of the language costs."""
    prepared = {}
    for language, code in SCRIPTS.items():
        url = mayfly.upload(f"compare/{language}", language, code)
        mayfly.upload(f"faults/{language}", language, FAULTS[language])
        faults = [mayfly.post(f"/run/faults/{language}")["data"] for _ in range(9)]
        used = [mayfly.post(f"/run/compare/{language}", input={"name": "x"}, detail=True)["usage"] for _ in range(15)]
        prepared[language] = url, sorted(faults)[4], load.median_of(used, "cpu_ms")
    return prepared


def main(builds):
    with contextlib.ExitStack() as stack:
        servers = {}
        for build in builds:
            stage.BUILD = pathlib.Path(build).resolve()
            servers[build] = prepare(stack.enter_context(stage.mayfly()))
        sides = {}
        for build, languages in servers.items():
            for language, (url, *_) in languages.items():
                for kind, call in KINDS.items():
                    sides[build, language, kind] = lambda call=call, url=url: call(url)
        seen = load.interleaved("builds", stage.rounds(), sides)
    print("| build | language | paced p50, p90 ms | 8 clients, calls/s | to the first | page faults | CPU ms |\n|---|---|---|---|---|---|---|")
    for build, languages in servers.items():
        for language, (_, faults, cpu_ms) in languages.items():
            paced, busy = seen[build, language, "paced"], seen[build, language, "busy"]
            ratio = load.ratio_of(busy, seen[builds[0], language, "busy"], "per_second")
            print(f"| {build} | {language} | {load.median_of(paced, 'ms', 'p50'):.2f}, {load.median_of(paced, 'ms', 'p90'):.2f} "
                  f"| {load.median_of(busy, 'per_second'):.0f} | {ratio:.2f} | {faults} | {cpu_ms:.2f} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
