"""An image whose axes are not at right angles, brought onto a grid where they are."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, degrees, floor, isfinite, prod

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.progress import Stop, check_stop
from napari_ifa.volumes.problems import ImageProblem
from napari_ifa.volumes.value_range import lowest
from napari_ifa.volumes.volume import Affine

#: Largest cosine between two axes of an unsheared grid.
_RIGHT_ANGLE = 1e-3
#: A straight grid of more voxels than this many times the source's is mostly empty.
_MOST_GROWTH = 8
#: Fractions of a voxel that are a rounding of the header.
_ROUNDING = 1e-4
#: A voxel has a value where more than this part of its weight has one; a half is enough.
_MOST_UNKNOWN = 0.5 - 1e-4


@dataclass(frozen=True, eq=False)
class StraightGrid:
    """A right-angled grid over the whole field of view of a sheared one.

    The first axis is the source's first, the second lies in the plane of its first two, the third
    is at right angles to both. Spacing is that of the source across its other axes, never coarser
    than the source's own; so each source plane lies on a plane of the grid, each of its rows on a
    row, and only a shift along the first two axes is interpolated.

    Attributes
    ----------
    shape : of the grid.
    affine : ``[4, 4]``, index → LPS mm.
    degrees : by which the worst pair of the source's axes misses the right angle.
    shift : how far the grid's indices move with the source's: with ``(i, j, k)`` of the source,
        ``i + shift[0] · j + shift[1] · k`` and ``j + shift[2] · k``, after ``start``.
    start : grid index of source voxel (0, 0, 0) along the first two axes.
    """

    shape: tuple[int, int, int]
    affine: Affine
    degrees: float
    shift: tuple[float, float, float]
    start: tuple[int, int]


def shear_degrees(affine: Affine) -> float:
    """By how much the worst pair of axes misses the right angle; 0 within rounding."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosine = float(np.abs(directions.T @ directions - np.eye(3)).max())
    return degrees(np.arcsin(min(cosine, 1.0))) if cosine > _RIGHT_ANGLE else 0.0


def straight_grid(shape: tuple[int, int, int], affine: Affine, name: str) -> StraightGrid:
    """The right-angled grid for a sheared one: shape and affine ``[4, 4]``, not singular.

    UnsupportedStudyError, with the file's name, where the axes nearly coincide, so that the grid
    would be mostly empty.
    """
    # Upper triangular: how far each source axis runs along each axis of the grid.
    rotation, lengths = np.linalg.qr(affine[:3, :3])
    signs = np.sign(np.diag(lengths))
    rotation, lengths = rotation * signs, lengths * signs[:, None]
    steps = lengths / np.diag(lengths)[:, None]
    shift = (float(steps[0, 1]), float(steps[0, 2]), float(steps[1, 2]))
    corners = np.array([[j * (shape[1] - 1), k * (shape[2] - 1)] for j in (0, 1) for k in (0, 1)])
    first = corners @ shift[:2]
    second = corners[:, 1] * shift[2]
    start = (_before(first.min()), _before(second.min()))
    grid_shape = (
        shape[0] - start[0] + _after(first.max()),
        shape[1] - start[1] + _after(second.max()),
        shape[2],
    )
    if prod(grid_shape) > _MOST_GROWTH * max(prod(shape), 64):
        raise UnsupportedStudyError(ImageProblem.SHEARED, name=name)
    straight = np.eye(4)
    straight[:3, :3] = rotation * np.diag(lengths)
    straight[:3, 3] = affine[:3, 3] + straight[:3, :2] @ np.array(start, dtype=float)
    return StraightGrid(grid_shape, straight, shear_degrees(affine), shift, (-start[0], -start[1]))


def straightened(
    values: NDArray[np.generic], grid: StraightGrid, stop: Stop | None = None
) -> NDArray[np.generic]:
    """Values ``[x, y, z]`` or ``[x, y, z, channels]`` on the straight grid, interpolated linearly.

    Outside the source's field of view the value is its lowest. Grey values become float32, colours
    keep their type. What is not a number is blended with nothing. Cancelled when ``stop`` says so.
    """
    colour = values.ndim == 4
    dtype = values.dtype if colour else np.dtype(np.float32)
    out = np.empty((*grid.shape, *values.shape[3:]), dtype, order="F")
    least = lowest(values)
    outside = least if isfinite(least) else 0.0
    for k in range(grid.shape[2]):
        check_stop(stop)
        for channel in range(values.shape[3]) if colour else [...]:
            plane = values[:, :, k, channel]
            if np.isfinite(plane).all():
                out[:, :, k, channel] = _straight_plane(plane, grid, k, outside)
            else:
                out[:, :, k, channel] = _straight_plane_of_known(plane, grid, k, outside)
    return out


def _straight_plane(
    plane: NDArray[np.generic], grid: StraightGrid, k: int, outside: float
) -> NDArray[np.generic]:
    from scipy.ndimage import affine_transform

    j_of_0 = -(grid.start[1] + grid.shift[2] * k)
    i_of_0 = -(grid.start[0] + grid.shift[1] * k) - grid.shift[0] * j_of_0
    return affine_transform(
        plane,
        [[1.0, -grid.shift[0]], [0.0, 1.0]],
        offset=(i_of_0, j_of_0),
        output_shape=grid.shape[:2],
        output=plane.dtype if plane.dtype == np.uint8 else np.float32,
        order=1,
        mode="constant",
        cval=outside,
    )


def _straight_plane_of_known(
    plane: NDArray[np.generic], grid: StraightGrid, k: int, outside: float
) -> NDArray[np.generic]:
    """Mean of the finite values by nearness; not a number where they are less than half of it."""
    known = np.isfinite(plane)
    total = _straight_plane(np.where(known, plane, 0), grid, k, 0.0)
    share = np.asarray(_straight_plane(known.astype(np.float32), grid, k, -1.0), np.float32)
    straight = np.full(total.shape, np.nan, np.float32)
    np.divide(total, share, out=straight, where=share > _MOST_UNKNOWN)
    straight[share < 0] = outside
    return straight


def _before(least: float) -> int:
    return min(0, floor(least + _ROUNDING))


def _after(most: float) -> int:
    return max(0, ceil(most - _ROUNDING))
