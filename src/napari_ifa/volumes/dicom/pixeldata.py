"""Where the pixel data stand in a file, and whether all of them are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

_PIXEL_DATA = 0x7FE00010
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD


@dataclass(frozen=True, slots=True)
class PixelData:
    """Value of the pixel data element.

    ``offset`` is the first byte of the value in the file, None in a deflated file; ``length`` is
    in bytes. ``complete`` is False where the file ends early or has no integer pixel data.
    """

    offset: int | None
    length: int
    encapsulated: bool
    little_endian: bool
    complete: bool
    #: Stored as 32 or 64 bit floating point numbers, in an element of their own.
    is_float: bool = False


def locate_pixels(file: BinaryIO, dataset: Any, transfer_syntax: UID) -> PixelData:
    """Look at the element at which the header scan of ``file`` stopped."""
    little = dataset.original_encoding[1] is not False
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        return PixelData(None, 0, False, True, True)
    start = file.read(12)
    order: Literal["little", "big"] = "little" if little else "big"
    tag = int.from_bytes(start[0:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag != _PIXEL_DATA or len(start) < 12:
        return PixelData(None, 0, False, little, False)
    # The file meta may lie about implicit or explicit; "OW" and "OB" are odd as lengths, and the
    # length of pixel data is even.
    if start[4:6] in (b"OW", b"OB", b"UN"):
        length = int.from_bytes(start[8:12], order)
    else:
        file.seek(-4, 1)
        length = int.from_bytes(start[4:8], order)
    offset = file.tell()
    end = file.seek(0, 2)
    if length != _UNDEFINED_LENGTH:
        return PixelData(offset, length, False, little, offset + length <= end)
    stop = _end_of_fragments(file, offset, end)
    return PixelData(offset, (stop or end) - offset, True, little, stop is not None)


def _end_of_fragments(file: BinaryIO, offset: int, end: int) -> int | None:
    """Walk the items of encapsulated pixel data; None where the file ends before they do."""
    while offset + 8 <= end:
        file.seek(offset)
        head = file.read(8)
        tag = int.from_bytes(head[0:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        if tag == _SEQUENCE_END:
            return offset + 8
        if tag != _ITEM:
            return None
        offset += 8 + int.from_bytes(head[4:8], "little")
    return None
