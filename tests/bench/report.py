"""The table, in a terminal and in docs/benchmarks.md, which keeps what was written into it by hand."""

import os
import pathlib
import platform
import re

import stage

PAGE = stage.ROOT / "docs/benchmarks.md"
PLOTS = stage.ROOT / "docs/benchmarks"
README = stage.ROOT / "README.md"
NOT_MEASURED = "not measured"
HEAD = ("", "mayfly", "beside", "", "ratio", "asked for", "met")


def number(value):
    """Two or three digits that matter, and thousands parted."""
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def quantity(value, unit):
    return "–" if value is None else number(value) + ("" if unit.startswith("/") else " ") + unit


def table(rows, seen):
    """Rows of text: what, mayfly, who else, theirs, ratio, asked for, met."""
    lines = []
    for what, peer, target, find in rows:
        figure = find(seen)
        asked = target.text if target else "–"
        if figure is None:
            lines.append((what, NOT_MEASURED, peer or "–", "–", "–", asked, "–"))
            continue
        met = "–" if target is None else "yes" if target.met(figure) else "**no**"
        ours = quantity(figure.ours, figure.unit) + (f" ({figure.note})" if figure.note else "")
        ratio = "–" if figure.ratio is None else number(figure.ratio) + " ×"
        lines.append((what, ours, peer or "–", quantity(figure.theirs, figure.unit), ratio, asked, met))
    return lines


def terminal(lines):
    cells = [[cell.replace("`", "").replace("**", "") for cell in line] for line in [HEAD, *lines]]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in cells)


def markdown(head, lines):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(line) + " |" for line in lines)])


