#!/usr/bin/python3
"""What compiled code saves: one mayfly, each script stored with its code and without, calls of both in turn.

tests/bench/compiled.py [CALLS]: medians of Server-Timing `run`, and of the page faults of the cell; as root, with
MAYFLY_BUILD as for the tests.
"""

import argparse
import os
import re
import statistics
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

from host import Mayfly  # noqa: E402
from test_compiled import put  # noqa: E402

PAUSE_S = 0.02  # so that a spare cell waits again
PYTHON_FAULTS = "__import__('resource').getrusage(0).ru_minflt"
NODE_FAULTS = "process.resourceUsage().minorPageFault"

SMALL_PYTHON = """
import json

class Item:
    def __init__(self, name, price, count=1):
        self.name, self.price, self.count = name, price, count

    @property
    def total(self):
        return self.price * self.count

def clean(items):
    return [Item(**item) for item in items if item.get("price", 0) > 0]

def describe(items):
    return "\\n".join(f"{item.name}: {item.total:.2f}" for item in items)

items = clean(event.get("items", [{"name": "a", "price": 1.5, "count": 2}]))
total = sum(item.total for item in items)
try:
    limit = float(event.get("limit", 100))
except ValueError:
    limit = 100.0
if total > limit:
    raise RuntimeError(f"{total} is more than {limit}")
json.dumps({"total": total, "text": describe(items)})
"""
SMALL_JAVASCRIPT = """
const clean = (items) => items.filter((i) => i && i.price > 0).map((i) => ({ ...i, total: i.price * i.count }));
function sum(items) { let total = 0; for (const { total: t } of items) total += t; return total; }
function describe(order) {
  return order.items.map((item) => `${item.name}: ${item.total.toFixed(2)}`).join('\\n');
}
class Order {
  constructor(id, items) { this.id = id; this.items = clean(items); }
  get total() { return sum(this.items); }
  toJSON() { return { id: this.id, total: this.total, text: describe(this) }; }
}
const order = new Order(event.id ?? 1, event.items ?? [{ name: 'a', price: 1, count: 2 }]);
if (order.total > 100) throw new RangeError('too much');
JSON.stringify(order);
"""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def scripts():
    """name → (language, code); each returns the faults of its cell so far."""
    acorn = read(os.path.join(ROOT, "node_modules/acorn/dist/acorn.js"))
    return {
        "python-empty": ("python", f"return {PYTHON_FAULTS}"),
        "python-small": ("python", f"{SMALL_PYTHON}\nreturn {PYTHON_FAULTS}"),
        "python-large": (
            "python",
            f"{read(argparse.__file__)}\ndef handler(event):\n"
            f"    ArgumentParser().parse_args([])\n    return {PYTHON_FAULTS}",
        ),
        "javascript-empty": ("javascript", f"return {NODE_FAULTS}"),
        "javascript-small": ("javascript", f"{SMALL_JAVASCRIPT}\nreturn {NODE_FAULTS}"),
        "javascript-module": (
            "javascript",
            f"import os from 'node:os';{SMALL_JAVASCRIPT}\nexport default () => {NODE_FAULTS}",
        ),
        "javascript-large": (
            "javascript",
            f"{acorn}\nmodule.exports.parse('let a = 1', {{ ecmaVersion: 2022 }});\nreturn {NODE_FAULTS}",
        ),
    }


def call(mayfly, path):
    time.sleep(PAUSE_S)
    answer = mayfly.run(path)
    ms = float(re.search(r"run;dur=([\d.]+)", answer.headers["server-timing"]).group(1))
    return ms * 1000, answer.data


def measure(mayfly, name, calls):
    seen = {"source": [], "kept": []}
    for i in range(calls):
        for kind in sorted(seen, reverse=i % 2):
            seen[kind].append(call(mayfly, f"{kind}/{name}"))
    columns = [map(statistics.median, zip(*rows)) for rows in seen.values()]
    return "  ".join(f"{kind} {us:6.0f} µs {faults:5.0f} faults" for kind, (us, faults) in zip(seen, columns))


def main():
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory(prefix="mayfly-bench-") as directory:
        os.chmod(directory, 0o755)
        mayfly = Mayfly(directory, RUNTIMES="python,node", SPARE_CELLS=2, LOG_LEVEL="warn").start()
        try:
            for name, (language, code) in scripts().items():
                for kind in "source", "kept":
                    assert mayfly.upload(f"{kind}/{name}", language, code).status == 200
            mayfly.stop()
            for name in scripts():
                put(mayfly, f"source/{name}", None)
            mayfly.start()
            for name, (_, code) in scripts().items():
                print(f"{name:18} {len(code):7} bytes  {measure(mayfly, name, calls)}", flush=True)
        finally:
            mayfly.stop()


main()
