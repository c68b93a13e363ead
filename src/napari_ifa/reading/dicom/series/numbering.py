"""Images at the same positions told apart by nothing but the numbers of their files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import floordiv, mod

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.series.keys import Key, Places

#: Positions that show whether an image runs up or down the stack.
_SHORTEST_RUN = 4


def keys_by_number(frames: Sequence[Frame], where: Places) -> Iterable[Key]:
    """By instance number: a file for each image; image after image; or slice after slice.

    Each key is one way in which the files may have been numbered; none that would mix two images
    where files are missing.
    """
    yield lambda f: f.image.instance_number
    numbers = np.array(
        [-1 if f.image.instance_number is None else f.image.instance_number for f in frames]
    )
    if (numbers < 0).any() or len(np.unique(numbers)) < len(numbers):
        return
    place = np.array([where[id(frame)] for frame in frames])
    counts = np.bincount(place)
    positions, repeats = len(counts), int(counts.max())
    if (counts == repeats).all():
        # None is missing: whatever the numbers count, their order holds.
        order = np.argsort(numbers)
        rank = dict(zip(numbers[order].tolist(), range(len(order)), strict=True))
        in_order = place[order]
        once_each = np.sort(in_order.reshape(repeats, positions)) == np.arange(positions)
        if once_each.all():
            yield lambda f: rank[f.image.instance_number or 0] // positions
        if (np.ptp(in_order.reshape(positions, repeats), axis=1) == 0).all():
            yield lambda f: rank[f.image.instance_number or 0] % repeats
        return
    for first in _firsts_of_images(numbers, place, positions, repeats):
        yield partial(_counted, first, floordiv, positions)
    for first in _firsts_of_slices(numbers, place, repeats):
        yield partial(_counted, first, mod, repeats)


def _counted(first: int, count: Callable[[int, int], int], by: int, frame: Frame) -> int:
    return count((frame.image.instance_number or 0) - first, by)


def _firsts_of_images(
    numbers: NDArray[np.intp], place: NDArray[np.intp], positions: int, repeats: int
) -> list[int]:
    """Number of the very first file, which may be missing, where image follows on image.

    Only one from which every image runs up, or every image down the stack: from any other, the
    first slices of an image would count as the last of the one before. None where two are such.
    """
    lowest, lost = int(numbers.min()), positions * repeats - len(numbers)
    # Files are numbered from 1, rarely from 0.
    least = max(lowest - lost, min(lowest, 1))
    if positions < _SHORTEST_RUN:
        # So few run up or down from wherever one counts.
        if lowest != 1:
            return []
        least = 1
    downwards = positions - 1 - place
    firsts = [
        first
        for first in range(lowest, least - 1, -1)
        if any(((numbers - first) % positions == way).all() for way in (place, downwards))
    ]
    return firsts if len(firsts) == 1 else []


def _firsts_of_slices(
    numbers: NDArray[np.intp], place: NDArray[np.intp], repeats: int
) -> list[int]:
    """Number of the very first file, which may be missing, where slice follows on slice."""
    lowest = int(numbers.min())
    return [
        first
        for first in range(lowest, lowest - repeats, -1)
        if _one_value_each((numbers - first) // repeats, place)
    ]


def _one_value_each(keys: NDArray[np.intp], values: NDArray[np.intp]) -> bool:
    """Whether all with one key have one value."""
    return len(set(zip(keys.tolist(), values.tolist(), strict=True))) == len(np.unique(keys))
