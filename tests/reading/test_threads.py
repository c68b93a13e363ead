"""Small jobs on threads: in order, with an end that comes at once when asked for."""

from __future__ import annotations

import threading
import time

import pytest

from napari_ifa.errors import Cancelled
from napari_ifa.reading.threads import in_threads


def test_results_are_in_order_whatever_ends_first() -> None:
    def late_first(k: int) -> int:
        time.sleep(0.02 if k == 0 else 0)
        return k * k

    seen: list[tuple[int, int]] = []
    found = in_threads(late_first, range(50), lambda done, total: seen.append((done, total)))
    assert found == [k * k for k in range(50)]
    assert seen == [(k, 50) for k in range(1, 51)]
    assert in_threads(late_first, []) == []


def test_the_first_error_ends_the_work() -> None:
    begun: list[int] = []

    def fail(k: int) -> None:
        begun.append(k)
        if k == 3:
            raise ValueError("the third")

    with pytest.raises(ValueError, match="the third"):
        in_threads(fail, range(10_000))
    assert len(begun) < 1000


def test_stop_does_not_wait_for_a_job_that_hangs() -> None:
    hangs = threading.Event()
    begun = time.monotonic()
    try:
        with pytest.raises(Cancelled):
            in_threads(
                lambda _: hangs.wait(30), [1, 2], stop=lambda: time.monotonic() > begun + 0.2
            )
        assert time.monotonic() < begun + 5
    finally:
        hangs.set()


def test_jobs_are_handed_out_as_they_are_needed() -> None:
    done: list[int] = []
    with pytest.raises(Cancelled):
        in_threads(done.append, range(100_000), stop=lambda: len(done) > 10)
    assert len(done) < 1000
