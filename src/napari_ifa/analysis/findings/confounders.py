"""Confounder candidates: single features that make up an unusual share of a class's evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.findings.finding import Finding
from napari_ifa.analysis.section import Section
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.analysis.wording import counted, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: Robust z from which a feature stands apart (Iglewicz and Hoaglin, 1993).
Z_THRESHOLD = 3.5
#: Rows of the table, the candidates always among them.
_ROWS = 20
#: Standard deviations of a normal distribution over its median and mean absolute deviation.
_PER_MEDIAN_DEVIATION, _PER_MEAN_DEVIATION = 1.4826, 1.2533


@dataclass(frozen=True, eq=False, repr=False)
class Confounders(Finding):
    """How much of a class's evidence each feature makes up, and which shares stand apart.

    Attributes
    ----------
    class_names : ``[C]``.
    importance : ``[F, C]`` in logits.
    share : ``[F, C]``, |IM[f, c]| / Σ_f |IM[f, c]|; NaN for a class without a case.
    z : ``[F, C]``, robust z of the share over the class's features.
    adjusted : ``[F, C]``, the chance of so large a share anywhere in the table if every class's
        total were broken at random among the features.
    frequency : ``[F, C]``, share of the cases with k > 0.
    kind : ``"true"``, over the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    level : of ``adjusted``, up to which a share that stands apart makes a candidate.
    """

    class_names: tuple[str, ...]
    importance: Floats
    share: Floats
    z: Floats
    adjusted: Floats
    frequency: Floats
    kind: Kind
    level: float

    @property
    def candidate(self) -> NDArray[np.bool_]:
        """``[F, C]``: stands apart from the class's other features, and not by chance."""
        return np.asarray((self.z > Z_THRESHOLD) & (self.adjusted <= self.level))

    @property
    def ranked(self) -> tuple[tuple[int, int], ...]:
        """Feature and class of every number of the table, the largest robust z first."""
        z = np.where(np.isfinite(self.z), self.z, -np.inf)
        order = np.argsort(-z, axis=None, kind="stable")
        features, classes = np.unravel_index(order, z.shape)
        known = int(np.isfinite(self.z).sum())
        return tuple((int(f), int(c)) for f, c in zip(features[:known], classes, strict=False))

    @property
    def share_to_reach(self) -> float:
        """The share whose chance anywhere in the table is ``level``."""
        features, tests = len(self.share), max(int(np.isfinite(self.share).sum()), 1)
        if features < 2:
            return 1.0
        return float(1 - (self.level / tests) ** (1 / (features - 1)))

    @property
    def sections(self) -> tuple[Section, ...]:
        """The features with the largest robust z, every candidate among them."""
        number = max(_ROWS, int(self.candidate.sum()))
        of_class = self.share[:, np.isfinite(self.share).all(axis=0)]
        rows = tuple(
            {
                "rank": rank + 1,
                "feature": f,
                "class": self.class_names[c],
                "importance": float(self.importance[f, c]),
                "share": float(self.share[f, c]),
                "robust_z": float(self.z[f, c]),
                "adjusted_p": float(self.adjusted[f, c]),
                "candidate": bool(self.candidate[f, c]),
                "frequency": float(self.frequency[f, c]),
                "mean_share_over_classes": float(of_class[f].mean()),
            }
            for rank, (f, c) in enumerate(self.ranked[:number])
        )
        return (
            Section(
                key="confounders",
                title="Confounder candidates",
                meaning=self._meaning(),
                limits=(
                    "A candidate is a place to look, no proof: a true sign of the class can carry"
                    " as much, a confounder spread over many features carries little in each, and"
                    " shares broken at random are a yardstick, not a model of a network."
                ),
                rows=rows,
                columns={
                    "rank": "by robust z, over all features of all classes",
                    "feature": "number of the feature, from 0",
                    "class": "class whose evidence it carries",
                    "importance": "mean contribution, logit; negative speaks against the class",
                    "share": "of the sum of |mean contribution| over the features",
                    "robust_z": "distance of the share from the class's median share, in robust"
                    " standard deviations",
                    "adjusted_p": "chance of so large a share anywhere in the table if every"
                    " class's total were broken at random (Bonferroni over features and classes)",
                    "candidate": f"robust z above {Z_THRESHOLD:g} and adjusted p at most"
                    f" {self.level:g}",
                    "frequency": "share of the cases in which the feature speaks for the class",
                    "mean_share_over_classes": "the feature's share in the mean over the classes",
                },
                draw=self.figure,
            ),
        )

    def _meaning(self) -> str:
        if not self.ranked:
            return "No class has a case that counts, so no feature has a share to judge."
        number = int(self.candidate.sum())
        shares = counted(int(np.isfinite(self.z).sum()), "share")
        over = "the cases of each class" if self.kind == "true" else "all cases"
        f, c = self.ranked[0]
        first = (
            f"the first in rank, feature {f}, makes up {percent(self.share[f, c])} of the"
            f" evidence about '{self.class_names[c]}' (robust z {self.z[f, c]:.1f})"
        )
        if not number:
            return (
                f"No feature's share stands apart more than chance explains, in the mean over"
                f" {over}; {first}."
            )
        return (
            f"{number} of {shares} stand apart, in the mean over {over}:"
            f" {first}; look at the map of each such feature alone."
        )

    def figure(self) -> Figure:
        """The largest shares as bars, beside the share that chance would hardly reach."""
        from napari_ifa.analysis.findings.figures import confounder_figure

        return confounder_figure(self)


def confounder_candidates(
    analysis: Analysis, *, level: float = 0.05, kind: Kind = "true"
) -> Confounders:
    """Which features make up an extreme share of Σ_f |IM[f, c]|.

    The robust z is (share − median) / s over a class's features, where s is the larger of
    1.4826 times the median and 1.2533 times the mean absolute deviation from the median: both
    estimate a normal's standard deviation, and where more than half of the features hardly
    contribute the first is next to nothing (Iglewicz and Hoaglin, 1993, use the second where the
    first is 0). The chance of a share x among F features of a total broken at random is
    (1 − x)^(F − 1), times the number of shares looked at; the first term of Fisher's exact test of
    the largest share (1929).
    """
    data = analysis.dataset
    importance = np.asarray(data[f"importance_{kind}"].values, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(importance) / np.abs(importance).sum(axis=0)
    return Confounders(
        class_names=analysis.class_names,
        importance=importance,
        share=share,
        z=robust_z(share),
        adjusted=chance_of_share(share),
        frequency=np.asarray(data[f"frequency_{kind}"].values, dtype=float),
        kind=kind,
        level=level,
    )


def robust_z(values: Floats) -> Floats:
    """Of every value in its column ``[F, C]``; 0 where a column does not vary, NaN where it is."""
    deviation = values - np.median(values, axis=0)
    median, mean = np.median(np.abs(deviation), axis=0), np.abs(deviation).mean(axis=0)
    scale = np.maximum(_PER_MEDIAN_DEVIATION * median, _PER_MEAN_DEVIATION * mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A spread of rounding alone is none.
        return np.where(scale <= 1e-12 * np.abs(values).max(axis=0), 0.0, deviation / scale)


def chance_of_share(share: Floats) -> Floats:
    """Of so large a share ``[F, C]`` anywhere, if totals were broken at random (Fisher, 1929)."""
    tests = int(np.isfinite(share).sum())
    alone = np.clip(1.0 - share, 0.0, None) ** (len(share) - 1)
    result: Floats = np.minimum(1.0, tests * alone)
    return result
