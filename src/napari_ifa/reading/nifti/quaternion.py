"""The rotation of a qform, which is stored as three of the four numbers of a unit quaternion."""

from __future__ import annotations

from typing import Any

import numpy as np

_STORED = ("quatern_b", "quatern_c", "quatern_d")
#: The squares of the three may add up to more than 1 by this much: they were rounded, to single
#: precision or to the digits of a text.
_ROUNDING = 1e-3


def unite(header: Any) -> None:
    """Bring a quaternion that rounding made longer than 1 back to it, in ``header`` itself.

    It then stands for half a turn, about the axis of the three numbers, as the reference library
    takes it (niftilib, ``nifti_quatern_to_mat44``). nibabel refuses it from 4e-7 on
    (https://github.com/nipy/nibabel/issues/626). What is much longer is no rotation and stays.
    """
    numbers = np.array([float(header[name]) for name in _STORED])
    square = float(numbers @ numbers)
    if not 1 < square <= 1 + _ROUNDING:
        return
    # A last digit below 1, so that the rounding to single precision does not lead above it.
    for name, number in zip(_STORED, numbers / np.sqrt(square) * (1 - 1e-7), strict=True):
        header[name] = number
