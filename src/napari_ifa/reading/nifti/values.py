"""The values of one image, part by part into one array of the smallest type that holds them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.reading.nifti.gzipped import has_other_bytes
from napari_ifa.reading.nifti.problems import NiftiNote
from napari_ifa.reading.nifti.stored import StoredImages
from napari_ifa.volumes.geometry_report import Note

_INT16 = np.iinfo(np.int16)
#: Stored bytes that are read at once, where a plane is smaller.
_SLAB = 2**18
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
    x, y, z = stored.shape
    slab = max(1, _SLAB // (x * y * stored.dtype.itemsize)) if stored.in_slabs else z
    of_complex = COMPLEX_PARTS.get(part)
    values: NDArray[Any] | None = None
    said: list[str] = []
    with stored.opened() as (proxy, file):
        which = (image,) if len(proxy.shape) == 4 else ()
        for k in range(0, z, slab):
            check_stop(stop)
            planes = proxy[(slice(None), slice(None), slice(k, min(k + slab, z)), *which)]
            if of_complex is not None:
                planes = of_complex(planes)
            elif planes.dtype.names is not None:
                planes = np.stack([planes[colour] for colour in _COLOURS], axis=-1)
            if values is None:
                values = np.empty((x, y, z, *planes.shape[3:]), _first_type(planes), order="F")
            if values.dtype == np.int16 and not _fits_int16(planes):
                values = values.astype(np.float32, order="F")
            values[:, :, k : k + slab] = planes
            if progress is not None:
                progress(min(k + slab, z), z)
        if file is not None and image == stored.count - 1 and has_other_bytes(file):
            said.append(Note(NiftiNote.OTHER_BYTES, file=stored.files[-1].name))
    assert values is not None
    return values, said


def _first_type(planes: NDArray[Any]) -> type[np.generic]:
    if planes.ndim == 4:
        return np.uint8
    return np.float32 if planes.dtype.kind == "f" else np.int16


def _fits_int16(planes: NDArray[Any]) -> bool:
    if planes.dtype.kind == "f" or np.can_cast(planes.dtype, np.int16):
        return planes.dtype.kind != "f"
    return int(planes.min()) >= _INT16.min and int(planes.max()) <= _INT16.max
