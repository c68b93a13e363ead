"""How long work tells how far it is, and learns that it should end."""

from __future__ import annotations

from collections.abc import Callable

#: Told after each file, slice or case: how many are done, of how many.
Progress = Callable[[int, int], None]
#: Asked between them: True ends the work with ``Cancelled``.
Stop = Callable[[], bool]
