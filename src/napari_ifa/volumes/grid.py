"""A network's coarse feature grid in patient space, and its values on an image's grid.

Interpolation is linear, in one step from the feature grid to the grid that is shown or exported.
Outside the network's field of view there is no value: NaN, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.volumes.volume import Affine, Volume

#: A block of an image grid: a slice along each of (I, P, L).
Key = tuple[slice, slice, slice]

#: A step of the sampling matrix below this many feature voxels over a whole axis is rounding.
_ROUNDING = 1e-4


@dataclass(frozen=True, eq=False)
class FeatureGrid:
    """Where the voxels of a target layer's output lie in the patient.

    Attributes
    ----------
    shape : voxels of the feature grid.
    affine : ``[4, 4]``, feature index → LPS mm. The field of view reaches from feature index −0.5
        to n − 0.5 along each axis: that of the network input, or the part of it that the features
        come from.
    """

    shape: tuple[int, int, int]
    affine: Affine

    @classmethod
    def from_network_input(
        cls,
        input_affine: Affine,
        input_shape: tuple[int, ...],
        grid_shape: tuple[int, ...],
        steps: Sequence[tuple[float, float]] | None = None,
    ) -> FeatureGrid:
        """The grid that shares the input's field of view (half-voxel rule, align_corners=False).

        Parameters
        ----------
        input_affine : ``[4, 4]``, index of the network input → LPS mm.
        input_shape, grid_shape : spatial shapes; 2D ones are taken as one slice thick.
        steps : where the grid spans another part of the input: for each axis spacing and start,
            in input voxels, so that feature voxel i lies at ``spacing · i + start``.
        """
        size = np.array([*input_shape, 1][:3], dtype=float)
        shape = [*grid_shape, 1][:3]
        ratio = size / np.array(shape, dtype=float)
        start = 0.5 * ratio - 0.5
        for axis, (spacing, first) in enumerate(steps or ()):
            ratio[axis], start[axis] = spacing, first
        to_input = np.diag([*ratio, 1.0])
        to_input[:3, 3] = start
        return cls((int(shape[0]), int(shape[1]), int(shape[2])), input_affine @ to_input)

    def onto(self, volume: Volume) -> Sampler:
        """How this grid's values are brought to the grid of ``volume``."""
        return Sampler(self, volume.shape, np.linalg.inv(self.affine) @ volume.affine)


