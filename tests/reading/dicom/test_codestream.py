"""A compressed stream must be of the size that the header says, before anything is decoded."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from napari_ifa.reading.dicom.header.codestream import DamagedStreamError, StreamSize, check_stream

Find = Callable[[str], object]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("MR_small_jp2klossless.dcm", StreamSize(64, 64, 1, 16)),
        ("examples_jpeg2k.dcm", StreamSize(480, 640, 3, 8)),
        ("JPGExtended.dcm", StreamSize(1024, 256, 1, 16)),
        ("SC_rgb_jpeg_gdcm.dcm", StreamSize(100, 100, 3, 8)),
        ("SC_rgb_dcmtk_+eb+cr.dcm", StreamSize(100, 100, 3, 8)),
        ("JPEGLSNearLossless_16.dcm", StreamSize(50, 10, 1, 16)),
        ("SC_rgb_jls_lossy_line.dcm", StreamSize(100, 100, 3, 8)),
        ("MR_small_RLE.dcm", StreamSize(64, 64, 1, 16)),
        ("SC_rgb_rle_16bit.dcm", StreamSize(100, 100, 3, 16)),
    ],
)
def test_size_of_each_kind_of_stream(pydicom_file: Find, name: str, size: StreamSize) -> None:
    data = pydicom.dcmread(pydicom_file(name))
    stream = next(generate_frames(data.PixelData, number_of_frames=1))
    syntax = data.file_meta.TransferSyntaxUID
    check_stream(stream, syntax, size)
    wrong = [replace(size, samples=4 - size.samples)]
    if syntax != RLELossless:
        # RLE does not say how its pixels stand in rows.
        wrong += [replace(size, rows=size.rows + 1), replace(size, columns=size.columns - 1)]
        wrong += [StreamSize(size.columns, size.rows + 1, size.samples, size.precision)]
    for header in wrong:
        with pytest.raises(DamagedStreamError):
            check_stream(stream, syntax, header)


def jpeg(rows: int, columns: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.zeros((rows, columns), np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def test_bits_that_do_not_fit_are_damage(pydicom_file: Find) -> None:
    data = pydicom.dcmread(pydicom_file("JPGExtended.dcm"))
    stream = next(generate_frames(data.PixelData, number_of_frames=1))
    with pytest.raises(DamagedStreamError, match="12 bits do not fit 8"):
        check_stream(stream, JPEGExtended12Bit, StreamSize(1024, 256, 1, 8))


def test_size_in_a_thumbnail_is_not_the_images() -> None:
    """A segment of an application may hold a whole stream of another size."""
    inner = jpeg(8, 8)
    segment = b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner
    outer = jpeg(40, 24)
    stream = outer[:2] + segment + b"\xff\xff" + outer[2:]
    check_stream(stream, JPEGBaseline8Bit, StreamSize(40, 24, 1, 8))
    with pytest.raises(DamagedStreamError):
        check_stream(stream, JPEGBaseline8Bit, StreamSize(8, 8, 1, 8))


def siz(columns: int, rows: int, left: int = 0, top: int = 0, step: int = 1) -> bytes:
    """The beginning of a JPEG 2000 stream (ITU T.800, A.5.1): one component of 16 bits."""
    numbers = (columns, rows, left, top, columns, rows, 0, 0)
    return (
        b"\xff\x4f\xff\x51\x00\x29\x00\x00"
        + b"".join(number.to_bytes(4, "big") for number in numbers)
        + bytes([0, 1, 15, step, step])
    )


@pytest.mark.parametrize("syntax", [JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless])
def test_jpeg_2000_counts_from_its_offset(syntax: UID) -> None:
    check_stream(siz(40, 30, left=8, top=10), syntax, StreamSize(20, 32, 1, 16))
    with pytest.raises(DamagedStreamError):
        check_stream(siz(40, 30, left=8, top=10), syntax, StreamSize(30, 40, 1, 16))


def test_jpeg_2000_inside_the_boxes_of_a_jp2_file() -> None:
    boxes = b"\x00\x00\x00\x0cjP  \r\n\x87\n" + b"\x00\x00\x00\x14ftypjp2 \0\0\0\0jp2 "
    stream = siz(40, 30)
    for head in (b"\0\0\0\0jp2c", b"\0\0\0\1jp2c" + bytes(8)):
        check_stream(boxes + head + stream, JPEG2000, StreamSize(30, 40, 1, 16))
    with pytest.raises(DamagedStreamError):
        check_stream(boxes + b"\0\0\0\0free" + stream, JPEG2000, StreamSize(30, 40, 1, 16))


def test_component_smaller_than_its_image_is_damage() -> None:
    with pytest.raises(DamagedStreamError):
        check_stream(siz(40, 30, step=2), JPEG2000, StreamSize(30, 40, 1, 16))


def test_size_that_so_few_bytes_cannot_hold() -> None:
    huge = StreamSize(30000, 30000, 1, 16)
    with pytest.raises(DamagedStreamError, match="cannot hold a frame of 1800000000"):
        check_stream(siz(30000, 30000), JPEG2000, huge)
    # An empty slice may be compressed to almost nothing.
    check_stream(siz(4096, 4096), JPEG2000, StreamSize(4096, 4096, 1, 16))


def rle(*starts: int, count: int | None = None, length: int = 1000) -> bytes:
    numbers = (len(starts) if count is None else count, *starts)
    head = b"".join(number.to_bytes(4, "little") for number in numbers)
    return head.ljust(64, b"\0").ljust(length, b"\0")


@pytest.mark.parametrize(
    "stream",
    [
        rle(64),
        rle(64, 200, 300),
        rle(200, 64),
        rle(60, 200),
        rle(64, 1000),
        rle(64, 200, length=150),
        rle(64, 200)[:40],
        rle(64, 200, count=2**32 - 1),
        b"",
    ],
    ids=[
        "too few",
        "too many",
        "falling",
        "in the header",
        "beyond the end",
        "too little data",
        "no header",
        "billions",
        "nothing",
    ],
)
def test_header_of_rle(stream: bytes) -> None:
    size = StreamSize(100, 100, 1, 16)
    check_stream(rle(64, 200), RLELossless, size)
    tracemalloc.start()
    with pytest.raises(DamagedStreamError):
        check_stream(stream, RLELossless, size)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "syntax", [JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000], ids=str
)
def test_any_beginning_of_a_stream_is_read_or_damage(syntax: UID) -> None:
    stream = siz(24, 40) if syntax == JPEG2000 else jpeg(40, 24)
    size = StreamSize(40, 24, 1, 16 if syntax == JPEG2000 else 8)
    check_stream(stream, syntax, size)
    for end in range(len(stream)):
        try:
            check_stream(stream[:end], syntax, size)
        except DamagedStreamError:
            continue
        assert end > 40


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.100", "", "1.2.3"])
def test_what_is_no_compression_of_an_image_is_not_decoded(uid: str) -> None:
    with pytest.raises(DamagedStreamError):
        check_stream(jpeg(40, 24), UID(uid), StreamSize(40, 24, 1, 8))
