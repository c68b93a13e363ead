"""Tilted and unequally spaced slices on a regular grid: linear, exact where nothing moves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading.dicom.pixels.resampling import resample
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Resampling, Stack
from napari_ifa.volumes.problems import ImageProblem
from tests.problems import refused

Call = Callable[..., Any]


def resampling(
    shape: tuple[int, int, int], places: list[float], offsets: list[tuple[float, float]]
) -> Resampling:
    return Resampling(shape, np.array(places, float), np.array(offsets, float))


def ramp(places: list[float], offsets: list[tuple[float, float]], rows: int, columns: int) -> Any:
    """[slice, row, column] of 2 column + 3 row + 5 slice, where each pixel lies in the grid."""
    row, column = np.mgrid[:rows, :columns].astype(float)
    return np.stack(
        [
            2 * (column + x) + 3 * (row + y) + 5 * place
            for place, (x, y) in zip(places, offsets, strict=True)
        ]
    ).astype(np.float32)


def test_by_hand() -> None:
    """Two slices of one row: the second lies half a pixel to the right, one and a half up."""
    slices = np.array([[[10, 20, 30]], [[100, 200, 300]]], np.float32)
    grid = resample(slices, resampling((4, 1, 4), [0, 1.5], [(0, 0), (0.5, 0)]), -1, "Series 7")
    # Slice 0 is the first as it is; column 3 has no pixel of it.
    assert grid[0, 0].tolist() == [10, 20, 30, -1]
    # The second, at whole pixels: nothing, 150, 250, nothing. Slice 1 is a third of the first,
    # which is too little where the second has nothing.
    expected = [-1, 20 / 3 + 100, 10 + 500 / 3, -1]
    np.testing.assert_allclose(grid[1, 0], expected, rtol=1e-6)
    # Nothing lies beyond the last slice.
    assert (grid[2:] == -1).all()


def test_ramp_comes_out_as_the_same_ramp() -> None:
    places = [0, 1.2, 1.9, 3.4, 4]
    offsets = [(0.0, 4.0 - place * 0.7) for place in places]
    slices = ramp(places, offsets, 20, 12)
    grid = resample(slices, resampling((12, 24, 5), places, offsets), -1000, "Series 7")
    row, column = np.mgrid[:24, :12]
    for k in range(5):
        expected = 2 * column + 3 * row + 5 * k
        # Rows that both neighbours cover: from the highest first row to the lowest last one.
        inside = grid[k, 4:20]
        np.testing.assert_allclose(inside, expected[4:20], atol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_against_scipy(dtype: Any) -> None:
    rng = np.random.default_rng(5)
    slices = rng.integers(-1000, 3000, (6, 15, 11)).astype(dtype)
    places = np.array([0, 0.8, 2.1, 3, 4.6, 5])
    offsets = rng.uniform(0, 3, (6, 2))
    shape = (14, 18, 6)
    placed = []
    for image, (x, y) in zip(slices, offsets, strict=True):
        row, column = np.mgrid[:18, :14].astype(float)
        placed.append(
            ndimage.map_coordinates(
                image.astype(float), [row - y, column - x], order=1, mode="constant", cval=np.nan
            )
        )
    stacked = np.stack(placed)
    expected = np.full((6, 18, 14), -1000.0)
    for k in range(6):
        below = min(int(np.searchsorted(places, k, "right")) - 1, 4)
        share = (k - places[below]) / (places[below + 1] - places[below])
        low, high = stacked[below], stacked[below + 1]
        # Where only one of the slices has a pixel, it stands for both if it is the nearer one.
        expected[k] = np.where(
            np.isnan(low) | (share == 1),
            np.where(np.isnan(high) | (share < 0.5), -1000, high),
            np.where(
                np.isnan(high) | (share == 0),
                np.where(share > 0.5, -1000, low),
                low * (1 - share) + high * share,
            ),
        )
    grid = resample(slices, Resampling(shape, places, offsets), -1000, "Series 7")
    assert grid.dtype == dtype
    tolerance = 0.01 if dtype == np.float32 else 1.0
    assert np.abs(grid - expected).max() <= tolerance
    if dtype == np.int16:
        # Each was rounded once: not cut, which would show as a half on average.
        assert abs((grid - expected).mean()) < 0.02


def test_slices_that_coincide_are_copied_exactly() -> None:
    slices = np.random.default_rng(6).integers(-32768, 32768, (3, 4, 5)).astype(np.int16)
    offsets = [(0, 0), (2, 1), (1.0004, 3)]
    grid = resample(slices, resampling((8, 8, 3), [0, 1.0009, 1.9991], offsets), -32768, "Series 7")
    for k, (x, y) in enumerate([(0, 0), (2, 1), (1, 3)]):
        expected = np.full((8, 8), -32768, np.int16)
        expected[y : y + 4, x : x + 5] = slices[k]
        np.testing.assert_array_equal(grid[k], expected)


def test_values_between_integers_are_rounded() -> None:
    slices = np.array([[[0]], [[10]]], np.int16)
    places = [0.0, 3.0]
    grid = resample(slices, resampling((1, 1, 4), places, [(0, 0)] * 2), 0, "Series 7")
    assert grid.ravel().tolist() == [0, 3, 7, 10]


def test_slice_larger_than_the_grid_is_cut() -> None:
    slices = np.arange(20, dtype=np.int16).reshape(1, 4, 5)
    grid = resample(slices, resampling((3, 2, 1), [0.0], [(1, 1)]), -1, "Series 7")
    assert grid[0].tolist() == [[-1, -1, -1], [-1, 0, 1]]


def test_stop_and_size() -> None:
    slices = np.zeros((2, 2, 2), np.int16)
    with pytest.raises(Cancelled):
        resample(
            slices,
            resampling((2, 2, 2), [0, 1], [(0, 0)] * 2),
            0,
            "Series 7",
            stop=lambda: True,
        )
    with refused(UnsupportedStudyError, ImageProblem.TOO_LARGE, shape=(2, 200000, 200000)):
        resample(slices, resampling((200000, 200000, 2), [0, 1], [(0, 0)] * 2), 0, "Series 7")


def test_stack_is_read_onto_its_grid(save_series: Call, frames_of: Call) -> None:
    """Four slices of 2 × 3, the last 1.5 after the third, moved one row each."""
    folder = save_series(RescaleIntercept=-5)
    frames = [frames_of(folder / f"slice{k}.dcm", rescale_intercept=-5.0)[0] for k in range(4)]
    offsets = [(0.0, float(k)) for k in range(4)]
    grid = resampling((3, 5, 4), [0, 1, 2, 3.5], offsets)
    values, damaged = read_stack(Stack(tuple(frames), np.eye(4), resampling=grid))
    assert (values.shape, values.dtype, damaged) == ((3, 5, 4), np.int16, ())
    # Stored 100 k + 10 row + column; the lowest value is −5.
    assert values[:, :, 1].T.tolist() == [
        [-5, -5, -5],
        [95, 96, 97],
        [105, 106, 107],
        [-5, -5, -5],
        [-5, -5, -5],
    ]
    # Slice 3 is a third of the third (rows 2 and 3) and two thirds of the last (rows 3 and 4);
    # where only one of them has a pixel, it is the nearer one that counts: 205/3 + 590/3.
    assert values[0, :, 3].tolist() == [-5, -5, -5, 265, 305]


def test_missing_slice_of_a_resampled_stack_stays_blank(save_series: Call, frames_of: Call) -> None:
    folder = save_series(0, 1, 2)
    frames = [frames_of(folder / f"slice{k}.dcm")[0] for k in range(3)]
    grid = resampling((3, 4, 3), [0, 1, 2], [(0.0, float(k)) for k in range(3)])
    stack = Stack((frames[0], None, frames[2]), np.eye(4), resampling=grid)
    values, _ = read_stack(stack)
    assert (values[:, :, 1] == 0).all()
    assert values[1, 2, 2] == 201
