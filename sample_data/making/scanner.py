"""The scan of a head: sampling with partial volume, coil bias, Rician noise, marker, geometry.

The image frame is RAS-ordered: mm, origin in the middle of the field of view. An oblique scan turns
this frame in the patient's space; the head lies nearly straight in the image either way, as it does
when a technologist aligns the slices to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.orientations import (
    apply_orientation,
    axcodes2ornt,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)
from numpy.typing import NDArray
from scipy import ndimage

from sample_data.making.anatomy import Head, rotation_matrix, to_head_frame
from sample_data.making.lesions import Lesion
from sample_data.making.shapes import Field, Points, capsule

FIELD_OF_VIEW = (216.0, 248.0, 184.0)
_HEAD_CENTRE = np.array([0.0, -5.0, 1.0], np.float32)
_SUPERSAMPLING = 2


@dataclass(frozen=True)
class Protocol:
    """How a head is scanned.

    spacing: mm along (R, A, S) of the image frame. tilt: degrees about (x, y, z) of the image frame
    in the patient's space. axes: axis codes of the stored file, e.g. "LPS". dtype: "uint8" or
    "int16". gain: scanner units per tissue unit. noise: in tissue units. bias: relative strength
    of the coil's unevenness. origin: patient position (RAS, mm) of the middle of the image.
    """

    spacing: tuple[float, float, float] = (4.0, 4.0, 4.0)
    tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axes: str = "RAS"
    dtype: str = "uint8"
    gain: float = 1.0
    noise: float = 2.0
    bias: float = 0.15
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Scan:
    """A scan as it is stored: array in the file's axis order, RAS affine, and the lesion mask."""

    array: NDArray[np.generic]
    affine: NDArray[np.float64]
    mask: NDArray[np.uint8]


_STORED = ("RAS", "RAS", "LAS", "LPS", "LPS", "ASR", "PSR")
_SPACINGS = ((4.0, 4.0, 4.0), (4.0, 4.0, 4.0), (3.8, 3.8, 4.4), (4.2, 3.8, 3.8), (4.0, 4.0, 4.5))


def draw_protocol(rng: np.random.Generator) -> Protocol:
    """A random protocol: about 4 mm, a third of the scans oblique by up to 15 degrees."""
    tilt = np.zeros(3)
    if rng.random() < 0.4:
        tilt = rng.uniform((-14, -6, -6), (14, 6, 6))
    dtype = str(rng.choice(["uint8"] * 4 + ["int16"]))
    origin = rng.normal(0, (4.0, 12.0, 15.0))
    return Protocol(
        spacing=_SPACINGS[int(rng.integers(len(_SPACINGS)))],
        tilt=(float(tilt[0]), float(tilt[1]), float(tilt[2])),
        axes=_STORED[int(rng.integers(len(_STORED)))],
        dtype=dtype,
        gain=float(rng.uniform(0.42, 0.58)),
        noise=float(rng.uniform(0.9, 1.6)),
        bias=float(rng.uniform(0.08, 0.2)),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
    )


class PlacedHead:
    """A head in the scanner, sampled for a protocol, to be scanned as often as one likes.

    Anatomy is the costly part; a lesion, a marker and the noise are added for each scan.
    """

    def __init__(self, head: Head, protocol: Protocol) -> None:
        shape = [round(f / s) for f, s in zip(FIELD_OF_VIEW, protocol.spacing, strict=True)]
        points = _fine_points(shape, protocol.spacing)
        self._head, self._protocol = head, protocol
        self._shape = points.shape[:3]
        self._points = points.reshape(-1, 3)
        self._in_head = to_head_frame(head.subject, self._points - _HEAD_CENTRE)
        self._signal = head.signal(self._in_head)

    def scan(
        self, lesion: Lesion | None, rng: np.random.Generator, marker: str | None = None
    ) -> Scan:
        """Scan the head with a lesion or without.

        ``marker``: None, "vial" or "bar", an object in the air in front of the head.
        """
        protocol, signal = self._protocol, self._signal
        jitter = rng.uniform(-3, 3, 3)
        share = np.zeros_like(signal)
        if lesion is not None:
            signal, share = lesion.paint(signal, self._in_head, self._head)
        if marker is not None:
            signal = np.maximum(signal, _marker_signal(marker, self._points, jitter))
        received = _partial_volume(signal.reshape(self._shape))
        received *= _bias(received.shape, protocol.bias, rng)
        noisy = np.hypot(
            received + rng.normal(0, protocol.noise, received.shape),
            rng.normal(0, 0.6 * protocol.noise, received.shape),
        )
        limits = np.iinfo(protocol.dtype)
        stored = np.clip(np.rint(noisy * protocol.gain), limits.min, limits.max)
        mask = _block_mean(share.reshape(self._shape)) > 0.5
        return _store(stored.astype(protocol.dtype), mask.astype(np.uint8), protocol)


