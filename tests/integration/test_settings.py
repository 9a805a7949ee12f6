"""Settings: where they come from, and what is refused at the start, with words that help."""

import os
import socket
import shutil
import signal
import subprocess
import tempfile

import pytest

from host import DAEMON, ROOT, environment, eventually, free_port


def start(directory, *arguments, timeout=20, **settings):
    """Runs the keeper until it ends by itself: (exit status, stdout, stderr)."""
    defaults = {"HTTP_PORT": free_port(), "UID_BASE": 290_000, "RUNTIMES": "python"}
    ended = subprocess.run(
        [DAEMON, *arguments],
        cwd=directory,
        env=environment({**defaults, **settings}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    "name, value",
    [
        ("HTTP_PORT", "abc"),
        ("HTTP_PORT", "0"),
        ("HTTP_PORT", "65536"),
        ("HTTP_PORT", "-1"),
        ("HTTP_PORT", "80.5"),
        ("HTTP_HOST", "not an address"),
        ("MAX_CONTAINERS", "0"),
        ("MAX_CONTAINERS", "many"),
        ("MAX_CONTAINERS", "1e3"),
        ("MAX_CPUS_PER_CONTAINER", "0"),
        ("MAX_CPUS_PER_CONTAINER", "one"),
        ("MAX_CPUS_PER_CONTAINER", "1.5.2"),
        ("MAX_MEMORY_PER_CONTAINER", "1k"),
        ("MAX_MEMORY_PER_CONTAINER", "128q"),
        ("MAX_MEMORY_PER_CONTAINER", "0x10"),
        ("GPU_ENABLED", "perhaps"),
        ("GPU_ENABLED", "true"),
        ("CODE_MAX_SIZE", "0"),
        ("TIMEOUT_SCRIPT", "0"),
        ("TIMEOUT_SCRIPT", "30s"),
        ("REDIS_HOST", "with blank"),
        ("REDIS_TLS", "true"),
        ("REDIS_SENTINELS", "one:26379,,two"),
        ("REDIS_PREFIX", "meta:"),
        ("REDIS_USERNAME", "nobody"),
        ("AUTH_TOKEN", "with blank"),
        ("MAX_PROCESSES_PER_CONTAINER", "1"),
        ("QUEUE_MAX", "-1"),
        ("LOG_LEVEL", "loud"),
        ("UID_BASE", "0"),
        ("RUNTIMES", "python,ruby"),
        ("ALLOW_MISSING_WALLS", "everything"),
        ("CGROUP_PARENT", "no/such/group"),
        ("PYTHON", "/no/such/python"),
    ],
)
def test_bad_value_refuses_to_start_and_names_the_setting(tmp_path, name, value):
    status, _, stderr = start(tmp_path, **{name: value})
    assert status not in (0, None), stderr
    assert name in stderr or value in stderr, stderr
    assert len(stderr.splitlines()) <= 12, stderr


def test_other_addresses_need_a_token(tmp_path):
    for host in "0.0.0.0", "::":
        status, _, stderr = start(tmp_path, HTTP_HOST=host)
        assert status != 0
        assert "HTTP_HOST" in stderr and "AUTH_TOKEN" in stderr


def test_data_directory_that_cannot_be_used(tmp_path):
    (tmp_path / "file").write_text("")
    status, _, stderr = start(tmp_path, DATA_DIR="file")
    assert status != 0
    assert "DATA_DIR" in stderr or "file" in stderr, stderr


def test_port_in_use_is_told(tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        status, _, stderr = start(tmp_path, HTTP_PORT=port)
    assert status != 0
    assert str(port) in stderr or "HTTP_PORT" in stderr


@pytest.mark.parametrize(
    "arguments", [["--nonsense=1"], ["nonsense"], ["--http-port"], ["-x"], ["--http_portx", "1"]]
)
def test_unknown_flag_is_refused(tmp_path, arguments):
    status, _, stderr = start(tmp_path, *arguments)
    assert status != 0
    assert arguments[0].split("=")[0] in stderr


def test_broken_env_file_is_told_with_its_line(tmp_path):
    (tmp_path / ".env").write_text("# fine\nHTTP_PORT=8080\nnonsense\n")
    status, _, stderr = start(tmp_path)
    assert status != 0
    assert ".env" in stderr and "line 3" in stderr


def test_bad_value_in_env_file_is_told_with_its_line(tmp_path):
    (tmp_path / ".env").write_text("\nTIMEOUT_SCRIPT=soon\n")
    status, _, stderr = start(tmp_path)
    assert status != 0
    assert "TIMEOUT_SCRIPT=soon" in stderr and "line 2" in stderr


def test_help_lists_every_setting(tmp_path):
    status, stdout, _ = start(tmp_path, "--help")
    assert status == 0
    for name in (
        "http-port",
        "auth-token",
        "max-memory-per-container",
        "timeout-script",
        "allow-missing-walls",
    ):
        assert f"--{name}" in stdout


def test_version(tmp_path):
    status, stdout, _ = start(tmp_path, "--version")
    assert status == 0
    assert any(word[0].isdigit() for word in stdout.split())


def test_settings_page_is_up_to_date(tmp_path):
    """`make docs` writes it."""
    status, stdout, _ = start(tmp_path, "--print-settings-markdown")
    assert status == 0
    with open(os.path.join(ROOT, "docs/settings.md")) as page:
        assert page.read() == stdout


def test_flag_wins_over_env_file_and_that_over_the_environment(own):
    mayfly = own(CODE_MAX_SIZE="100", TIMEOUT_SCRIPT="20", BODY_MAX_SIZE="2k")
    with open(f"{mayfly.directory}/.env", "w") as file:
        file.write("# comment\n\nexport CODE_MAX_SIZE='200'\nBODY_MAX_SIZE=3k\n")
    mayfly.start(["--code-max-size=300"])
    assert mayfly.python("#" * 300).status == 200
    assert mayfly.python("#" * 301).status == 413
    assert mayfly.post("/run-now", b" " * 3072).status == 400
    assert mayfly.post("/run-now", b" " * 3073).status == 413
    mayfly.stop()


def test_too_few_open_files_are_told_with_the_cure(own):
    mayfly = own(RUNTIMES="fake", MAX_CONTAINERS=64)
    mayfly.wrapper = ["sh", "-c", 'ulimit -n 256 && exec "$@"', "sh"]
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(60) == 2
    assert "MAX_CONTAINERS=64 takes" in mayfly.log() and "ulimit -n" in mayfly.log()
    mayfly.assert_gone()


def test_settings_that_are_too_long_are_refused(own):
    mayfly = own(RUNTIMES="fake", AUTH_TOKEN=",".join(f"token-number-{n:05}" for n in range(4000)))
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(60) == 2
    assert "settings" in mayfly.log()
    mayfly.assert_gone()


def test_data_of_a_running_mayfly_stays_its_own(own, tmp_path):
    first = own(RUNTIMES="fake", DATA_DIR=str(tmp_path / "shared")).start()
    second = own(RUNTIMES="fake", DATA_DIR=str(tmp_path / "shared"))
    second.start(wait=False)
    assert second.keeper.wait(60) == 2
    assert "in use" in second.log()
    assert os.stat(tmp_path / "shared").st_uid == first.uid_base
    os.kill(first.pid_of("server"), signal.SIGKILL)
    first.wait_ready()
    assert first.upload("f", "python", "print 1").status == 200
    first.stop()


def test_a_starter_without_manners_is_forgiven(own):
    """SIGCHLD ignored, standard descriptors closed: both are inherited through execve(2)."""
    mayfly = own(RUNTIMES="fake")
    code = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.close(0); os.close(1); os.execv(sys.argv[1], sys.argv[1:])"
    mayfly.wrapper = ["/usr/bin/python3", "-c", code]
    mayfly.start()
    assert mayfly.python("print 1").data == 1
    os.kill(mayfly.pid_of("server"), signal.SIGKILL)
    eventually(lambda: "server.down" in mayfly.log(), mayfly.log)
    mayfly.wait_ready()
    assert mayfly.python("print 2").data == 2
    mayfly.stop()


def test_fewer_open_files_than_connections_stop_the_start(own):
    mayfly = own()
    mayfly.wrapper = ["prlimit", "--nofile=2000:2000"]
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(30) == 2
    assert "HTTP_MAX_CONNECTIONS=2048" in mayfly.log() and "ulimit -n" in mayfly.log()
    mayfly.settings["HTTP_MAX_CONNECTIONS"] = 1000
    mayfly.start()
    assert mayfly.python("return 1").data == 1
    mayfly.stop()


def test_not_root_is_told():
    with tempfile.TemporaryDirectory() as directory:  # the build may lie where only root can go
        os.chmod(directory, 0o755)
        keeper = shutil.copy(DAEMON, directory)
        ended = run_as_nobody(keeper)
    assert ended.returncode != 0
    assert "root" in ended.stderr


def run_as_nobody(keeper):
    return subprocess.run(
        [keeper],
        cwd="/",
        env=environment({}),
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_wall_that_may_be_missing_is_raised_where_the_host_can(own):
    mayfly = own(ALLOW_MISSING_WALLS="landlock,cgroup_cpu").start()
    assert mayfly.get("/readyz").json["walls"]["missing"] == []
    mayfly.stop()


def test_readyz_names_the_runtimes(mayfly):
    runtimes = mayfly.get("/readyz").json["runtimes"]
    assert {"python", "node", "typescript"} == set(runtimes)
    assert runtimes["python"]["version"].startswith("CPython 3.")
    assert all(runtime["up"] for runtime in runtimes.values())
    assert mayfly.get("/readyz").json["walls"]["missing"] == []


def test_language_without_runtime_is_refused(strict):
    answer = strict.javascript("return 1")
    assert (answer.status, answer.code) == (400, "bad_request")
    assert "javascript" in answer.json["detail"]
