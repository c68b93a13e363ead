"""What a compressed stream says of its own size, read before anything is decoded.

A decoder allocates what its stream claims. So the stream must claim what the header does, and the
header's claim must be possible for as few bytes as there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
    RLETransferSyntaxes,
)

#: Frames of JPEG and JPEG-LS: start of frame 0 to 15 and 55, without the three in between that
#: are tables.
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
START_OF_SCAN = 0xDA
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC_AND_SIZ = b"\xff\x4f\xff\x51"
#: A run of RLE stands for at most 128 bytes and takes two.
_RLE_RATIO = 64
_RLE_HEADER = 64
#: Less than this (bytes) may be compressed to almost nothing, as an empty slice is; a frame beyond
#: it to no less than a part in 2 ** 16.
_ALWAYS_ALLOWED = 2**26
_MOST_RATIO = 2**16


@dataclass(frozen=True)
class StreamSize:
    """Rows, columns, samples of a pixel, and bits of a sample."""

    rows: int
    columns: int
    samples: int
    precision: int


#: Frame headers whose process is the compression: sequential and progressive, extended.
_BY_START_OF_FRAME = {0xC0: JPEGBaseline8Bit, 0xC1: JPEGExtended12Bit, 0xC2: JPEGBaseline8Bit}
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_FAMILIES = (
    (JPEGBaseline8Bit, JPEGExtended12Bit),
    (JPEGLossless, JPEGLosslessSV1),
    JPEGLSTransferSyntaxes,
    JPEG2000TransferSyntaxes,
    RLETransferSyntaxes,
)
#: The segment that high-throughput JPEG 2000 has behind its size.
_CAPABILITIES = b"\xff\x50"


class DamagedStreamError(Exception):
    """A compressed stream that is not the image that the header describes."""


def syntax_of(data: bytes) -> UID | None:
    """The transfer syntax of a compressed stream by its first bytes; None where they show none."""
    try:
        if data.startswith((_SOC_AND_SIZ, _JP2_SIGNATURE)):
            at = _start_of_jpeg2000(data)
            after_size = at + 4 + int.from_bytes(data[at + 4 : at + 6], "big")
            return HTJ2K if data[after_size : after_size + 2] == _CAPABILITIES else JPEG2000
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg_syntax(data)
    except DamagedStreamError:
        return None
    if len(data) <= _RLE_HEADER:
        return None
    count, *starts = unpack_from("<16I", data)
    used, unused = starts[:count], starts[count:]
    is_rle = 0 < count <= len(starts) and starts[0] == _RLE_HEADER and not any(unused)
    return RLELossless if is_rle and used == sorted(set(used)) else None


def are_alike(one: UID, other: UID) -> bool:
    """Whether two transfer syntaxes are of one compression, so that its decoder reads both."""
    return any(one in family and other in family for family in _FAMILIES)


def _jpeg_syntax(data: bytes) -> UID | None:
    kind, frame = 0, b""
    for mark, segment in segments(data):
        if mark in _START_OF_FRAME:
            kind, frame = mark, segment
        if mark == START_OF_SCAN and frame:
            # Behind the components stands the predictor, or how far values may be off.
            first = 1 + 2 * segment[0]
            number = segment[first] if len(segment) > first else 0
            if kind == _LOSSLESS:
                return JPEGLosslessSV1 if number == 1 else JPEGLossless
            if kind == _JPEG_LS:
                return JPEGLSNearLossless if number else JPEGLSLossless
            return _BY_START_OF_FRAME.get(kind)
    return None


def check_stream(data: bytes, syntax: UID, header: StreamSize) -> StreamSize:
    """The size that a stream claims, which its header claims too, and its bytes can hold.

    ``header.precision`` is the bits allocated for a sample; a stream may use fewer.

    Raises
    ------
    DamagedStreamError
        Before anything of the claimed size is allocated.
    """
    size = header.rows * header.columns * header.samples * max(header.precision // 8, 1)
    if size > max(_ALWAYS_ALLOWED, _MOST_RATIO * len(data)):
        raise DamagedStreamError(f"{len(data)} bytes cannot hold a frame of {size}")
    if syntax in RLETransferSyntaxes:
        _check_rle(data, header, size)
        return header
    if syntax in JPEG2000TransferSyntaxes:
        stated = _jpeg2000(data)
    elif syntax in JPEGTransferSyntaxes or syntax in JPEGLSTransferSyntaxes:
        stated = _jpeg(data)
    else:
        raise DamagedStreamError("a compression whose size is not known how to read")
    same = (stated.rows, stated.columns, stated.samples)
    if same != (header.rows, header.columns, header.samples):
        raise DamagedStreamError(f"the stream holds {stated}, its header says {header}")
    if not 0 < stated.precision <= header.precision:
        raise DamagedStreamError(f"{stated.precision} bits do not fit {header.precision}")
    return stated


def _check_rle(data: bytes, header: StreamSize, size: int) -> None:
    """Segments: one for each byte of a pixel, in rising order, inside the data (PS3.5, G.5)."""
    if len(data) < _RLE_HEADER:
        raise DamagedStreamError("no RLE header")
    count, *starts = unpack_from("<16I", data)
    if count != header.samples * max(header.precision // 8, 1):
        raise DamagedStreamError("an RLE header of another kind of pixel")
    if not 0 < count <= len(starts):
        raise DamagedStreamError("more segments than RLE has")
    used = starts[:count]
    if used != sorted(used) or used[0] < _RLE_HEADER or used[-1] >= len(data):
        raise DamagedStreamError("RLE segments that lie outside the data")
    if size > _RLE_RATIO * len(data):
        raise DamagedStreamError("too few RLE data for the frame")


def _jpeg(data: bytes) -> StreamSize:
    """Of JPEG (ITU T.81, B.2.2) and JPEG-LS (T.87, C.2.2): the frame header after its segments."""
    for mark, segment in segments(data):
        if mark == START_OF_SCAN:
            break
        if mark in _START_OF_FRAME:
            if len(segment) < 6:
                break
            precision, rows, columns, samples = unpack_from(">BHHB", segment)
            return StreamSize(rows, columns, samples, precision)
    raise DamagedStreamError("a JPEG stream without its size")


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The mark and the content of each segment up to the first scan, itself among them.

    Of JPEG (ITU T.81, B.1.1) and JPEG-LS; DamagedStreamError where another thing stands.
    """
    if data[:2] != b"\xff\xd8":
        raise DamagedStreamError("no start of a JPEG stream")
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise DamagedStreamError("a JPEG segment without its mark")
        mark = data[at + 1]
        if mark == 0xFF:  # a fill byte
            at += 1
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        yield mark, data[at + 4 : end]
        if mark == START_OF_SCAN:
            return
        at = end


