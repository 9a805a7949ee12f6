"""Node.js's helper threads in a cell: they come back behind every wall and not before they are of use, what scripts do
works with them and without, and where they cannot be carried over a fork the template does without and says so.
"""

import concurrent.futures
import glob
import json
import os
import pathlib
import shutil

import pytest
from conftest import started
from host import BUILD, ROOT, Background, eventually

NO_HELPERS = "the helper threads cannot be carried into cells"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    yield from started(tmp_path_factory, "node", RUNTIMES="node", SPARE_CELLS=2)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The same without helper threads."""
    yield from started(tmp_path_factory, "single", RUNTIMES="node", NODE_HELPER_THREADS="false")


@pytest.fixture(params=["node", "single"])
def either(request):
    return request.getfixturevalue(request.param)


# --- the walls, and when ---

WALLS = "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters"


def read(path):
    return pathlib.Path(path).read_text()


def threads_of(pid):
    """name → what holds for it, of each thread, as the host sees it."""
    threads = []
    for task in glob.glob(f"/proc/{pid}/task/*"):
        status = dict(line.split(":\t", 1) for line in read(f"{task}/status").splitlines())
        namespaces = {name: os.readlink(f"{task}/ns/{name}") for name in os.listdir(f"{task}/ns")}
        threads.append((status["Name"], {name: status.get(name) for name in WALLS}, namespaces, read(f"{task}/cgroup")))
    return sorted(threads, key=lambda thread: thread[0])


def busiest(mayfly):
    """The cell with most threads."""
    return max(mayfly.cells(), key=lambda pid: len(glob.glob(f"/proc/{pid}/task/*")), default=0)


def test_every_thread_is_behind_every_wall(node):
    call = Background(node.javascript, "await new Promise((done) => setTimeout(done, 3000)); return 1")
    eventually(lambda: len(glob.glob(f"/proc/{busiest(node)}/task/*")) > 2, deadline_s=10)
    main, *helpers = sorted(threads_of(busiest(node)), key=lambda thread: not thread[0].startswith("mayfly"))
    assert len(helpers) >= 2, helpers
    for name, *walls in helpers:
        assert walls == list(main[1:]), name
    walls, _, cgroup = main[1:]
    assert (walls["CapEff"], walls["CapBnd"], walls["CapAmb"], walls["NoNewPrivs"], walls["Seccomp"]) == ("0" * 16, "0" * 16, "0" * 16, "1", "2")
    assert walls["Uid"].split()[0] != "0" and len(set(walls["Uid"].split())) == 1
    assert "/mayfly-" in cgroup
    assert call.result().data == 1


TRY_FROM_A_HELPER = """
const { Worker } = require('worker_threads');
await new Promise((done) => setTimeout(done, 30));
const code = `const { parentPort } = require('worker_threads'), fs = require('fs'); const tried = {};
  for (const path of ['/etc/shadow', '/proc/1/environ', '/sys/kernel', '/root']) try { fs.statSync(path); fs.readdirSync(path); tried[path] = 'open' } catch (e) { tried[path] = e.code }
  parentPort.postMessage(tried)`;
