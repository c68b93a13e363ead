"""Consistency: how well the sum of a map tells the network's answer, from case to case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.analysis.scale import CommonScale
from napari_ifa.evaluation.numbers import Floats, Ints, Numbers
from napari_ifa.evaluation.statistics.certainty import bounded_p, bounded_rank_p
from napari_ifa.evaluation.statistics.independence import Groups, number_of
from napari_ifa.evaluation.statistics.intervals import NO_INTERVAL, Interval, bootstrapped, pearson
from napari_ifa.evaluation.statistics.normality import henze_zirkler

if TYPE_CHECKING:
    from torch import Tensor

#: The kinds of map that are summed, in the order of `MapSums`.
KINDS = ("usual CAM", "class activation", "S-CAM", "S-CAM, one scale")
#: The kinds that can be pooled over classes: a scale for each class makes their sums incomparable.
_USUAL, _PLAIN, OWN_SCALE, _ONE_SCALE = range(len(KINDS))
_POOLED = (_USUAL, _PLAIN, _ONE_SCALE)
#: Percentile of the cases' greatest |activation| that the one scale maps to 0.9.
_STRONG = 90.0

#: A difference below this many roundings of float32 is no variation.
_ROUNDINGS = 8
#: Cases that the test of normality looks at, at most; it takes time with their square.
_MOST_TESTED = 5000
#: With fewer cases a test of normality misses much, and an interval is wide.
FEW = 20
#: Above this number of correlated pairs, classes have no interval of their own.
_MOST_RESAMPLED = 200_000


def pooling_scale(least: ArrayLike, greatest: ArrayLike) -> CommonScale | None:
    """One scale for all classes, on which sums of S-CAM may be pooled over classes.

    Centred, tanh(a · atanh 0.9 / P), with P the 90th percentile over cases and classes of the
    case's greatest |a|, from the cases' ``least`` and ``greatest`` class activation ``[N, C]``.
    Voxels without evidence add nothing whatever the class, and few cases saturate. On the
    sample heads the pooled correlation is 0.995 and 0.996; on a scale for each class it is 0.11 and
    0.78 (P10 to P90 of voxels) or −0.65 and −0.64 (extremes), on one such scale of voxels −0.49 and
    −0.67.

    None where no case has any evidence.
    """
    strongest = np.maximum(np.abs(least), np.abs(greatest))
    strongest = strongest[np.isfinite(strongest)]
    high = float(np.percentile(strongest, _STRONG)) if strongest.size else 0.0
    if not high > 0:
        return None
    return CommonScale(-high, high, _STRONG, _STRONG, "extremes", "all", form="centred")


def map_sums(
    maps: Tensor,
    size: tuple[int, ...],
    scales: Sequence[CommonScale | None],
    one: CommonScale | None = None,
) -> Floats:
    """s_n = Σ_v (map on the image grid), for each kind of map: `[B, C, 4]`.

    Parameters
    ----------
    maps : class activation `[B, C, *grid]`, in logits.
    size : spatial shape of the network's input, which is the image grid. The maps are brought
        there by linear interpolation (half-voxel rule), before anything else is done to them.
    scales : one per class; a class without one has NaN for S-CAM.
    one : for all classes (see `pooling_scale`); NaN without it.

    The kinds are the usual CAM (ReLU, then min-max over the image; a constant map gives 0), the
    class activation itself, and S-CAM (eq. 1 of Li et al., arXiv 2407.01142) on each class's scale
    and on the one. Classes go in blocks that fit memory.
    """
    import torch

    from napari_ifa.cam.interpolation import resized
    from napari_ifa.cam.memory import block_length, in_blocks

    voxels = math.prod(size)
    # Apple's GPUs have no float64.
    exact = torch.float32 if maps.device.type == "mps" else torch.float64
    per_class = torch.tensor([_steps(s) for s in scales], device=maps.device)
    same = (one.alpha, one.beta) if one is not None else (math.nan, math.nan)

    def sums(block: slice) -> Tensor:
        image = resized(maps[:, block].float(), size).flatten(2)
        positive = image.relu()
        low, high = positive.aminmax(dim=-1)
        spread = (high - low).to(exact)
        above = positive.sum(-1, dtype=exact) - voxels * low.to(exact)
        usual = torch.where(spread > 0, above / spread, torch.zeros_like(above))
        plain = image.sum(-1, dtype=exact)
        pooled = image.mul(same[0]).add_(same[1]).tanh_().sum(-1, dtype=exact)
        near, rest, alpha, at_low = per_class[block].T[..., None]
        above = image.sub_(near).sub_(rest)
        s_cam = above.mul_(alpha).add_(at_low).tanh_().sum(-1, dtype=exact)
        return torch.stack([usual, plain, s_cam, pooled], -1)

    length = block_length(4 * len(maps) * voxels, maps.device)
    with torch.no_grad():
        parts = [found for _, found in in_blocks(maps.shape[1], length, sums, what="classes")]
    return np.asarray(torch.cat(parts, 1).double().cpu().numpy())


def _steps(scale: CommonScale | None) -> tuple[float, float, float, float]:
    return (math.nan,) * 4 if scale is None else scale.float32_steps


@dataclass(frozen=True)
class Correlation:
    """How two quantities go together over cases; NaN where that cannot be said, with the reason.

    Attributes
    ----------
    n : cases.
    pearson, pearson_p, spearman, spearman_p : both coefficients with their two-sided p, which is
        1e-16 where it is less, and Spearman's never below 2/n!; none where several cases are of one
        patient, for which no such p holds.
    normality_p : p of Henze and Zirkler's test that the pair is bivariate normal.
    chosen : ``"Pearson"`` where that p is above 0.05, else ``"Spearman"``; empty without either.
    interval : 95 % interval of the chosen coefficient.
    reason : why there is no number; empty where there is one.
    """

    n: int
    pearson: float = math.nan
    pearson_p: float = math.nan
    spearman: float = math.nan
    spearman_p: float = math.nan
    normality_p: float = math.nan
    chosen: Literal["Pearson", "Spearman", ""] = ""
    interval: Interval = NO_INTERVAL
    reason: str = ""

    @property
    def coefficient(self) -> float:
        """The chosen one."""
        return self._of_the_chosen(self.pearson, self.spearman)

    @property
    def p(self) -> float:
        """Of the chosen one."""
        return self._of_the_chosen(self.pearson_p, self.spearman_p)

    def _of_the_chosen(self, pearson: float, spearman: float) -> float:
        return {"Pearson": pearson, "Spearman": spearman}.get(self.chosen, math.nan)


def correlate(
    x: ArrayLike,
    y: ArrayLike,
    groups: Groups = None,
    *,
    interval: bool = True,
    seed: int = 0,
) -> Correlation:
    """Correlate two quantities ``[n]`` over cases, as `Correlation` says.

    Parameters
    ----------
    groups : ``[n]``, equal for cases of one patient; the bootstrap draws whole groups.
    seed : of the bootstrap and, above 5000 cases, of those that are tested for normality.
    """
    from scipy.stats import pearsonr, spearmanr

    one, other = (np.asarray(values, dtype=float) for values in (x, y))
    cases = len(one)
    reason = _no_correlation(one, other)
    if reason:
        return Correlation(cases, reason=reason)
    generator = np.random.default_rng(seed)
    tested = np.stack([one, other], 1)
    if cases > _MOST_TESTED:
        tested = tested[generator.choice(cases, _MOST_TESTED, replace=False)]
    normality = henze_zirkler(tested)
    linear, ranked = pearsonr(one, other), spearmanr(one, other)
    normal = normality.p > 0.05
    independent = number_of(groups, cases) == cases
    return Correlation(
        n=cases,
        pearson=float(linear.statistic),
        pearson_p=bounded_p(float(linear.pvalue)) if independent else math.nan,
        spearman=float(ranked.statistic),
        spearman_p=bounded_rank_p(float(ranked.pvalue), cases) if independent else math.nan,
        normality_p=bounded_p(normality.p),
        chosen="Pearson" if normal else "Spearman",
        interval=(
            bootstrapped(pearson if normal else _spearman, one, other, groups=groups, seed=seed)
            if interval
            else NO_INTERVAL
        ),
    )


def _no_correlation(one: Floats, other: Floats) -> str:
    if np.isnan(one).any():
        return "the class has no common scale"
    if len(one) < 3:
        return "fewer than 3 cases"
    for values, what in ((one, "sum"), (other, "logit")):
        rounding = _ROUNDINGS * np.finfo(np.float32).eps * np.abs(values).max()
        if np.ptp(values) <= rounding:
            return f"the {what} is the same in every case"
    return ""


def _spearman(x: Floats, y: Floats, axis: int = -1) -> Floats:
    from scipy.stats import rankdata

    return pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis)


@dataclass(frozen=True, eq=False, repr=False)
class Consistency(Numbers):
    """The sums of four kinds of map beside the logits, and how they go together.

    Attributes
    ----------
    sums : ``[N, C, 4]``, see `map_sums`; the kinds are those of `KINDS`.
    logits : ``[N, C]``; differences of them, where the maps are of those.
    predicted : ``[N]``, the class explained where it is the predicted one.
    class_names : one per class.
    answer : what the maps explain and their sums stand beside, in words.
    seed : of the bootstrap.
    groups : ``[N]``, equal for cases of one patient; None where none are known.
    compared_class : that all are compared with, which has no map of its own; None where there is
        none.
    """

    sums: Floats
    logits: Floats
    predicted: Ints
    class_names: tuple[str, ...]
    seed: int = 0
    groups: Groups = None
    answer: str = "logit"
    compared_class: int | None = None

    @property
    def classes(self) -> list[int]:
        """Numbers of the classes that have maps of their own."""
        return [c for c in range(len(self.class_names)) if c != self.compared_class]

    @property
    def pooled(self) -> Ints:
        """Numbers of the cases whose predicted class has a map of its own."""
        return np.flatnonzero(np.isin(self.predicted, self.classes))

    def pair(self, kind: int, class_idx: int | None = None) -> tuple[Floats, Floats]:
        """Sums and logits of one class over all cases, or of each pooled case's predicted class."""
        if class_idx is not None:
            return self.sums[:, class_idx, kind], self.logits[:, class_idx]
        column = self.predicted[self.pooled]
        return self.sums[self.pooled, column, kind], self.logits[self.pooled, column]

    @property
    def resampled(self) -> bool:
        """Whether the classes have intervals; not where there are too many pairs to resample."""
        return self.logits.size <= _MOST_RESAMPLED

    @cached_property
    def correlations(self) -> dict[tuple[int | None, int], Correlation]:
        """By class and number of the kind; class None is the predicted one, pooled over cases.

        S-CAM is pooled on the one scale alone.
        """
        pairs: list[tuple[int | None, int]] = [
            (c, kind) for c in self.classes for kind in range(len(KINDS))
        ]
        if len(self.class_names) > 1:
            pairs = [*((None, kind) for kind in _POOLED), *pairs]
        return {
            (c, kind): correlate(
                *self.pair(kind, c),
                self.groups if c is not None or self.groups is None else self.groups[self.pooled],
                interval=self.resampled or c is None,
                seed=self.seed,
            )
            for c, kind in pairs
        }

    @property
    def shown(self) -> tuple[int, ...]:
        """The kinds that the sentence and the figure tell."""
        return _POOLED if len(self.class_names) > 1 else (_USUAL, _PLAIN, OWN_SCALE)
