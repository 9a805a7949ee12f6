"""One mayfly with ordinary settings serves most tests; those that need other settings start their own."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

from host import DAEMON, Mayfly  # noqa: E402
from redis_host import Redis  # noqa: E402


def pytest_sessionstart(session):
    if os.geteuid() != 0:
        pytest.exit("these tests start mayfly, which must be started as root", 2)
    if not os.path.exists(DAEMON):
        pytest.exit(f"{DAEMON} is missing: build first, or set MAYFLY_BUILD", 2)


def started(factory, name, **settings):
    """A running mayfly for a fixture; ended, and looked after, when the fixture ends."""
    mayfly = Mayfly(factory.mktemp(name), **settings)
    try:
        mayfly.start()
        yield mayfly
        mayfly.stop()
    finally:
        if mayfly.keeper and mayfly.keeper.poll() is None:
            mayfly.kill()


@pytest.fixture(scope="session")
def on_sqlite(tmp_path_factory):
    """All runtimes, default limits, the embedded store."""
    yield from started(tmp_path_factory, "mayfly")


@pytest.fixture(scope="session")
def on_redis(tmp_path_factory):
    """The same, with its functions in a Redis of its own."""
    server = Redis(tmp_path_factory.mktemp("redis"), password="secret").start()
    try:
        yield from started(tmp_path_factory, "mayfly", **server.settings())
    finally:
        server.kill()


@pytest.fixture(scope="session")
def mayfly(on_sqlite):
    """The one for tests that do not ask where functions are kept."""
    return on_sqlite


STORES = ["sqlite", "redis"]


@pytest.fixture(scope="session", params=STORES)
def stored(request):
    """Both, one after the other. A module that names it `mayfly` has all its tests run on both stores."""
    return request.getfixturevalue(f"on_{request.param}")


@pytest.fixture(scope="session")
def strict(tmp_path_factory):
    """Python alone, with limits so low that a test reaches them soon, and tokens."""
    yield from started(
        tmp_path_factory,
        "strict",
        RUNTIMES="python",
        AUTH_TOKEN="first-token,second-token",
        MAX_CONTAINERS=1,
        QUEUE_MAX=1,
        TIMEOUT_SCRIPT="1.5",
        MAX_MEMORY_PER_CONTAINER="64m",
        MAX_PROCESSES_PER_CONTAINER=16,
        MAX_TMP_PER_CONTAINER="1m",
        MAX_TMP_FILES_PER_CONTAINER=64,
        MAX_OPEN_FILES_PER_CONTAINER=256,
        OUTPUT_MAX_SIZE="64k",
        CODE_MAX_SIZE=4096,
        BODY_MAX_SIZE="16k",
    )


@pytest.fixture(scope="session")
def tight(tmp_path_factory):
    """All runtimes, with short deadlines, little output, and streams that ping soon."""
    yield from started(
        tmp_path_factory, "tight", TIMEOUT_SCRIPT="1.5", OUTPUT_MAX_SIZE="64k", STREAM_PING="0.2"
    )


@pytest.fixture
def redis_server(tmp_path):
    """Of the test's own; it loses nothing that it has acknowledged."""
    server = Redis(tmp_path / "redis", appendfsync="always").start()
    yield server
    server.kill()


@pytest.fixture
def own(tmp_path):
    """Makes a mayfly of the test's own: own(NAME=value, …). Whatever is left of it ends with the test."""
    made = []

    def make(**settings):
        directory = tmp_path / str(len(made))
        directory.mkdir()
        made.append(Mayfly(directory, **{"RUNTIMES": "python", **settings}))
        return made[-1]

    yield make
    for mayfly in made:
        if mayfly.keeper and mayfly.keeper.poll() is None:
            mayfly.kill()
            mayfly.assert_gone()


@pytest.fixture(params=STORES)
def own_stored(request, own):
    """As `own`, on both stores. Every mayfly of one test has the same Redis."""
    if request.param == "sqlite":
        return own
    settings = request.getfixturevalue("redis_server").settings()
    return lambda **others: own(**{**settings, **others})
