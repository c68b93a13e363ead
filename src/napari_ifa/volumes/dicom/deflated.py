"""The data set of a deflated file as a stream, inflated piece by piece and never as a whole."""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

_PREAMBLE = 128
_META_GROUP = 2
_LONG_FORMS = (b"OB", b"OW", b"SQ", b"UN", b"UT")
_PIECE = 2**16
#: A data set that inflates to more (bytes) is not read to its end.
_LARGEST = 2**32


def inflated(file: BinaryIO) -> BinaryIO:
    """The data set of a deflated DICOM ``file``, without its file meta: explicit, little endian.

    Reading, seeking and finding the end take a fixed amount of memory, whatever a small file
    claims to hold; damaged data end the stream. ``file`` must stay open.
    """
    # The header is read in small steps forward and back, which the buffer answers.
    return io.BufferedReader(_Inflated(file, _end_of_meta(file)), _PIECE)


def _end_of_meta(file: BinaryIO) -> int:
    file.seek(_PREAMBLE)
    at = _PREAMBLE + 4 if file.read(4) == b"DICM" else 0
    while True:
        file.seek(at)
        head = file.read(12)
        if len(head) < 8 or int.from_bytes(head[:2], "little") != _META_GROUP:
            return at
        if head[4:6] in _LONG_FORMS:
            at += 12 + int.from_bytes(head[8:12], "little")
        else:
            at += 8 + int.from_bytes(head[6:8], "little")


class _Inflated(io.RawIOBase):
    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        self._rewind()

    def _rewind(self) -> None:
        self._position = 0
        self._read_to = self._start
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._piece(min(len(view), _LARGEST - self._position))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            target = self._skip(_LARGEST) + offset
        else:
            target = offset + (self._position if whence == io.SEEK_CUR else 0)
        if target < self._position:
            self._rewind()
        return self._skip(target)

    def _skip(self, target: int) -> int:
        while self._position < target and self._piece(min(_PIECE, target - self._position)):
            pass
        return self._position

    def _piece(self, most: int) -> bytes:
        """At most ``most`` bytes; none at the end."""
        # zlib takes 0 for no limit.
        while most > 0 and not self._inflate.eof:
            waiting = self._inflate.unconsumed_tail
            if not waiting:
                self._file.seek(self._read_to)
                waiting = self._file.read(_PIECE)
                self._read_to += len(waiting)
            try:
                data = self._inflate.decompress(waiting, most)
            except zlib.error:
                break
            self._position += len(data)
            if data or not waiting:
                return data
        return b""
