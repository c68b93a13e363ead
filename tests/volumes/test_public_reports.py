"""Studies that people reported of other programs, made here: see tests/public_reports.md."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

from napari_ifa.volumes import read_volume

Save = Callable[..., Path]
Make = Callable[..., Dataset]

#: Bytes of a JPEG stream before its first segment.
START_OF_IMAGE = 2


def jpeg(pixels: np.ndarray, subsampling: int = 0) -> bytes:
    """As Pillow writes it: colours as brightness and differences, with a JFIF marker."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=100, subsampling=subsampling)
    return stream.getvalue()


def without_marker(stream: bytes) -> bytes:
    """The stream without its first segment, which says that it is JFIF."""
    assert stream[6:10] == b"JFIF"
    length = int.from_bytes(stream[4:6], "big")
    return stream[:START_OF_IMAGE] + stream[4 + length :]


def renumbered(stream: bytes, numbers: bytes) -> bytes:
    """The stream with other numbers for its three components, in frame and scan."""
    data = bytearray(stream)
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    for k, number in enumerate(numbers):
        data[frame + 10 + 3 * k] = number
        data[scan + 5 + 2 * k] = number
    return bytes(data)


def compressed(path: Path, stream: bytes, **elements: Any) -> Path:
    """A file whose pixels are replaced by a stream of baseline JPEG."""
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path)
    return path


def notes(volume: Any) -> str:
    return " ".join(volume.report.notes)


# Eight bits of JPEG in sixteen allocated: fo-dicom 1992


@pytest.mark.parametrize("stored", [8, 12, 16])
def test_eight_bit_jpeg_in_a_larger_cell(save_series: Save, stored: int) -> None:
    pixels = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    stream = jpeg(pixels)
    path = save_series(0, Rows=16, Columns=16, PixelData=bytes(512)) / "slice0.dcm"
    compressed(path, stream, BitsStored=stored, HighBit=stored - 1)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array[0], np.asarray(Image.open(io.BytesIO(stream))))
    assert ("JPEG data hold 8" in notes(volume)) == (stored > 8)


def test_eight_bit_colours_in_a_larger_cell_keep_their_brightness(save_series: Save) -> None:
    pixels = np.full((16, 16, 3), (200, 30, 60), np.uint8)
    path = save_series(0, Rows=16, Columns=16, PixelData=bytes(512)) / "slice0.dcm"
    compressed(
        path,
        jpeg(pixels),
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL_422",
        BitsStored=16,
        HighBit=15,
    )
    array = read_volume(path).array
    assert array.dtype == np.uint8
    np.testing.assert_allclose(array[0, 8, 8], (200, 30, 60), atol=2)


# A header that says RGB where the stream holds differences: Weasis 140, Slicer 7656


def colour_file(save_series: Save, stream: bytes, photometric: str = "RGB") -> Path:
    path = save_series(0, Rows=16, Columns=16, PixelData=bytes(512)) / "slice0.dcm"
    return compressed(
        path,
        stream,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation=photometric,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
    )


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_without_a_marker_is_not_rgb_because_the_header_says_so(
    save_series: Save, subsampling: int
) -> None:
    stream = without_marker(jpeg(np.full((16, 16, 3), (200, 30, 60), np.uint8), subsampling))
    volume = read_volume(colour_file(save_series, stream))
    np.testing.assert_allclose(volume.array[0, 8, 8], (200, 30, 60), atol=2)
    assert "the header says RGB" in notes(volume)


def test_subsampled_components_are_differences_whatever_their_numbers(save_series: Save) -> None:
    stream = without_marker(jpeg(np.full((16, 16, 3), (40, 180, 90), np.uint8), 2))
    volume = read_volume(colour_file(save_series, renumbered(stream, b"\0\1\2")))
    np.testing.assert_allclose(volume.array[0, 8, 8], (40, 180, 90), atol=2)


def test_components_numbered_otherwise_are_what_the_header_says(save_series: Save) -> None:
    # What the stream holds, taken as it is.
    stored = np.asarray(Image.fromarray(np.full((16, 16, 3), (9, 99, 199), np.uint8)))
    differences = np.asarray(Image.fromarray(stored).convert("YCbCr"))
    stream = renumbered(without_marker(jpeg(stored)), b"\0\1\2")
    volume = read_volume(colour_file(save_series, stream))
    np.testing.assert_allclose(volume.array[0, 8, 8], differences[8, 8], atol=2)
    assert "the header says RGB" not in notes(volume)


def test_a_header_that_is_right_is_not_spoken_of(save_series: Save) -> None:
    stream = without_marker(jpeg(np.full((16, 16, 3), (200, 30, 60), np.uint8), 2))
    volume = read_volume(colour_file(save_series, stream, "YBR_FULL_422"))
    np.testing.assert_allclose(volume.array[0, 8, 8], (200, 30, 60), atol=2)
    assert "header says" not in notes(volume)
