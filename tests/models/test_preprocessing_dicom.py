"""A bundle's preprocessing gives DICOM images to the network as MONAI's PydicomReader would."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from monai.transforms import (
    Compose,
    EnsureChannelFirst,
    LoadImage,
    Orientation,
    Resize,
    ScaleIntensity,
)
from pydicom.data import get_testdata_file

from napari_ifa.models.preprocessing import OpenedImage, Preprocessing, input_lps_affine
from napari_ifa.reading import list_series, read_volume


def of(path: Path, *steps: Any) -> Any:
    """The input that a chain of this project makes of the one image in a folder."""
    return Preprocessing.from_built([OpenedImage({}), *steps])(read_volume(path))


def by_monai(path: Path, *steps: Any) -> Any:
    return Compose([LoadImage(reader="PydicomReader"), *steps])(path)


@pytest.fixture
def alone(tmp_path: Path):
    """A file of pydicom's in a folder of its own; keywords replace elements."""

    def copy(name: str, **elements: Any) -> Path:
        data = pydicom.dcmread(get_testdata_file(name, download=False))
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        data.save_as(tmp_path / name)
        return tmp_path / name

    return copy


def test_a_single_slice_has_two_axes_and_keeps_its_place(alone: Any) -> None:
    path = alone("CT_small.dcm")
    expected = by_monai(path)
    found = of(path)
    assert found.shape == expected.shape == (128, 128)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    # The third column holds the slice's thickness here, and 1 in MONAI: one slice has no step.
    np.testing.assert_allclose(found.affine[:, [0, 1, 3]], expected.affine[:, [0, 1, 3]])


def test_a_single_slice_through_a_chain_for_pictures(alone: Any) -> None:
    path = alone("MR_small.dcm")
    steps = (EnsureChannelFirst(), Resize([32, 40]), ScaleIntensity())
    expected = by_monai(path, *steps)
    found = of(path, *steps)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    # Where its pixels lie is where the resized ones do: half-voxel rule, 64 to 32 and 64 to 40.
    volume = read_volume(path)
    to_volume = np.linalg.inv(volume.affine) @ input_lps_affine(found)
    np.testing.assert_allclose((to_volume @ [0, 0, 0, 1])[:3], [0, 0.3, 0.5], atol=1e-6)
    np.testing.assert_allclose((to_volume @ [31, 39, 0, 1])[:3], [0, 62.7, 62.5], atol=1e-6)


@pytest.mark.filterwarnings("ignore:PydicomReader")
@pytest.mark.parametrize("axes", ["LA", "RP", "AL"])
def test_an_x_ray_without_a_position_begins_where_monai_puts_it(alone: Any, axes: str) -> None:
    path = alone("JPEG2000.dcm")
    steps = (EnsureChannelFirst(), Orientation(axcodes=axes, labels=None))
    expected = by_monai(path, *steps)
    found = of(path, *steps)
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    volume = read_volume(path)
    assert volume.is_picture
    rows, columns = found.shape[1:]
    for index in ((0, 0), (rows - 1, 3), (7, columns - 1)):
        place = np.linalg.inv(volume.affine) @ input_lps_affine(found) @ [*index, 0, 1]
        i, p, left = np.rint(place[:3]).astype(int)
        assert volume.array[i, p, left] == found[0][index]


def test_each_image_of_a_4d_series_is_what_monai_makes_of_its_files(
    shared_data: Path, tmp_path: Path
) -> None:
    series = list_series(shared_data / "dicom/mr_4d")[6]
    for file in series.files:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    expected = by_monai(tmp_path)
    array, ras = read_volume(series).in_source_order()
    np.testing.assert_array_equal(array, expected.numpy())
    np.testing.assert_allclose(ras, expected.affine, atol=1e-9)
