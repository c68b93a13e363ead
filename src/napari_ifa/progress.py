"""How long work tells how far it is, and learns that it should end."""

from __future__ import annotations

from collections.abc import Callable

from napari_ifa.errors import Cancelled

#: Told after each file, slice or case: how many are done, of how many.
Progress = Callable[[int, int], None]
#: Asked between them: True ends the work with ``Cancelled``.
Stop = Callable[[], bool]


def check_stop(stop: Stop | None, work: str = "Reading") -> None:
    """Cancelled where ``stop`` says so; the sentence begins with the ``work``."""
    if stop is not None and stop():
        raise Cancelled(f"{work} was stopped.")
