"""Pixels that people reported of other programs, made here: see tests/public_reports.md."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from napari_ifa.reading import read_volume

Save = Callable[..., Path]

GE_PRIVATE = "1.2.840.113619.5.2"
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


# Big-endian pixels in a little-endian data set: dicomParser 107


def with_syntax(path: Path, syntax: str, implicit: bool) -> None:
    """Name another transfer syntax in a file's meta; what follows it stays as it is encoded."""
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, data, implicit_vr=implicit, little_endian=True, force_encoding=True)
    path.write_bytes(stream.getvalue())


def test_pixels_of_ges_private_syntax_are_big_endian(save_series: Save) -> None:
    expected = read_volume(save_series(0, 1, 2, folder="plain")).array
    folder = save_series(0, 1, 2)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        data.save_as(path)
        with_syntax(path, GE_PRIVATE, implicit=True)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, expected)
    assert "big-endian" in notes(volume)
    # gdcm knows this syntax.
    reader = gdcm.ImageReader()
    reader.SetFileName(str(folder / "slice2.dcm"))
    assert reader.Read()
    raw = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    np.testing.assert_array_equal(np.frombuffer(raw, "<u2").reshape(2, 3), expected[0])


def test_pixels_of_ges_private_syntax_in_bytes_have_no_order(save_series: Save) -> None:
    pixels = bytes(range(250, 256))
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = save_series(0, PixelData=pixels, **bits) / "slice0.dcm"
    with_syntax(path, GE_PRIVATE, implicit=True)
    assert read_volume(path).array.ravel().tolist() == list(pixels)


@pytest.mark.parametrize(
    ("syntax", "said"),
    [("1.3.46.670589.33.1.4.1", "not known"), (GE_PRIVATE, "GE")],
)
def test_uncompressed_pixels_under_another_syntax_are_spoken_of(
    save_series: Save, syntax: str, said: str
) -> None:
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    path = save_series(0, PixelData=bytes(range(6)), **bits) / "slice0.dcm"
    with_syntax(path, syntax, implicit=False)
    volume = read_volume(path)
    assert volume.array.ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert said in notes(volume)


def test_uncompressed_pixels_under_a_compressed_syntax_are_spoken_of(save_series: Save) -> None:
    path = save_series(0) / "slice0.dcm"
    named = f"{ExplicitVRLittleEndian}\0".encode(), f"{RLELossless}\0".encode()
    path.write_bytes(path.read_bytes().replace(*named))
    volume = read_volume(path)
    assert volume.array.ravel().tolist() == [0, 1, 2, 10, 11, 12]
    assert "says that its pixels are RLE Lossless; they are not compressed" in notes(volume)


@pytest.mark.parametrize("implicit", [True, False])
def test_a_usual_syntax_is_not_spoken_of(save_series: Save, implicit: bool) -> None:
    path = save_series(0) / "slice0.dcm"
    with_syntax(path, "1.2.840.10008.1.2" if implicit else ExplicitVRLittleEndian, implicit)
    assert len(read_volume(path).report.notes) == 1  # that it is a single slice


# Fragments without content: fo-dicom 1586

EMPTY = b""


def fragments(items: list[bytes]) -> bytes:
    """Encapsulated pixel data without an offset table."""
    head = b"\xfe\xff\x00\xe0"
    return b"".join(head + struct.pack("<I", len(data)) + data for data in [b"", *items])


def streams(syntax: str) -> list[bytes]:
    """Three frames of 16 × 16 pixels of one brightness each: 20, 60 and 100."""
    frames = [np.full((16, 16), brightness, np.uint8) for brightness in (20, 60, 100)]
    if syntax == JPEGBaseline8Bit:
        made = [jpeg(frame) for frame in frames]
        return [stream + b"\0" * (len(stream) % 2) for stream in made]
    encoder = get_encoder(RLELossless)
    options: dict[str, Any] = {
        "rows": 16,
        "columns": 16,
        "samples_per_pixel": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
    }
    return [encoder.encode(frame, **options) for frame in frames]


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless], ids=lambda syntax: syntax.name)
@pytest.mark.parametrize("places", [(), (3,), (0,), (1, 2), (0, 0, 3, 5)], ids=str)
def test_fragments_without_content_are_no_frames(
    save_series: Save, syntax: str, places: tuple[int, ...]
) -> None:
    items = streams(syntax)
    for place in places:
        items.insert(place, EMPTY)
    path = save_series(0, Rows=16, Columns=16, PixelData=bytes(512)) / "slice0.dcm"
    data = pydicom.dcmread(path)
    data.NumberOfFrames, data.BitsAllocated, data.BitsStored, data.HighBit = 3, 8, 8, 7
    del data.ImagePositionPatient
    data.PixelData = fragments(items)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path)
    volume = read_volume(path)
    assert volume.report.missing == ()
    assert volume.array[:, 8, 8].tolist() == [20, 60, 100]


# Signed numbers of fewer bits in JPEG-LS: pydicom 2009


@pytest.mark.parametrize("bits", [7, 10, 12, 15, 16])
def test_signs_of_jpeg_ls_survive_its_unsigned_streams(save_series: Save, bits: int) -> None:
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    values = np.linspace(least, most, 64 * 64).round().astype("<i2").reshape(64, 64)
    path = save_series(
        0,
        Rows=64,
        Columns=64,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=1,
        PixelData=values.tobytes(),
    )
    data = pydicom.dcmread(path / "slice0.dcm")
    data.compress(JPEGLSLossless)
    data.save_as(path / "slice0.dcm")
    np.testing.assert_array_equal(read_volume(path).array[0], values)
