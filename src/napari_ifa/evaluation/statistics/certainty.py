"""What p values and intervals of an evaluation say where the usual formula says too much."""

from __future__ import annotations

import math

import numpy as np

from napari_ifa.evaluation.numbers import Floats
from napari_ifa.evaluation.statistics.independence import Groups, number_of
from napari_ifa.evaluation.statistics.intervals import LEAST_DRAWN, Interval, of_mean

#: Below this a p value is rounding, and no test's distribution is known so far out.
LEAST_P = 1e-16
#: Why equal cases have no interval: resampling them cannot tell how far others would differ.
ALL_EQUAL = "no interval: all cases equal"
#: What is said of an interval of few cases, many of them equal.
TOO_NARROW = "it may be too narrow"
_FEW = f"no interval: fewer than {LEAST_DRAWN}"
#: Below this many cases, many equal ones leave the bootstrap too few others to draw from.
_ENOUGH = 50
_MANY_EQUAL = 0.2
_NONE = "no interval: no resample has a value"
#: Above this number of cases 2/n! is below `LEAST_P`.
_MOST_ORDERS = 18


def bounded_p(p: float) -> float:
    """A p value no smaller than `LEAST_P`; NaN stays NaN."""
    return p if math.isnan(p) else max(p, LEAST_P)


def bounded_rank_p(p: float, cases: int) -> float:
    """The same of a rank correlation: no smaller than 2/n! either.

    n cases have n! orders, two of which are perfect, so that no exact test can give less; the t
    approximation gives 0 for a coefficient of 1, whatever n is.
    """
    least = 2 / math.factorial(cases) if cases <= _MOST_ORDERS else 0.0
    return max(bounded_p(p), least) if not math.isnan(p) else p


def interval_of_mean(values: Floats, groups: Groups = None) -> Interval:
    """95 % interval of the mean of ``values [n]``; without one, ``method`` says why.

    ``method`` also says where fewer than 50 cases (or groups), many of them equal, make it too
    narrow.
    """
    drawn = number_of(groups, len(values))
    if drawn < LEAST_DRAWN:
        what = "cases" if drawn == len(values) else "patients or groups"
        return Interval(method=f"{_FEW} {what}")
    if np.ptp(values) == 0:
        return Interval(method=ALL_EQUAL)
    found = of_mean(values, groups)
    if not found.method:
        return Interval(method=_NONE)
    equal = float(np.unique(values, return_counts=True)[1].max()) / len(values)
    if drawn < _ENOUGH and equal > _MANY_EQUAL:
        return Interval(
            found.low,
            found.high,
            f"{found.method}; {equal:.0%} of so few are equal: {TOO_NARROW}",
        )
    return found


def unless_equal(low: float, high: float) -> tuple[float, float]:
    """The ends of a bootstrap interval; NaN where every resample gave the same."""
    return (low, high) if low < high else (math.nan, math.nan)
