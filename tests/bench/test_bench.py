"""What `make bench` makes of what it measured, and its client. No speeds: those are its own to tell."""

import http.server
import threading

import pytest

import bench
import figures
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
