"""Where a transform moves the voxels of an image to, found by landmarks sent through it.

A function that a bundle brings along may turn, flip or cut an image and say nothing of it. So
small bright cubes are put into the image, one at a time, and looked for in what the function
makes of it: what changes there when a cube goes from the image's least to its greatest value is
where the cube went, whatever the function does to the values.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ifa.volumes.volume import Affine

#: Places of the landmarks along an axis, as shares of its length: a corner of a box each, and two
#: that no turn or flip of the box brings onto another.
_CORNERS = (0.27, 0.73)
_ODD_ONES = ((0.5, 0.27, 0.62), (0.38, 0.5, 0.73))
#: Edge of a landmark, as a share of the axis.
_EDGE = 1 / 8
#: Values between which a landmark changes, as shares of the image's range: from the first to the
#: others in turn. A function may be blind for some, such as one that keeps a band of values.
_LOW, _HIGH = 0.0, (1.0, 0.5, 0.25, 0.1)
#: Changes below this share of the greatest are a function's reaction elsewhere (a mean, a range).
_FAINT = 0.25
#: Spread of a landmark's change along an axis, as its share, above which it went to several places.
_WIDEST = 0.15
#: How far landmarks may lie from where an affine map has them, in voxels or steps.
_TOLERANCE = 0.75


def found_move(
    run: Callable[[Tensor], Tensor | None],
    image: Tensor,
    axes: Sequence[int],
    result_axes: Callable[[Tensor], Sequence[int] | None],
) -> Affine | None:
    """``[r + 1, r + 1]``: index of the result → index of the image, over its ``r`` spatial axes.

    ``run`` is the transform, the same each time: an image of the given shape → its result, or None
    where it fails. ``axes`` are the spatial ones of the image, of any shape and not changed;
    ``result_axes`` gives those of a result, None where it has not as many. 11 runs for each pair of
    values tried, at most four pairs and usually one. None where the landmarks do not tell: too few
    of them are found again, or they lie where no affine map has them.
    """
    sizes = [int(image.shape[axis]) for axis in axes]
    cubes = _cubes(sizes)
    for low, high in _values(image):
        empty = image.clone()
        for cube in cubes:
            empty[_at(image.ndim, axes, cube)] = low
        without = run(empty.clone())  # which a function may change in its place
        found = None if without is None else result_axes(without)
        if without is None or found is None:
            return None
        places, centres = [], []
        for cube in cubes:
            marked = empty.clone()
            marked[_at(image.ndim, axes, cube)] = high
            result = run(marked)
            if result is None or result.shape != without.shape:
                return None
            place = _centre(result, without, found)
            if place is not None:
                places.append(place)
                centres.append([(part.start + part.stop - 1) / 2 for part in cube])
        result_sizes = [int(without.shape[axis]) for axis in found]
        move = _affine(np.array(places), np.array(centres), result_sizes, sizes)
        if move is not None:
            return move
    return None


def moves_alike(one: Affine, other: Affine, sizes: Sequence[int]) -> bool:
    """Whether two maps bring the corners of a grid of these sizes to the same voxels."""
    ends = np.array(list(itertools.product(*[(0, size - 1) for size in sizes])), dtype=float)
    ends = np.c_[ends, np.ones(len(ends))]
    apart = np.abs((ends @ one.T - ends @ other.T)[:, :-1]).max()
    return bool(apart <= _TOLERANCE * max(1.0, _step(other)))


def _cubes(sizes: Sequence[int]) -> list[tuple[slice, ...]]:
    shares = [*itertools.product(*[_CORNERS] * len(sizes))]
    shares += [odd[: len(sizes)] for odd in _ODD_ONES]
    cubes: list[tuple[slice, ...]] = []
    for number, places in enumerate(shares):
        cube = []
        for place, size in zip(places, sizes, strict=True):
            edge = max(1, round(_EDGE * size))
            # Even and odd first voxels, so that a function that takes every second one meets both.
            start = min(max(0, round(place * size - edge / 2) + number % 2), size - edge)
            cube.append(slice(start, start + edge))
        if tuple(cube) not in cubes:  # which short axes make alike
            cubes.append(tuple(cube))
    return cubes


def _values(image: Tensor) -> list[tuple[float, float]]:
    finite = image[torch.isfinite(image)]
    if not finite.numel():
        return []
    least, greatest = float(finite.min()), float(finite.max())
    reach = greatest - least or 1.0
    return [(least + _LOW * reach, least + high * reach) for high in _HIGH]


def _at(ndim: int, axes: Sequence[int], cube: Sequence[slice]) -> tuple[slice, ...]:
    index = [slice(None)] * ndim
    for axis, part in zip(axes, cube, strict=True):
        index[axis] = part
    return tuple(index)


def _centre(result: Tensor, without: Tensor, axes: Sequence[int]) -> list[float] | None:
    """Centre of what a landmark changed; None where that is nothing, or in several places."""
    change = (result.float() - without.float()).abs().nan_to_num()
    others = [axis for axis in range(change.ndim) if axis not in axes]
    change = change.permute(*axes, *others)
    if others:
        change = change.flatten(len(axes)).sum(-1)
    greatest = float(change.max()) if change.numel() else 0.0
    if not greatest > 0:
        return None
    change = change * (change >= _FAINT * greatest)
    total = float(change.sum())
    centre = []
    for axis, size in enumerate(change.shape):
        along = (
            change.sum([a for a in range(change.ndim) if a != axis]) if change.ndim > 1 else change
        )
        weight = along.numpy(force=True) / total
        index = np.arange(size)
        mean = float(weight @ index)
        spread = float(np.sqrt(max(0.0, float(weight @ (index - mean) ** 2))))
        if spread > _WIDEST * size + 1:
            return None
        centre.append(mean)
    return centre


def _affine(
    places: NDArray[np.float64],
    centres: NDArray[np.float64],
    result_sizes: Sequence[int],
    sizes: Sequence[int],
) -> Affine | None:
    """The map from places in the result to the landmarks' centres, where there is one."""
    rank = len(sizes)
    varying = [axis for axis in range(rank) if result_sizes[axis] > 1]
    if len(places) < len(varying) + 2:
        return None
    design = np.c_[places[:, varying], np.ones(len(places))]
    if np.linalg.matrix_rank(design, tol=0.5) < design.shape[1]:
        return None
    solution = np.linalg.lstsq(design, centres, rcond=None)[0]
    move = np.eye(rank + 1)
    move[:rank, :rank] = 0
    move[:rank, varying] = solution[:-1].T
    move[:rank, rank] = solution[-1]
    free = [a for a in range(rank) if np.abs(move[a, :rank]).max() < 0.5]
    for axis in (a for a in range(rank) if a not in varying):
        if not free:
            return None
        move[free.pop(0), axis] = 1.0
    apart = np.abs(design @ solution - centres).max()
    if apart > _TOLERANCE * max(1.0, _step(move)) or abs(np.linalg.det(move[:rank, :rank])) < 1e-3:
        return None
    rounded = move.round(3)
    return np.where(np.abs(rounded - move) < 1e-6, rounded, move)


def _step(move: Affine) -> float:
    """Voxels of the image from one voxel of the result to the next."""
    return float(np.linalg.norm(move[:-1, :-1], axis=0).max())
