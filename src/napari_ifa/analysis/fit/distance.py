"""How far a case lies from the cohort in one statistic, by the cohort's own spread.

The Mahalanobis distance with a covariance that is shrunken towards equal variances (Ledoit and
Wolf, J Multivar Anal 2004), so that it holds with more numbers than cases. The cohort's own cases
get theirs from the others alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Least standard deviation of a number, as a share of that of all the statistic's numbers together:
#: a background that is exactly zero in every case would make any other value infinitely far.
_FLOOR = 0.02
#: The same as a share of the largest number: below it float32 knows no difference.
_RESOLUTION = 1e-6
#: Least shrinkage of the covariance.
_LEAST_SHRINKAGE = 1e-6
#: Directions with less than this share of the ridge's variance are left to the ridge.
_NEGLIGIBLE = 1e-2
#: Parts of the cohort that are left out in turn. The more there are, the nearer is each part's
#: spread to the whole one's, by which other cases are measured; 200 or fewer patients are left out
#: one by one where that costs no more than this many operations.
_LEAST_FOLDS, _MOST_FOLDS, _OPERATIONS = 8, 200, 1e10


@dataclass(frozen=True, eq=False)
class Spread:
    """Mean and shrunken covariance of one statistic of d numbers over a cohort.

    Attributes
    ----------
    mean, deviation : ``[d]``, the latter with its floor; numbers are measured in deviations from
        the mean.
    axes : ``[r, d]``, orthonormal directions that have a variance of their own.
    variance : ``[r]``, that of the axes.
    rest : the variance in every other direction.
    """

    mean: Floats
    deviation: Floats
    axes: Floats
    variance: Floats
    rest: float

    @classmethod
    def of(cls, values: Floats) -> Spread:
        """Of finite ``values [n, d]``, one row per case."""
        cases, size = values.shape
        mean = values.mean(axis=0)
        floor = max(_FLOOR * values.std(), _RESOLUTION * np.abs(values).max(), 1e-30)
        deviation = np.maximum(values.std(axis=0), floor)
        scaled = (values - mean) / deviation
        average = float((scaled**2).mean())
        if average == 0:  # every case is the same
            return cls(mean, deviation, np.zeros((0, size)), np.zeros(0), 1.0)
        # The same eigenvalues on the smaller side.
        if cases < size:
            squares, rows = np.linalg.eigh(scaled @ scaled.T)
        else:
            squares, rows = np.linalg.eigh(scaled.T @ scaled)
        shrinkage = _shrinkage(scaled, squares)
        rest = shrinkage * average
        own = (1 - shrinkage) * squares / cases
        kept = own > _NEGLIGIBLE * rest
        axes = rows[:, kept].T
        if cases < size:
            axes = axes @ scaled / np.sqrt(squares[kept])[:, None]
        return cls(mean, deviation, axes, own[kept] + rest, rest)

    def distance(self, values: Floats) -> Floats:
        """``[n]`` of ``values [n, d]``; NaN for a row that is not finite."""
        known = np.isfinite(values).all(axis=1)
        scaled = (values[known] - self.mean) / self.deviation
        along = (scaled @ self.axes.T) ** 2
        beside = np.clip((scaled**2).sum(axis=1) - along.sum(axis=1), 0.0, None)
        result = np.full(len(values), np.nan)
        result[known] = np.sqrt(along @ (1 / self.variance) + beside / self.rest)
        return result


def distances_from_others(values: Floats, folds: NDArray[np.int64]) -> Floats:
    """``[n]``: each row of finite ``values [n, d]`` against the rows of the other folds ``[n]``."""
    result = np.full(len(values), np.nan)
    for fold in np.unique(folds):
        mine = folds == fold
        if not mine.all():
            result[mine] = Spread.of(values[~mine]).distance(values[mine])
    return result


def dealt_folds(together: NDArray[np.uint64], size: int) -> NDArray[np.int64]:
    """Folds ``[n]`` of cases; those with the same number in ``together [n]`` are in the same one.

    Groups are dealt in the order of their numbers, which are hashes: the folds depend on what the
    cases are, and not on where they stand. ``size`` is how many numbers each case has.
    """
    _, rank = np.unique(together, return_inverse=True)
    side = min(len(together), size)
    once = len(together) * size * side + 10.0 * side**3
    folds = int(np.clip(_OPERATIONS / max(once, 1.0), _LEAST_FOLDS, _MOST_FOLDS))
    return np.asarray(rank % folds, np.int64)


def _shrinkage(scaled: Floats, squares: Floats) -> float:
    """Ledoit and Wolf's share (2004, lemma 3.2 to 3.4) of equal variances in the covariance.

    As scikit-learn's ``ledoit_wolf_shrinkage``, from the eigenvalues that are there already: those
    of ``scaled' scaled``, for ``scaled [n, d]`` with mean zero.
    """
    cases, size = scaled.shape
    average = squares.sum() / (cases * size)
    spread = (squares**2).sum() / cases**2
    distance = spread / size - average**2
    noise = (((scaled**2).sum(axis=1) ** 2).sum() / cases - spread) / (cases * size)
    if distance <= 0:
        return 1.0
    return float(np.clip(noise / distance, _LEAST_SHRINKAGE, 1.0))
