"""Principal features: the few of a class that carry most of the evidence for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.evaluation.checks.sides import cases_that_count
from napari_ifa.evaluation.numbers import Floats, Ints, Numbers

RANKINGS: tuple[Ranking, ...] = ("value", "contrast")


@dataclass(frozen=True, eq=False, repr=False)
class PrincipalFeatures(Numbers):
    """The top features of every class and how much of its column they make up.

    Attributes
    ----------
    class_names : ``[C]``.
    importance : ``[F, C]`` in logits.
    masks : by ranking, one mask per class; None for a class without a case, or that all are
        compared with.
    cases : ``[C]``, cases that the columns are the means of.
    top : share of the features that is called principal.
    kind : ``"true"``, over the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    compared_class : that all are compared with; None where there is none.
    """

    class_names: tuple[str, ...]
    importance: Floats
    masks: Mapping[Ranking, tuple[FeatureMask | None, ...]]
    cases: Ints
    top: float
    kind: Kind
    compared_class: int | None = None

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

    def ranked(self, class_idx: int, by: Ranking = "value") -> list[int]:
        """The principal features of a class, the first in rank first; empty without a case."""
        mask = self.masks[by][class_idx]
        if mask is None:
            return []
        key = self.importance[:, class_idx]
        if by == "contrast":
            key = key - np.nanmean(self.importance, axis=1)
        return [int(f) for f in np.argsort(-key, kind="stable") if mask.keep[f]]


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
        compared_class=analysis.compared_class,
    )