def _fine_points(shape: list[int], spacing: tuple[float, float, float]) -> Points:
    """Sub-voxel centres in the image frame, ``[n0, n1, n2, 3]`` mm."""
    axes = [
        ((np.arange(n * _SUPERSAMPLING) + 0.5) / _SUPERSAMPLING - n / 2) * step
        for n, step in zip(shape, spacing, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).astype(np.float32)


def _block_mean(fine: Field) -> Field:
    s = _SUPERSAMPLING
    n0, n1, n2 = (n // s for n in fine.shape)
    return np.asarray(fine.reshape(n0, s, n1, s, n2, s).mean(axis=(1, 3, 5)), np.float32)


def _partial_volume(fine: Field) -> Field:
    """Mean of each voxel after the slight blur of a scanner's point spread."""
    return _block_mean(ndimage.gaussian_filter(fine, 0.6))


def _bias(shape: tuple[int, ...], strength: float, rng: np.random.Generator) -> Field:
    """Multiplicative unevenness of the coil: exp of a random quadratic, ``[*shape]``."""
    x = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    linear = np.tensordot(rng.normal(0, strength, 3), x, 1)
    quadratic = np.tensordot(rng.normal(0, strength, 3), x**2 - 1 / 3, 1)
    return np.asarray(np.exp(np.clip(linear + quadratic, -0.6, 0.6)), np.float32)


def _marker_signal(kind: str, points: Points, jitter: NDArray[np.float64]) -> Field:
    """Signal of a marker in the air in front of the head: a vial at its right, a bar at its left.

    jitter: displacement in mm.
    """
    if kind == "vial":
        x, y, z = np.array([86.0, 96.0, 34.0]) + jitter
        solid = capsule(points, (x, y, z - 12), (x, y, z + 12), 10.0)
        return np.where(solid < 0, np.float32(150), np.float32(0))
    if kind == "bar":
        x, y, z = np.array([-84.0, 96.0, 44.0]) + jitter
        solid = np.minimum(
            capsule(points, (x - 8, y, z), (x + 14, y, z), 6.0),
            capsule(points, (x - 8, y, z), (x - 8, y, z - 34), 6.0),
        )
        return np.where(solid < 0, np.float32(95), np.float32(0))
    raise ValueError(f"unknown marker {kind!r}")


def _store(array: NDArray[np.generic], mask: NDArray[np.uint8], protocol: Protocol) -> Scan:
    """Bring an RAS-ordered image into the protocol's stored axis order, with its affine."""
    affine = np.eye(4)
    affine[:3, :3] = rotation_matrix(protocol.tilt) @ np.diag(protocol.spacing)
    middle = (np.array(array.shape) - 1) / 2
    affine[:3, 3] = np.array(protocol.origin) - affine[:3, :3] @ middle
    turn = ornt_transform(io_orientation(affine), axcodes2ornt(protocol.axes))
    return Scan(
        array=np.ascontiguousarray(apply_orientation(array, turn)),
        affine=affine @ inv_ornt_aff(turn, array.shape),
        mask=np.ascontiguousarray(apply_orientation(mask, turn)),
    )
