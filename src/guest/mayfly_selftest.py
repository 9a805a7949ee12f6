"""What scripts rely on, tried inside a cell before the template may serve.

Exit status 0: all of it works. Otherwise stderr says what does not. Stdout gets one line for each source of
randomness; the keeper runs two of these cells and requires that no line is the same in both.
"""

import os
import sys


def try_threads():
    import queue
    import threading

    answers = queue.Queue()
    threads = [threading.Thread(target=answers.put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.get() for _ in threads) == [0, 1, 2, 3]
    assert threading.main_thread().native_id == threading.get_native_id()


def try_executor():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as executor:
        assert list(executor.map(abs, [-1, -2])) == [1, 2]


def try_asyncio():
    import asyncio

    async def main():
        return await asyncio.gather(asyncio.sleep(0.001, "a"), asyncio.to_thread(str, 1))

    assert asyncio.run(main()) == ["a", "1"]


def try_http():
    import threading
    import urllib.request
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert direct.open(url, timeout=10).read() == b"hello"


def try_files():
    import tempfile

    with tempfile.NamedTemporaryFile("w+", dir="/tmp") as file:
        file.write("text")
        file.seek(0)
        assert file.read() == "text"


def try_fork():
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def try_multiprocessing():
    import multiprocessing

    context = multiprocessing.get_context("fork")
    with context.Lock():  # a semaphore in /dev/shm
        pass


def try_libraries():
    import ctypes
    import decimal
    import hashlib
    import json
    import sqlite3
    import ssl

    assert ctypes.c_int(3).value == 3
    assert hashlib.sha256(b"").hexdigest().startswith("e3b0c442")
    assert json.loads("[1]") == [1]
    assert str(decimal.Decimal("0.1") * 3) == "0.3"
    assert sqlite3.connect(":memory:").execute("select 6 * 7").fetchone() == (42,)
    ssl.create_default_context()


def print_randomness():
    import random
    import secrets
    import ssl
    import tempfile
    import uuid

    print("random", random.random())
    print("secrets", secrets.token_hex(16))
    print("uuid4", uuid.uuid4())
    print("ssl", ssl.RAND_bytes(16).hex())
    print("tempfile", next(tempfile._get_candidate_names()))
    if "numpy.random" in sys.modules:
        print("numpy", sys.modules["numpy.random"].random())
    if "multiprocessing.process" in sys.modules:
        print("multiprocessing", bytes(sys.modules["multiprocessing.process"].current_process().authkey).hex())


CHECKS = (
    print_randomness,
    try_threads,
    try_executor,
    try_asyncio,
    try_http,
    try_files,
    try_fork,
    try_multiprocessing,
    try_libraries,
)


def run():
    failed = 0
    for check in CHECKS:
        try:
            check()
        except Exception as error:
            failed = 1
            print(f"{check.__name__}: {type(error).__name__}: {error}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    return failed
