"""Between which values an image lies: all of them, and all but the rarest."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PERCENTILES = (0.5, 99.5)
#: Voxels looked at for percentiles.
_SAMPLE = 1_000_000


def full_range(array: NDArray[Any]) -> tuple[float, float]:
    """Least and greatest value that is not NaN; both 0 where one of them is no finite number."""
    with warnings.catch_warnings():
        # Of an image without a single number.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = float(np.nanmin(array)), float(np.nanmax(array))
    return (low, high) if np.isfinite([low, high]).all() else (0.0, 0.0)


def lowest(array: NDArray[Any]) -> float:
    """The least finite value; infinity where there is none."""
    low = float(array.min())
    if np.isfinite(low):
        return low
    return float(np.min(array, where=np.isfinite(array), initial=np.inf))


def usual_range(array: NDArray[Any]) -> tuple[float, float]:
    """From the 0.5th to the 99.5th percentile of the finite values; 0 and 1 where there is none.

    In a nearly empty image, where the two are equal, from the least value to the greatest: the few
    that differ are what there is to see.
    """
    sample = _sample(array)
    if not sample.size:
        return 0.0, 1.0
    low, high = np.percentile(sample, _PERCENTILES)
    if high <= low:
        low, high = sample.min(), sample.max()
    return float(low), float(high)


def _sample(array: NDArray[Any]) -> NDArray[np.float32]:
    """Finite values, evenly from all of the image; few enough to sort."""
    stride = max(1, round((array.size / _SAMPLE) ** (1 / 3)))
    sample = array[::stride, ::stride, ::stride].astype(np.float32)
    return sample[np.isfinite(sample)]
