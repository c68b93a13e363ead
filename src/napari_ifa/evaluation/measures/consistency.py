"""Consistency: how well the sum of a map tells the network's answer, from case to case."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.analysis.scale import CommonScale
from napari_ifa.evaluation.section import Row, Section
from napari_ifa.evaluation.statistics.certainty import LEAST_P_TOLD, bounded_p, bounded_rank_p
from napari_ifa.evaluation.statistics.independence import Groups, number_of, said_of
from napari_ifa.evaluation.statistics.intervals import (
    LEAST_DRAWN,
    NO_INTERVAL,
    Interval,
    bootstrapped,
)
from napari_ifa.evaluation.statistics.normality import henze_zirkler

if TYPE_CHECKING:
    from torch import Tensor

#: The kinds of map that are summed, in the order of `MapSums`.
KINDS = ("usual CAM", "class activation", "S-CAM", "S-CAM, one scale")
#: On which scale each kind of map is summed.
SCALES = (
    "of each image: its own least and greatest value",
    "none: logits",
    "of each class: percentiles of its voxels or extremes, as chosen",
    "one for all classes: 0.9 at P90 of the cases' greatest |activation|, 0 at 0",
)
#: The kinds that can be pooled over classes: a scale for each class makes their sums incomparable.
_USUAL, _PLAIN, _OWN_SCALE, _ONE_SCALE = range(len(KINDS))
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

    tanh(a · atanh 0.9 / P), P the 90th percentile over cases and classes of the case's greatest
    |a|, from the cases' ``least`` and ``greatest`` class activation ``[N, C]``. Zero stays zero, so
    that voxels without evidence add nothing whatever the class, and few cases saturate. On the
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
    # The low end at which tanh's offset is 0.
    low = high * float(np.arctanh(0.1) / np.arctanh(0.9))
    return CommonScale(low, high, 10.0, _STRONG, "extremes", "all")


def map_sums(
    maps: Tensor,
    size: tuple[int, ...],
    scales: Sequence[CommonScale | None],
    one: CommonScale | None = None,
) -> NDArray[np.float64]:
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
    result: NDArray[np.float64] = torch.cat(parts, 1).double().cpu().numpy()
    return result


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
    pearson: float = float("nan")
    pearson_p: float = float("nan")
    spearman: float = float("nan")
    spearman_p: float = float("nan")
    normality_p: float = float("nan")
    chosen: Literal["Pearson", "Spearman", ""] = ""
    interval: Interval = NO_INTERVAL
    reason: str = ""

    @property
    def coefficient(self) -> float:
        """The chosen one."""
        if not self.chosen:
            return float("nan")
        return self.pearson if self.chosen == "Pearson" else self.spearman

    @property
    def p(self) -> float:
        """Of the chosen one."""
        if not self.chosen:
            return float("nan")
        return self.pearson_p if self.chosen == "Pearson" else self.spearman_p


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
            bootstrapped(_pearson if normal else _spearman, one, other, groups=groups, seed=seed)
            if interval
            else NO_INTERVAL
        ),
    )


def _no_correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    if np.isnan(one).any():
        return "the class has no common scale"
    if len(one) < 3:
        return "fewer than 3 cases"
    for values, what in ((one, "sum"), (other, "logit")):
        rounding = _ROUNDINGS * np.finfo(np.float32).eps * np.abs(values).max()
        if np.ptp(values) <= rounding:
            return f"the {what} is the same in every case"
    return ""


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    x = x - x.mean(axis=axis, keepdims=True)
    y = y - y.mean(axis=axis, keepdims=True)
    size = np.sqrt((x**2).sum(axis=axis) * (y**2).sum(axis=axis))
    result: NDArray[np.float64] = (x * y).sum(axis=axis) / size
    return result


def _spearman(
    x: NDArray[np.float64], y: NDArray[np.float64], axis: int = -1
) -> NDArray[np.float64]:
    from scipy.stats import rankdata

    return _pearson(rankdata(x, axis=axis), rankdata(y, axis=axis), axis)


@dataclass(frozen=True, eq=False)
class Consistency:
    """The sums of four kinds of map beside the logits, and how they go together.

    Attributes
    ----------
    sums : ``[N, C, 4]``, see `map_sums`; the kinds are those of `KINDS`.
    logits : ``[N, C]``.
    predicted : ``[N]``, the class explained where it is the predicted one.
    class_names : one per class.
    seed : of the bootstrap.
    groups : ``[N]``, equal for cases of one patient; None where none are known.
    """

    sums: NDArray[np.float64]
    logits: NDArray[np.float64]
    predicted: NDArray[np.int64]
    class_names: tuple[str, ...]
    seed: int = 0
    groups: Groups = None

    def __repr__(self) -> str:
        return f"Consistency: {self.section().meaning}"

    def pair(
        self, kind: int, class_idx: int | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sums and logits of one class over all cases, or of each case's predicted class."""
        rows = np.arange(len(self.logits))
        column = self.predicted if class_idx is None else class_idx
        return self.sums[rows, column, kind], self.logits[rows, column]

    @cached_property
    def correlations(self) -> dict[tuple[int | None, int], Correlation]:
        """By class and number of the kind; class None is the predicted one, pooled over cases.

        S-CAM is pooled on the one scale alone.
        """
        few = self.logits.size <= _MOST_RESAMPLED
        pairs: list[tuple[int | None, int]] = [
            (c, kind) for c in range(len(self.class_names)) for kind in range(len(KINDS))
        ]
        if len(self.class_names) > 1:
            pairs = [*((None, kind) for kind in _POOLED), *pairs]
        return {
            (c, kind): correlate(
                *self.pair(kind, c), self.groups, interval=few or c is None, seed=self.seed
            )
            for c, kind in pairs
        }

    @property
    def shown(self) -> tuple[int, ...]:
        """The kinds that the sentence and the figure tell."""
        return _POOLED if len(self.class_names) > 1 else (_USUAL, _PLAIN, _OWN_SCALE)

    def section(self) -> Section:
        """The table and figure."""
        from napari_ifa.evaluation.figures import consistency_figure

        several = len(self.class_names) > 1
        cases = len(self.logits)
        limits = (
            "A correlation says that the sum of a map goes with the logit, not that the map is"
            " right; the class activation is summed as it is, since an affine scale cannot change"
            " a correlation, while tanh (S-CAM) and the usual CAM's own scale for each image can."
        )
        if several:
            limits += (
                " Pooled over predicted classes, S-CAM is summed on one scale for all of them,"
                " centred on zero; on a scale for each class its sums do not compare, and are given"
                " class by class alone."
            )
        if cases < FEW:
            limits += f" With {cases} cases the test of normality misses much."
        if number_of(self.groups, cases) < LEAST_DRAWN:
            limits += f" There is no interval below {LEAST_DRAWN} cases or patients."
        if self.logits.size > _MOST_RESAMPLED:
            limits += " Classes have no interval of their own: there are too many to resample."
        limits += said_of(self.groups)
        told = ", ".join(
            f"{KINDS[kind]} {_told(self.correlations[None if several else 0, kind])}"
            f"{self._by_class(kind)}"
            for kind in self.shown
        )
        if several:
            told += f"; S-CAM on each class's own scale{self._by_class(_OWN_SCALE)}"
        return Section(
            key="consistency",
            title="Consistency of maps and answers",
            meaning=(
                f"Over {cases} cases the sum of a map correlates with the logit of the"
                f" {'predicted class' if several else 'output'}: {told}."
                + " A range by class is that of each class's own coefficient over all cases."
                * several
            ),
            limits=limits,
            rows=tuple(
                _row(PREDICTED if c is None else self.class_names[c], kind, one)
                for (c, kind), one in self.correlations.items()
            ),
            columns=_COLUMNS,
            draw=lambda: consistency_figure(self),
        )

    def _by_class(self, kind: int) -> str:
        if len(self.class_names) == 1:
            return ""
        found = [self.correlations[c, kind].coefficient for c in range(len(self.class_names))]
        known = [value for value in found if np.isfinite(value)]
        if not known:
            return " [by class none]"
        return f" [by class {min(known):.3f} to {max(known):.3f}]"


