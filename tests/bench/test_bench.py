"""What `make bench` makes of what it measured, and its client. No speeds: those are its own to tell."""

import http.server
import threading

import pytest

import bench
import figures
import latency
import load
import report


def test_percentiles_are_samples_that_were_seen():
    samples = [5, 1, 4, 2, 3]
    assert [load.percentile(samples, p) for p in (1, 20, 21, 50, 99, 100)] == [1, 1, 2, 3, 5, 5]
    assert load.percentile([7], 50) == 7


def test_rounds_are_interleaved_and_turn():
    order = []
    seen = load.interleaved("test", 3, {name: lambda name=name: order.append(name) or len(order) for name in "ab"})
    assert "".join(order) == "abbaab"
    assert seen == {"a": [1, 4, 5], "b": [2, 3, 6]}


def test_a_ratio_is_of_the_same_round():
    slow, quick = ([{"ms": {"p50": ms}} for ms in all_] for all_ in ((10, 100, 30), (1, 10, 1)))
    assert load.ratio_of(slow, quick, "ms", "p50") == 10
    assert load.median_of(slow, "ms", "p50") == 30


def test_the_parts_of_a_split_add_up_and_forget_the_worst_rounds():
    def report_of(ms):
        return {"middle": {"queue": 0.1 * ms, "start": 0.1 * ms, "run": 0.5 * ms, "total": 0.8 * ms, "seen": ms}}
    split = latency.split_of([report_of(ms) for ms in (50, 1, 2, 1)], {"cpu_ms": 3})
    assert split["seen"] == 1.5 and split["cpu_ms"] == 3
    assert sum(split[part] for part in ("queue", "hand-over", "run", "answer", "HTTP")) == pytest.approx(1.5)


def test_high_percentiles_are_of_all_rounds_together():
    assert load.pooled([{"samples": [1, 2]}, {"samples": [3, 4]}], 99) == 4


def test_targets_know_what_meets_them():
    figure = figures.Figure(1.5, "MB", ratio=1.04)
    assert figures.at_most(1.5, "MB").met(figure) and not figures.at_most(1.4, "MB").met(figure)
    assert figures.within(5, "stock").met(figure) and not figures.within(3, "stock").met(figure)
    assert not figures.faster(2).met(figure) and not figures.faster(2).met(figures.Figure(1, "ms"))
    assert figures.at_least(1, "/s").met(figure) and not figures.at_least(2, "/s").met(figure)


def test_what_was_not_measured_is_said_row_by_row():
    lines = report.table(bench.ROWS, {})
    assert len(lines) == len(bench.ROWS) and {line[1] for line in lines} == {"not measured"}
    assert len(report.terminal(lines).splitlines()) == len(lines) + 1


def test_a_row_shows_its_target_met_or_not():
    seen = {"memory": {"private": {"python": 1.2, "node": 2.0}}}
    lines = {line[0]: line for line in report.table(bench.ROWS, seen)}
    assert lines["a waiting cell's own memory, Python"][1:] == ("1.20 MB", "–", "–", "–", "≤ 1.5 MB", "yes")
    assert lines["a waiting cell's own memory, Node.js"][-1] == "**no**"


@pytest.mark.parametrize("value, text", [(0.0123, "0.012"), (1.005, "1.00"), (25.46, "25.5"), (317.2, "317"), (24020.3, "24,020"), (None, "–")])
def test_numbers_are_short(value, text):
    assert report.number(value) == text


TEMPLATE = "made on {date}\n<!-- by hand: why; kept -->\n\n<!-- end -->\n{unknown}\n"


def test_a_page_written_anew_keeps_what_was_written_by_hand():
    first = report.fill(TEMPLATE, {"date": "Monday"}, "")
    assert first == "made on Monday\n<!-- by hand: why; kept -->\n\n<!-- end -->\n{unknown}\n"
    edited = first.replace("kept -->\n", "kept -->\nBecause {date} and \\1.")
    again = report.fill(TEMPLATE, {"date": "Tuesday"}, edited)
    assert again == edited.replace("Monday", "Tuesday")


