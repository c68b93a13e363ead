"""A gzip stream, known by its first two bytes, with or without other bytes behind it."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import BinaryIO, cast

GZIP_MARK = b"\x1f\x8b"
#: zlib's word for a stream with the head and the checksum of gzip.
_GZIP_WINDOW = 31
_PIECE = 2**16


def is_gzipped(path: Path) -> bool:
    """Whether the file is compressed with gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MARK


def open_unpacked(path: Path) -> BinaryIO:
    """The content of a file, unpacked where it is compressed."""
    if is_gzipped(path):
        return cast(BinaryIO, GzipFile(path))
    return path.open("rb")


class GzipFile(io.BufferedReader):
    """The members of a gzip file as one stream, as :class:`gzip.GzipFile` reads them.

    That one refuses bytes behind the last member. Here they end the stream, and ``has_trailing``
    says that there are some. Reading takes what is read and a fixed amount of memory.

    Reading raises EOFError where the file ends before a member does, and zlib.error where a member
    is damaged.
    """

    def __init__(self, path: Path) -> None:
        self._members = _Members(path)
        super().__init__(self._members, _PIECE)

    @property
    def has_trailing(self) -> bool:
        """Whether bytes that are none of gzip's were met; known when the end has been read."""
        return self._members.has_trailing


class _Members(io.RawIOBase):
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.has_trailing = False
        self._begin()

    def _begin(self) -> None:
        self._file.seek(0)
        self._packed = b""
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        self._place = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Forward by reading, back from the start."""
        if whence == io.SEEK_END:
            raise io.UnsupportedOperation("the end of a compressed file is not known")
        target = offset + (self._place if whence == io.SEEK_CUR else 0)
        if target < self._place:
            self._begin()
        while self._place < target and self.read(min(target - self._place, _PIECE)):
            pass
        return self._place

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        view = memoryview(buffer).cast("B")
        content = self._next(len(view)) if len(view) else b""
        view[: len(content)] = content
        self._place += len(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _next(self, most: int) -> bytes:
        while not self._ended:
            if self._member.eof and not self._another():
                break
            packed = self._packed or self._file.read(_PIECE) or b""
            if not packed:
                raise EOFError("the compressed file ends before its content does")
            content = self._member.decompress(packed, most)
            self._packed = self._member.unconsumed_tail
            if content:
                return content
        return b""

    def _another(self) -> bool:
        """Go on to the next member; False where there is none. Zeros between two are padding."""
        behind = self._member.unused_data.lstrip(b"\0")
        while len(behind) < len(GZIP_MARK) and (more := self._file.read(_PIECE)):
            behind = (behind + more).lstrip(b"\0")
        if not behind.startswith(GZIP_MARK):
            self._ended = True
            self.has_trailing = bool(behind)
            return False
        self._packed = behind
        self._member = zlib.decompressobj(_GZIP_WINDOW)
        return True
