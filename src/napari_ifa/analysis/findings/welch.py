"""Welch's t from stored means, variances and numbers of cases, and p for many of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
#: Means and variances ``[F, C]`` over cases ``[C]``.
Moments = tuple[Floats, Floats, Counts]

#: A spread below this share of the mean is float32's rounding and counts as none.
_ROUNDING = 1e-6


def welch(one: Moments, other: Moments) -> tuple[Floats, Floats]:
    """Welch's t and its two-sided p ``[F, C]`` from means, variances ``[F, C]`` and cases ``[C]``.

    A class with fewer than two cases on a side is NaN. Where neither side varies there is no t:
    equal means have p = 1, and different ones the p of the exact permutation test, 2 over the
    number of ways to deal the cases to the two sides, which is the least that so many cases allow.
    """
    from scipy.special import binom
    from scipy.stats import ttest_ind_from_stats

    mean, variance, cases = one
    other_mean, other_variance, other_cases = other
    enough = (cases > 1) & (other_cases > 1)
    rounding = _ROUNDING * np.maximum(np.abs(mean), np.abs(other_mean))
    still = np.maximum(variance, other_variance) <= rounding**2
    equal = np.abs(mean - other_mean) <= rounding
    with np.errstate(divide="ignore", invalid="ignore"):
        result = ttest_ind_from_stats(
            mean,
            np.sqrt(variance),
            np.maximum(cases, 2),
            other_mean,
            np.sqrt(other_variance),
            np.maximum(other_cases, 2),
            equal_var=False,
        )
        least = np.minimum(1.0, 2.0 / binom(cases + other_cases, cases))
    t, p = np.array(result.statistic), np.array(result.pvalue)
    t = np.where(still, np.where(equal, 0.0, np.copysign(np.inf, mean - other_mean)), t)
    p = np.where(still, np.where(equal, 1.0, least), p)
    return np.where(enough, t, np.nan), np.where(enough, p, np.nan)


def benjamini_hochberg(p: Floats) -> Floats:
    """Adjusted p over all that are numbers (Benjamini and Hochberg, 1995); NaN stays NaN."""
    from scipy.stats import false_discovery_control

    adjusted = np.full(p.shape, np.nan)
    known = np.isfinite(p)
    if known.any():
        adjusted[known] = false_discovery_control(p[known], method="bh")
    return adjusted
