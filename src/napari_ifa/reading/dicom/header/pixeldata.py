"""Where the pixel data stand in a file, and how much of them is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Literal

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from napari_ifa.reading.dicom.header.codestream import syntax_of
from napari_ifa.reading.dicom.header.deflated import (
    LONGEST_HEADER,
    PIXEL_DATA,
    inflated,
    read_elements,
)

#: GE's "implicit VR big endian": every element of the data set is little-endian, but the pixels are
#: not (gdcm knows it as ImplicitVRBigEndianPrivateGE).
GE_BIG_ENDIAN_PIXELS = UID("1.2.840.113619.5.2")
_LONG_FORMS = (b"OW", b"OB", b"UN", b"OF", b"OD")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD
#: More fragments than any image has: a file of nothing else is not walked to its end.
MOST_FRAGMENTS = 2**20
#: Of a compressed stream, what shows its kind.
_STREAM_HEAD = 2**16


@dataclass(frozen=True, slots=True)
class PixelData:
    """Value of the pixel data element.

    Attributes
    ----------
    offset : the first byte of the value, in the file or, where ``deflated``, in what it inflates
        to; None where there are no pixel data.
    length : bytes of it that are there.
    encapsulated : the value is a sequence of fragments, of compressed frames.
    complete : all that the element states, and the end of the fragments, are there.
    is_float : stored as 32 or 64 bit floating point numbers, in an element of their own.
    deflated : the whole data set is compressed.
    words : bytes of a big-endian file that stand in words of two bytes, so that pairs are swapped.
    fragments : (offset, length) of each whole fragment after the offset table.
    frame_offsets : the basic offset table: where the first fragment of each frame begins, in bytes
        after the table; empty where there is none.
    """

    offset: int | None
    length: int
    encapsulated: bool
    little_endian: bool
    complete: bool
    is_float: bool = False
    deflated: bool = False
    words: bool = False
    fragments: tuple[tuple[int, int], ...] = ()
    frame_offsets: tuple[int, ...] = ()


def locate_pixels(file: BinaryIO, dataset: Any, transfer_syntax: UID) -> PixelData:
    """Look at the element at which the header scan of ``file`` stopped."""
    little = dataset.original_encoding[1] is not False
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        return _locate_inflated(file)
    pixels = _locate(file, little, deflated=False)
    if transfer_syntax == GE_BIG_ENDIAN_PIXELS and not pixels.encapsulated:
        return replace(pixels, little_endian=False)
    return pixels


def streams_in(file: BinaryIO, pixels: PixelData) -> PixelData | None:
    """The compressed frames in an element of stated length, which holds plain pixels by the rules;
    None where it holds none. Some writers leave out even the heads of the fragments."""
    if pixels.offset is None or pixels.encapsulated or pixels.deflated:
        return None
    found = _fragments(file, pixels.offset, pixels.offset + pixels.length, deflated=False)
    if found.fragments and (found.complete or found.length == pixels.length):
        return replace(found, complete=pixels.complete)
    file.seek(pixels.offset)
    if syntax_of(file.read(min(pixels.length, _STREAM_HEAD))) is None:
        return None
    whole = ((pixels.offset, pixels.length),)
    return replace(pixels, encapsulated=True, little_endian=True, words=False, fragments=whole)


def _locate_inflated(file: BinaryIO) -> PixelData:
    header = inflated(file, LONGEST_HEADER)
    read_elements(header)
    stream = inflated(file)
    stream.seek(header.tell())
    return _locate(stream, True, deflated=True)


def _locate(file: BinaryIO, little: bool, deflated: bool) -> PixelData:
    start = file.read(12)
    order: Literal["little", "big"] = "little" if little else "big"
    tag = int.from_bytes(start[0:2], order) << 16 | int.from_bytes(start[2:4], order)
    if tag not in PIXEL_DATA or len(start) < 12:
        return PixelData(None, 0, False, little, False, deflated=deflated)
    # The file meta may lie about implicit or explicit; "OW" and "OB" are odd as lengths, and the
    # length of pixel data is even.
    form = start[4:6]
    if form in _LONG_FORMS:
        length = int.from_bytes(start[8:12], order)
    else:
        file.seek(-4, 1)
        length = int.from_bytes(start[4:8], order)
    offset = file.tell()
    end = _end(file, offset, length)
    if length == _UNDEFINED_LENGTH:
        return _fragments(file, offset, end, deflated)
    return PixelData(
        offset,
        min(length, end - offset),
        False,
        little,
        offset + length <= end,
        is_float=tag != PIXEL_DATA[0],
        deflated=deflated,
        words=not little and form == b"OW",
    )


def _end(file: BinaryIO, offset: int, length: int) -> int:
    """Where the file ends, or a place behind the value: what is behind it costs to be inflated."""
    if length not in (0, _UNDEFINED_LENGTH):
        file.seek(offset + length - 1)
        if file.read(1):
            return offset + length
    return file.seek(0, 2)


def _fragments(file: BinaryIO, offset: int, end: int, deflated: bool) -> PixelData:
    """Walk the items of encapsulated pixel data; not complete where the file ends before them."""
    items: list[tuple[int, int]] = []
    at = offset
    complete = False
    while at + 8 <= end and len(items) <= MOST_FRAGMENTS:
        file.seek(at)
        head = file.read(8)
        tag = int.from_bytes(head[0:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:8], "little")
        if tag == _SEQUENCE_END:
            complete = True
            at += 8
            break
        if tag != _ITEM or at + 8 + length > end:
            break
        items.append((at + 8, length))
        at += 8 + length
    table: tuple[int, ...] = ()
    if items and items[0][1] <= 4 * MOST_FRAGMENTS:
        file.seek(items[0][0])
        raw = file.read(items[0][1])
        table = tuple(int.from_bytes(raw[k : k + 4], "little") for k in range(0, len(raw) - 3, 4))
    return PixelData(
        offset,
        at - offset,
        True,
        True,
        complete,
        deflated=deflated,
        fragments=tuple(items[1:]),
        frame_offsets=table,
    )
