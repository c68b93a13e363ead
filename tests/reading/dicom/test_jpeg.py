"""JPEG Lossless, JPEG-LS and JPEG of 12 bits, whose streams may be damaged or cut off."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
import pydicom
import pytest
from imagecodecs import jpeg8_encode
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEGLossless, JPEGLosslessSV1

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.problems import DicomProblem
from tests.problems import refused

Call = Callable[..., Any]

END_OF_IMAGE = b"\xff\xd9"


@pytest.fixture
def lossless(shared_data: Path, tmp_path: Path) -> Path:
    """Two JPEG Lossless images, made into two ordinary slices 2 mm apart."""
    for k, name in enumerate(("jpg1.dcm", "jpg2.dcm")):
        data = pydicom.dcmread(shared_data / "dicom/mr_mosaic_jpeg_lossless" / name)
        data.ImageType = ["ORIGINAL", "PRIMARY"]
        data.PixelSpacing = [1, 1]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [0, 0, 2 * k]
        data.InstanceNumber = k + 1
        for tag in [element.tag for element in data if element.tag.is_private]:
            del data[tag]
        (tmp_path / "study").mkdir(exist_ok=True)
        data.save_as(tmp_path / "study" / name)
    return tmp_path / "study"


def with_stream(path: Path, change: Callable[[bytes], bytes]) -> None:
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate(
        [change(next(generate_frames(data.PixelData, number_of_frames=1)))]
    )
    data.save_as(path)


def cut(stream: bytes) -> bytes:
    return stream[: len(stream) * 9 // 10]


def without_tables(stream: bytes) -> bytes:
    return stream.replace(b"\xff\xc4", b"\xff\xfe")


DAMAGE = [
    cut,
    lambda stream: cut(stream) + END_OF_IMAGE,
    lambda stream: cut(stream) + bytes(500),
    without_tables,
]


def test_values_are_those_of_the_stream(lossless: Path) -> None:
    seen: list[tuple[int, int]] = []
    (series,) = list_series(lossless)
    volume = read_volume(series, progress=lambda done, total: seen.append((done, total)))
    assert volume.array.dtype == np.int16
    assert seen == [(1, 2), (2, 2)]
    for name, slice_of_volume in (("jpg1.dcm", 1), ("jpg2.dcm", 0)):
        expected = pydicom.dcmread(lossless / name).pixel_array
        np.testing.assert_array_equal(volume.array[slice_of_volume], expected)


def test_large_values_are_read_again_as_float32(lossless: Path) -> None:
    for path in lossless.iterdir():
        data = pydicom.dcmread(path)
        data.RescaleIntercept, data.RescaleSlope = 32000, 1
        data.save_as(path)
    array = read_volume(lossless).array
    assert array.dtype == np.float32
    assert array.max() > 32767


def test_mixed_with_uncompressed_slices(lossless: Path) -> None:
    expected = read_volume(lossless).array
    data = pydicom.dcmread(lossless / "jpg2.dcm")
    data.decompress()
    data.save_as(lossless / "jpg2.dcm")
    np.testing.assert_array_equal(read_volume(lossless).array, expected)


@pytest.mark.parametrize("change", DAMAGE)
@pytest.mark.parametrize("name", ["jpg1.dcm", "jpg2.dcm"])
def test_damaged_stream_is_one_sentence(
    lossless: Path, name: str, change: Callable[[bytes], bytes]
) -> None:
    with_stream(lossless / name, change)
    volume = read_volume(lossless)
    assert f"{name}: image data incomplete or damaged; skipped." in volume.report.notes
    assert len(volume.report.missing) == 1


@pytest.mark.parametrize("change", DAMAGE)
def test_damaged_stream_of_12_bits_is_one_sentence(
    pydicom_file: Call, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    shutil.copy(pydicom_file("JPGExtended.dcm"), tmp_path / "a.dcm")
    with_stream(tmp_path / "a.dcm", change)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda stream: stream[: stream.rfind(END_OF_IMAGE)],
        lambda stream: stream + bytes(64),
        lambda stream: stream + b"remarks of a writer" * 20,
    ],
    ids=["no end", "padded", "followed"],
)
def test_whole_stream_with_an_odd_end_is_read(
    lossless: Path, change: Callable[[bytes], bytes]
) -> None:
    expected = read_volume(lossless).array
    for path in lossless.iterdir():
        with_stream(path, change)
    np.testing.assert_array_equal(read_volume(lossless).array, expected)


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_predictor_and_precision(
    save_frames: Call, frames_of: Call, read: Call, predictor: int, bits: int
) -> None:
    dtype = "<u2" if bits > 8 else "u1"
    truth = np.random.default_rng(bits).integers(0, 2**bits, (1, 37, 41)).astype(dtype)
    stream = jpeg8_encode(truth[0], lossless=True, predictor=predictor, bitspersample=bits)
    path = save_frames(truth, BitsStored=bits, HighBit=bits - 1)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEGLossless if predictor > 1 else JPEGLosslessSV1
    data.PixelData = encapsulate([stream])
    data.save_as(path)
    np.testing.assert_array_equal(read(*frames_of(path)), truth)


@pytest.mark.parametrize("bits", [12, 16])
def test_lossless_numbers_with_a_sign(
    save_frames: Call, frames_of: Call, read: Call, bits: int
) -> None:
    low = -(2 ** (bits - 1))
    truth = np.random.default_rng(bits).integers(low, -low, (1, 37, 41)).astype("<i2")
    stream = jpeg8_encode(
        truth[0].view("<u2") & (2**bits - 1), lossless=True, predictor=1, bitspersample=bits
    )
    path = save_frames(truth, BitsStored=bits, HighBit=bits - 1)
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    data.PixelData = encapsulate([stream])
    data.save_as(path)
    np.testing.assert_array_equal(read(*frames_of(path)), truth)


def test_size_other_than_the_streams_is_one_sentence(lossless: Path) -> None:
    (series,) = list_series(lossless)
    assert series.stack is not None
    wrong = tuple(replace(frame, rows=frame.rows + 2) for frame in series.frames)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_volume(replace(series, stack=replace(series.stack, frames=wrong)))


def test_stop_ends_the_reading(lossless: Path) -> None:
    (series,) = list_series(lossless)
    with pytest.raises(Cancelled):
        read_volume(series, stop=lambda: True)


def test_files_that_vanish_are_one_sentence(lossless: Path) -> None:
    (series,) = list_series(lossless)
    shutil.rmtree(lossless)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_volume(series)


def test_frames_beside_a_damaged_one_are_read(lossless: Path, frames_of: Call) -> None:
    (broken,) = frames_of(lossless / "jpg1.dcm")
    (whole,) = frames_of(lossless / "jpg2.dcm")
    with_stream(lossless / "jpg1.dcm", cut)
    expected = pydicom.dcmread(lossless / "jpg2.dcm").pixel_array
    seen: list[tuple[int, int]] = []
    values, damaged = read_stack(
        Stack((whole, broken, replace(whole, index=0)), np.eye(4)),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert damaged == (1,)
    for k in (0, 2):
        np.testing.assert_array_equal(values[:, :, k].T, expected)


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_extended_of_12_bits(
    pydicom_file: Call, frames_of: Call, read: Call, name: str
) -> None:
    path = pydicom_file(name)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    samples = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    expected = np.frombuffer(samples, "<u2").reshape(1, 1024, 256)
    assert expected.max() > 255
    array = read(*frames_of(path))
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, expected)


def test_jpeg_extended_of_12_bits_with_a_sign(
    pydicom_file: Call, frames_of: Call, read: Call
) -> None:
    """Where the header says that bit 8 is a sign, 264 means 264 − 512."""
    (frame,) = frames_of(pydicom_file("JPGExtended.dcm"))
    unsigned = read(frame).astype(int)
    assert unsigned.max() == 264
    image = replace(frame.image, signed=True, bits_stored=9, high_bit=8)
    signed = read(replace(frame, image=image))
    np.testing.assert_array_equal(signed, np.where(unsigned >= 256, unsigned - 512, unsigned))


def test_colours_are_not_converted(pydicom_file: Call, frames_of: Call, read: Call) -> None:
    path = pydicom_file("SC_rgb_jpeg_gdcm.dcm")
    (frame,) = frames_of(path)
    array = read(frame, frame)
    expected = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(array[0], expected)
    np.testing.assert_array_equal(array[1], expected)


def test_size_that_the_stream_claims_is_checked_before_it_is_decoded(
    lossless: Path, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pydicom.dcmread(lossless / "jpg1.dcm")
    data.Rows *= 100
    data.save_as(lossless / "jpg1.dcm")
    monkeypatch.setattr("imagecodecs.jpeg8_decode", pytest.fail)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(Stack(frames_of(lossless / "jpg1.dcm"), np.eye(4)))


def test_tiles_of_a_mosaic(lossless: Path, frames_of: Call, read: Call) -> None:
    expected = pydicom.dcmread(lossless / "jpg1.dcm").pixel_array
    rows, columns = expected.shape[0] // 6, expected.shape[1] // 6
    (frame,) = frames_of(lossless / "jpg1.dcm", rows=rows, columns=columns)
    places = [(rows * (k // 6), columns * (k % 6)) for k in range(35)]
    array = read(*(replace(frame, tile=place) for place in places))
    for tile, (row, column) in zip(array, places, strict=True):
        np.testing.assert_array_equal(tile, expected[row : row + rows, column : column + columns])
