"""Principal features: the few of a class that carry most of the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.evaluation.findings.finding import Finding
from napari_ifa.evaluation.findings.sides import cases_that_count
from napari_ifa.evaluation.section import Section
from napari_ifa.wording import listed, percent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

RANKINGS: tuple[Ranking, ...] = ("value", "contrast")


@dataclass(frozen=True, eq=False, repr=False)
class PrincipalFeatures(Finding):
    """The top features of every class and how much of its column they make up.

    Attributes
    ----------
    class_names : ``[C]``.
    importance : ``[F, C]`` in logits.
    masks : by ranking, one mask per class; None for a class without a case.
    cases : ``[C]``, cases that the columns are the means of.
    top : share of the features that is called principal.
    kind : ``"true"``, over the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    """

    class_names: tuple[str, ...]
    importance: Floats
    masks: Mapping[Ranking, tuple[FeatureMask | None, ...]]
    cases: NDArray[np.int64]
    top: float
    kind: Kind

    def share(self, class_idx: int, by: Ranking = "value") -> float:
        """The principal features' share of the class's positive contributions; NaN if none is."""
        mask = self.masks[by][class_idx]
        if mask is None:
            return float("nan")
        positive = np.clip(self.importance[:, class_idx], 0.0, None)
        total = positive.sum()
        return float(positive[mask.keep].sum() / total) if total > 0 else float("nan")

    def share_of_total(self, class_idx: int, by: Ranking = "value") -> float:
        """Their sum over the whole column's, signs and all; NaN where the column sums to ≤ 0."""
        mask = self.masks[by][class_idx]
        column = self.importance[:, class_idx]
        if mask is None or not column.sum() > 0:
            return float("nan")
        return float(column[mask.keep].sum() / column.sum())

    @property
    def sections(self) -> tuple[Section, ...]:
        """One table of every class by both rankings."""
        rows = tuple(
            self._row(c, by)
            for c in range(len(self.class_names))
            for by in self.masks
            if by == "value" or self.masks[by][c] is not None
        )
        return (
            Section(
                key="principal_features",
                title="Principal features",
                meaning=self._meaning(),
                limits=(
                    "A large mean contribution says that the answer rests on a feature, not that"
                    " the feature is right to rest on; what it responds to shows in its map alone."
                ),
                rows=rows,
                columns={
                    "class": "class",
                    "by": "ranked by value, or by contrast: the column minus the mean over classes",
                    "cases": "cases that the column is the mean of",
                    "number": f"principal features, the top {100 * self.top:g} %",
                    "features": "their numbers, from 0, the first in rank first",
                    "sum": "their contributions together, logit",
                    "column_total": "contributions of all features together, logit",
                    "share_of_total": "sum over column total; it may exceed 1, since other features"
                    " speak against the class, and does not exist where the total is not positive",
                    "share_of_positive": "their share of all that speaks for the class",
                    "share_of_absolute": "their share of all contributions regardless of sign",
                },
                draw=self.figure,
            ),
        )

    def _meaning(self) -> str:
        shares = np.array([self.share(c) for c in range(len(self.class_names))])
        masks = self.masks["value"]
        missing = [n for n, mask in zip(self.class_names, masks, strict=True) if mask is None]
        if not np.isfinite(shares).any():
            return "No class has a feature that speaks for it, so there are no principal features."
        over = "the cases of each class" if self.kind == "true" else "all cases"
        mask = next(m for m in masks if m is not None)
        text = (
            f"The top {100 * self.top:g} % of the features ({mask.count} of {mask.keep.size}) make"
            f" up {percent(np.nanmin(shares))} to {percent(np.nanmax(shares))} of what speaks for a"
            f" class, in the mean over {over}."
        )
        return text + (f" No case counts for {listed(missing)}." if missing else "")

    def _row(self, class_idx: int, by: Ranking) -> dict[str, object]:
        mask = self.masks[by][class_idx]
        column = self.importance[:, class_idx]
        size = np.abs(column).sum()
        kept = column[mask.keep] if mask is not None else np.array([np.nan])
        return {
            "class": self.class_names[class_idx],
            "by": by,
            "cases": int(self.cases[class_idx]),
            "number": mask.count if mask is not None else None,
            "features": " ".join(map(str, self.ranked(class_idx, by))),
            "sum": float(kept.sum()),
            "column_total": float(column.sum()),
            "share_of_total": self.share_of_total(class_idx, by),
            "share_of_positive": self.share(class_idx, by),
            "share_of_absolute": float(np.abs(kept).sum() / size) if size > 0 else float("nan"),
        }

    def ranked(self, class_idx: int, by: Ranking = "value") -> list[int]:
        """The principal features of a class, the first in rank first; empty without a case."""
        mask = self.masks[by][class_idx]
        if mask is None:
            return []
        key = self.importance[:, class_idx]
        if by == "contrast":
            key = key - np.nanmean(self.importance, axis=1)
        return [int(f) for f in np.argsort(-key, kind="stable") if mask.keep[f]]

    def figure(self) -> Figure:
        """The sorted column of each class, the principal features in colour."""
        from napari_ifa.evaluation.findings.figures import principal_figure

        return principal_figure(self)


def principal_features(
    analysis: Analysis, *, top: float = 0.05, kind: Kind = "true"
) -> PrincipalFeatures:
    """The principal features of every class, by value and by contrast.

    Raises
    ------
    AnalysisError
        For a share of the features outside (0, 1].
    """
    matrix = np.asarray(analysis.dataset[f"importance_{kind}"].values, dtype=float)
    with_cases = np.isfinite(matrix).all(axis=0)
    masks: dict[Ranking, tuple[FeatureMask | None, ...]] = {}
    # With one class alone nothing is left to contrast it with.
    for by in RANKINGS if with_cases.sum() > 1 else RANKINGS[:1]:
        masks[by] = tuple(
            analysis.principal_features(c, top, by, kind) if with_cases[c] else None
            for c in range(matrix.shape[1])
        )
    return PrincipalFeatures(
        class_names=analysis.class_names,
        importance=matrix,
        masks=masks,
        cases=cases_that_count(analysis, kind),
        top=top,
        kind=kind,
    )
