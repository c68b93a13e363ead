"""Whether values are jointly normal: the test of Henze and Zirkler."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.evaluation.numbers import Floats

#: Rows of the matrix of distances that are held at a time.
_ROWS = 512
#: A variance below this share of the largest one, after standardising, is rounding.
_DEGENERATE = 1e-10


@dataclass(frozen=True)
class Normality:
    """The outcome of a test whose null hypothesis is that the values are jointly normal.

    ``statistic`` and ``p`` are NaN where there are too few values, or values that do not vary.
    """

    statistic: float
    p: float


def henze_zirkler(values: ArrayLike) -> Normality:
    """Test ``values [n, d]`` for joint normality; it is invariant under any affine map of them.

    Henze and Zirkler, Communications in Statistics – Theory and Methods 19 (1990), 3595–3617: the
    statistic of section 1 with its smoothing parameter β, and p from the log-normal distribution
    with the mean and variance of section 3. Where the values lie in a space of fewer dimensions,
    as points on a line do, they are tested within that space.
    """
    given = np.asarray(values, dtype=float)
    points = _whitened(given) if len(given) > 2 else given[:, :0]
    n, d = points.shape
    if d == 0 or n < d + 2:
        return Normality(float("nan"), float("nan"))
    squared = (points**2).sum(axis=1)
    beta2 = 0.5 * ((2 * d + 1) * n / 4) ** (2 / (d + 4))
    pairs = 0.0
    for start in range(0, n, _ROWS):
        rows = slice(start, start + _ROWS)
        distance = squared[rows, None] + squared - 2 * points[rows] @ points.T
        pairs += np.exp(-beta2 / 2 * distance).sum()
    single = np.exp(-beta2 / (2 * (1 + beta2)) * squared).sum()
    statistic = pairs / n - 2 * (1 + beta2) ** (-d / 2) * single + n * (1 + 2 * beta2) ** (-d / 2)
    return Normality(float(statistic), _log_normal_p(float(statistic), d, beta2))


def _whitened(values: Floats) -> Floats:
    """Uncorrelated values of variance 1, ``[n, rank]``."""
    centred = values - values.mean(axis=0)
    spread = centred.std(axis=0)
    varying = spread > _DEGENERATE * np.abs(values).max(axis=0, initial=0.0)
    scaled = centred[:, varying] / spread[varying]
    if not scaled.size:
        return scaled
    variance, axes = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    kept = variance > _DEGENERATE * variance.max()
    return np.asarray(scaled @ axes[:, kept] / np.sqrt(variance[kept]))


def _log_normal_p(statistic: float, d: int, beta2: float) -> float:
    from scipy.stats import lognorm

    a = 1 + 2 * beta2
    w = (1 + beta2) * (1 + 3 * beta2)
    b4, b8 = beta2**2, beta2**4
    mean = 1 - a ** (-d / 2) * (1 + d * beta2 / a + d * (d + 2) * b4 / (2 * a**2))
    variance = (
        2 * (1 + 4 * beta2) ** (-d / 2)
        + 2 * a**-d * (1 + 2 * d * b4 / a**2 + 3 * d * (d + 2) * b8 / (4 * a**4))
        - 4 * w ** (-d / 2) * (1 + 3 * d * b4 / (2 * w) + d * (d + 2) * b8 / (2 * w**2))
    )
    sigma2 = np.log1p(variance / mean**2)
    return float(lognorm.sf(statistic, np.sqrt(sigma2), scale=mean * np.exp(-sigma2 / 2)))
