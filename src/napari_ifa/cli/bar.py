"""A progress bar for the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar with rate and time left on standard error; nothing where it is no terminal."""
    from tqdm import tqdm

    # It moves the cursor, and says nothing that comes from a file.
    stream = getattr(sys.stderr, "terminal", sys.stderr)
    with tqdm(unit=f" {unit}", disable=None, leave=False, file=stream) as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update