def machine():
    """In words."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) / 2**20
    virtual = "virtual machine, " if re.search(r"^flags.*\bhypervisor\b", cpuinfo, re.M) else ""
    system = platform.freedesktop_os_release()["PRETTY_NAME"]
    cores = f"{os.cpu_count()} cores of {model[1] if model else platform.machine()}"
    return f"{virtual}{cores}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, {system}"


def notes(run):
    """What one wants to know of a run, in few lines."""
    shares = [(side == "fastify", figures["client_cpu_share"]) for sides in run["seen"].get("throughput", {}).values() for side, figures in sides.items()]
    lines = [f"{run['machine']}; load {run['load_before']:.1f} before it began; {run['minutes']:.0f} minutes, {run['rounds']} rounds"]
    if shares:
        most = [max((share for fastify, share in shares if fastify == which), default=0) for which in (False, True)]
        lines.append(f"the client took at most {most[0]:.0%} of one core, with Fastify {most[1]:.0%}")
    return "\n".join(lines)


def fill(template, parts, before):
    """The page: {name} is a part; what stands between the markers of a hand-written section is taken from the page as it was before."""
    page = re.sub(r"\{(\w+)\}", lambda name: parts.get(name[1], name[0]), template)

    def kept(section):
        old = re.search(re.escape(section[1]) + r"(.*?)<!-- end -->", before, re.S)
        return section[1] + (old[1] if old else section[2]) + "<!-- end -->"
    return re.sub(r"(<!-- by hand: [^>]*-->)(.*?)<!-- end -->", kept, page, flags=re.S)


def write(run, lines):
    """docs/benchmarks.md, its plots, and the few figures in the README."""
    import plots  # matplotlib is needed for this alone

    PLOTS.mkdir(exist_ok=True)
    plots.draw(run["seen"], PLOTS)
    template = (stage.ROOT / "tests/bench/benchmarks.md.in").read_text()
    before = PAGE.read_text() if PAGE.exists() else ""
    PAGE.write_text(fill(template, parts(run, lines), before))
    README.write_text(re.sub(r"(<!-- by make bench -->\n).*?(<!-- end -->)", lambda marks: marks[1] + short(run["seen"]) + "\n" + marks[2],
                             README.read_text(), flags=re.S))
    stage.say(f"written: {PAGE.relative_to(stage.ROOT)}, {PLOTS.relative_to(stage.ROOT)}/*.svg, the table of {README.name}")


def short(seen):
    """What the README tells."""
    paced, busy = seen["latency"]["sides"], seen["throughput"]
    languages = ("python", "javascript", "typescript")
    lines = [("mayfly, one call", *(quantity(paced[language]["mayfly"]["p50"], "ms") for language in languages)),
             ("an interpreter in `bwrap` per call", *(against(paced[language]["bwrap"], "p50", "ms", "slower") for language in languages)),
             ("mayfly, 8 clients", *(quantity(busy[language]["mayfly"]["per_second"], "calls/s") for language in languages)),
             ("8 loops of `bwrap`", *(against(busy[language]["bwrap"], "per_second", "calls/s", "more") for language in languages))]
    return markdown(("a trivial stored function, at the HTTP client", "Python", "JavaScript", "TypeScript"), lines)


def against(side, name, unit, ratio):
    return f"{quantity(side[name], unit)} (mayfly: {number(side[ratio])} × better)"


def parts(run, lines):
    seen = run["seen"]
    return {
        "date": run["date"], "machine": run["machine"], "rounds": str(run["rounds"]), "minutes": f"{run['minutes']:.0f}",
        "load": f"{run['load_before']:.1f}", "table": markdown(HEAD, lines), "client": notes(run).splitlines()[-1],
        "sides": sides_table(seen), "split": split_table(seen["latency"]["split"]),
        "events": keyed(seen["first_event"], {"after print": ("after_print", "ms"), "p99": ("after_print_p99", "ms"),
                                              "after the request": ("after_request", "ms"), "`bwrap`, after its start": ("bwrap", "ms")}),
        "memory": memory_table(seen["memory"]),
        "cpu": cpu_table(seen.get("cpu")), "numpy": numpy_text(seen.get("numpy")),
        "deadline": keyed(seen["deadline"], {"p50": ("p50", "ms"), "p99": ("p99", "ms")}), "overload": overload_text(seen["overload"]),
        "clients": grid(seen["clients"], "clients"), "cores": grid(seen["cores"], "cores"),
        "functions": functions_table(seen["functions"]), "many": many_table(seen.get("many")),
    }


def keyed(table, columns):
    """One line per key of the table."""
    return markdown(("", *columns), [(key, *(quantity(row[name], unit) for name, unit in columns.values())) for key, row in table.items()])


def sides_table(seen):
    lines = []
    for language, sides in seen["latency"]["sides"].items():
        for side, figures in sides.items():
            busy = seen["throughput"][language].get(side)
            lines.append((language, side, *(quantity(figures[name], "ms") for name in ("p50", "p90", "p99")),
                          quantity(busy and busy["per_second"], "/s"), f"{figures['calls']} + {busy['calls'] if busy else 0}"))
    return markdown(("", "side", "p50", "p90", "p99", "8 clients", "calls"), lines)


def split_table(split):
    names = ("queue", "hand-over", "run", "answer", "HTTP", "seen")
    return markdown(("", *names, "processor time of the cell"),
                    [(runtime, *(f"{row[name]:.3f}" for name in names), f"{row['cpu_ms']:.2f}") for runtime, row in split.items()])


def memory_table(table):
    return markdown(("", "processes", "PSS of all"), [(kind, str(table["processes"][kind]), quantity(mb, "MB"))
                                                      for kind, mb in sorted(table["pss"].items(), key=lambda row: -row[1])])


def cpu_table(table):
    if not table:
        return "Not measured."
    return markdown(("", "workload", "stock", "cell", "ratio"), [
        (language, workload, quantity(row["stock_ms"], "ms"), quantity(row["cell_ms"], "ms"), f"{row['ratio']:.3f}")
        for language, workloads in table.items() for workload, row in workloads.items()])


def numpy_text(table):
    if not table:
        return "Not measured: numpy is not installed."
    return (f"With `import numpy` at its top the call takes {quantity(table['numpy']['p50'], 'ms')}, without {quantity(table['plain']['p50'], 'ms')};"
            f" in `bwrap`, {quantity(table['bwrap']['p50'], 'ms')} and {quantity(table['bwrap plain']['p50'], 'ms')}. Medians.")


def overload_text(table):
    return (f"{table['clients']} clients on {table['places']} places and a line of {table['line']}, calls of 20 ms, a connection each:"
            f" {table['admitted']:,} admitted (p50 {quantity(table['p50'], 'ms')}, p99 {quantity(table['p99'], 'ms')}), {table['refused']:,} told to come again;"
            f" the server went from {table['rss_before']:.1f} to {table['rss_after']:.1f} MB.")


def grid(table, unit):
    return markdown(("", unit, "calls", "p50", "p99"), [
        (language, count, quantity(row["per_second"], "/s"), quantity(row["p50"], "ms"), quantity(row["p99"], "ms"))
        for language, counts in table.items() for count, row in counts.items()])


def functions_table(table):
    return markdown(("", "stored", "paced, p50", "8 clients", "uploads"), [
        (language, f"{int(count):,}", quantity(row["p50"], "ms"), quantity(row["per_second"], "/s"), quantity(figures["uploads_per_second"], "/s"))
        for language, figures in table.items() for count, row in figures["stored"].items()])


def many_table(table):
    if not table:
        return "Not measured: there is no Redis (redis-tools)."
    lines = []
    for store, row in table.items():
        lines += [(store, f"{count:,}", quantity(row[side]["p50"], "ms"), quantity(row[side]["p99"], "ms"), *rest) for count, side, rest in (
            (1, "one", ("–", "–", "–", "–")),
            (row["count"], "many", (quantity(row["loaded"]["p50"], "ms"), quantity(row["loaded"]["p99"], "ms"),
                                    " / ".join(number(row["pages"][place]) for place in ("first", "middle", "last")) + " ms",
                                    f"{number(row['server_before'])} → {number(row['server_after'])} MB")))]
    return markdown(("", "stored", "cached, p50", "p99", "from the store, p50", "p99", "a page of 100: first / middle / last", "server, cache empty → full"), lines)
