"""The plots of docs/benchmarks.md. The same figures give the same bytes: no dates, no random ids."""

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot, ticker  # noqa: E402

TITLES = {"python": "Python", "javascript": "JavaScript", "typescript": "TypeScript", "fake": "C (fake runtime)", "node": "Node.js"}
SIDES = {"mayfly": "#1b6ca8", "bwrap": "#b5523b", "plain": "#d9a05b", "podman": "#7d4f8b", "fastify": "#8a9a5b"}
LANGUAGES = {"python": "#1b6ca8", "javascript": "#c9861c", "fake": "#666666"}
PARTS = {"queue": "#9a9a9a", "hand-over": "#e8a33d", "run": "#1b6ca8", "answer": "#5f9e6e", "HTTP": "#b9a7d0"}

matplotlib.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "mayfly", "font.family": "sans-serif", "font.size": 9,
    "figure.facecolor": "white", "axes.facecolor": "white", "savefig.facecolor": "white",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e4e4e4", "grid.linewidth": 0.6,
    "legend.frameon": False,
})


def draw(seen, folder):
    for name, plot in {"split": split, "peers": peers, "clients": clients, "scaling": scaling, "memory": memory}.items():
        figure = plot(seen)
        figure.tight_layout()
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None, "Creator": None})
        pyplot.close(figure)


def split(seen):
    """Like flames seen from the side: below, what the client waited for; above it, what that was made of."""
    table = seen["latency"]["split"]
    longest = max(row["seen"] for row in table.values())
    figure, axes = pyplot.subplots(figsize=(8, 0.95 * len(table) + 0.9))
    axes.set_xlim(0, longest * 1.03)
    for line, (runtime, row) in enumerate(table.items()):
        bar(axes, line + 0.36, 0, row["seen"], "#dddddd")
        axes.text(longest * 0.008, line + 0.36, f"{TITLES[runtime]}: {row['seen']:.2f} ms seen by the client", va="center", fontsize=7.5)
        left = row["HTTP"] / 2  # the way there; the other half is the way back
        bar(axes, line, 0, left, PARTS["HTTP"])
        bar(axes, line, row["seen"] - left, left, PARTS["HTTP"])
        for part in ("queue", "hand-over", "run", "answer"):
            bar(axes, line, left, row[part], PARTS[part], f"{part} {row[part]:.2f}")
            left += row[part]
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.set_xlabel("ms")
    axes.set_title("One call, paced, around the median", loc="left", fontsize=10)
    axes.legend(handles=[pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in PARTS.values()], labels=list(PARTS), ncol=5,
                loc="lower right", bbox_to_anchor=(1, 1), fontsize=8)
    return figure


def bar(axes, line, left, width, colour, text=""):
    """With its text, if that fits."""
    axes.barh(line, width, left=left, height=0.34, color=colour, edgecolor="white", linewidth=0.8)
    if width > 0.012 * len(text) * axes.get_xlim()[1]:
        axes.text(left + width / 2, line, text, ha="center", va="center", fontsize=7.5, color="#222222" if colour == PARTS["hand-over"] else "white")


def peers(seen):
    latency, busy = seen["latency"]["sides"], seen["throughput"]
    languages = list(latency)
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4.2), sharey=True)
    place, ticks = 0, []
    for language in languages:
        for side in latency[language]:
            paced, calls = latency[language][side], busy[language].get(side)
            colour = SIDES[side]
            left.barh(place, paced["p50"], color=colour, height=0.8)
            left.plot([paced["p50"], paced["p99"]], [place, place], color="#333333", linewidth=1)
            label(left, paced["p99"], place, f"{paced['p50']:.2f}" if paced["p50"] < 10 else f"{paced['p50']:.0f}")
            if calls:
                right.barh(place, calls["per_second"], color=colour, height=0.8)
                label(right, calls["per_second"], place, f"{calls['per_second']:,.0f}")
            ticks.append((place, f"{TITLES[language]}, {side}"))
            place += 1
        place += 0.6
    left.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    left.set_xlim(left=0.1)
    right.set_xlim(left=1)
    left.invert_yaxis()
    for axes, title in (left, "ms of one call: bar to p50, line to p99"), (right, "calls per second, 8 clients"):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
        axes.set_title(title, loc="left", fontsize=10)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)
    return figure


def label(axes, x, y, text):
    axes.annotate(text, (x, y), xytext=(3, 0), textcoords="offset points", va="center", fontsize=7.5)


def clients(seen):
    table = seen["clients"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.4))
    for language, counts in table.items():
        at = [int(count) for count in counts]
        left.plot(at, [row["per_second"] for row in counts.values()], "o-", color=LANGUAGES[language], markersize=3, label=TITLES[language])
        right.plot(at, [row["p50"] for row in counts.values()], "o-", color=LANGUAGES[language], markersize=3, label=f"{TITLES[language]}, p50")
        right.plot(at, [row["p99"] for row in counts.values()], "o:", color=LANGUAGES[language], markersize=3, label=f"{TITLES[language]}, p99")
    for axes, title in (left, "calls per second"), (right, "ms of one call"):
        counted(axes, sorted({int(count) for counts in table.values() for count in counts}), "clients")
        axes.set_title(title, loc="left", fontsize=10)
        axes.legend(fontsize=8)
    left.set_ylim(bottom=0)
    right.set_yscale("log")
    right.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    return figure


def scaling(seen):
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for language, counts in seen["cores"].items():
        left.plot([int(count) for count in counts], [row["per_second"] for row in counts.values()], "o-", color=LANGUAGES[language], markersize=4,
                  label=TITLES[language])
    for language, figures in seen["functions"].items():
        stored = figures["stored"]
        right.plot([int(count) for count in stored], [row["p50"] for row in stored.values()], "o-", color=LANGUAGES[language], markersize=4,
                   label=TITLES[language])
    counted(left, sorted({int(count) for counts in seen["cores"].values() for count in counts}), "cores")
    counted(right, [int(count) for count in next(iter(seen["functions"].values()))["stored"]], "stored functions")
    left.set_title("calls per second, 4 clients per core", loc="left", fontsize=10)
    right.set_title("ms of one paced call, p50", loc="left", fontsize=10)
    for axes in left, right:
        axes.set_ylim(0, axes.get_ylim()[1] * 1.2)
        axes.legend(fontsize=8, loc="upper left", ncol=3)
    return figure


def memory(seen):
    table = sorted(seen["memory"]["pss"].items(), key=lambda row: row[1])
    figure, axes = pyplot.subplots(figsize=(8, 2.8))
    axes.barh([kind for kind, _ in table], [mb for _, mb in table], color=SIDES["mayfly"], height=0.7)
    for place, (_, mb) in enumerate(table):
        label(axes, mb, place, f"{mb:.1f}")
    axes.grid(axis="y", visible=False)
    axes.set_title("MB at rest, PSS", loc="left", fontsize=10)
    return figure


def counted(axes, counts, what):
    """An axis of counts that double: each has its tick."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.set_xlabel(what)
