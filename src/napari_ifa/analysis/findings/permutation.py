"""Whether two sets of cases differ in any feature at all, by dealing the cases out anew."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Ways in which the cases are dealt out, beside the true one; the least p is 1 over one more.
DEALS = 199
#: A spread below this share of the largest value is rounding.
_ROUNDING = 1e-12


def any_difference(classes: Sequence[tuple[Floats, Floats]], seed: int = 0) -> float:
    """p that two cohorts' cases, class by class, come from one distribution.

    The statistic is the largest |t| of Welch over the features, made comparable among classes by
    the t distribution with the fewest degrees of freedom that Welch's can have, and the least of
    those over the classes. p = (1 + deals with a value as extreme) / (1 + deals): exact where the
    cases of a class are exchangeable, whatever their distribution and however the features depend
    on one another (Westfall and Young, 1993). Welch's own p is none of that far in its tail.

    Parameters
    ----------
    classes : for each class the contributions ``[n, F]`` of one cohort's cases and ``[m, F]`` of
        the other's, at least two each.
    seed : of the deals.
    """
    from scipy.stats import t as student

    rng = np.random.default_rng(seed)
    extremes = np.zeros((DEALS + 1, len(classes)))
    for c, (one, other) in enumerate(classes):
        largest = _largest_t(np.concatenate([one, other]), len(one), rng)
        degrees = min(len(one), len(other)) - 1
        extremes[:, c] = student.logsf(largest, degrees)
    extreme = extremes.min(axis=1)
    return float((extreme <= extreme[0]).mean())


def _largest_t(values: Floats, number: int, rng: np.random.Generator) -> Floats:
    """``[DEALS + 1]``: max over features of |t|, for the first ``number`` rows and by deals."""
    cases = len(values)
    centred = values - values.mean(axis=0)
    in_first = np.zeros((DEALS + 1, cases))
    in_first[0, :number] = 1.0
    for deal in in_first[1:]:
        deal[rng.permutation(cases)[:number]] = 1.0
    total, squares = centred.sum(axis=0), (centred**2).sum(axis=0)
    sums, square_sums = in_first @ centred, in_first @ centred**2
    parts = ((sums, square_sums, number), (total - sums, squares - square_sums, cases - number))
    error = np.zeros_like(sums)
    for part, part_squares, n in parts:
        variance = np.clip(part_squares - part**2 / n, 0.0, None) / (n - 1)
        error += variance / n
    difference = np.abs(sums / number - (total - sums) / (cases - number))
    # A feature that never varies says nothing; one that varies between the two alone, everything.
    rounding = _ROUNDING * np.abs(values).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(error)
    t = np.where(np.sqrt(error) <= rounding, np.where(difference <= rounding, 0.0, np.inf), t)
    return np.asarray(t.max(axis=1))
