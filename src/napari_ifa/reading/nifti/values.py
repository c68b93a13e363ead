"""The values of one image, part by part into one array of the smallest type that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import Cancelled
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.nifti.stored import StoredImages

_INT16 = np.iinfo(np.int16)
_COLOURS = ("R", "G", "B")
#: What is shown of complex numbers, in this order.
COMPLEX_PARTS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "magnitude": np.abs,
    "phase": np.angle,
}


def is_complex(dtype: np.dtype[Any]) -> bool:
    """Whether each image is shown as two: magnitude and phase."""
    return dtype.kind == "c"


def is_colour(dtype: np.dtype[Any]) -> bool:
    """Whether the values are 8-bit colours, with transparency or without."""
    names = dtype.names or ()
    return names[:3] == _COLOURS and all(dtype[name] == np.uint8 for name in names)


def is_grey(dtype: np.dtype[Any]) -> bool:
    """Whether the values are real numbers."""
    return dtype.kind in "iuf"


def read_values(
    stored: StoredImages,
    image: int,
    part: str = "",
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> tuple[NDArray[Any], list[str]]:
    """One image as ``[x, y, z]``, or ``[x, y, z, 3]`` uint8 in colour, and what is to be said.

    Integers that are not scaled become int16 where all of them fit, anything else float32;
    infinities and NaN are kept.

    Parameters
    ----------
    part : of complex numbers: ``"magnitude"`` or ``"phase"`` (radians).
    progress : is given (planes read, planes in all).

    Raises
    ------
    Cancelled
        When ``stop`` says so. A damaged file raises whatever the library that reads it does.
    """
    values: NDArray[Any] | None = None
    of_complex = COMPLEX_PARTS.get(part)
    said: list[str] = []
    z = 0
    for slab in stored.voxels.slabs(image, said):
        if stop is not None and stop():
            raise Cancelled("Reading was stopped.")
        if of_complex is not None:
            slab = of_complex(slab)
        elif slab.dtype.names is not None:
            slab = np.stack([slab[colour] for colour in _COLOURS], axis=-1)
        if slab.shape[:2] != stored.shape[:2]:
            raise ValueError("planes of another size")
        if values is None:
            values = np.empty((*stored.shape, *slab.shape[3:]), _first_type(slab), order="F")
        if values.dtype == np.int16 and not _fits_int16(slab):
            values = values.astype(np.float32, order="F")
        values[:, :, z : z + slab.shape[2]] = slab
        z += slab.shape[2]
        if progress is not None:
            progress(z, stored.shape[2])
    if values is None or z != stored.shape[2]:
        raise ValueError("another number of planes")
    return values, said


def _first_type(slab: NDArray[Any]) -> type[np.generic]:
    if slab.ndim == 4:
        return np.uint8
    return np.float32 if slab.dtype.kind == "f" else np.int16


def _fits_int16(slab: NDArray[Any]) -> bool:
    if slab.dtype.kind == "f":
        return False
    if np.can_cast(slab.dtype, np.int16):
        return True
    return int(slab.min()) >= _INT16.min and int(slab.max()) <= _INT16.max
