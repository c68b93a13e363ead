"""Signed distances of simple solids and smooth random fields, the building blocks of a phantom.

Points are float32 ``[..., 3]`` in mm; a signed distance is negative inside. The ellipsoid and the
capsule follow Quilez, "Distance functions" (the ellipsoid is a first-order approximation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Points = NDArray[np.float32]
Field = NDArray[np.float32]

_CELLS_PER_WAVE = 8
_CELLS = 80


def ellipsoid(
    points: Points, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> Field:
    """Distance in mm to an axis-parallel ellipsoid, ``[...]``."""
    offset = points - np.asarray(centre, np.float32)
    scaled = offset / np.asarray(radii, np.float32)
    length = np.linalg.norm(scaled, axis=-1)
    slope = np.linalg.norm(scaled / np.asarray(radii, np.float32), axis=-1)
    return (length * (length - 1) / np.maximum(slope, 1e-6)).astype(np.float32)


def capsule(
    points: Points,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    end_radius: float | None = None,
) -> Field:
    """Distance in mm to a rod with round ends whose radius changes linearly, ``[...]``."""
    a = np.asarray(start, np.float32)
    axis = np.asarray(end, np.float32) - a
    along = np.clip((points - a) @ axis / float(axis @ axis), 0, 1)
    thickness = radius + along * ((radius if end_radius is None else end_radius) - radius)
    distance = np.linalg.norm(points - a - along[..., None] * axis, axis=-1) - thickness
    return distance.astype(np.float32)


def smooth_union(first: Field, second: Field, blend: float) -> Field:
    """Union of two solids whose seam is rounded over ``blend`` mm."""
    weight = np.clip(0.5 + 0.5 * (second - first) / blend, 0, 1)
    union = second + (first - second) * weight - blend * weight * (1 - weight)
    return union.astype(np.float32)


class SmoothNoise:
    """A random field with one dominating wavelength, the same whatever grid it is sampled on.

    Band-pass noise (octave around the wavelength) on a periodic grid, zero mean, unit variance.
    """

    def __init__(self, rng: np.random.Generator, wavelength: float) -> None:
        self._cell = wavelength / _CELLS_PER_WAVE
        white = rng.standard_normal((_CELLS,) * 3)
        k = np.fft.fftfreq(_CELLS)
        half = np.fft.rfftfreq(_CELLS)
        frequency = np.sqrt(
            k[:, None, None] ** 2 + k[None, :, None] ** 2 + half[None, None, :] ** 2
        )
        ratio = np.log2(np.maximum(frequency * _CELLS_PER_WAVE, 1e-6))
        field = np.fft.irfftn(
            np.fft.rfftn(white) * np.exp(-0.5 * (ratio / 0.35) ** 2), (_CELLS,) * 3, axes=(0, 1, 2)
        )
        self._field = (field / field.std()).astype(np.float32)

    def __call__(self, points: NDArray[np.floating]) -> Field:
        """The field's value at each point, ``[...]``."""
        index = np.moveaxis(points, -1, 0) / self._cell
        sampled = ndimage.map_coordinates(self._field, index, order=1, mode="grid-wrap")
        return np.asarray(sampled, np.float32)
