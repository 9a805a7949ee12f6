"""What is prepared for a mayfly whose functions are in Redis, and what is not; and what `mayfly import` asks before it begins."""

import os
import subprocess

import pytest

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
