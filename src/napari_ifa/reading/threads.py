"""Many small jobs on threads, with progress and a way to stop: used for files and slices."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from napari_ifa.errors import Cancelled
from napari_ifa.progress import Progress, Stop, check_stop

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More threads than cores pay because files are waited for; beyond this they only get in the way.
_MOST_THREADS = 8
#: Jobs handed out ahead of the one that is waited for, per thread.
_AHEAD = 8
#: Seconds between two questions whether to stop, while one job takes long.
_PATIENCE = 0.1


def in_threads(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[Result]:
    """``[function(item) for item in items]``, in order.

    Raises
    ------
    Cancelled
        When ``stop`` says so, at once: jobs not yet begun are dropped, and one that hangs (a file
        on a lost network drive) is left behind.
    Exception
        The first that ``function`` raised, after the jobs already begun have ended.
    """
    results: list[Result] = []
    threads = min(_MOST_THREADS, (os.cpu_count() or 1) + 2, max(1, len(items)))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="napari-ifa-read")
    try:
        waiting = iter(items)
        jobs: deque[Future[Result]] = deque()
        while True:
            jobs.extend(
                pool.submit(function, item)
                for item in islice(waiting, threads * _AHEAD - len(jobs))
            )
            if not jobs:
                break
            results.append(_result(jobs.popleft(), stop))
            if progress is not None:
                progress(len(results), len(items))
    except Cancelled:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown()
    return results


def _result(job: Future[Result], stop: Stop | None) -> Result:
    while True:
        check_stop(stop)
        if wait([job], _PATIENCE if stop is not None else None).done:
            return job.result()
