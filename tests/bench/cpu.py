#!/usr/bin/python3
"""tests/bench/cpu.py: code that computes for long, in a cell and in the interpreter as it is installed.

Each script measures itself, so that neither start counts: the time, and the CPU of all its threads. The two sides take
turns, and medians are compared: on a shared machine a ratio of the same minute says more than any figure, and where others
take the CPU away the ratio of CPU says more than that of time. Starts a server of its own, with the flags that it is
given, such as --max-cpus-per-container=2; ROUNDS and URL, of a server that is there, are environment variables.
"""

import json
import os
import statistics
import subprocess
import sys
import urllib.error
import urllib.request

import stage

INTERPRETERS = {"javascript": [os.environ.get("NODE", str(stage.NODE)), "-"], "python": [os.environ.get("PYTHON", "/usr/bin/python3"), "-"]}

# Bodies of a function without arguments.
WORK = {
    "javascript": {
        "calls": "const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2)); return fib(34);",
        "floats": "let x = 0; for (let i = 1; i < 60_000_000; i++) x += 1 / i; return x;",
        "objects": """
            let kept = [];
            for (let i = 0; i < 2_000_000; i++) {
              kept.push({ i, text: 'item ' + i, pair: [i, i + 1] });
              if (kept.length === 20_000) kept = kept.slice(10_000);
            }
            return kept.length;""",
        "json": """
            const rows = Array.from({ length: 2_000 }, (_, i) => ({ id: i, name: 'row ' + i, tags: ['a', 'b'], at: { x: i / 3 } }));
            let length = 0;
            for (let i = 0; i < 60; i++) length += JSON.stringify(JSON.parse(JSON.stringify(rows))).length;
            return length;""",
    },
    "python": {
        "calls": """
            def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
            return fib(27)""",
        "floats": """
            x = 0.0
            for i in range(1, 3_000_000): x += 1 / i
            return x""",
        "objects": """
            kept = []
            for i in range(150_000):
                item = {"i": i, "pair": [i, i + 1]}
                item["self"] = item
                kept.append(item)
                if len(kept) == 20_000: kept = kept[10_000:]
            return len(kept)""",
        "dicts": """
            counts = {}
            for i in range(1_500_000):
                key = i * 7919 % 100_003
                counts[key] = counts.get(key, 0) + 1
            return len(counts)""",
    },
}


def indented(text, by):
    """Its lines at that depth, whatever theirs was."""
    lines = text.strip("\n").split("\n")
    depth = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(" " * by + line[depth:] for line in lines)


SCRIPT = {
    "javascript": """
const work = () => {{ {body} }};
const used = process.cpuUsage(), begin = performance.now();
work();
const took = performance.now() - begin, {{ user, system }} = process.cpuUsage(used);
{last}""",
    "python": """
import time
def work():
{body}
begin, used = time.perf_counter(), time.process_time()
work()
took, used = time.perf_counter() - begin, time.process_time() - used
{last}""",
}
# How it says what it took, in milliseconds: to stdout, and as a function.
LAST = {
    "javascript": ("console.log(JSON.stringify([took, (user + system) / 1000]))", "return [took, (user + system) / 1000]"),
    "python": ("print([took * 1000, used * 1000])", "return [took * 1000, used * 1000]"),
}


def script(language, body, is_function):
    return SCRIPT[language].format(body=indented(body, 4), last=LAST[language][is_function])


def stock(language, body):
    code = script(language, body, False)
    return json.loads(subprocess.run(INTERPRETERS[language], input=code, capture_output=True, text=True, check=True).stdout)


def post(url, body):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        return json.load(urllib.request.urlopen(request))
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code} {error.read().decode()}") from error


def cell(url, path):
    return post(f"{url}/run/{path}", {})["data"]


def measure(url, rounds, languages=tuple(WORK)):
    """{language: {workload: {"stock_ms": …, "cell_ms": …, "ratio": …, and the same of CPU: "stock_cpu_ms" …}}}, medians."""
    jobs = [(language, name, body) for language in languages for name, body in WORK[language].items()]
    taken = {}
    for language, name, body in jobs:
        post(f"{url}/upload", {"path": f"cpu-{language}-{name}", "language": language, "code": script(language, body, True)})
    for _ in range(rounds):
        for language, name, body in jobs:
            sides = taken.setdefault((language, name), ([], []))
            sides[0].append(stock(language, body))
            sides[1].append(cell(url, f"cpu-{language}-{name}"))
    result = {language: {} for language in languages}
    for (language, name), sides in taken.items():
        (stock_ms, stock_cpu), (cell_ms, cell_cpu) = ([statistics.median(column) for column in zip(*side)] for side in sides)
        result[language][name] = {"stock_ms": stock_ms, "cell_ms": cell_ms, "ratio": cell_ms / stock_ms,
                                  "stock_cpu_ms": stock_cpu, "cell_cpu_ms": cell_cpu, "cpu_ratio": cell_cpu / stock_cpu}
    return result


def show(result):
    print(f"{'':20}{'stock ms':>10}{'cell ms':>10}{'ratio':>8}{'stock CPU':>12}{'cell CPU':>10}{'ratio':>8}")
    for language, rows in result.items():
        for name, row in rows.items():
            print(f"{language + ' ' + name:20}{row['stock_ms']:10.1f}{row['cell_ms']:10.1f}{row['ratio']:8.2f}"
                  f"{row['stock_cpu_ms']:12.1f}{row['cell_cpu_ms']:10.1f}{row['cpu_ratio']:8.2f}", flush=True)


def main(flags):
    rounds = int(os.environ.get("ROUNDS", "9"))
    if url := os.environ.get("URL"):
        return show(measure(url, rounds))
    with stage.mayfly(*flags) as mayfly:
        show(measure(mayfly.url, rounds))


if __name__ == "__main__":
    main(sys.argv[1:])
