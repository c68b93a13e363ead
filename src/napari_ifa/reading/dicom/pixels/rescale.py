"""From stored numbers to values in the modality's units, in their place in an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame, LookupTable
from napari_ifa.reading.dicom.pixels.decoding import used_bits
from napari_ifa.volumes.value_range import lowest

_INT16 = np.iinfo(np.int16)


class BeyondInt16Error(Exception):
    """A value that the header allowed to be, and that is, outside the range of int16."""


def may_fit_int16(frame: Frame) -> bool:
    """Integers stay integers; whether their range allows int16 is seen when they are read."""
    if frame.image.pixels.is_float or (frame.image.is_parametric_map and frame.image.padding):
        return False
    table = frame.image.lookup_table
    if table is not None:
        values = np.asarray(table.values, np.float64)
        return bool(np.array_equal(values, np.rint(values)))
    slope, intercept = frame.rescale_slope, frame.rescale_intercept
    if slope != 1 or intercept is None or not float(intercept).is_integer():
        return False
    return _INT16.min <= intercept <= _INT16.max


def place(stored: NDArray[Any], frame: Frame, target: NDArray[Any]) -> float:
    """Write the values of ``stored`` numbers into ``target``; the lowest of them is returned.

    Raises
    ------
    BeyondInt16Error
        Where ``target`` is int16 and cannot hold them.
    """
    table = frame.image.lookup_table
    if table is not None:
        _look_up(stored, table, target)
    elif target.dtype == np.int16:
        _, intercept = _checked(stored, frame)
        np.copyto(target, stored, casting="unsafe")
        # The stored value alone may wrap; the sum comes out right.
        target += np.int16(intercept)
    else:
        _rescale(stored, frame, target)
    return lowest(target)


def place_in_place(frame: Frame, target: NDArray[np.int16]) -> float:
    """As ``place``, where the bytes of ``target`` are the stored numbers of 16 bits already."""
    image = frame.image
    stored: NDArray[Any] = target if image.signed else target.view(np.uint16)
    used = used_bits(stored, image)
    if used is not stored:
        stored[...] = used
    lowest_value, intercept = _checked(stored, frame)
    if intercept:
        # As above.
        target += np.int16(intercept)
    return float(lowest_value)


def is_padding(stored: NDArray[Any], padding: tuple[float, float]) -> NDArray[np.bool_]:
    """Which stored numbers stand for no value (DICOM PS3.3, C.7.5.1.1.2)."""
    least, greatest = padding
    return np.asarray((stored >= least) & (stored <= greatest))


def _checked(stored: NDArray[Any], frame: Frame) -> tuple[int, int]:
    """The least of the values, and the intercept; BeyondInt16Error where they do not fit."""
    assert frame.rescale_intercept is not None
    intercept = int(frame.rescale_intercept)
    low, high = int(stored.min()) + intercept, int(stored.max()) + intercept
    if low < _INT16.min or high > _INT16.max:
        raise BeyondInt16Error
    return low, intercept


def _rescale(stored: NDArray[Any], frame: Frame, target: NDArray[Any]) -> None:
    slope, intercept = frame.rescale_slope, frame.rescale_intercept
    assert slope is not None
    assert intercept is not None
    if stored.itemsize > 2:
        # Beyond what a float32 can count; a value that no float32 holds becomes infinite.
        with np.errstate(over="ignore", invalid="ignore"):
            target[...] = stored.astype(np.float64) * slope + intercept
    else:
        np.multiply(stored, np.float32(slope), out=target, dtype=np.float32)
        target += np.float32(intercept)
    if frame.image.is_parametric_map and frame.image.padding:
        target[is_padding(stored, frame.image.padding)] = np.nan


def _look_up(stored: NDArray[Any], table: LookupTable, target: NDArray[Any]) -> None:
    values = np.asarray(table.values, np.float64)
    if target.dtype == np.int16 and (values.min() < _INT16.min or values.max() > _INT16.max):
        raise BeyondInt16Error
    index = np.clip(stored.astype(np.int64) - table.first, 0, len(values) - 1)
    np.take(values.astype(target.dtype), index, out=target)