return await new Promise((done) => new Worker(code, { eval: true }).on('message', done));
"""


def test_a_thread_that_was_started_after_them_sees_no_more(node):
    assert "open" not in node.javascript(TRY_FROM_A_HELPER).data.values()


COUNT = "require('fs').readdirSync('/proc/self/task').length"


def test_a_short_call_has_its_main_thread_alone(node):
    assert [node.javascript(f"return {COUNT}").data for _ in range(20)].count(1) >= 19  # a pause of the machine may hit one


@pytest.mark.parametrize("what", [
    "await new Promise((done) => setTimeout(done, 50))",
    "const begin = performance.now(); while (performance.now() - begin < 200);",
    "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)",
    "await require('fs').promises.readdir('/'); await new Promise((done) => setTimeout(done, 20))",
])  # fmt: skip
def test_a_longer_call_has_helpers(node, what):
    assert node.javascript(f"{what}; return {COUNT}").data >= 3


def test_a_spare_waits_without_helpers(node):
    def counts():
        return [len(glob.glob(f"/proc/{pid}/task/*")) for pid in node.cells()]

    node.javascript("return 1")
    eventually(lambda: len(counts()) >= 2 and set(counts()) == {1}, lambda: str(counts()))


def test_thread_ids_are_those_of_the_cell(node):
    """What libc keeps of each thread must be what the kernel says, or joins and robust locks fail."""
    code = "await new Promise((done) => setTimeout(done, 30)); return require('fs').readdirSync('/proc/self/task').map(Number)"
    assert node.javascript(code).data == [2, 3, 4]


SIGNALS = """
const heard = [];
for (const name of Object.keys(require('os').constants.signals))
  if (!['SIGKILL', 'SIGSTOP', 'SIGSEGV', 'SIGBUS', 'SIGFPE', 'SIGILL', 'SIGPROF'].includes(name)) process.on(name, () => heard.push(name));