@dataclass(frozen=True, eq=False)
class Sampler:
    """Linear interpolation from a feature grid to an image grid, for a block or the whole.

    Attributes
    ----------
    grid : where the values come from.
    shape : (I, P, L) of the image.
    to_grid : ``[4, 4]``, image index → feature index.
    """

    grid: FeatureGrid
    shape: tuple[int, int, int]
    to_grid: Affine

    def volume(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Values ``[*grid]`` on the whole image grid: float32 ``[I, P, L]``, NaN outside."""
        return self.block(values, (slice(None), slice(None), slice(None)))

    def slice(self, values: NDArray[Any], axis: int, index: int) -> NDArray[np.float32]:
        """One slice of the image grid across ``axis``: float32, 2D."""
        key = [slice(None)] * 3
        key[axis] = slice(index, index + 1)
        return self.block(values, (key[0], key[1], key[2])).squeeze(axis)

    def block(self, values: NDArray[Any], key: Key) -> NDArray[np.float32]:
        """A block of the image grid, given by a slice along each of (I, P, L)."""
        if values.shape != self.grid.shape:
            raise ValueError(f"values of shape {values.shape} on a grid of {self.grid.shape}")
        values = np.ascontiguousarray(values, dtype=np.float32)
        if self._image_axes is None:
            return self._gather(values, key)
        return self._separable(values, key, self._image_axes)

    @cached_property
    def _image_axes(self) -> tuple[int, int, int] | None:
        """The image axis that runs along each feature axis; None where the two are rotated."""
        matrix = np.abs(self.to_grid[:3, :3] * np.array(self.shape, dtype=float))
        along = matrix.argmax(axis=1)
        if sorted(along.tolist()) != [0, 1, 2]:
            return None
        off_axis = matrix.copy()
        off_axis[np.arange(3), along] = 0.0
        if off_axis.max() > _ROUNDING:
            return None
        return int(along[0]), int(along[1]), int(along[2])

    @cached_property
    def _taps(self) -> list[_Taps]:
        """How each feature axis is sampled along its image axis."""
        assert self._image_axes is not None
        taps = []
        for axis, image in enumerate(self._image_axes):
            index = np.arange(self.shape[image], dtype=float)
            position = self.to_grid[axis, image] * index + self.to_grid[axis, 3]
            taps.append(_Taps.at(position, self.grid.shape[axis]))
        return taps

    def _separable(
        self,
        values: NDArray[np.float32],
        key: Key,
        image_axes: tuple[int, int, int],
    ) -> NDArray[np.float32]:
        # The axis with the fewest samples first: a slice then costs two small interpolations.
        taps = [tap[key[axis]] for tap, axis in zip(self._taps, image_axes, strict=True)]
        for axis in sorted(range(3), key=lambda a: len(taps[a].lower) / values.shape[a]):
            tap = taps[axis]
            shaped = tap.fraction.reshape([-1 if a == axis else 1 for a in range(3)])
            low = values.take(tap.lower, axis)
            high = values.take(tap.upper, axis)
            high -= low
            high *= shaped
            high += low
            values = high
        for axis, tap in enumerate(taps):
            if not tap.inside.all():
                values[(slice(None),) * axis + (np.logical_not(tap.inside),)] = np.nan
        return values.transpose(np.argsort(image_axes))

    def _gather(self, values: NDArray[np.float32], key: Key) -> NDArray[np.float32]:
        """Trilinear interpolation at any rotation, one image slice at a time to bound memory."""
        from scipy.ndimage import map_coordinates

        ranges = [np.arange(n, dtype=float)[k] for n, k in zip(self.shape, key, strict=True)]
        out = np.empty([len(r) for r in ranges], dtype=np.float32)
        plane = np.stack(np.meshgrid(ranges[1], ranges[2], indexing="ij"))
        within = np.tensordot(self.to_grid[:3, 1:3], plane, 1) + self.to_grid[:3, 3, None, None]
        for row, i in enumerate(ranges[0]):
            position = within + (self.to_grid[:3, 0] * i)[:, None, None]
            map_coordinates(values, position, out[row], order=1, mode="nearest")
            inside = [_is_inside(p, n) for p, n in zip(position, values.shape, strict=True)]
            out[row][~np.logical_and.reduce(inside)] = np.nan
        return out


@dataclass(frozen=True, eq=False)
class _Taps:
    """Linear interpolation along one feature axis, for each position along it."""

    lower: NDArray[np.intp]
    upper: NDArray[np.intp]
    fraction: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @classmethod
    def at(cls, position: NDArray[np.float64], size: int) -> _Taps:
        """At fractional indices, clamped at the border voxels' centres."""
        clamped = np.clip(position, 0.0, size - 1.0)
        lower = np.minimum(clamped.astype(np.intp), max(size - 2, 0))
        upper = np.minimum(lower + 1, size - 1)
        return cls(lower, upper, (clamped - lower).astype(np.float32), _is_inside(position, size))

    def __getitem__(self, key: slice) -> _Taps:
        return _Taps(self.lower[key], self.upper[key], self.fraction[key], self.inside[key])


def _is_inside(position: NDArray[np.float64], size: int) -> NDArray[np.bool_]:
    """Where fractional indices lie in the field of view, half a voxel beyond the outer centres."""
    inside: NDArray[np.bool_] = (position >= -0.5 - 1e-6) & (position <= size - 0.5 + 1e-6)
    return inside
