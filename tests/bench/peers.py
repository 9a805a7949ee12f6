"""What mayfly is measured beside: the same function, run the way others run it.

`bwrap` is how go-faas runs a call: new namespaces, a new interpreter, and a wrapper that parses the event, compiles and calls the script,
and prints JSON. go-faas serves that over HTTP; here the command alone is timed, which flatters the peer.
"""

import contextlib
import json
import shutil
import subprocess

import load
import stage

# The function that all of them run.
SCRIPTS = {
    "python": "return {'hello': event.get('name'), 'sum': sum(range(10))}",
    "javascript": "return {hello: event.name, sum: [...Array(10).keys()].reduce((a, b) => a + b)}",
    "typescript": "const n: number = 10; return {hello: event.name as string, sum: [...Array(n).keys()].reduce((a, b) => a + b)}",
}
TITLES = {"python": "Python", "javascript": "JavaScript", "typescript": "TypeScript"}

# Each is called with the script and the event.
WRAPPERS = {
    "python": "import json, sys, textwrap\nnames = {}\n"
              "exec('def run(event):\\n' + textwrap.indent(sys.argv[1], ' '), names)\nprint(json.dumps(names['run'](json.loads(sys.argv[2]))))",
    "javascript": "const [, code, event] = process.argv; console.log(JSON.stringify(new Function('event', code)(JSON.parse(event))))",
    "typescript": "const [, code, event] = process.argv, ts = require(%s); const js = ts.transpileModule(`function run(event: any) { ${code} }`,"
                  " {compilerOptions: {target: 'ES2022'}}).outputText; console.log(JSON.stringify(new Function('event', js + '; return run(event)')"
                  "(JSON.parse(event))))" % json.dumps(str(stage.ROOT / "node_modules/typescript")),
}
INTERPRETERS = {"python": ["/usr/bin/python3", "-c"], "javascript": [stage.NODE, "-e"], "typescript": [stage.NODE, "-e"]}
BWRAP = ["bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]
PODMAN = ["podman", "run", "--rm", "--network=none"]
PODMAN_IMAGES = {"python": ("docker.io/library/python:3-slim", "python3", "-c"), "javascript": ("docker.io/library/node:24-slim", "node", "-e")}


def wrapped(language, code=None):
    return [*INTERPRETERS[language], WRAPPERS[language], code or SCRIPTS[language], load.EVENT]


def bwrap(language, code=None):
    return [*BWRAP, *wrapped(language, code)]


def plain(language):
    """No walls at all, and for Python nothing but its builtins: the least that an interpreter per call costs."""
    command = wrapped(language)
    return [command[0], "-I", "-S", *command[1:]] if language == "python" else command


def podman(language):
    """A container per call, where podman and the image are there; else None."""
    if not shutil.which("podman") or language not in PODMAN_IMAGES:
        return None
    image, *interpreter = PODMAN_IMAGES[language]
    if subprocess.run(["podman", "image", "exists", image]).returncode != 0:
        return None
    return [*PODMAN, image, *interpreter, WRAPPERS[language], SCRIPTS[language], load.EVENT]


def commands(language):
    """Peers of a language that are a command per call: name → command. TypeScript's cost is its compiler, with walls or without."""
    found = {"bwrap": bwrap(language), "plain": plain(language) if language != "typescript" else None, "podman": podman(language)}
    return {name: command for name, command in found.items() if command}


def sides(mayfly, fastify):
    """(language, side) → what to call. mayfly's stand together, since they are held against each other too."""
    table = {(language, "mayfly"): mayfly.upload(f"bench/{language}", language, code) for language, code in SCRIPTS.items()}
    if fastify:
        table["javascript", "fastify"] = fastify
    for language in SCRIPTS:
        table.update({(language, name): command for name, command in commands(language).items()})
    return table


@contextlib.contextmanager
def fastify():
    """The same JavaScript in one long-lived process, without any isolation: what HTTP and the function alone cost. None if not installed."""
    if not (stage.ROOT / "node_modules/fastify").is_dir():
        yield None
        return
    port = stage.free_port()
    process = subprocess.Popen([stage.NODE, stage.ROOT / "tests/bench/fastify.mjs", str(port), SCRIPTS["javascript"]])
    try:
        stage.wait_for(f"http://127.0.0.1:{port}/healthz", process)
        yield f"http://127.0.0.1:{port}/run"
    finally:
        process.terminate()
        process.wait()
