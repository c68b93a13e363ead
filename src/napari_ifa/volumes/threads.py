"""Many small jobs on threads, with progress and a way to stop: used for files and slices."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from napari_ifa.errors import Cancelled
from napari_ifa.volumes.series import Progress, Stop

Item = TypeVar("Item")
Result = TypeVar("Result")

#: More threads than cores pay because files are waited for; beyond this they only get in the way.
_MOST_THREADS = 8


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
        When ``stop`` says so; jobs not yet begun are dropped.
    Exception
        The first that ``function`` raised.
    """
    results: list[Result] = []
    threads = min(_MOST_THREADS, (os.cpu_count() or 1) + 2)
    with ThreadPoolExecutor(threads, thread_name_prefix="napari-ifa-read") as pool:
        jobs = [pool.submit(function, item) for item in items]
        try:
            for job in jobs:
                if stop is not None and stop():
                    raise Cancelled("Reading was stopped.")
                results.append(job.result())
                if progress is not None:
                    progress(len(results), len(items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results