PACED = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "calls": 50, "client_cpu_share": 0.01, "slower": 30.0, "slower_p99": 20.0}
BUSY = {"per_second": 500.0, "p50": 9.0, "p99": 20.0, "client_cpu_share": 0.03, "more": 8.0, "calls": 1000}
SPLIT = {"queue": 0.1, "hand-over": 0.2, "run": 0.3, "answer": 0.1, "HTTP": 0.2, "seen": 0.9, "cpu_ms": 3.0}
LANGUAGES = ("python", "javascript", "typescript")
EVERYTHING = {  # as the measurements return it
    "latency": {"sides": {language: {side: PACED for side in ("mayfly", "bwrap", "fastify")} for language in LANGUAGES},
                "split": {runtime: SPLIT for runtime in (*LANGUAGES, "fake")}, "typescript_over_javascript": 1.05},
    "throughput": {language: {side: BUSY | {"of_javascript": 0.97} for side in ("mayfly", "bwrap", "fastify")} for language in (*LANGUAGES, "fake")},
    "numpy": {"added": 0.5, "added_bwrap": 80.0} | {side: PACED for side in ("numpy", "plain", "bwrap", "bwrap plain")},
    "first_event": {language: {"after_print": 0.2, "after_print_p99": 0.4, "after_request": 1.0, "bwrap": 20.0} for language in LANGUAGES},
    "memory": {"private": {"python": 1.2, "node": 1.1}, "pss": {"server": 1.0}, "processes": {"server": 1}, "pss_sum": 110.0, "rss": {"keeper": 1.8, "server": 4.0}},
    "cpu": {"python": {"float": {"stock_ms": 100.0, "cell_ms": 102.0, "ratio": 1.02}, "gc": {"stock_ms": 50.0, "cell_ms": 53.0, "ratio": 1.06}}},
    "deadline": {"python": {"p50": 4.0, "p99": 11.0}, "javascript": {"p50": 4.5, "p99": 12.0}},
    "overload": {"clients": 220, "places": 2, "line": 20, "admitted": 900, "refused": 8000, "p50": 250.0, "p99": 300.0, "rss_before": 4.1, "rss_after": 4.6},
    "clients": {"python": {"1": BUSY, "256": BUSY}},
    "cores": {"fake": {"1": BUSY, "2": BUSY}},
    "functions": {"python": {"uploads_per_second": 400.0, "stored": {"1": {"p50": 1.0, "per_second": 500.0}, "10000": {"p50": 1.1, "per_second": 490.0}}}},
    "many": {store: {"count": 100_000, "one": PACED, "many": PACED, "loaded": PACED | {"p50": 1.5}, "of_one": 1.02, "of_one_p99": 1.1, "cache_mb": 67.1,
                     "pages": {"first": 0.5, "middle": 0.6, "last": 0.7}, "server_before": 6.0, "server_after": 70.0} for store in ("SQLite", "Redis")},
}


def test_a_full_run_becomes_a_page():
    assert set(EVERYTHING) == set(bench.MEASUREMENTS)
    run = {"seen": EVERYTHING, "date": "2026-01-01", "machine": report.machine(), "rounds": 20, "load_before": 0.1, "minutes": 11.6}
    lines = report.table(bench.ROWS, EVERYTHING)
    assert "not measured" not in {line[1] for line in lines}
    assert {line[0]: line[-1] for line in lines}["CPU-bound code in a cell, slowest workload"] == "**no**"
    template = (report.stage.ROOT / "tests/bench/benchmarks.md.in").read_text()
    page = report.fill(template, report.parts(run, lines), "")
    assert "| SQLite | 100,000 | 1.00 ms | 3.00 ms | 1.50 ms | 3.00 ms | 0.50 / 0.60 / 0.70 ms | 6.00 → 70.0 MB |" in page
    assert "{" not in page and "| python | 10,000 | 1.10 ms | 490/s | 400/s |" in page
    assert "| mayfly, one call | 1.00 ms | 1.00 ms | 1.00 ms |" in report.short(EVERYTHING)


def test_a_page_can_do_without_what_not_every_host_has():
    seen = {name: figures for name, figures in EVERYTHING.items() if name not in ("cpu", "numpy", "many")}
    run = {"seen": seen, "date": "2026-01-01", "machine": "", "rounds": 20, "load_before": 0.1, "minutes": 11.6}
    parts = report.parts(run, report.table(bench.ROWS, seen))
    assert parts["cpu"] == "Not measured." and parts["numpy"].startswith("Not measured") and parts["many"].startswith("Not measured")


class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append((self.path, body))
        self.send_response(404 if self.path == "/nothing" else 200)
        self.send_header("Server-Timing", "queue;dur=1.5, start;dur=2.5, run;dur=3, total;dur=8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def echo():
    Echo.bodies = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_client_counts_its_calls_and_reads_what_the_server_says(echo):
    told = load.client(f"{echo}/x", "-v", "-w", 3, "-c", 2, "-n", 20, "-d", "100 %d")
    assert told["calls"] == 20 == len(told["samples"]) and told["failed"] == 0
    assert Echo.bodies == [("/x", b"100 %d")] * 23
    middle = told["middle"]
    assert (middle["queue"], middle["start"], middle["run"], middle["total"]) == (1.5, 2.5, 3, 8)
    assert told["samples"] == sorted(told["samples"])
    assert told["ms"]["min"] == told["samples"][0] and told["ms"]["max"] == told["samples"][-1]


def test_the_client_numbers_its_calls(echo):
    load.client(f"{echo}/f/%d", "-o", "-n", 3, "-d", "%d and %d")
    assert Echo.bodies == [(f"/f/{n}", b"%d and %d" % (n, n)) for n in range(3)]
    Echo.bodies.clear()
    load.client(f"{echo}/f/%d", "-r", 3, "-n", 50)
    assert {path for path, _ in Echo.bodies} == {"/f/0", "/f/1", "/f/2"}


def test_a_paced_client_keeps_its_beat(echo):
    told = load.client(f"{echo}/x", "-p", 20, "-n", 5)
    assert told["calls"] == 5 and told["seconds"] >= 0.08


def test_a_client_for_a_while_ends(echo):
    told = load.client(f"{echo}/x", "-s", 0.2, "-c", 4)
    assert told["calls"] > 4 and told["seconds"] >= 0.2


def test_failures_are_told(echo):
    with pytest.raises(RuntimeError, match="404"):
        load.client(f"{echo}/nothing", "-n", 3)
    with pytest.raises(RuntimeError):
        load.client(["/bin/false"], "-n", 1)


def test_commands_are_timed_like_calls():
    told = load.client(["/bin/echo", "hello"], "-c", 2, "-n", 6)
    assert told["calls"] == 6 and told["failed"] == 0
