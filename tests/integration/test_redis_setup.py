"""What is prepared for a mayfly whose functions are in Redis, and what is not; and what `mayfly import` asks before it begins."""

import os
import signal
import subprocess

import pytest

from gofaas import GoFaas
from host import BUILD, environment, eventually

MAYFLY = os.path.join(BUILD, "src/cli/mayfly")
NAMES = ["/etc/resolv.conf", "/etc/hosts"]
CELLS_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


def read(path):
    with open(path) as file:
        return file.read()


def command(mayfly, *arguments, **settings):
    return subprocess.run(
        [MAYFLY, *arguments],
        cwd=mayfly.directory,
        env=environment({**mayfly.settings, **settings}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_server_finds_names_and_cells_find_none(own, redis_server):
    mayfly = own(**{**redis_server.settings(), "REDIS_HOST": "localhost"}).start()
    root = f"/proc/{mayfly.pid_of('server')}/root"
    for name in NAMES:
        assert read(root + name) == read(name)
        assert os.statvfs(root + name).f_flag & os.ST_RDONLY
    code = "return [open(name).read() for name in %s]" % NAMES
    assert mayfly.python(code).data == ["", CELLS_HOSTS]
    assert mayfly.upload("f", "python", "return 1").status == 200
    assert mayfly.run("f").data == 1
    mayfly.stop()


def test_a_server_that_is_started_again_sees_the_names_of_now(own, redis_server, tmp_path):
    """The host's file, seen through a mount so that the host's own stays as it is."""
    before, after = (tmp_path / name for name in ("before", "after"))
    before.write_text("127.0.0.1 localhost redis.test\n")
    after.write_text("127.0.0.1 redis.test localhost\n")
    mayfly = own(**{**redis_server.settings(), "REDIS_HOST": "redis.test"})
    script = f'mount --bind {before} /etc/hosts && exec "$@"'
    mayfly.wrapper = ["unshare", "--mount", "sh", "-c", script, "sh"]
    mayfly.start()
    assert mayfly.upload("f", "python", "return 1").status == 200
    first = mayfly.pid_of("server")
    subprocess.run(
        ["nsenter", "-t", str(mayfly.keeper.pid), "--mount", "mount", "--bind", after, "/etc/hosts"], check=True
    )
    assert read(f"/proc/{first}/root/etc/hosts") == before.read_text()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: "server.down" in mayfly.log(), mayfly.log)
    mayfly.wait_ready()
    assert read(f"/proc/{mayfly.pid_of('server')}/root/etc/hosts") == after.read_text()
    assert mayfly.run("f").data == 1
    mayfly.stop()


def test_with_redis_there_is_no_data_directory_to_quarrel_about(own, redis_server):
    first, second = (own(**redis_server.settings(), DATA_DIR="/no/such/place").start() for _ in range(2))
    assert first.upload("f", "python", "return 1").status == 200
    assert os.listdir(f"/proc/{second.pid_of('server')}/root/srv") == []
    assert second.run("f").data == 1
    first.stop()
    second.stop()


def test_with_sqlite_the_server_has_no_file_of_the_host(own):
    mayfly = own(RUNTIMES="fake").start()
    root = f"/proc/{mayfly.pid_of('server')}/root"
    assert [read(root + name) for name in NAMES] == ["", CELLS_HOSTS]
    mayfly.stop()


def refusal(mayfly):
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(60) in (1, 2)
    mayfly.assert_gone()
    return mayfly.log()


def test_certificates_that_cannot_be_read_are_told(own, tmp_path):
    mayfly = own(REDIS_HOST="localhost", REDIS_TLS="true", REDIS_TLS_CA="ca.pem")
    assert "REDIS_TLS_CA=ca.pem: No such file" in refusal(mayfly)
    with open(os.path.join(mayfly.directory, "ca.pem"), "w") as file:
        file.write("no certificate")
    assert "REDIS_TLS_CA=ca.pem: holds no PEM" in refusal(mayfly)


def test_tls_is_spoken_or_refused_but_not_left_out(own, redis_server):
    """Where the library cannot, the start says so; where it can, a Redis that speaks none is no store."""
    mayfly = own(**redis_server.settings(), REDIS_TLS="true")
    mayfly.start(wait=False)
    eventually(lambda: mayfly.keeper.poll() is not None or "version=" in mayfly.log(), mayfly.log)
    if mayfly.keeper.poll() is None:
        assert mayfly.get("/readyz").status == 503
        assert mayfly.upload("f", "python", "return 1").status == 503
        mayfly.stop()
        return
    assert "TLS" in mayfly.log()
    mayfly.assert_gone()


def test_import_waits_for_nobody_who_serves(own):
    mayfly = own(RUNTIMES="fake").start()
    ended = command(mayfly, "import", REDIS_HOST="localhost")
    assert ended.returncode == 2
    assert "DATA_DIR=data is in use" in ended.stderr
    mayfly.stop()


@pytest.mark.parametrize("kind", ["link", "directory", "second name"])
def test_import_writes_into_no_file_but_its_own(own, kind):
    mayfly = own()
    data, elsewhere = (os.path.join(mayfly.directory, name) for name in ("data", "elsewhere"))
    os.mkdir(data)
    open(elsewhere, "w").close()
    make = {"link": os.symlink, "directory": lambda _, name: os.mkdir(name), "second name": os.link}[kind]
    make(elsewhere, os.path.join(data, "mayfly.db"))
    ended = command(mayfly, "import", REDIS_HOST="localhost")
    assert ended.returncode == 2
    assert "mayfly.db is not a file of its own" in ended.stderr
    assert read(elsewhere) == ""


def test_import_asks_where_from(own):
    mayfly = own()
    ended = command(mayfly, "import")
    assert ended.returncode == 2 and "REDIS_HOST" in ended.stderr
    assert os.listdir(mayfly.directory) == []


def test_commands_are_listed_and_others_refused(own):
    mayfly = own()
    for arguments in ["help"], ["--help"]:
        ended = command(mayfly, *arguments)
        assert ended.returncode == 0 and "import" in ended.stdout
    assert command(mayfly, "--version").stdout.startswith("mayfly ")
    for arguments in [], ["export"], ["import", "--no-such-flag=1"], ["import", "everything"]:
        ended = command(mayfly, *arguments)
        assert ended.returncode == 2 and ended.stderr.startswith("mayfly: "), arguments


def test_import_takes_mayflys_own_functions_along_while_they_are_served(own, redis_server):
    there, here = own(**redis_server.settings(), DATA_DIR=None).start(), own()
    old = there.upload("f", "python", "return 'old'", limits={"cpus": 0.5}).json["version"]
    new = there.upload("f", "python", "return 'new'").json["version"]
    assert there.set_alias("f", "prod", old).status == 200
    for n_versions, n_aliases in (2, 1), (0, 0):  # the second time there is nothing to do
        ended = command(here, "import", **redis_server.settings())
        assert ended.returncode == 0, ended
        assert f"2 versions, {n_versions} of them new, and 1 aliases, {n_aliases} of them new" in ended.stdout
    before = [there.describe("f").json, *(there.describe("f", version=v).json for v in (old, new))]
    there.stop()
    here.start()
    assert [here.describe("f").json, *(here.describe("f", version=v).json for v in (old, new))] == before
    assert here.run("f").data == "new" and here.run("f", version="prod").data == "old"
    assert here.upload("f", "python", "return 'new'").json["created"] is False
    here.stop()


def test_import_continues_where_a_lost_redis_ended_it(own, redis_server):
    mayfly = own()
    client = redis_server.client()
    for n in range(2000):
        GoFaas(client).upload(f"moved/{n}", "python", f"return {n}", 1_600_000_000)
    process = subprocess.Popen(
        [MAYFLY, "import"],
        cwd=mayfly.directory,
        env=environment({**mayfly.settings, **redis_server.settings()}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    database = os.path.join(mayfly.directory, "data/mayfly.db")
    eventually(lambda: os.path.exists(database + "-wal") and os.path.getsize(database + "-wal") > 100_000)
    redis_server.kill()
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 2, (stdout, stderr)
    assert "imported so far" in stdout and "run it again to continue" in stderr
    redis_server.start()
    ended = command(mayfly, "import", **redis_server.settings())
    assert ended.returncode == 0, ended
    assert "imported 2000 functions: 2000 versions" in ended.stdout and "2000 of them new" not in ended.stdout