const begin = performance.now(); while (performance.now() - begin < 60);
await new Promise((done) => setTimeout(done, 60));
process.kill(process.pid, 'SIGALRM'); process.kill(process.pid, 'SIGUSR2'); process.kill(process.pid, 'SIGCHLD');
await new Promise((done) => setTimeout(done, 20));
return heard.sort();
"""


def test_a_script_hears_its_own_signals_alone(either):
    assert either.javascript(SIGNALS).data == ["SIGALRM", "SIGCHLD", "SIGUSR2"]


# --- what scripts do, with helpers and without; `late` gives them the time to come back first ---

WORKS = {
    "wasm_at_once": ("return (await WebAssembly.instantiate(Buffer.from('0061736d010000000105016000017f03020100070501016600000a06010400412a0b', 'hex'))).instance.exports.f()", 42),
    "wasm_many": ("""
        const bytes = Buffer.from('0061736d010000000105016000017f03020100070501016600000a06010400412a0b', 'hex');
        const all = await Promise.all(Array.from({ length: 50 }, () => WebAssembly.compile(bytes)));
        return all.length""", 50),
    "worker_at_once": ("return await new Promise((done) => new (require('worker_threads').Worker)('require(\"worker_threads\").parentPort.postMessage(1)', { eval: true }).on('message', done))", 1),
    "workers_that_compute": ("""
        const { Worker } = require('worker_threads');
        const code = 'let a = []; for (let i = 0; i < 3e5; i++) { a.push({ i }); if (a.length > 1e4) a = []; } require("worker_threads").parentPort.postMessage(a.length)';
        const run = () => new Promise((done, fail) => new Worker(code, { eval: true }).on('message', done).on('error', fail));
        return (await Promise.all([run(), run(), run(), run()])).length""", 4),
    "worker_terminated": ("""
        const { Worker } = require('worker_threads'), worker = new Worker('for (;;);', { eval: true });
        await new Promise((done) => worker.on('online', done));
        return await worker.terminate()""", 1),
    "worker_exits": ("return await new Promise((done) => new (require('worker_threads').Worker)('process.exit(5)', { eval: true }).on('exit', done))", 5),
    "message_channel": ("const { port1, port2 } = new MessageChannel(); port2.postMessage(7); return await new Promise((done) => { port1.onmessage = (e) => { port1.close(); done(e.data) } })", 7),
    "atomics_wait": ("return Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)", "timed-out"),
    "atomics_wait_async": ("const a = new Int32Array(new SharedArrayBuffer(4)); const { value } = Atomics.waitAsync(a, 0, 0, 2000); setTimeout(() => Atomics.notify(a, 0), 5); return await value", "ok"),
    "thread_pool": ("const { pbkdf2 } = require('crypto'); return (await require('util').promisify(pbkdf2)('a', 'b', 1000, 32, 'sha256')).length", 32),
    "key_pair": ("return (await require('util').promisify(require('crypto').generateKeyPair)('ec', { namedCurve: 'P-256' })).publicKey.type", "public"),
    "subtle": ("return (await crypto.subtle.digest('SHA-256', Buffer.from('x'))).byteLength", 32),
    "zlib": ("const { promisify } = require('util'), zlib = require('zlib'); return (await promisify(zlib.gunzip)(await promisify(zlib.gzip)(Buffer.alloc(1e6, 'ab')))).length", 1_000_000),
    "files": ("const fs = require('fs').promises; await Promise.all([...Array(40).keys()].map((n) => fs.writeFile('/tmp/' + n, 'x'.repeat(n)))); return (await fs.stat('/tmp/39')).size", 39),
    "dns": ("return (await require('dns').promises.lookup('localhost')).family > 0", True),
    "http": ("""
        const server = require('http').createServer((q, a) => a.end(q.url)).listen(0, '127.0.0.1');
        await new Promise((done) => server.on('listening', done));
        const texts = await Promise.all([...Array(20).keys()].map(async (n) => (await fetch(`http://127.0.0.1:${server.address().port}/${n}`)).text()));
        server.closeAllConnections(); server.close(); return texts.length""", 20),
    "unix_socket": ("""
        const net = require('net'), server = net.createServer((s) => s.end('hi')).listen('/tmp/s');
        return await new Promise((done) => server.on('listening', () => net.connect('/tmp/s').on('data', (d) => { server.close(); done(String(d)) })))""", "hi"),
    "timers": ("let n = 0; return await new Promise((done) => { const t = setInterval(() => { if (++n === 20) { clearInterval(t); done(n) } }, 1) })", 20),
    "finalizers": ("""
        require('v8').setFlagsFromString('--expose-gc'); const gc = require('vm').runInNewContext('gc');
        return await new Promise((done) => { const r = new FinalizationRegistry(done); (() => r.register({}, 'gone'))(); setTimeout(gc, 1); globalThis.r = r })""", "gone"),
    "inspector": ("const s = new (require('inspector').Session)(); s.connect(); return await new Promise((done) => s.post('Runtime.evaluate', { expression: '6 * 7' }, (e, r) => done(r.result.value)))", 42),
    "hot_functions": ("const f = (n) => (n < 2 ? n : f(n - 1) + f(n - 2)); return f(30)", 832_040),
    "hot_loop": ("let x = 0; for (let i = 0; i < 2e7; i++) x = (x + i * 3) | 0; return x", None),
    "deoptimized": ("const add = (a, b) => a + b; let x = 0; for (let i = 0; i < 1e6; i++) x = add(x, 1); return add('x', x)", "x1000000"),
    "garbage": ("let kept = []; for (let i = 0; i < 1e6; i++) { kept.push({ i, t: 'n' + i }); if (kept.length === 20000) kept = kept.slice(10000) } return kept.every((k, n) => k.t === 'n' + k.i) && kept.length", 20_000 - 10_000),
    "big_script": ("const s = Array.from({ length: 3000 }, (_, i) => `function f${i}(x) { return x + ${i} }`).join(';'); return new Function(s + '; let r = 0; for (let i = 0; i < 100; i++) r += f2999(i); return r')()", 304_850),
    "stack_overflow": ("const f = () => f() + 1; try { f() } catch (e) { return e.name }", "RangeError"),
    "json": ("const o = JSON.parse(JSON.stringify(Array.from({ length: 50000 }, (_, i) => ({ i })))); return o.length", 50_000),
}  # fmt: skip
LATE = "{ const begin = performance.now(); while (performance.now() - begin < 12); }\n"


@pytest.mark.parametrize("when", ["at_once", "late"])
@pytest.mark.parametrize("name", WORKS)
def test_what_scripts_do_works(either, name, when):
    code, expected = WORKS[name]
    answer = either.javascript((LATE if when == "late" else "") + code)
    assert answer.status == 200, answer
    if expected is not None:
        assert answer.data == expected


ENDINGS = {
    "exit_at_once": ("process.exit(7)", 7),
    "exit_while_they_come_back": ("const b = performance.now(); while (performance.now() - b < 6); process.exit(7)", 7),
    "exit_late": ("await new Promise((done) => setTimeout(done, 30)); process.exit(7)", 7),
    "exit_with_a_worker": ("new (require('worker_threads').Worker)('for (;;);', { eval: true }); setTimeout(() => process.exit(7), 40); await new Promise(() => {})", 7),
    "exit_in_compilation": ("WebAssembly.compile(Buffer.from('0061736d01000000', 'hex')); process.exit(7)", 7),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDINGS)
def test_a_call_ends_as_it_says(either, name):
    code, status = ENDINGS[name]
    answer = either.javascript(code)
    assert (answer.code, f"status {status}" in json.dumps(answer.json)) == ("script_error", True), answer


def test_errors_are_told_from_a_call_with_helpers(node):
    failed = node.javascript("await new Promise((done) => setTimeout(done, 20));\nnull.x")
    assert (failed.code, failed.error["name"], failed.error["line"]) == ("script_error", "TypeError", 2)
    assert node.javascript("setTimeout(() => { throw new Error('late') }, 20); await new Promise(() => {})").error["message"] == "late"


def test_many_calls_of_which_each_needs_its_helpers(node):
    code = """
      const { promisify } = require('util'), zlib = require('zlib');
      let kept = []; for (let i = 0; i < 1e5; i++) { kept.push({ i }); if (kept.length > 2e4) kept = []; }
      return (await promisify(zlib.deflate)(Buffer.alloc(1e5, event.n))).length > 0 && event.n"""
    with concurrent.futures.ThreadPoolExecutor(6) as clients:
        answers = list(clients.map(lambda n: node.javascript(code, input={"n": n}), range(1, 121)))
    assert [answer.data for answer in answers] == list(range(1, 121))


# --- without ---

def copied_library(directory):
    """What the daemon finds beside itself, to be changed."""
    for folder in "setup", "keeper", "server", "janitor", "guest":
        shutil.copytree(os.path.join(BUILD, "src", folder), directory / folder, ignore=shutil.ignore_patterns("*.p", "*.a"))
    os.symlink(os.path.join(ROOT, "node_modules"), directory / "node_modules")
    return directory


def spoilt(own, library, text):
    """A mayfly in whose trial of helper threads `text` runs."""
    selftest = copied_library(library) / "guest/selftest.mjs"
    whole = selftest.read_text()
    begin = "export function trial() {\n"
    assert begin in whole
    selftest.write_text(whole.replace(begin, begin + text))
    mayfly = own(RUNTIMES="node")
    mayfly.daemon = library / "setup/mayflyd"
    return mayfly


@pytest.mark.parametrize("text", ["throw new Error('no');", "process.abort();", "addon.exit(3);"])
def test_a_template_whose_trial_fails_does_without_and_says_so(own, tmp_path, text):
    mayfly = spoilt(own, tmp_path / "library", text).start()
    assert mayfly.log().count(NO_HELPERS) == 2  # the one for JavaScript, the one for TypeScript
    assert mayfly.javascript(f"await new Promise((done) => setTimeout(done, 30)); return {COUNT}").data == 1
    assert mayfly.javascript("return process.env").data == {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp", "TMPDIR": "/tmp"}
    assert mayfly.javascript("return new Date(0).getHours()").data == 0  # TZ came along
    assert mayfly.typescript("enum E { A = 7 }\nreturn E.A").data == 7
    mayfly.stop()


def test_a_trial_that_hangs_counts_as_failed(own, tmp_path):
    hang = "if (process.title === 'mayfly-javascript') for (;;);"
    mayfly = spoilt(own, tmp_path / "library", hang).start()
    assert NO_HELPERS in mayfly.log()
    assert mayfly.javascript("return 6 * 7").data == 42
    mayfly.stop()


def test_the_setting_does_without_and_needs_no_words(single):
    assert NO_HELPERS not in single.log()
    assert single.javascript(f"await new Promise((done) => setTimeout(done, 30)); return {COUNT}").data == 1


def test_the_usual_template_has_them(node):
    assert NO_HELPERS not in node.log()
