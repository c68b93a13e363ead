"""JPEG Lossless is decoded in a process of its own, which may die of a damaged stream."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.header.stored_frames import frame_pieces
from napari_ifa.reading.dicom.pixels.gdcm import decode_with_gdcm
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Stack

Call = Callable[..., Any]

#: Of the JFIF head, the version: with any other than 1 gdcm ends its process.
JFIF_VERSION = 11


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


def damage(path: Path) -> None:
    data = pydicom.dcmread(path)
    stream = bytearray(next(generate_frames(data.PixelData, number_of_frames=1)))
    stream[JFIF_VERSION] = 255
    data.PixelData = encapsulate([bytes(stream)])
    data.save_as(path)


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


@pytest.mark.parametrize("name", ["jpg1.dcm", "jpg2.dcm"])
def test_stream_that_kills_the_decoder_is_one_sentence(lossless: Path, name: str) -> None:
    damage(lossless / name)
    volume = read_volume(lossless)
    assert f"{name}: image data incomplete or damaged; skipped." in volume.report.notes
    assert len(volume.report.missing) >= 1


def test_size_other_than_the_streams_is_one_sentence(lossless: Path) -> None:
    (series,) = list_series(lossless)
    wrong = tuple(replace(frame, rows=frame.rows + 2) for frame in series.frames)
    with pytest.raises(UnsupportedStudyError, match="incomplete or damaged"):
        read_volume(replace(series, frames=wrong))


def test_stop_ends_the_process(lossless: Path) -> None:
    (series,) = list_series(lossless)
    with pytest.raises(Cancelled):
        read_volume(series, stop=lambda: True)


def test_files_that_vanish_are_one_sentence(lossless: Path) -> None:
    (series,) = list_series(lossless)
    shutil.rmtree(lossless)
    with pytest.raises(UnsupportedStudyError, match="incomplete or damaged"):
        read_volume(series)


def test_frames_beside_one_that_kills_the_decoder_are_read(lossless: Path, frames_of: Call) -> None:
    (broken,) = frames_of(lossless / "jpg1.dcm")
    (whole,) = frames_of(lossless / "jpg2.dcm")
    shutil.copy(lossless / "jpg2.dcm", lossless / "jpg3.dcm")
    (copy,) = frames_of(lossless / "jpg3.dcm")
    damage(lossless / "jpg1.dcm")
    expected = pydicom.dcmread(lossless / "jpg2.dcm").pixel_array
    seen: list[tuple[int, int]] = []
    values, damaged, _ = read_stack(
        Stack((whole, broken, copy), np.eye(4)),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert damaged == (1,)
    assert seen == [(1, 3), (2, 3), (3, 3)]
    for k in (0, 2):
        np.testing.assert_array_equal(values[:, :, k].T, expected)


def test_series_of_streams_that_kill_the_decoder_comes_to_an_end(
    lossless: Path, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (frame,) = frames_of(lossless / "jpg1.dcm")
    damage(lossless / "jpg1.dcm")
    from napari_ifa.reading.dicom.pixels import gdcm

    started: list[Any] = []
    real = gdcm.subprocess.Popen

    def counting(*args: Any, **options: Any) -> Any:
        started.append(args)
        return real(*args, **options)

    monkeypatch.setattr(gdcm.subprocess, "Popen", counting)
    job = (frame.image, frame_pieces(frame.image)[0])
    assert list(decode_with_gdcm(3 * [job])) == 3 * [None]
    assert len(started) == 3
    started.clear()
    monkeypatch.setattr(gdcm, "_MOST_PROCESSES", 1)
    assert list(decode_with_gdcm(3 * [job])) == 3 * [None]
    assert len(started) == 1


@pytest.mark.parametrize("name", ["JPGExtended.dcm", "JPEG-lossy.dcm"])
def test_jpeg_extended_of_12_bits(
    pydicom_file: Call, frames_of: Call, read: Call, name: str
) -> None:
    """pydicom does not decode these; gdcm's own reader of files does."""
    import gdcm

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


def test_jpeg_extended_of_12_bits_is_not_refused(
    pydicom_file: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_ifa.reading.dicom.series.refusals import _codec_reason

    (frame,) = frames_of(pydicom_file("JPGExtended.dcm"))
    assert _codec_reason(frame) is None
    decoder = pydicom.pixels.get_decoder(frame.image.transfer_syntax)
    available = {name: found for name, found in decoder._available.items() if name != "gdcm"}
    assert available
    monkeypatch.setattr(decoder, "_available", available)
    assert _codec_reason(frame) == (
        "compression JPEG Extended (Process 2 and 4) needs package python-gdcm."
    )


def test_colours_in_a_process_of_their_own(pydicom_file: Call, frames_of: Call, read: Call) -> None:
    path = pydicom_file("SC_rgb_jpeg_gdcm.dcm")
    (frame,) = frames_of(path)
    array = read(frame, frame)
    expected = pydicom.dcmread(path).pixel_array
    np.testing.assert_array_equal(array[0], expected)
    np.testing.assert_array_equal(array[1], expected)


def test_size_that_the_stream_claims_is_checked_before_the_process(
    lossless: Path, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pydicom.dcmread(lossless / "jpg1.dcm")
    data.Rows *= 100
    data.save_as(lossless / "jpg1.dcm")
    monkeypatch.setattr("napari_ifa.reading.dicom.pixels.gdcm.subprocess.Popen", None)
    with pytest.raises(UnsupportedStudyError, match="incomplete or damaged"):
        read_stack(Stack(frames_of(lossless / "jpg1.dcm"), np.eye(4)))


def test_tiles_of_a_mosaic(lossless: Path, frames_of: Call, read: Call) -> None:
    expected = pydicom.dcmread(lossless / "jpg1.dcm").pixel_array
    rows, columns = expected.shape[0] // 6, expected.shape[1] // 6
    (frame,) = frames_of(lossless / "jpg1.dcm", rows=rows, columns=columns)
    places = [(rows * (k // 6), columns * (k % 6)) for k in range(35)]
    array = read(*(replace(frame, tile=place) for place in places))
    for tile, (row, column) in zip(array, places, strict=True):
        np.testing.assert_array_equal(tile, expected[row : row + rows, column : column + columns])
