"""A bundle that asks for too much is refused in one sentence, before anything of it is made."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from hostile import hostile_bundles

from napari_ifa.errors import IfaError
from napari_ifa.models import load_classifier

#: More are tried with NAPARI_IFA_HOSTILE_BUNDLES=500.
COUNT = int(os.environ.get("NAPARI_IFA_HOSTILE_BUNDLES", "48"))
SECONDS = 1.0
BYTES = 500e6


class Spent:
    seconds = 0.0
    growth = 0


@contextmanager
def spending() -> Iterator[Spent]:
    """Processor time of this thread, and how far the process's memory rose above what it had."""
    spent, over = Spent(), threading.Event()
    process = psutil.Process()
    before = process.memory_info().rss

    def look() -> None:
        while not over.wait(0.005):
            spent.growth = max(spent.growth, process.memory_info().rss - before)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    start = time.thread_time()
    try:
        yield spent
    finally:
        spent.seconds = time.thread_time() - start
        over.set()
        watcher.join()


def test_hostile_bundles_are_refused_at_once(tmp_path: Path) -> None:
    failures, refused = [], 0
    for number, (name, folder) in enumerate(hostile_bundles(tmp_path, seed=11, count=COUNT)):
        reason = ""
        with spending() as spent:
            try:
                load_classifier(folder, device="cpu")
            except IfaError as error:
                reason = str(error)
                refused += 1
            except Exception as error:
                reason = f"\n{type(error)}: {error}"
        # The first one brings the imports.
        slow = number > 0 and spent.seconds > SECONDS
        if slow or spent.growth > BYTES or "\n" in reason or len(reason) > 700:
            failures.append((name, f"{spent.seconds:.2f} s, {spent.growth / 1e6:.0f} MB", reason))
    assert failures == []
    assert refused == COUNT
