"""A file of which no more is asked than it holds."""

from __future__ import annotations

import io
import os
from pathlib import Path

#: Shorter reads than this are passed on unseen: nearly all are, and they cost nothing.
_SHORT = 1 << 16


class BoundedFile(io.BufferedReader):
    """A file open for reading whose ``read`` allocates no more than is left of it.

    A header may claim an element of gigabytes; Python allocates what is asked for before it reads.
    """

    def __init__(self, path: Path) -> None:
        raw = path.open("rb", buffering=0)
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size
        self._name = path.name

    @property
    def name(self) -> str:
        """Without its folders, which may be called after a patient: libraries print it."""
        return self._name

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        if size is not None and size > _SHORT:
            size = min(size, max(self._size - self.tell(), 0))
        return super().read(size)