def _jpeg2000(data: bytes) -> StreamSize:
    """Of JPEG 2000 (ITU T.800, A.5.1): the SIZ segment, also inside the boxes of a JP2 file."""
    at = _start_of_jpeg2000(data)
    if data[at : at + 4] != _SOC_AND_SIZ or len(data) < at + 45:
        raise DamagedStreamError("no start of a JPEG 2000 stream")
    right, bottom, left, top, tile_width, tile_height = unpack_from(">6I", data, at + 8)
    if not tile_width or not tile_height:
        raise DamagedStreamError("JPEG 2000 tiles without a size")
    # Components after the first may be stored smaller, as colours are; never the first.
    samples, depth, step_x, step_y = unpack_from(">HBBB", data, at + 40)
    if (step_x, step_y) != (1, 1):
        raise DamagedStreamError("a JPEG 2000 component smaller than its image")
    return StreamSize(bottom - top, right - left, samples, (depth & 0x7F) + 1)


def _start_of_jpeg2000(data: bytes) -> int:
    """Of the stream, which may lie in the boxes of a JP2 file."""
    if not data.startswith(_JP2_SIGNATURE):
        return 0
    at = len(_JP2_SIGNATURE) + 4
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"jp2c":
            return at + (16 if length == 1 else 8)
        if length < 8:
            break
        at += length
    raise DamagedStreamError("JP2 boxes without a stream")
