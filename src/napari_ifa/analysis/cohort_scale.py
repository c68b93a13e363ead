"""From the numbers of a cohort to its common scale, and how well the cohort tells that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import FOCAL_RATIO, CommonScale, ScaleChoice
from napari_ifa.errors import AnalysisError

Floats = NDArray[np.float64]

#: Percentages at which a case's own distribution over its voxels is kept.
CASE_PERCENTAGES = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 100.0)
#: Cohorts drawn anew from the cases, and numbers that are held for them at a time.
_DRAWN, _NUMBERS = 1000, 2**24
#: Values at which the distribution of a drawn cohort is known.
_PLACES = 257
_SEED = 0


@dataclass(frozen=True, eq=False)
class CaseValues:
    """What is kept of every case's class activation, of one class or of several.

    Attributes
    ----------
    least, greatest : ``[N, C]``, in logits.
    quantiles : ``[N, C, 9]`` at `CASE_PERCENTAGES`; None where they are not kept.
    groups : ``[N]``, equal for cases of one patient; None where every case is one.
    """

    least: Floats
    greatest: Floats
    quantiles: Floats | None = None
    groups: NDArray[np.int64] | None = None

    @property
    def magnitudes(self) -> Floats:
        """Each case's greatest magnitude, ``[N, C]``."""
        return np.maximum(np.abs(self.least), np.abs(self.greatest))

    def drawn(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """A statistic ``[B]`` of cohorts that are drawn anew, by the cases' weights ``[B, N]``.

        Patients are drawn, with all their cases (the bootstrap of clusters).
        """
        groups = self.groups
        _, member = np.unique(
            np.arange(len(self.least)) if groups is None else groups, return_inverse=True
        )
        count = int(member.max()) + 1
        generator = np.random.default_rng(_SEED)
        at_once = max(1, _NUMBERS // max(len(member), count))
        found = []
        for first in range(0, _DRAWN, at_once):
            size = min(at_once, _DRAWN - first)
            weights = generator.multinomial(count, np.full(count, 1 / count), size)
            found.append(statistic(weights[:, member].astype(float)))
        return np.concatenate(found)


def cohort_scale(
    distribution: Distribution, values: CaseValues, choice: ScaleChoice
) -> CommonScale:
    """The scale of one class, or of several as one where there are more in ``values``.

    Parameters
    ----------
    distribution : of all voxels' class activations, as one class.
    values : of the cases.
    choice : form, basis, scope and percentiles.

    Raises
    ------
    AnalysisError
        For a constant cohort, or counts of an earlier version that cannot tell the two percentiles
        apart.
    """
    basis, ratio = str(choice.basis), None
    if choice.basis == "auto":
        ratio = focal_ratio(distribution, values)
        basis = "extremes" if ratio > FOCAL_RATIO else "voxels"
    low, high = choice.percentiles_on(basis)
    off = 0.0
    if choice.form == "centred":
        if basis == "extremes":
            p_high = float(np.percentile(values.magnitudes, high))
        else:
            p_high = distribution.magnitude_percentile(high)
        p_low = -p_high
    elif basis == "extremes":
        p_low = float(np.percentile(values.least, low))
        p_high = float(np.percentile(values.greatest, high))
    else:
        p_low, p_high = distribution.percentile([low, high])
        off = float(distribution.uncertainty([low, high]).sum())
        if off > 0 and p_high - p_low <= off:
            raise AnalysisError(
                AnalysisProblem.TOO_COARSE, low=low, high=high, p_low=p_low, off=off
            )
    return CommonScale(
        float(p_low),
        float(p_high),
        low,
        high,
        basis,
        choice.scope,
        off,
        choice.form,
        ratio,
        len(values.least),
        partial(_width_interval, values, basis, choice.form, (low, high), float(p_high - p_low)),
    )


def focal_ratio(distribution: Distribution, values: CaseValues) -> float:
    """P90 of the cases' greatest magnitude over P90 of the voxels' magnitudes.

    27 to 144 where evidence is focal, 1.3 to 3.4 elsewhere; infinite where most voxels are 0.
    """
    strongest = float(np.percentile(values.magnitudes, 90))
    usual = distribution.magnitude_percentile(90)
    return strongest / usual if usual > 0 else float("inf")


def _width_interval(
    values: CaseValues, basis: str, form: str, percentages: tuple[float, float], width: float
) -> tuple[float, float] | None:
    """95 % bootstrap interval of ``p_high - p_low``; None where it cannot be told."""
    cases = values.least.shape[0]
    if cases < 2 or (basis == "voxels" and values.quantiles is None):
        return None
    low, high = percentages
    ends: tuple[Callable[[Floats, float], Floats], Callable[[Floats, float], Floats]]
    if basis == "voxels":
        pooled = _Pooled.of(values, form == "centred")
        ends = pooled.percentile, pooled.percentile
    else:
        strongest = values.magnitudes if form == "centred" else values.greatest
        ends = partial(_percentile, values.least), partial(_percentile, strongest)

    def widths(weights: Floats) -> Floats:
        upper = ends[1](weights, high)
        return upper if form == "centred" else upper - ends[0](weights, low)

    # Beside that of the cohort itself, for between a case's quantiles its values are not known.
    own = float(widths(np.ones((1, cases)))[0])
    if not own > 0:
        return None
    first, last = np.percentile(values.drawn(widths), [2.5, 97.5]) / own
    return float(first) * width, float(last) * width


def _percentile(values: Floats, weights: Floats, percent: float) -> Floats:
    """Percentiles ``[B]`` of values ``[N, C]`` that count as often as ``weights [B, N]`` says."""
    cases, classes = values.shape
    order = np.argsort(values, axis=None)
    ranked, owner = values.ravel()[order], np.arange(cases).repeat(classes)[order]
    reached = np.cumsum(weights[:, owner], axis=1)
    wanted = percent / 100 * reached[:, -1:]
    place = (reached < wanted).sum(axis=1)
    return ranked[np.minimum(place, len(ranked) - 1)]


@dataclass(frozen=True, eq=False)
class _Pooled:
    """Every case's share of voxels ``[N, J]`` up to each of J places."""

    places: Floats
    shares: Floats

    @classmethod
    def of(cls, values: CaseValues, magnitude: bool) -> _Pooled:
        assert values.quantiles is not None
        quantiles = values.quantiles
        reach = np.abs(quantiles) if magnitude else quantiles
        places = np.unique(np.percentile(reach, np.linspace(0, 100, _PLACES)))
        shares = np.empty((len(quantiles), len(places)))
        at = np.array(CASE_PERCENTAGES) / 100
        for case, of_case in enumerate(quantiles):
            below = [_share(places, one, at) for one in of_case]
            # Of magnitudes, those below -t do not count among those up to t.
            beyond = [_share(-places, one, at) for one in of_case] if magnitude else [0.0]
            shares[case] = np.mean(below, axis=0) - np.mean(beyond, axis=0)
        return cls(places, shares)

    def percentile(self, weights: Floats, percent: float) -> Floats:
        """Of each drawn cohort ``[B]``; the cases' maps have one size."""
        share = weights @ self.shares / weights.sum(axis=1, keepdims=True)
        wanted = percent / 100
        after = np.clip((share < wanted).sum(axis=1), 1, share.shape[1] - 1)
        rows = np.arange(len(share))
        before, behind = share[rows, after - 1], share[rows, after]
        part = (wanted - before) / np.where(behind > before, behind - before, 1)
        start, end = self.places[after - 1], self.places[after]
        return np.asarray(start + np.clip(part, 0, 1) * (end - start))


def _share(places: Floats, quantiles: Floats, at: Floats) -> Floats:
    """The share of a case's values below each place, straight lines between its quantiles."""
    # Equal quantiles are a step, which counts from its place on.
    last = np.append(quantiles[1:] > quantiles[:-1], True)
    return np.interp(places, quantiles[last], at[last], left=0.0, right=1.0)
