"""A file of which no more is asked than it holds."""

from __future__ import annotations

import io
from pathlib import Path

#: Shorter reads than this are passed on unseen: nearly all are, and they cost nothing.
_PIECE = 1 << 16


class InPieces(io.BufferedReader):
    """A stream whose ``read`` allocates no more than there is, and a piece.

    A header may claim an element of gigabytes; Python allocates what is asked for before it reads.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes."""
        if size is None or size <= _PIECE:
            return super().read(size)
        pieces = []
        while size > 0 and (piece := super().read(min(size, _PIECE))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


class BoundedFile(InPieces):
    """The same of a file, opened for reading."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.open("rb", buffering=0))
        self._name = path.name

    @property
    def name(self) -> str:
        """Without its folders, which may be called after a patient: libraries print it."""
        return self._name