#: What the pooled rows are called.
PREDICTED = "predicted class of each case"

_COLUMNS = {
    "class": "whose map and logit: a class over all cases, or the predicted class of each case",
    "map": "what is summed over the voxels of the network's input grid, where it is brought by"
    " linear interpolation: the usual CAM (ReLU, min-max of each image), the class activation"
    " (logit), or S-CAM (tanh on a common scale, eq. 1)",
    "scale": "the scale that it is summed on",
    "n": "cases",
    "coefficient": "the chosen correlation of that sum with the logit",
    "chosen": "Pearson where the pair may be bivariate normal (Henze-Zirkler p > 0.05), else"
    " Spearman",
    "low": "lower end of its 95 % interval",
    "high": "upper end",
    "interval": "how the interval was found; none below 15 cases or patients",
    "p": "two-sided p of the chosen correlation, not corrected for the number of rows; none where"
    f" several cases are of one patient; {LEAST_P_TOLD}",
    "pearson": "Pearson's r",
    "pearson_p": "its two-sided p",
    "spearman": "Spearman's rho",
    "spearman_p": "its two-sided p (t approximation, but no less than 2/n!)",
    "normality_p": "p of the Henze-Zirkler test of bivariate normality",
    "note": "why there is no number",
}


def _row(name: str, kind: int, found: Correlation) -> Row:
    return {
        "class": name,
        "map": KINDS[kind],
        "scale": SCALES[kind],
        "n": found.n,
        "coefficient": found.coefficient,
        "chosen": found.chosen,
        "low": found.interval.low,
        "high": found.interval.high,
        "interval": found.interval.method,
        "p": found.p,
        "pearson": found.pearson,
        "pearson_p": found.pearson_p,
        "spearman": found.spearman,
        "spearman_p": found.spearman_p,
        "normality_p": found.normality_p,
        "note": found.reason,
    }


def _told(found: Correlation) -> str:
    if not found.chosen:
        return f"none ({found.reason})"
    letter = "r" if found.chosen == "Pearson" else "rho"
    text = f"{letter} = {found.coefficient:.3f}"
    if found.interval.method:
        text += f" ({found.interval.low:.3f} to {found.interval.high:.3f})"
    return text
