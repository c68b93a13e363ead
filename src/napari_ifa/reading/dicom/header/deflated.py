"""The data set of a deflated file as a stream, inflated piece by piece and never as a whole."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from napari_ifa.reading.dicom.header.bounded_file import InPieces

#: Integers, and floating point numbers of two lengths.
PIXEL_DATA = (0x7FE00010, 0x7FE00008, 0x7FE00009)

_PREAMBLE = 128
_META_GROUP = 2
_TRANSFER_SYNTAX = 0x0010
_LONGEST_UID = 64
_LONG_FORMS = (b"OB", b"OW", b"SQ", b"UN", b"UT")
_PIECE = 2**16
#: A data set that inflates to more (bytes) is not read to its end.
_LARGEST = 2**31
#: The header stands within this many bytes.
LONGEST_HEADER = 2**26


def inflated(file: BinaryIO, limit: int = _LARGEST) -> BinaryIO:
    """The data set of a deflated DICOM ``file``, without its file meta: explicit, little endian.

    It ends after ``limit`` bytes. Seeking and finding the end take a fixed amount of memory,
    whatever a small file inflates to, and reading takes what is read; damaged data end the stream.
    ``file`` must stay open.
    """
    # The header is read in small steps forward and back, which the buffer answers.
    return InPieces(_Inflated(file, _meta(file)[0], limit), _PIECE)


def read_deflated_header(file: BinaryIO, specific_tags: Sequence[int]) -> Dataset | None:
    """The header of a deflated file as ``pydicom.dcmread`` reads it, which inflates the whole file
    first; None where the file is not deflated.

    Raises
    ------
    Exception
        Of any kind, where the header is damaged.
    """
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset, read_preamble

    if _meta(file)[1] != DeflatedExplicitVRLittleEndian:
        return None
    file.seek(0)
    read_preamble(file, force=True)
    meta = read_dataset(
        file,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag.group != _META_GROUP,
    )
    dataset = read_elements(inflated(file, LONGEST_HEADER), specific_tags)
    dataset.file_meta = FileMetaDataset(meta)
    return dataset


def read_elements(stream: BinaryIO, specific_tags: Sequence[int] = ()) -> Dataset:
    """Of an inflated data set, up to the pixel data, at which ``stream`` then stands."""
    from pydicom.filereader import read_dataset

    return read_dataset(
        stream,
        is_implicit_VR=False,
        is_little_endian=True,
        stop_when=lambda tag, vr, length: tag in PIXEL_DATA,
        specific_tags=[BaseTag(tag) for tag in specific_tags],
    )


def _meta(file: BinaryIO) -> tuple[int, str]:
    """Where the data set begins, and the transfer syntax that the file meta names."""
    file.seek(_PREAMBLE)
    at = _PREAMBLE + 4 if file.read(4) == b"DICM" else 0
    syntax = b""
    while True:
        file.seek(at)
        head = file.read(12)
        if len(head) < 8 or int.from_bytes(head[:2], "little") != _META_GROUP:
            return at, syntax.decode("ascii", "replace").strip(" \0")
        form = head[4:6]
        if form in _LONG_FORMS:
            at += 12
            length = int.from_bytes(head[8:12], "little")
        else:
            at += 8
            # Some files write their meta without the forms.
            begin = 6 if form.isalpha() else 4
            length = int.from_bytes(head[begin:8], "little")
        if int.from_bytes(head[2:4], "little") == _TRANSFER_SYNTAX:
            file.seek(at)
            syntax = file.read(min(length, _LONGEST_UID))
        at += length


class _Inflated(io.RawIOBase):
    def __init__(self, file: BinaryIO, start: int, limit: int) -> None:
        self._file = file
        self._start = start
        self._limit = limit
        self._rewind()

    def _rewind(self) -> None:
        self._position = 0
        self._read_to = self._start
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: object, /) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._piece(min(len(view), self._limit - self._position))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END:
            target = self._skip(self._limit) + offset
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
