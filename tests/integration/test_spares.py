"""Spare cells: how many wait follows the calls that come."""

import concurrent.futures

from host import eventually


def spares(mayfly):
    return next(row["spares"] for row in mayfly.get("/templates").json["templates"] if row["runtime"] == "python")


def test_spares_follow_the_calls(own):
    mayfly = own(LOG_LEVEL="warn").start()
    eventually(lambda: spares(mayfly) == 1, mayfly.log)
    mayfly.upload("f", "python", "return 1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert all(answer.data == 1 for answer in pool.map(lambda _: mayfly.run("f"), range(8)))
    eventually(lambda: spares(mayfly) >= 3, lambda: str(spares(mayfly)))
    assert len(mayfly.cells()) <= 16
    eventually(lambda: spares(mayfly) == 1, lambda: str(spares(mayfly)))  # what a burst has brought fades
    eventually(lambda: len(mayfly.cells()) == 1, lambda: str(mayfly.processes()))
    mayfly.stop()


def test_no_more_spares_than_the_settings_allow(own):
    mayfly = own(SPARE_CELLS=2, LOG_LEVEL="warn").start()
    mayfly.upload("f", "python", "return 1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            assert all(answer.data == 1 for answer in pool.map(lambda _: mayfly.run("f"), range(16)))
            assert spares(mayfly) <= 2
    eventually(lambda: spares(mayfly) == 2, lambda: str(spares(mayfly)))
    mayfly.stop()


def test_without_memory_for_them_one_spare_waits(own):
    mayfly = own(TEMPLATE_MEMORY_MAX=0, LOG_LEVEL="warn").start()
    mayfly.upload("f", "python", "return 1")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(answer.data == 1 for answer in pool.map(lambda _: mayfly.run("f"), range(32)))
    eventually(lambda: spares(mayfly) == 1, lambda: str(spares(mayfly)))
    mayfly.stop()
