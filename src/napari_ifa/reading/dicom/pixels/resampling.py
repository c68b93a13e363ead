"""Slices that form no regular grid, brought to one: tilted, or at unequal distances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.progress import Stop
from napari_ifa.reading.dicom.series.stack import Resampling
from napari_ifa.reading.threads import in_threads
from napari_ifa.volumes.memory import refuse_if_too_large

#: Nearer to a slice, or to a pixel, than this part of one is the slice or pixel itself.
_SAME = 1e-3
#: A pixel has a value where more than this part of its weight has one; a half is enough.
_MOST_UNKNOWN = 0.5 - 1e-4


def resample(
    slices: NDArray[Any],
    resampling: Resampling,
    outside: float,
    label: str,
    *,
    stop: Stop | None = None,
    without_value: NDArray[np.bool_] | None = None,
    labels: bool = False,
) -> NDArray[Any]:
    """Linear interpolation of ``[slice, row, column]`` onto the grid, ``[slice, row, column]``.

    Each slice is first placed at its own offset in its plane, then the two slices next to one of
    the grid are weighted by their nearness. Whole offsets and slices that coincide are copied.
    ``outside`` stands where a slice has no pixel, and where most of the weight has no value. The
    type is kept: integers are rounded.

    Parameters
    ----------
    without_value : of the shape of ``slices``: pixels that stand for no value, as padding does.
        They are blended with nothing.
    labels : numbers are names, and nothing lies between two of them: the nearest is taken.

    Raises
    ------
    UnsupportedStudyError
        Where the grid is too large for this computer; ``label`` begins the sentence.
    """
    columns, rows, count = resampling.shape
    channels = slices.shape[3:]
    refuse_if_too_large((count, rows, columns, *channels), slices.itemsize, label)
    grid = np.empty((count, rows, columns, *channels), slices.dtype)

    def fill(index: int) -> None:
        below, weight = _neighbours(resampling.places, index)
        if below is None:
            grid[index] = outside
            return
        if labels:
            nearest = int(np.abs(resampling.places - index).argmin())
            if abs(resampling.places[nearest] - index) > _MOST_UNKNOWN:
                # Left out of the file.
                grid[index] = outside
                return
            offset = np.rint(resampling.offsets[nearest])
            _store(_placed(slices[nearest], offset, grid[index].shape, outside), grid[index])
            return
        in_place = not weight or not resampling.offsets.any()
        if without_value is not None or not in_place:
            _store(_of_known(below, weight), grid[index])
            return
        here = _placed(slices[below], resampling.offsets[below], grid[index].shape, outside)
        if weight:
            above = below + 1
            other = _placed(slices[above], resampling.offsets[above], grid[index].shape, outside)
            here = here.astype(np.float32) * np.float32(1 - weight)
            here += other.astype(np.float32, copy=False) * np.float32(weight)
        _store(here, grid[index])

    def _of_known(below: int, weight: float) -> NDArray[np.float32]:
        """The mean of what is known, weighted by nearness."""
        total = np.zeros(grid.shape[1:], np.float32)
        known = np.zeros(grid.shape[1:], np.float32)
        for k, share in ((below, 1 - weight), (below + 1, weight)):
            if share:
                here = np.ones(slices[k].shape, bool)
                if without_value is not None:
                    here = ~without_value[k]
                offset, form = resampling.offsets[k], total.shape
                part = _placed(np.where(here, slices[k], 0), offset, form, 0)
                total += part.astype(np.float32, copy=False) * np.float32(share)
                known += _placed(here.astype(np.float32), offset, form, 0) * np.float32(share)
        values = np.full(total.shape, outside, np.float32)
        return np.divide(total, known, out=values, where=known > _MOST_UNKNOWN)

    in_threads(fill, range(count), stop=stop)
    return grid


def _neighbours(places: NDArray[np.float64], index: int) -> tuple[int | None, float]:
    """The slice at or below ``index``, and the weight of the one above it; None outside of all."""
    nearest = int(np.abs(places - index).argmin())
    if abs(places[nearest] - index) <= _SAME:
        return nearest, 0.0
    below = int(np.searchsorted(places, index, side="right")) - 1
    if below < 0 or below + 1 >= len(places):
        return None, 0.0
    return below, float((index - places[below]) / (places[below + 1] - places[below]))


def _placed(
    image: NDArray[Any], offset: NDArray[np.float64], shape: tuple[int, ...], outside: float
) -> NDArray[Any]:
    """``image`` with its first pixel at (column, row) ``offset`` of an image of ``shape``."""
    column, row = (float(number) for number in offset)
    shifted, first_row = _shifted(image, row, 0)
    shifted, first_column = _shifted(shifted, column, 1)
    placed = np.full(shape, outside, shifted.dtype)
    inside = placed[first_row:, first_column:][: shifted.shape[0], : shifted.shape[1]]
    inside[...] = shifted[: inside.shape[0], : inside.shape[1]]
    return placed


def _shifted(image: NDArray[Any], offset: float, axis: int) -> tuple[NDArray[Any], int]:
    """Values at the whole pixels that lie between the first pixel, at ``offset``, and the last."""
    whole = round(offset)
    if abs(offset - whole) <= _SAME:
        return image, whole
    first = int(np.ceil(offset))
    # The pixel at ``first`` lies this far beyond the first of the image.
    weight = np.float32(first - offset)
    size = image.shape[axis]
    before = image[:, : size - 1] if axis else image[: size - 1]
    after = image[:, 1:] if axis else image[1:]
    between = before.astype(np.float32) * (1 - weight)
    between += after.astype(np.float32) * weight
    return between, first


def _store(values: NDArray[Any], target: NDArray[Any]) -> None:
    if target.dtype.kind in "iu" and values.dtype.kind == "f":
        np.rint(values, out=values)
    np.copyto(target, values, casting="unsafe")
