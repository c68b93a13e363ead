"""Special cases: those whose contributions are unlike those of their own class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.truth import answer_names
from napari_ifa.evaluation.numbers import Bools, Floats, Ints, Numbers
from napari_ifa.evaluation.statistics.distances import (
    correlation_distance,
    mahalanobis_of_the_others,
    mean_of_the_others,
    rank_p,
)

Distance = Literal["correlation", "mahalanobis"]

#: Least cases of a class whose cases are judged: each is compared with the mean of the others.
LEAST_CASES = 3
#: Least features whose correlation says anything; with fewer the Mahalanobis distance ranks.
LEAST_FEATURES = 4
#: Share of the cases that is worth a look.
FIRST_SHARE = 0.05
#: Cases of a class whose median distance counts as much as that of all.
OVERALL_WEIGHT = 10
#: A median distance below this is rounding, and no measure of its spread.
_LEAST_MEDIAN = 1e-9


@dataclass(frozen=True, eq=False, repr=False)
class Outliers(Numbers):
    """How far every case's contributions lie from those of its own class's other cases.

    Where the model answers with values all cases are one group, and ``label`` is 0.

    Attributes
    ----------
    class_names : ``[C]``; of a model of one output the absence and the presence of its class.
    case_ids : ``[N]``.
    label, predicted : ``[N]``, class numbers; −1 for a case without a label.
    answer, target : ``[N]``, what a regression answers and should; NaN where there is none.
    correlation : ``[N]``, 1 − Pearson's r of the case's contributions and the mean of its class's
        other cases; NaN where there is no such number.
    mahalanobis : ``[N]``, distance from that mean by their covariance, shrunk.
    p : ``[N]``, share of the class's cases that lie at least as far; see ``outliers``.
    nearer_others : ``[N]``, whether the contributions correlate more with the mean of all cases of
        other labels than with that of their own; False with fewer than four features.
    by : the distance that ranks.
    stored : whether the analysis holds contributions by case at all.
    regression : whether the model answers with values.
    grouped : whether patients are known, whose other cases are left out of each comparison.
    compared_class : that all are compared with, whose cases have no distance; None where there is
        none.
    """

    class_names: tuple[str, ...]
    case_ids: tuple[str, ...]
    label: Ints
    predicted: Ints
    answer: Floats
    target: Floats
    correlation: Floats
    mahalanobis: Floats
    p: Floats
    nearer_others: Bools
    by: Distance
    stored: bool
    regression: bool
    grouped: bool
    compared_class: int | None = None

    @property
    def distance(self) -> Floats:
        """``[N]``: the distance that ranks."""
        return self.correlation if self.by == "correlation" else self.mahalanobis

    @property
    def relative(self) -> Floats:
        """``[N]``: the distance over a mean of two medians, of the class's and of all distances.

        They count as n cases and as ten: the median of few cases is uncertain, and hardly usual
        where one of them is not. By the class's own alone a trifle among few very like cases would
        stand first.
        """
        result = np.full(self.distance.shape, np.nan)
        overall = np.nanmedian(self.distance) if np.isfinite(self.distance).any() else 0.0
        for members in self._ranked_classes():
            distance = self.distance[members]
            own, number = float(np.median(distance)), len(members)
            usual = (number * own + OVERALL_WEIGHT * overall) / (number + OVERALL_WEIGHT)
            result[members] = distance / max(usual, _LEAST_MEDIAN)
        return result

    @property
    def ranked(self) -> Ints:
        """Numbers of the cases that have a distance, the least usual of their class first.

        By p, then by the relative distance. A class of n cases has no p below 1/n, so p counts no
        finer than the smallest class allows: otherwise its farthest case would stand behind usual
        ones of a large class.
        """
        classes = self._ranked_classes()
        if not classes:
            return np.zeros(0, np.int64)
        members = np.sort(np.concatenate(classes))
        p = np.maximum(self.p[members], 1 / min(len(of_class) for of_class in classes))
        return np.asarray(members[np.lexsort((-self.relative[members], p))])

    def _ranked_classes(self) -> list[Ints]:
        """Numbers of the cases that have a distance, class by class."""
        known = np.isfinite(self.distance)
        return [np.flatnonzero(known & (self.label == c)) for c in np.unique(self.label[known])]

    @property
    def first(self) -> Ints:
        """The first 5 % of them, at least one."""
        ranked = self.ranked
        return ranked[: max(1, int(FIRST_SHARE * len(ranked)))]

    @property
    def compared(self) -> bool:
        """Whether there are other labels to be nearer to, and a correlation to tell it by."""
        return self.by == "correlation" and len(np.unique(self.label)) > 1


def outliers(analysis: Analysis, *, by: Distance = "correlation") -> Outliers:
    """Rank the labelled cases by the distance of their contributions from their own class's.

    Each case is compared with the mean of the *other* cases of its label, so that it cannot hide
    behind its own weight, nor behind other slices of its patient where patients are known: these
    are left out. p = (1 + number of the others that lie at least as far) / n of the class: valid
    whatever the distribution where the cases of a class are exchangeable (the rank p of conformal
    prediction; Vovk et al., 2005). Of several cases of one other patient each counts in part. It
    cannot fall below 1/n, so no case is ever called significant among n; a chi-square p of a shrunk
    covariance would be wrong. With fewer than four features a correlation says nothing, and the
    Mahalanobis distance ranks.

    Where the model answers with values, all cases are one group. A model of one output that answers
    with a class has two groups, the cases without that class and with it.
    """
    data = analysis.dataset
    names, regression = analysis.class_names, analysis.is_regression
    label = np.asarray(analysis.labels, dtype=np.int64)
    number = len(label)
    if regression:
        label = np.zeros_like(label)
    else:
        names = answer_names(names)
    stored = "contribution" in data
    groups = analysis.groups
    correlation, mahalanobis, p, answer, target = (np.full(number, np.nan) for _ in range(5))
    if regression:
        answer = np.asarray(analysis.logits[:, 0], dtype=np.float64)
        target = np.asarray(analysis.targets, dtype=np.float64)
    nearer_others = np.zeros(number, bool)
    if stored and data.sizes["feature"] < LEAST_FEATURES:
        by = "mahalanobis"
    for c in range(len(names)) if stored else ():
        if c == analysis.compared_class:
            continue
        members = np.flatnonzero(label == c)
        own = np.arange(len(members)) if groups is None else groups[members]
        if len(np.unique(own)) < LEAST_CASES:
            continue
        profiles = np.asarray(data["contribution"].values[members], dtype=np.float64)
        correlation[members] = correlation_distance(profiles, mean_of_the_others(profiles, own))
        mahalanobis[members] = mahalanobis_of_the_others(profiles, own)
        p[members] = rank_p((correlation if by == "correlation" else mahalanobis)[members], own)
        if len(members) < number and by == "correlation":
            # Both means hold contributions to one class, so the sum over all less the members'.
            column = data["importance_all"].values[:, min(c, len(analysis.class_names) - 1)]
            rest = column * number - profiles.sum(axis=0)
            from_rest = correlation_distance(profiles, rest[None])
            nearer_others[members] = from_rest < correlation[members]
    return Outliers(
        class_names=names,
        case_ids=analysis.case_ids,
        label=label,
        predicted=analysis.predicted,
        answer=answer,
        target=target,
        correlation=correlation,
        mahalanobis=mahalanobis,
        p=p,
        nearer_others=nearer_others,
        by=by,
        stored=stored,
        regression=regression,
        grouped=groups is not None,
        compared_class=analysis.compared_class,
    )
