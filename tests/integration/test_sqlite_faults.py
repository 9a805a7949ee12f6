"""The embedded store's disk full, read-only, failing, slow, damaged or locked: a clear error, no wrong answer, and a return by itself."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import threading

import pytest

from faults import Known, expect_away, expect_back, expect_works, is_away, says_away, start_with_stored, wait_back
from host import Background, eventually


@contextlib.contextmanager
def injected(mayfly, calls, how):
    """Those system calls of its server fail or wait, for as long as the block lasts. Of them, its store makes all."""
    server = mayfly.pid_of("server")
    command = ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:{how}"]
    tracer = subprocess.Popen([*command, "-p", str(server)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def is_attached():
        tasks = os.listdir(f"/proc/{server}/task")
        return all(f"TracerPid:\t{tracer.pid}\n" in status_of(server, task) for task in tasks)

    try:
        eventually(is_attached, still=lambda: tracer.poll() is None)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(60)


def status_of(pid, task):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{task}/status") as file:
        return file.read()
    return ""


WRITES = "pwrite64,ftruncate,fallocate"
SYNCS = "fdatasync,fsync"


@pytest.mark.parametrize(
    "calls, how",
    [(WRITES, "error=EROFS"), (WRITES, "error=EIO"), (SYNCS, "error=EIO")],
)
def test_disk_that_fails(own, calls, how):
    mayfly = start_with_stored(own())
    known = Known(mayfly)
    with injected(mayfly, calls, how):
        expect_away(known, reads_too=False)
        assert mayfly.run("stored").data == "read"
    expect_back(known)
    mayfly.stop()
    mayfly.start()
    known.expect_served()
    mayfly.stop()


def test_disk_that_cannot_be_read(own):
    """Functions in memory run; others are an error, and are there again."""
    mayfly = own(CACHE_MAX_SIZE="100k").start()
    codes = {f"read/{n}": f"return {n}  # {'x' * 20_000}" for n in range(40)}
    for path, code in codes.items():
        assert mayfly.upload(path, "python", code).status == 200
    mayfly.stop()
    mayfly.start()
    known = Known(mayfly)
    with injected(mayfly, "pread64", "error=EIO"):
        for n, path in enumerate(codes):
            answer = mayfly.run(path)
            assert is_away(answer) or answer.status == 500 or answer.data == n
        known.expect_served()
    wait_back(mayfly)
    for n, path in enumerate(codes):
        eventually(lambda: mayfly.run(path).status == 200, mayfly.log)
        assert mayfly.run(path).data == n
    mayfly.stop()


def test_slow_disk_delays_its_own_upload_and_nothing_else(own):
    """Each sync takes seconds; meanwhile all that only reads is answered."""
    mayfly = own(CACHE_MAX_SIZE="100k").start()
    for n in range(10):
        mayfly.upload(f"read/{n}", "python", f"return {n}  # {'x' * 20_000}")
    known = Known(mayfly)
    with injected(mayfly, SYNCS, "delay_enter=4s"):
        upload = Background(mayfly.upload, "slow", "python", "return 'slow'")
        known.expect_served()
        for n in range(10):
            assert mayfly.run(f"read/{n}").data == n
            assert mayfly.code(f"read/{n}").status == 200
        assert len(mayfly.functions().json["functions"]) >= 11
        assert mayfly.describe("known").status == 200
        assert not upload.future.done()
        assert upload.result().status == 200
    assert mayfly.run("slow").data == "slow"
    expect_back(known)
    mayfly.stop()


def test_locked_database_delays_what_writes_and_nothing_else(own):
    """So does a backup, or somebody who looks into it by hand."""
    mayfly = own(CACHE_MAX_SIZE="100k").start()
    for n in range(10):
        mayfly.upload(f"read/{n}", "python", f"return {n}  # {'x' * 20_000}")
    known = Known(mayfly)
    other = sqlite3.connect(os.path.join(mayfly.directory, "data", "mayfly.db"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    upload = Background(mayfly.upload, "waits", "python", "return 'waited'")
    for n in range(10):
        assert mayfly.run(f"read/{n}").data == n
        assert mayfly.code(f"read/{n}").status == 200
    known.expect_served()
    assert len(mayfly.functions().json["functions"]) >= 11
    answer = upload.result()
    assert is_away(answer), answer
    other.execute("ROLLBACK")
    other.close()
    expect_back(known)
    assert mayfly.run("waits").status == 404
    mayfly.stop()


# A full disk


@pytest.fixture
def small_disk(own):
    """A mayfly whose DATA_DIR has 3 MiB."""
    mayfly = own(CODE_MAX_SIZE="512k")
    directory = os.path.join(mayfly.directory, "data")
    os.mkdir(directory)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", directory], check=True)
    try:
        yield mayfly, directory
    finally:
        if mayfly.keeper and mayfly.keeper.poll() is None:
            mayfly.kill()
            eventually(lambda: not mayfly.processes(), mayfly.log)
        subprocess.run(["umount", "-l", directory], check=True)


def fill(directory):
    """Until nothing more can be written, and by less each time."""
    path = os.path.join(directory, "filler")
    with open(path, "ab", buffering=0) as file:
        for size in 1 << 20, 4096, 1:
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return path


def test_full_disk(small_disk):
    mayfly, directory = small_disk
    known = Known(start_with_stored(mayfly))
    for _ in range(3):
        filler = fill(directory)
        # what the log has already may be written over: it is full once an upload says so
        eventually(lambda: is_away(mayfly.upload("fills", "python", f"x = '{os.urandom(8000).hex()}'")), mayfly.log)
        eventually(lambda: says_away(mayfly), mayfly.log)
        known.expect_served()
        assert mayfly.run("stored").data == "read"
        os.unlink(filler)
        expect_back(known)
    mayfly.stop()


def test_disk_that_uploads_fill(small_disk):
    """Every upload that was answered 200 is there, also after a restart on the full disk."""
    mayfly, directory = small_disk
    mayfly.start()
    kept, refused = {}, 0
    for n in range(1000):
        pad = random.Random(n).randbytes(1000 + n * 7919 % 60_000).hex()
        answer = mayfly.upload(f"fill/{n}", "python", f"x = '{pad}'\nreturn [{n}, len(x)]")
        if answer.status == 200:
            kept[n] = len(pad)
        else:
            assert is_away(answer), answer
            refused += 1
        if refused == 10:
            break
    assert refused == 10 and len(kept) > 5

    def expect_kept():
        for n, length in kept.items():
            assert mayfly.run(f"fill/{n}").data == [n, length]

    expect_kept()
    mayfly.stop()
    mayfly.start(wait=False)
    eventually(lambda: mayfly.keeper.poll() is not None or answers(mayfly), mayfly.log)
    if mayfly.keeper.poll() is not None:  # it may say that it cannot start so
        assert "full" in mayfly.log()
        subprocess.run(["mount", "-o", "remount,size=8m", directory], check=True)
        mayfly.start()
    else:
        eventually(lambda: mayfly.run(f"fill/{min(kept)}").status == 200, mayfly.log)
        expect_kept()
        subprocess.run(["mount", "-o", "remount,size=8m", directory], check=True)
        mayfly.wait_ready()
    expect_kept()
    expect_works(mayfly)
    mayfly.stop()


def answers(mayfly):
    try:
        return mayfly.get("/healthz").status == 200
    except OSError:
        return False


def test_read_only_disk_at_the_start(small_disk):
    """It says what is wrong, and starts once it is put right."""
    mayfly, directory = small_disk
    mayfly.start()
    mayfly.upload("f", "python", "return 1")
    mayfly.stop()
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    mayfly.start(wait=False)
    eventually(lambda: mayfly.keeper.poll() is not None or answers(mayfly) and says_away(mayfly), mayfly.log)
    if mayfly.keeper.poll() is None:
        assert is_away(mayfly.upload("g", "python", "return 1"))
        subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
        mayfly.wait_ready()
    else:
        assert mayfly.keeper.returncode != 0
        assert "ead-only" in mayfly.log() or "readonly" in mayfly.log(), mayfly.log()
        subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
        mayfly.start()
    assert mayfly.run("f").data == 1
    expect_works(mayfly)
    mayfly.stop()


# A damaged file


def database(mayfly):
    return os.path.join(mayfly.directory, "data", "mayfly.db")


@pytest.fixture
def filled(own):
    """Down, with 60 functions of about 20 KB, all in the database file itself."""
    mayfly = own(CACHE_MAX_SIZE="200k").start()
    for n in range(60):
        pad = random.Random(n).randbytes(10_000).hex()
        assert mayfly.upload(f"filled/{n}", "python", f"x = '{pad}'\nreturn [{n}, x[-9:]]").status == 200
    mayfly.stop()
    with sqlite3.connect(database(mayfly)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    return mayfly


def expected(n):
    return [n, random.Random(n).randbytes(10_000).hex()[-9:]]


def overwrite(path, pages, seed):
    """Noise over some pages, never the first, by whole blocks as a disk would."""
    choice = random.Random(seed)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        for _ in range(pages):
            file.seek(choice.randrange(4096, size - 4096) & ~4095)
            file.write(choice.randbytes(4096))


def expect_right_or_error(mayfly):
    """How many were right."""
    right = 0
    for n in range(60):
        answer = mayfly.run(f"filled/{n}")
        if answer.status == 200:
            assert answer.data == expected(n)
            right += 1
        else:
            assert answer.status in (404, 500, 503), answer
            assert answer.code in ("not_found", "internal_error", "store_unavailable"), answer
        told = mayfly.code(f"filled/{n}")
        assert told.status != 200 or expected(n)[1] in told.json["code"]
    return right


@pytest.mark.parametrize("seed", range(2))
def test_pages_damaged_while_it_runs(filled, seed):
    mayfly = filled
    mayfly.start()
    version = mayfly.upload("known", "python", "return 'known'").json["version"]
    assert mayfly.run("known").data == "known"
    overwrite(database(mayfly), 30, seed)
    assert expect_right_or_error(mayfly) < 60
    for answer in mayfly.functions(), mayfly.upload("newer", "python", "return 1"), mayfly.describe("filled/1"):
        assert answer.status in (200, 404, 500, 503), answer
    assert mayfly.python("return 1").data == 1
    answer = mayfly.run("known", version=version)
    assert answer.status in (200, 500, 503), answer
    assert mayfly.get("/healthz").status == 200
    mayfly.stop()


@pytest.mark.parametrize("seed", range(2))
def test_pages_damaged_before_the_start(filled, seed):
    mayfly = filled
    overwrite(database(mayfly), 30, seed)
    start_with_damage(mayfly)


def start_with_damage(mayfly):
    """It serves what can be read, or it says that the file is damaged, and which."""
    mayfly.start(wait=False)
    eventually(lambda: mayfly.keeper.poll() is not None or answers(mayfly), mayfly.log)
    if mayfly.keeper.poll() is None:
        eventually(lambda: mayfly.python("return 1").status == 200, mayfly.log)
        assert expect_right_or_error(mayfly) < 60
        mayfly.stop()
    else:
        assert mayfly.keeper.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT)
        assert "mayfly.db" in mayfly.log() or "malformed" in mayfly.log() or "not a database" in mayfly.log()


HEADS = {"empty": b"", "text": b"not a database\n" * 1000, "header": b"SQLite format 3\0" + b"\xff" * 8192}


@pytest.mark.parametrize("kind", [*HEADS, "cut", "first page"])
def test_file_that_is_no_database(filled, kind):
    mayfly, path = filled, database(filled)
    if kind in HEADS:
        with open(path, "wb") as file:
            file.write(HEADS[kind])
    elif kind == "cut":
        os.truncate(path, os.path.getsize(path) // 2 + 100)
    else:
        with open(path, "r+b") as file:
            file.seek(100)
            file.write(os.urandom(3000))
    start_with_damage(mayfly)


def test_flipped_bit_in_a_script_is_an_error_and_never_an_answer(filled):
    """SQLite would not notice."""
    mayfly, path = filled, database(filled)
    with open(path, "rb") as file:
        content = file.read()
    damaged = {}
    for n in range(0, 60, 5):
        code = expected_code(n)
        place = content.find(code[:60].encode())
        assert place > 0
        damaged[n] = place + 40 + n % 10  # within the first page of the script, in the hexadecimal digits
    for place in damaged.values():
        content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    with open(path, "r+b") as file:
        file.write(content)
    mayfly.start()
    for n in range(60):
        answer = mayfly.run(f"filled/{n}")
        told = mayfly.code(f"filled/{n}")
        if n in damaged:
            assert (answer.status, answer.code) == (500, "internal_error"), answer
            assert told.status == 500, told
        else:
            assert answer.data == expected(n)
            assert told.json["code"] == expected_code(n)
    assert mayfly.is_ready()
    for n in damaged:
        assert mayfly.upload(f"filled/{n}", "python", expected_code(n)).status == 200
    mayfly.stop()


def expected_code(n):
    return f"x = '{random.Random(n).randbytes(10_000).hex()}'\nreturn [{n}, x[-9:]]"


def test_database_of_a_newer_mayfly_is_let_be(filled):
    mayfly = filled
    with sqlite3.connect(database(mayfly)) as db:
        db.execute("PRAGMA user_version = 9999")
    db.close()
    before = open(database(mayfly), "rb").read()
    mayfly.start(wait=False)
    assert mayfly.keeper.wait(60) != 0
    assert "newer" in mayfly.log()
    assert open(database(mayfly), "rb").read() == before


def test_second_mayfly_on_the_same_directory_is_refused(own):
    first = own().start()
    second = own(DATA_DIR=os.path.join(first.directory, "data"), UID_BASE=first.uid_base).start(wait=False)
    assert second.keeper.wait(60) != 0
    assert "DATA_DIR" in second.log() and "another mayfly" in second.log()
    expect_works(first)
    first.stop()


def test_copy_made_while_it_runs_is_whole(own):
    """As `sqlite3 mayfly.db .backup` makes it; a mayfly of its own serves it."""
    mayfly, other = own().start(), own()
    stop, given = threading.Event(), []

    def upload():
        while not stop.is_set():
            assert mayfly.upload(f"copied/{len(given)}", "python", f"return {len(given)}").status == 200
            given.append(1)

    uploading = Background(upload)
    eventually(lambda: len(given) > 20)
    before = len(given)
    os.mkdir(os.path.join(other.directory, "data"))
    with contextlib.closing(sqlite3.connect(database(mayfly))) as source:
        with contextlib.closing(sqlite3.connect(database(other))) as copy:
            source.backup(copy)
    stop.set()
    uploading.result()
    mayfly.stop()
    other.start()
    assert [other.run(f"copied/{n}").data for n in range(before)] == list(range(before))
    other.stop()


def test_data_directory_that_vanishes(own):
    """The file goes on existing while it is open; nothing wrong is answered, and nothing ends."""
    mayfly = own().start()
    known = Known(mayfly)
    shutil.rmtree(os.path.join(mayfly.directory, "data"))
    for n in range(5):
        answer = mayfly.upload("gone", "python", f"return {n}")
        assert answer.status == 200 or is_away(answer)
    known.expect_served()
    mayfly.stop()
