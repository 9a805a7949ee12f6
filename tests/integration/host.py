"""A mayfly as its operator sees it: started, asked over HTTP, looked at from the host, stopped."""

import concurrent.futures
import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.parse

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.path.abspath(os.environ.get("MAYFLY_BUILD", os.path.join(ROOT, "build")))
DAEMON = os.path.join(BUILD, "src/setup/mayflyd")

DEADLINE_S = 60  # for anything that must happen: generous, since nothing here measures speed
USER_IDS = 2048  # what one mayfly may use, from UID_BASE on
FIRST_CELL = 64  # of them; those below are the server's and the templates'
PROGRAMS = {"server": "mayfly-server", "python": "boot.py", "node": "mayfly-javascript"}
# Apart also from those of the tests that tests/run has running beside these.
HALF = int(os.environ.get("MAYFLY_TEST_HALF", 0))
_uid_bases = itertools.count(300_000 + HALF * 1_000_000_000 + os.getpid() % 1000 * 40_960, 2 * USER_IDS)


class Answer:
    """One HTTP answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def data(self):
        assert self.status == 200, self
        return self.json["data"]

    @property
    def type(self):
        assert self.status == 200, self
        return self.json["type"]

    @property
    def code(self):
        return self.json.get("code")

    @property
    def error(self):
        return self.json["error"]

    def __repr__(self):
        return f"{self.status} {self.body[:2000].decode('utf-8', 'replace')}"


class Client:
    """Speaks to one address. Every request has a connection of its own."""

    def __init__(self, port, token=None):
        self.port, self.token = port, token

    def request(self, method, path, body=None, headers=(), timeout=DEADLINE_S):
        """body: bytes as they are, anything else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(headers)
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def delete(self, path):
        return self.request("DELETE", path)

    def run_now(self, language, code, **members):
        return self.post("/run-now", {"language": language, "code": code, **members})

    def python(self, code, **members):
        return self.run_now("python", code, **members)

    def javascript(self, code, **members):
        return self.run_now("javascript", code, **members)

    def typescript(self, code, **members):
        return self.run_now("typescript", code, **members)

    def upload(self, path, language, code, **members):
        return self.post("/upload", {"path": path, "language": language, "code": code, **members})

    def run(self, path, version=None, **members):
        query = "" if version is None else f"?version={version}"
        return self.post(f"/run/{path}{query}", members)

    def functions(self, **query):
        """One page of them."""
        return self.get(with_query("/functions", query))

    def describe(self, path, **query):
        """With `version`: its code; else a page of its versions."""
        return self.get(with_query(f"/functions/{path}", query))

    def code(self, path, version=None):
        """The answer with the code of a version, or of the latest."""
        if version is None:
            answer = self.describe(path, limit=1)
            if answer.status != 200:
                return answer
            version = answer.json["latest"]
        return self.describe(path, version=version)

    def remove(self, path, **query):
        return self.delete(with_query(f"/functions/{path}", query))

    def set_alias(self, path, name, version):
        return self.put(f"/functions/{path}/aliases/{name}", {"version": version})


