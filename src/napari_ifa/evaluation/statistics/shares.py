"""95 % intervals of shares of cases: of one, of a mean over classes, and of a paired difference.

Cases of one patient are not independent. Where groups are given, each number of cases is first
brought down to that of independent ones (`independent_share`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_ifa.evaluation.numbers import Bools, Floats
from napari_ifa.evaluation.statistics.independence import Groups, independent_share
from napari_ifa.evaluation.statistics.intervals import Interval

_Z = 1.959963984540054
#: Classes with fewer (independent) cases have no variance of their own.
_LEAST_OF_A_CLASS = 2
_STEPS = 60
_GROUPED = " for groups"


def of_share(right: Bools, groups: Groups = None) -> Interval:
    """Of the share of cases ``[N]`` that are right (Wilson, JASA 1927); none without a case."""
    cases = len(right)
    if not cases:
        return Interval()
    share = float(right.mean())
    number = cases * independent_share(right.astype(float) - share, groups)
    low, high = _wilson(share, number)
    found = Interval(low, high, "Wilson" + _GROUPED * (number != cases))
    return found if number > 0 else Interval()


def _wilson(share: float, number: float) -> tuple[float, float]:
    """Ends for a share of ``number`` trials, not necessarily a whole number of them."""
    middle = (share + _Z**2 / (2 * number)) / (1 + _Z**2 / number)
    half = np.sqrt(share * (1 - share) / number + (_Z / (2 * number)) ** 2)
    half *= _Z / (1 + _Z**2 / number)
    low = 0.0 if share == 0 else float(middle - half)
    return low, 1.0 if share == 1 else float(middle + half)


def of_mean_share(right: Sequence[Bools], groups: Sequence[Groups] = ()) -> Interval:
    """Of the mean over classes of the share of right cases, each class ``[n_c]`` with one or more.

    A score interval: it holds every mean θ with (B − θ)² ≤ z²·V(θ), where B is the mean of the
    shares and V(θ) = Σ_c p_c(1 − p_c)/(n_c − 1) / C² at the likeliest p_c whose mean is θ. For one
    class it is Wilson's. The n − 1 makes up for the p_c being estimates: with many classes of few
    cases n would lose a share 1/n of the variance. A class with fewer than two cases has no
    variance of its own and takes that of the mean, θ(1 − θ)/n.

    For a class with x of n right the likeliest p solves x/p − (n − x)/(1 − p) = λ, with the same λ
    in every class; λ is found by bisection on either side of 0, where p = x/n.
    """
    counts = np.array([len(one) for one in right], float)
    shares = np.array([one.mean() for one in right])
    if groups and groups[0] is not None:
        influence = np.concatenate([(one - one.mean()) / len(one) for one in right])
        counts *= independent_share(influence, np.concatenate([g for g in groups if g is not None]))
    if not np.isfinite(counts).all():
        return Interval()
    low, high = _score_ends(shares, counts)
    grouped = _GROUPED * bool(counts.sum() != sum(map(len, right)))
    return Interval(low, high, f"{'score' if len(shares) > 1 else 'Wilson'}{grouped}")


def _score_ends(shares: Floats, counts: Floats) -> tuple[float, float]:
    mean, classes = float(shares.mean()), len(shares)
    successes = shares * counts
    alone = (counts < _LEAST_OF_A_CLASS) & (classes > 1)
    divisor = np.where(alone | (classes == 1), counts, counts - 1)

    def at(multiplier: float) -> tuple[float, bool]:
        """The mean θ for λ, and whether it lies beyond the interval."""
        b = multiplier + counts
        root = np.sqrt(np.maximum(b * b - 4 * multiplier * successes, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(b > 0, 2 * successes / (b + root), (b - root) / (2 * multiplier))
        p = np.clip(p, 0.0, 1.0)
        theta = float(p.mean())
        variance = np.where(alone, theta * (1 - theta), p * (1 - p)) / divisor
        return theta, (mean - theta) ** 2 > _Z**2 * float(variance.sum()) / classes**2

    def end(sign: float) -> float:
        inside, outside = 0.0, 1.0
        while not at(sign * outside)[1]:
            inside, outside = outside, 4 * outside
        for _ in range(_STEPS):
            middle = (inside + outside) / 2
            if at(sign * middle)[1]:
                outside = middle
            else:
                inside = middle
        return at(sign * inside)[0]

    return 0.0 if mean == 0 else end(1.0), 1.0 if mean == 1 else end(-1.0)


def of_lost_share(
    before: Bools, after: Bools, groups: Groups = None, level: float = 0.95
) -> Interval:
    """Of the share right before less the share right after, over the same cases ``[N]`` each.

    The shares of cases that are lost and that are gained have Clopper and Pearson's ends, which
    never promise too much; those of their difference follow from them (MOVER: Zou and Donner, Stat
    Med 2008, with the correlation of the two shares). Either end alone is one of (1 + level)/2.
    """
    lost, gained = before & ~after, after & ~before
    change = lost.astype(float) - gained
    number = len(change) * independent_share(change - change.mean(), groups) if len(change) else 0.0
    if not number > 0:
        return Interval()
    one, other = float(lost.mean()), float(gained.mean())
    lost_low, lost_high = _clopper_pearson(one, number, level)
    gained_low, gained_high = _clopper_pearson(other, number, level)
    together = np.sqrt(one * other / ((1 - one) * (1 - other))) if max(one, other) < 1 else 0.0

    def reach(first: float, second: float) -> float:
        return float(np.sqrt(first**2 + second**2 + 2 * together * first * second))

    return Interval(
        max(-1.0, one - other - reach(one - lost_low, gained_high - other)),
        min(1.0, one - other + reach(lost_high - one, other - gained_low)),
        "MOVER of Clopper and Pearson's" + _GROUPED * (number != len(change)),
    )


def _clopper_pearson(share: float, number: float, level: float) -> tuple[float, float]:
    """Ends for a share of ``number`` trials, not necessarily a whole number of them."""
    from scipy.stats import beta

    tail, x = (1 - level) / 2, share * number
    low = 0.0 if share == 0 else float(beta.ppf(tail, x, number - x + 1))
    return low, 1.0 if share == 1 else float(beta.ppf(1 - tail, x + 1, number - x))
