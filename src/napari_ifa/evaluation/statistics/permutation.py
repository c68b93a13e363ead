"""Which features differ between two cohorts, by dealing their patients out to the two sides anew.

Whatever the distribution of the contributions and however they depend on one another, a patient
of either cohort might as well have stood in the other where the two do not differ. So the least p
over all features and classes is compared with what deals make of it (Westfall and Young, 1993).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_ifa.evaluation.numbers import Floats

#: Ways in which the patients are dealt out, beside the true one; the least p is 1 over one more.
DEALS = 999
#: Degrees of freedom that the variance of both sides together counts for on either side. The own
#: variance of few patients is uncertain, and near 0 for a feature that is active in none of them.
_SHARED_DEGREES = 2.0
#: Features that differ most, which are stepped down one by one; the rest is one more step.
_STEPS = 512
#: Numbers of a block of deals.
_BLOCK_NUMBERS = 2**21
#: A spread below this share of the largest value is float32's rounding and counts as none.
_ROUNDING = 1e-6
#: Statistics nearer to one another than this share are of equal deals.
_TIE = 1e-9


@dataclass(frozen=True, eq=False)
class Dealt:
    """What the deals say; NaN where a class could not be tested.

    Attributes
    ----------
    t : ``[F, C]``, difference of the means over its standard error, first side minus second; the
        variance of each side is drawn towards that of both.
    adjusted : ``[F, C]``, share of deals whose least p over all features and classes (those that
        differ more left out, Westfall and Young's step-down) is at most the feature's own.
    adjusted_sum : ``[C]``, share of deals in which the class with the largest standardised sum of
        t² over its features has at least the sum of this class.
    p_any : twice the least of both (Bonferroni over the two tests); None where no class could be
        tested.
    """

    t: Floats
    adjusted: Floats
    adjusted_sum: Floats
    p_any: float | None


def least_p(one: int, other: int) -> float:
    """The least p that so many patients on the two sides allow.

    Of n + m patients n can stand on one side in (n + m)! / (n! m!) ways; where n = m each of these
    has a mirror image with the same difference.
    """
    from scipy.special import binom

    if min(one, other) < 1:
        return 1.0
    return min(1.0, (2.0 if one == other else 1.0) / float(binom(one + other, one)))


def compared(classes: Sequence[tuple[Floats, Floats] | None], features: int) -> Dealt:
    """Compare two cohorts class by class.

    The deals are drawn by a seed that is made from the contributions: the same for the same files,
    and another for others, since the chance of a false call is the stated one on average over
    deals, not for one set of them.

    Statistic of a feature: |t| as a normal score (Wallace, 1959), so that classes of different
    sizes compare. Any statistic would do for the p to hold; this one keeps features that are
    active in few patients from drowning the rest.

    Parameters
    ----------
    classes : for each class the contributions ``[n, F]`` of one cohort's independent cases or
        patients and ``[m, F]`` of the other's; None for a class to leave out.
    features : F.
    """
    t, score = (np.full((features, len(classes)), np.nan) for _ in range(2))
    pools: dict[int, _Pool] = {}
    for c, sides in enumerate(classes):
        if sides is not None:
            pools[c] = pool = _Pool.of(*sides)
            squared = pool.squared_t(pool.true_deal())[0]
            t[:, c] = np.copysign(np.sqrt(squared), sides[0].mean(axis=0) - sides[1].mean(axis=0))
            score[:, c] = pool.score(squared)
    adjusted, adjusted_sum = np.full_like(t, np.nan), np.full(len(classes), np.nan)
    if not pools:
        return Dealt(t, adjusted, adjusted_sum, None)
    order = np.argsort(np.where(np.isnan(score), np.inf, -score), axis=None, kind="stable")
    order = order[: int(np.isfinite(score).sum())]
    first = np.zeros(score.size, bool)
    first[order[:_STEPS]] = True
    step_of = {int(place): step for step, place in enumerate(order[:_STEPS])}
    single = np.zeros((DEALS + 1, len(step_of)))
    rest = np.zeros(DEALS + 1)
    sums = np.zeros((DEALS + 1, len(pools)))
    rng = np.random.default_rng(_seed(pools.values()))
    for place, (c, pool) in enumerate(pools.items()):
        alone = first.reshape(score.shape)[:, c]
        steps = [step_of[int(f) * score.shape[1] + c] for f in np.flatnonzero(alone)]
        for block, dealt in pool.deals(rng):
            sums[block, place] = dealt.sum(axis=1)
            single[block, steps] = pool.score(dealt[:, alone])
            if not alone.all():
                most = pool.score(dealt[:, ~alone].max(axis=1))
                rest[block] = np.maximum(rest[block], most)
    # The greatest of each step and of all that differ less; the first column is that of all.
    greatest = np.maximum.accumulate(np.column_stack([rest, single[:, ::-1]]), axis=1)[:, ::-1]
    observed = score.ravel()[order]
    p = _at_least(greatest[:, :-1], observed[: single.shape[1]])
    beyond = _at_least(rest[:, None], observed[single.shape[1] :])
    adjusted.ravel()[order] = np.maximum.accumulate(np.concatenate([p, beyond]))
    # Sums of many classes compare after standardising, which treats the true deal like the others.
    spread = sums.std(axis=0)
    sums = (sums - sums.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    largest = sums.max(axis=1)
    adjusted_sum[list(pools)] = _at_least(largest[:, None], sums[0])
    better = min(float(np.nanmin(adjusted)), float(np.nanmin(adjusted_sum)))
    return Dealt(t, adjusted, adjusted_sum, min(1.0, 2 * better))


@dataclass(frozen=True, eq=False)
class _Pool:
    """The patients of both sides of a class, centred: the first ``number`` are the first side's."""

    values: Floats
    squares: Floats
    number: int
    rounding: Floats

    @classmethod
    def of(cls, one: Floats, other: Floats) -> _Pool:
        both = np.concatenate([one, other])
        rounding = _ROUNDING * np.abs(both).max(axis=0)
        centred = both - both.mean(axis=0)
        return cls(centred, centred**2, len(one), rounding)

    def true_deal(self) -> Floats:
        """``[1, n + m]``."""
        return (np.arange(len(self.values)) < self.number).astype(np.float64)[None]

    def deals(self, rng: np.random.Generator) -> Iterator[tuple[slice, Floats]]:
        """Blocks of rows ``[deals, F]`` of t², the true deal first."""
        cases, features = self.values.shape
        size = max(1, _BLOCK_NUMBERS // max(cases, features))
        for start in range(0, DEALS + 1, size):
            block = slice(start, min(start + size, DEALS + 1))
            keys = rng.random((block.stop - block.start, cases))
            if start == 0:
                keys[0] = np.arange(cases)
            deal = np.zeros_like(keys)
            chosen = np.argpartition(keys, self.number - 1, axis=1)[:, : self.number]
            np.put_along_axis(deal, chosen, 1.0, axis=1)
            yield block, self.squared_t(deal)

    def squared_t(self, deals: Floats) -> Floats:
        """Of deals ``[D, n + m]`` of 1 for the first side; ``[D, F]``.

        The variance of a side of n is (S + ν·s²) / (n − 1 + ν), where S are its squared deviations
        from its mean, s² the variance of both sides together and ν the degrees it counts for.
        """
        cases, one = len(self.values), self.number
        other = cases - one
        weight, other_weight = (1 / n / (n - 1 + _SHARED_DEGREES) for n in (one, other))
        total = self.squares.sum(axis=0)
        shared = total / (cases - 1)
        # S of one side is q − a²/n with sums a and q of values and squares; the other side's sums
        # are −a and the rest of the squares.
        mean_part = weight / one + other_weight / other
        fixed = _SHARED_DEGREES * shared * (weight + other_weight) + total * other_weight
        difference = deals @ self.values
        difference *= difference
        error = deals @ self.squares
        error *= weight - other_weight
        error += fixed
        error -= mean_part * difference
        difference *= (1 / one + 1 / other) ** 2
        still = np.sqrt(shared) <= self.rounding
        with np.errstate(divide="ignore", invalid="ignore"):
            difference /= error
        difference[:, still] = 0.0
        return difference

    def score(self, squared_t: Floats) -> Floats:
        """|t| as a normal score."""
        degrees = len(self.values) - 2
        factor = (8 * degrees + 1) / (8 * degrees + 3)
        return np.asarray(factor * np.sqrt(degrees * np.log1p(squared_t / degrees)))


def _seed(pools: Iterable[_Pool]) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for pool in pools:
        digest.update(np.ascontiguousarray(pool.values).data)
    return int.from_bytes(digest.digest(), "little")


def _at_least(dealt: Floats, observed: Floats) -> Floats:
    """Share of the rows of ``dealt [D, n or 1]`` that reach each of ``observed [n]``."""
    if dealt.shape[1] == 1:
        ordered = np.sort(dealt[:, 0])
        below = np.searchsorted(ordered, observed - _TIE * np.abs(observed), side="left")
        return 1.0 - below / len(ordered)
    return np.asarray((dealt >= observed - _TIE * np.abs(observed)).mean(axis=0))
