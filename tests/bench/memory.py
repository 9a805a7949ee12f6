"""Memory at rest: what a waiting cell has of its own, and what all of mayfly holds. MB are 10⁶ bytes; PSS shares out what several processes map."""

import pathlib
import re
import statistics
import time

import load
import peers
import stage

KINDS = {
    "mayfly-keeper": "keeper", "mayfly-server": "server", "mayfly-janitor": "janitor", "mayfly-anchor": "anchors", "mayfly-first": "anchors",
    "boot.py": "python", "mayfly-javascript": "node", "mayfly-typescript": "typescript",
}
TEMPLATES = ("python", "node", "typescript")
CELLS = ("python", "node")
SETTLE_S = 0.7


def measure():
    with stage.mayfly() as mayfly:
        urls = {language: mayfly.upload(f"bench/{language}", language, code) for language, code in peers.SCRIPTS.items()}
        seen = {"private": {runtime: [] for runtime in CELLS}, "pss": [], "rss": [], "processes": []}
        for number in range(stage.rounds(0.5)):
            stage.say(f"\rmemory: round {number + 1} of {stage.rounds(0.5)}", end="")
            for url in urls.values():  # the spare that was measured is used up, another takes its place
                load.client(url, "-n", 1, "-d", load.BODY)
            time.sleep(SETTLE_S)
            look(mayfly, seen)
        stage.say("")
    kinds = {kind for table in seen["pss"] for kind in table}
    return {
        "private": {runtime: statistics.median(all_) for runtime, all_ in seen["private"].items() if all_},
        "pss": {kind: statistics.median(table.get(kind, 0) for table in seen["pss"]) for kind in sorted(kinds)},
        "processes": {kind: statistics.median_high(table.get(kind, 0) for table in seen["processes"]) for kind in sorted(kinds)},
        "pss_sum": statistics.median(sum(table.values()) for table in seen["pss"]),
        "rss": {kind: statistics.median(table[kind] for table in seen["rss"]) for kind in ("keeper", "server")},
    }


def look(mayfly, seen):
    """Adds one look: MB by kind of process, and of each waiting cell."""
    pss, rss, processes = {}, {}, {}
    for process, uid in family(mayfly.process.pid):
        try:
            kind = kind_of(process)
            table = sizes(process / "smaps_rollup")
            rss[kind] = rss.get(kind, 0) + sizes(process / "status")["VmRSS"]
        except (OSError, KeyError):
            continue  # it ended meanwhile
        if uid >= mayfly.uid_base + stage.FIRST_CELL:
            if kind in CELLS:
                seen["private"][kind].append(table["Private_Clean"] + table["Private_Dirty"])
            kind = f"waiting cell, {kind}"
        elif kind in TEMPLATES:
            kind = f"template, {kind}"
        pss[kind] = pss.get(kind, 0) + table["Pss"]
        processes[kind] = processes.get(kind, 0) + 1
    seen["processes"].append(processes)
    seen["pss"].append(pss)
    seen["rss"].append(rss)


def family(pid):
    """(directory in /proc, user) of a process and all that come from it."""
    children, found = {}, {}
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            found[int(process.name)] = process, process.stat().st_uid
            children.setdefault(parent, []).append(int(process.name))
        except OSError:
            pass  # it ended meanwhile
    todo = [pid]
    while todo:
        each = todo.pop()
        todo += children.get(each, [])
        yield found[each]


def kind_of(process):
    """By its name, which the kernel cuts after 15 bytes; that of an interpreter tells nothing, but its command line does."""
    name, command = (process / "comm").read_text().strip(), (process / "cmdline").read_text()
    named = [kind for each, kind in KINDS.items() if each[:15] == name] or [kind for each, kind in KINDS.items() if each in command]
    return named[0] if named else "other"


def sizes(path):
    """name → MB, of the lines that are in kB."""
    return {name: int(kb) * 1024 / 1e6 for name, kb in re.findall(r"^(\w+):\s+(\d+) kB$", path.read_text(), re.M)}
