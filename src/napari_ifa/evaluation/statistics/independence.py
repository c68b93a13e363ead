"""How many independent cases a number rests on where several cases are of one patient."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.evaluation.numbers import Floats, Ints

Groups = Ints | None

#: With fewer groups than this behind what varies, how alike their cases are cannot be estimated.
_FEWEST = 5


def independent_share(influence: Floats, groups: Groups) -> float:
    """By what the number of cases is to be multiplied to make it one of independent cases.

    1 / (design effect · (t / z)²): the design effect is the variance of the estimate over whole
    groups by its variance over cases (Kish, Survey Sampling, 1965), never below 1; the second part
    is for the groups being few (Korn and Graubard, Surv Methodol 1998). Where what varies lies in
    fewer than five groups, cases of one group are taken for copies of each other.

    Parameters
    ----------
    influence : ``[N]``, what each case adds to the estimate's deviation from the truth; for a
        share, right or wrong less the share itself.
    groups : ``[N]``, equal for cases of one patient; None where every case is on its own.

    Returns
    -------
    1 without groups, and NaN where all cases are of one.
    """
    from scipy.stats import norm, t

    if groups is None:
        return 1.0
    sizes = np.unique(groups, return_counts=True)[1]
    number, cases = len(sizes), len(groups)
    if number == cases:
        return 1.0
    if number < 2:
        return float("nan")
    sums = summed(influence, groups)
    squares = float((sums**2).sum())
    effect = float((sizes**2).sum()) / cases
    # How many groups the sum of squares is spread over.
    if squares > 0 and squares**2 >= _FEWEST * float((sums**4).sum()):
        effect = max(1.0, number / (number - 1) * squares / float((influence**2).sum()))
    few = float(norm.ppf(0.975) / t.ppf(0.975, number - 1))
    return few**2 / effect


def number_of(groups: Groups, cases: int) -> int:
    """Groups among ``cases`` cases; every case is one where none are given."""
    return cases if groups is None else len(np.unique(groups))


def summed(values: Floats, groups: Groups) -> Floats:
    """Values ``[N]`` summed over each group ``[G]``; themselves without groups."""
    if groups is None:
        return values
    numbers = np.unique(groups, return_inverse=True)[1]
    return np.bincount(numbers, values).astype(float)


def of_some(groups: Groups, chosen: NDArray[Any] | np.bool_) -> Groups:
    """The groups of some of the cases, which are given as truths ``[N]`` or by number."""
    return None if groups is None else groups[chosen]
