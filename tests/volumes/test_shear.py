"""Sheared grids brought to right angles: places, values, and what lies outside."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes.problems import ImageProblem
from napari_ifa.volumes.shear import shear_degrees, straight_grid, straightened


def affine_of(*columns: list[float], origin: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = origin
    return affine


OBLIQUE = affine_of([1.0, 0.2, 0.1], [-0.4, 1.5, 0.3], [0.9, -0.6, 2.5], origin=(10, -20, 30))


def test_angle_of_the_worst_pair() -> None:
    # The second axis leans by 30° towards the first.
    leaning = affine_of([2, 0, 0], [0.5, np.sqrt(0.75), 0], [0, 0, 3])
    assert shear_degrees(leaning) == pytest.approx(30)
    assert shear_degrees(np.diag([1.0, 2.0, -3.0, 1.0])) == 0
    assert shear_degrees(affine_of([1, 0, 0], [0.0005, 1, 0], [0, 0, 1])) == 0


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_grid_has_right_angles_and_covers_the_source(signs: tuple[int, int, int]) -> None:
    affine = OBLIQUE @ np.diag([*signs, 1.0])
    shape = (6, 5, 4)
    grid = straight_grid(shape, affine, "image.nii")
    matrix = grid.affine[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    np.testing.assert_allclose((matrix / spacing).T @ (matrix / spacing), np.eye(3), atol=1e-12)
    # The first axis is the source's own, and no axis is turned around.
    np.testing.assert_allclose(matrix[:, 0], affine[:3, 0])
    assert np.linalg.det(matrix) * np.linalg.det(affine[:3, :3]) > 0
    assert (np.sum(matrix * affine[:3, :3], axis=0) > 0).all()
    # No coarser than the source along any axis.
    assert (spacing <= np.linalg.norm(affine[:3, :3], axis=0) + 1e-12).all()
    corners = np.array([[x, y, z, 1] for x in (0, 5) for y in (0, 4) for z in (0, 3)])
    inside = np.linalg.inv(grid.affine) @ affine @ corners.T
    assert inside[:3].min() >= -1e-4
    last = np.array(grid.shape) - 1
    assert (inside[:3].T - last <= 1e-4).all()


@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_linear_image_is_the_same_at_every_place(signs: tuple[int, int, int]) -> None:
    """Linear interpolation gives back a linear image exactly."""
    affine = OBLIQUE @ np.diag([*signs, 1.0])
    shape = (9, 8, 7)

    def at(places: np.ndarray) -> np.ndarray:
        return 1000 + places @ [3.0, -5.0, 2.0]

    index = np.indices(shape).reshape(3, -1).T
    values = at(index @ affine[:3, :3].T + affine[:3, 3]).reshape(shape)
    grid = straight_grid(shape, affine, "image.nii")
    out = straightened(values.astype(np.float32), grid)
    index = np.indices(grid.shape).reshape(3, -1).T
    places = index @ grid.affine[:3, :3].T + grid.affine[:3, 3]
    expected = at(places).reshape(grid.shape)
    to_source = np.linalg.inv(affine)
    source = places @ to_source[:3, :3].T + to_source[:3, 3]
    inside = ((source >= 0) & (source <= np.array(shape) - 1)).all(axis=1).reshape(grid.shape)
    outside = ((source < -0.01) | (source > np.array(shape) - 0.99)).any(axis=1)
    assert inside.sum() > 200
    np.testing.assert_allclose(out[inside], expected[inside], atol=1e-2)
    np.testing.assert_allclose(out.reshape(-1)[outside], np.float32(values.min()), rtol=1e-6)


def test_lowest_value_outside_is_a_number() -> None:
    values = np.array([[[np.nan], [-np.inf]], [[5.0], [7.0]]], dtype=np.float32)
    grid = straight_grid((2, 2, 1), affine_of([1, 0, 0], [1, 1, 0], [0, 0, 1]), "image.nii")
    out = straightened(values, grid)
    assert grid.shape == (3, 2, 1)
    assert out[2, 0, 0] == 5
    assert straightened(np.full((2, 2, 1), np.nan, np.float32), grid)[2, 0, 0] == 0


def test_colours_are_straightened_channel_by_channel() -> None:
    values = np.arange(12, dtype=np.uint8).reshape(2, 2, 1, 3)
    grid = straight_grid((2, 2, 1), affine_of([1, 0, 0], [1, 1, 0], [0, 0, 1]), "image.nii")
    out = straightened(values, grid)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[:2, 0], values[:, 0])
    np.testing.assert_array_equal(out[1:, 1], values[:, 1])


def test_grid_that_is_mostly_empty_is_refused() -> None:
    affine = affine_of([1, 0, 0], [30, 1, 0], [0, 0, 1])
    with pytest.raises(UnsupportedStudyError) as caught:
        straight_grid((10, 10, 10), affine, "image.nii")
    assert caught.value.kind is ImageProblem.SHEARED


def test_stop_ends_straightening() -> None:
    grid = straight_grid((2, 2, 3), affine_of([1, 0, 0], [1, 1, 0], [0, 0, 1]), "image.nii")
    with pytest.raises(Cancelled):
        straightened(np.zeros((2, 2, 3), np.float32), grid, stop=lambda: True)


def test_what_is_no_number_is_not_blended() -> None:
    """A plane sheared by half a pixel a row: half-way to nothing, the known half counts."""
    grid = straight_grid((4, 2, 1), affine_of([1, 0, 0], [0.5, 1, 0], [0, 0, 1]), "image.nii")
    values = np.array([[1.0, 10], [2, 20], [np.nan, 30], [np.nan, np.nan]], np.float32)
    straight = straightened(values[..., None], grid)[..., 0]
    # Row 0 is the source's own; row 1 lies half a voxel further on.
    expected = [[1, 1], [2, 15], [np.nan, 25], [np.nan, 30], [1, np.nan]]
    assert straight.shape == (5, 2)
    np.testing.assert_allclose(straight[:4, 0], [row[0] for row in expected[:4]])
    np.testing.assert_allclose(straight[1:4, 1], [row[1] for row in expected[1:4]])
