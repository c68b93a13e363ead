"""A progress bar for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Bar:
    """A progress bar with rate and time left on standard error; nothing where it is no terminal."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: Any = None

    def __enter__(self) -> Callable[[int, int], None]:
        from tqdm import tqdm

        # It moves the cursor, and says nothing that comes from a file.
        stream = getattr(sys.stderr, "terminal", sys.stderr)
        self._bar = tqdm(unit=f" {self._unit}", disable=None, leave=False, file=stream)
        return self._update

    def _update(self, done: int, total: int) -> None:
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self._bar.close()
