"""Maps whose value says where in the patient it lies, for the tests of what is exported."""

from __future__ import annotations

import numpy as np

from napari_ifa.export import Colouring, Provenance
from napari_ifa.volumes import Volume

#: Per mm of x, y, z (LPS): no mirrored, swapped or shifted place has the same value.
PER_MM = np.array([1e-3, 0.7e-3, 0.3e-3])


def place_value(lps: np.ndarray) -> np.ndarray:
    """The map's value at points ``[..., 3]`` (LPS, mm), between −1 and 1 in any patient."""
    return np.asarray(lps) @ PER_MM


def grid_points(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``[*shape, 3]``: where the voxels of a grid lie."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def map_of_places(volume: Volume) -> Volume:
    """A map on the image's grid; no value where x > 40 mm or in the first two slices."""
    points = grid_points(volume.affine, volume.shape)
    values = place_value(points).astype(np.float32)
    values[points[..., 0] > 40] = np.nan
    axis = volume.source.axes.index(2)
    if volume.shape[axis] > 4:
        values[tuple(slice(2) if a == axis else slice(None) for a in range(3))] = np.nan
    return volume.with_array(values)


def as_24_bits(values: np.ndarray) -> np.ndarray:
    """Opaque colours ``[..., 4]`` that hold a value of −1 to 1 in 24 bits; NaN is transparent."""
    known = np.isfinite(values)
    number = np.rint((np.where(known, values, 0).astype(np.float64) + 1) / 2 * (2**24 - 1))
    number = number.astype(np.int64)
    channels = [number >> 16, number >> 8 & 255, number & 255]
    return np.stack([*(c / 255 for c in channels), known.astype(float)], axis=-1)


def from_24_bits(pixels: np.ndarray) -> np.ndarray:
    """The values of such colours, from bytes ``[..., 3]``."""
    high, middle, low = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return (high * 65536 + middle * 256 + low) / (2**24 - 1) * 2 - 1


PROVENANCE = Provenance(
    kind="S-CAM",
    class_name="pneumonia",
    model="chest network",
    weights_sha256="ab" * 32,
    layer="layer4",
    method="gradcam",
    scale="P10 = -1.2, P90 = 3.4 logits, basis voxels, scope class",
)
SIDES = ("against pneumonia", "for pneumonia")
COLOURING = Colouring(as_24_bits, (-1.0, 1.0), -0.3, ((0.1, "P10"), (0.9, "P90")), SIDES)


#: Real images by name.
REAL = (
    "ct_head",
    "mr_sagittal_oblique",
    "ct_body_no_uids",
    "mr_enhanced_philips",
    "mr_enhanced_siemens",
    "mr_mosaic",
    "ct_tilted",
)
