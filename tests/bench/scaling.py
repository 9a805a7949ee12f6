"""What becomes of a call when there are more clients, more cores, more stored functions."""

import load
import peers
import stage

CLIENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FUNCTIONS = (1, 100, 1_000 if stage.QUICK else 10_000)
LANGUAGES = ("python", "javascript")
SHARE = 0.15  # of the rounds


def measure_clients():
    """language → clients → calls per second, p50 and p99."""
    with stage.mayfly() as mayfly:
        urls = {language: mayfly.upload(f"bench/{language}", language, peers.SCRIPTS[language]) for language in LANGUAGES}
        sides = {(language, clients): closed(url, clients) for language, url in urls.items() for clients in CLIENTS}
        return figures(load.interleaved("clients", stage.rounds(SHARE), sides))


def measure_cores():
    """runtime → cores → calls per second, of a mayfly that is kept to so many cores. The client runs where it likes."""
    counts = [count for count in (1, 2, 4, 8, 16, 32, 64, 128) if count <= len(stage.CORES)]
    runs = [(count, number) for number in range(stage.rounds(SHARE)) for count in counts]
    seen = {}
    for count, number in runs:
        for runtimes in "python,node", "fake":
            stage.say(f"\rcores: round {number + 1} of {stage.rounds(SHARE)}, {count} cores, {runtimes}   ", end="")
            with stage.mayfly(f"--runtimes={runtimes}", f"--max-containers={2 * count}", cores=stage.CORES[:count]) as mayfly:
                if runtimes != "fake":
                    inside = mayfly.post("/run-now", language="python", code="import os\nreturn len(os.sched_getaffinity(0))")["data"]
                    assert inside == count, f"cells run on {inside} cores, not {count}"
                for language in ("fake",) if runtimes == "fake" else LANGUAGES:
                    seen.setdefault((language, count), []).append(on_cores(mayfly, language, 4 * count))
    stage.say("")
    return figures(seen)


def on_cores(mayfly, language, clients):
    if language == "fake":
        return load.closed(mayfly.upload("bench", "python", "echo"), clients, 1.5)
    return load.closed(mayfly.upload(f"bench/{language}", language, peers.SCRIPTS[language]), clients, 1.5)


def measure_functions():
    """language → stored functions → paced p50, and calls per second, the calls being spread over them at random; and uploads per second."""
    table = {}
    with stage.mayfly() as mayfly:
        for language in LANGUAGES:
            stage.say(f"functions: storing {max(FUNCTIONS)} of {language}")
            code = peers.SCRIPTS[language].replace('"', '\\"')
            body = '{"path":"many/%s/%%d","language":"%s","code":"%s"}' % (language, language, code)
            stored = load.client(f"{mayfly.url}/upload", "-c", 4, "-n", max(FUNCTIONS), "-o", "-d", body)
            url = f"{mayfly.url}/run/many/{language}/%d"
            calm = load.interleaved(f"functions, {language}, paced", stage.rounds(SHARE), {
                count: lambda count=count: load.paced(url, 25, 20, load.BODY, "-r", count) for count in FUNCTIONS})
            busy = load.interleaved(f"functions, {language}, 8 clients", stage.rounds(SHARE), {
                count: lambda count=count: load.closed(url, 8, 1.5, load.BODY, "-r", count) for count in FUNCTIONS})
            table[language] = {"uploads_per_second": stored["per_second"], "stored": {
                str(count): {"p50": load.median_of(calm[count], "ms", "p50"), "per_second": load.median_of(busy[count], "per_second")}
                for count in FUNCTIONS}}
    return table


def closed(url, clients):
    return lambda: load.closed(url, clients, 1.5)


def figures(seen):
    table = {}
    for (language, number), reports in seen.items():
        table.setdefault(language, {})[str(number)] = {
            "per_second": load.median_of(reports, "per_second"),
            "p50": load.median_of(reports, "ms", "p50"),
            "p99": load.median_of(reports, "ms", "p99"),
            "client_cpu_share": load.median_of(reports, "client_cpu_share"),
        }
    return table
