"""Mean and squared deviations of two sets of values together, from those of each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def merged_moments(
    one: tuple[Counts, Floats, Floats], other: tuple[Counts, Floats, Floats]
) -> tuple[Floats, Floats]:
    """Mean and summed squared deviations of both sets (Chan, Golub and LeVeque, 1979).

    Each set is given by its number of values, their mean and their squared deviations from it,
    summed, in shapes that fit one another. It stays exact where the mean is large beside the
    spread, which a sum of squares does not. Two empty sets have a mean of 0.
    """
    number, mean, deviations = one
    other_number, other_mean, other_deviations = other
    share = other_number / np.maximum(number + other_number, 1)
    difference = other_mean - mean
    together = deviations + other_deviations + difference**2 * share * number
    return mean + share * difference, together