class Mayfly(Client):
    """A keeper and all that it starts, in a directory of its own."""

    def __init__(self, directory, **settings):
        super().__init__(free_port(), (settings.get("AUTH_TOKEN") or "").split(",")[0] or None)
        self.directory = str(directory)
        self.uid_base = next(_uid_bases)
        self.settings = {"HTTP_PORT": self.port, "UID_BASE": self.uid_base, "DATA_DIR": "data", **settings}
        self.log_path = os.path.join(self.directory, "mayfly.log")
        self.keeper = None
        self.wrapper = []  # a command that executes the daemon in its place
        self.daemon = DAEMON

    def start(self, arguments=(), wait=True):
        with open(self.log_path, "ab") as log:
            self.keeper = subprocess.Popen(
                [*self.wrapper, self.daemon, *arguments],
                cwd=self.directory,
                env=environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self.wait_ready()
        return self

    def is_ready(self):
        try:
            return self.get("/readyz").status == 200
        except OSError:
            return False

    def wait_ready(self):
        eventually(self.is_ready, self.log, still=lambda: self.keeper.poll() is None)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def stop(self):
        """Ends it as an operator does, and makes sure that nothing is left of it."""
        self.keeper.send_signal(signal.SIGTERM)
        status = self.keeper.wait(DEADLINE_S)
        assert status == 0, f"exit status {status}\n{self.log()}"
        self.assert_gone()

    def kill(self):
        self.keeper.kill()
        self.keeper.wait()

    # What the host sees of it.

    def processes(self):
        """pid → command line of the keeper, whatever comes from it, and whoever has one of its user ids."""
        table = process_table()
        ours = {self.keeper.pid} if self.keeper.pid in table else set()
        while True:
            more = {pid for pid, (parent, _, _) in table.items() if parent in ours} - ours
            if not more:
                break
            ours |= more
        ids = range(self.uid_base, self.uid_base + USER_IDS)
        ours |= {pid for pid, (_, uid, _) in table.items() if uid in ids}
        return {pid: table[pid][2] for pid in ours}

    def pid_of(self, name):
        """server, or the template of a runtime."""
        for pid, command in self.processes().items():
            if PROGRAMS[name] in command and user_of(pid) in range(self.uid_base, self.uid_base + FIRST_CELL):
                return pid
        raise AssertionError(f"no {name} among {self.processes()}")

    def cells(self):
        """Processes of calls and spares: neither keeper, server nor template."""
        ids = range(self.uid_base + FIRST_CELL, self.uid_base + USER_IDS)
        return [pid for pid in self.processes() if user_of(pid) in ids]

    def cgroups(self):
        return find_cgroups(f"mayfly-{self.keeper.pid}")

    def assert_gone(self):
        eventually(lambda: not self.processes(), lambda: f"still there: {self.processes()}\n{self.log()}")
        eventually(lambda: not self.cgroups(), lambda: f"still there: {self.cgroups()}")
        assert not os.path.exists(f"/run/mayfly-{self.keeper.pid}")
        assert "mayfly" not in open("/proc/self/mounts").read()
        assert is_free(self.port)


class Background:
    """A call that runs while the test does other things."""

    def __init__(self, function, *arguments):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.future = self.pool.submit(function, *arguments)

    def result(self):
        try:
            return self.future.result(60)
        finally:
            self.pool.shutdown(wait=False)


def environment(settings):
    """Nothing of the tester's own environment but what programs need to start."""
    base = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8"}
    for name in "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS":
        if name in os.environ:
            base[name] = os.environ[name]
    return {**base, **{name: str(value) for name, value in settings.items() if value is not None}}


def with_query(path, query):
    return f"{path}?{urllib.parse.urlencode(query)}" if query else path


def free_port():
    """Not of those that the kernel gives to clients: one of them may have it when a mayfly is started again."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def is_free(port):
    """Whether a server may listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def eventually(condition, explain=lambda: "", still=lambda: True, deadline_s=DEADLINE_S):
    """Waits until the condition holds. `still`: what must not cease meanwhile."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert still() and time.monotonic() < deadline, explain()
        time.sleep(0.02)


def process_table():
    """pid → (parent, user id, command line) of all processes that are not zombies of this test."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/status") as file:
                status = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
            with open(f"/proc/{name}/cmdline") as file:
                command = file.read().replace("\0", " ").strip() or status["Name"].strip()
        except OSError:  # it ended meanwhile
            continue
        if not status["State"].strip().startswith("Z"):
            table[int(name)] = int(status["PPid"]), int(status["Uid"].split()[0]), command
    return table


def user_of(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:  # it ended meanwhile
        return None


def find_cgroups(name):
    return [
        os.path.join(directory, name)
        for directory, children, _ in os.walk("/sys/fs/cgroup")
        if name in children
    ]
