"""JPEG Lossless is decoded in a process of its own, which may die of a damaged stream."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes import list_series, read_volume

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
