"""Exports opened again with this project's own reader: the same values at the same places."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_ifa.export import write_nifti
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume
from tests.places import REAL, from_24_bits, grid_points, map_of_places, place_value


@pytest.mark.parametrize("name", REAL)
def test_nifti(name: str, real_volume: Callable[[str], Volume], tmp_path: Path) -> None:
    values = map_of_places(real_volume(name))

    out = write_nifti(values, tmp_path / "map.nii")

    image = nibabel.load(out)
    ras = grid_points(image.affine, image.shape)
    known = np.isfinite(image.get_fdata())
    assert np.count_nonzero(known) == np.count_nonzero(np.isfinite(values.array))
    # The affine of a NIfTI file is float32: 1e-4 mm.
    np.testing.assert_allclose(
        image.get_fdata()[known], place_value(ras * [-1, -1, 1])[known], atol=1e-6, rtol=0
    )
    again = read_volume(out)
    np.testing.assert_array_equal(again.array, values.array)
    np.testing.assert_allclose(again.affine, values.affine, atol=1e-4)


@pytest.mark.parametrize("name", REAL)
def test_parametric_map(
    name: str, real_volume: Callable[[str], Volume], parametric_map: Callable[..., Path]
) -> None:
    values = map_of_places(real_volume(name))

    again = read_volume(parametric_map(name))

    np.testing.assert_array_equal(again.array, values.array)
    np.testing.assert_allclose(again.affine, values.affine, atol=1e-6)


def test_parametric_map_in_integers(
    real_volume: Callable[[str], Volume], parametric_map: Callable[..., Path]
) -> None:
    values = map_of_places(real_volume("ct_head"))

    again = read_volume(parametric_map("ct_head", compressed=True))

    known = np.isfinite(values.array)
    # Half a step of 65534 between −1 and 1.
    np.testing.assert_allclose(again.array[known], values.array[known], atol=1.6e-5, rtol=0)
    assert (~known).any()
    np.testing.assert_array_equal(np.isnan(again.array), ~known)


@pytest.mark.parametrize(("name", "factor"), zip(REAL, (1, 2, 1, 8, 8, 8, 1), strict=True))
def test_secondary_capture(
    name: str,
    factor: int,
    real_volume: Callable[[str], Volume],
    secondary_capture: Callable[[str], list[Path]],
) -> None:
    image = real_volume(name)

    again = read_volume(secondary_capture(name)[0].parent)

    pixels, ras_affine = again.in_source_order()
    columns, rows, slices = image.in_source_order()[0].shape
    assert pixels.shape[2] == slices
    for index in range(2, slices - 2):
        picture = pixels[: columns * factor, : rows * factor, index]
        points = grid_points(ras_affine, (*picture.shape[:2], 1))[..., 0, :] * [-1, -1, 1]
        points += (ras_affine[:3, 2] * index) * [-1, -1, 1]
        # Every pixel of a square shows the value of the square's middle.
        middle = points.reshape(columns, factor, rows, factor, 3).mean(axis=(1, 3))
        inside = middle[..., 0] < 40 - 1e-3
        values = from_24_bits(picture[::factor, ::factor])[inside]
        np.testing.assert_allclose(values, place_value(middle)[inside], atol=1e-5, rtol=0)
