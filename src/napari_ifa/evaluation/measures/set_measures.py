"""How rightly a model answers from a set of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.evaluation.numbers import Bools, Floats, Ints, Numbers
from napari_ifa.evaluation.statistics.certainty import bounded_p, unless_equal
from napari_ifa.evaluation.statistics.independence import Groups, number_of, summed
from napari_ifa.evaluation.statistics.intervals import LEAST_DRAWN, NO_INTERVAL, Interval
from napari_ifa.evaluation.statistics.performance import (
    area_and_influence,
    class_scores,
    classification_measures,
    is_right,
    regression_measures,
)
from napari_ifa.evaluation.statistics.shares import of_lost_share


@dataclass(frozen=True)
class SetAccuracy:
    """How rightly a classifier answers from a set of features.

    Attributes
    ----------
    features : what the set is called.
    kept : features in it.
    n : labelled cases.
    accuracy, low, high : share answered rightly, and its 95 % interval (Wilson).
    balanced_accuracy, balanced_low, balanced_high : mean over the classes that have cases of the
        share answered rightly, and its 95 % interval.
    auc : area under the ROC curve of each class's probability against the rest, mean over the
        classes that have cases and leave others; NaN where none does.
    lost, lost_low, lost_high : accuracy with all features less this one, and its 95 % interval
        over the same cases; NaN for all features themselves.
    auc_lost, auc_lost_low, auc_lost_high : the same of the AUC.
    p : McNemar's exact test against all features; NaN where no case is answered otherwise.
    """

    features: str
    kept: int
    n: int
    accuracy: float
    low: float
    high: float
    balanced_accuracy: float
    balanced_low: float
    balanced_high: float
    auc: float
    lost: float
    lost_low: float
    lost_high: float
    auc_lost: float
    auc_lost_low: float
    auc_lost_high: float
    p: float


@dataclass(frozen=True)
class SetFit:
    """How near a regression comes to its targets from a set of features.

    Attributes
    ----------
    r2, low, high : 1 - squared residuals / squared deviations of the targets from their mean, and
        its 95 % interval (bootstrap).
    mae, mae_low, mae_high : mean absolute error in the target's unit, and its interval.
    pearson, pearson_low, pearson_high : correlation of answer and target, and its interval.
    """

    features: str
    kept: int
    n: int
    r2: float
    low: float
    high: float
    mae: float
    mae_low: float
    mae_high: float
    pearson: float
    pearson_low: float
    pearson_high: float


@dataclass(frozen=True, eq=False, repr=False)
class MaskedAccuracy(Numbers):
    """What is left of a model's answers with the principal features, and with the others.

    Attributes
    ----------
    sets : of all features, the principal ones, the others.
    analysis : the one whose importance chose the principal features.
    principal : those features; one mask for all classes.
    top : share of every class's features that is principal.
    by, kind : how they are ranked, and by which importance; see `FeatureOrder`.
    unlabelled : cases that are left out, for they have no label.
    bypassed : whether part of the answer goes around the target layer.
    groups : ``[n]``, equal for cases of one patient; None where none are known.
    """

    sets: tuple[SetAccuracy, ...] | tuple[SetFit, ...]
    analysis: Analysis
    principal: FeatureMask
    top: float
    by: Ranking
    kind: Kind
    unlabelled: int
    bypassed: bool
    groups: Groups = None


def set_accuracies(
    logits: Floats,
    labels: Ints,
    masks: Sequence[FeatureMask],
    class_names: tuple[str, ...],
    groups: Groups = None,
) -> tuple[SetAccuracy, ...]:
    """Of each mask, the first of which keeps all features.

    ``logits [N, M, C]`` are those of labelled cases, at least one, with class numbers
    ``labels [N]``; ``groups [N]`` is equal for cases of one patient.
    """
    every = is_right(logits[:, 0], labels)
    area, influence = _mean_area(logits[:, 0], labels)
    nothing = (float("nan"), NO_INTERVAL)
    found = []
    for m, mask in enumerate(masks):
        measures = classification_measures(logits[:, m], labels, class_names, groups)
        right = is_right(logits[:, m], labels)
        own_area, own_influence = _mean_area(logits[:, m], labels)
        lost, auc_lost = nothing, nothing
        if m:
            lost = float(every.mean() - right.mean()), of_lost_share(every, right, groups)
            auc_lost = (
                area - own_area,
                _of_difference(area - own_area, influence - own_influence, groups),
            )
        values: list[Any] = [
            *(mask.name, mask.count, len(labels)),
            *(end for one in measures[:2] for end in (one.value, one.low, one.high)),
            own_area,
            *(end for value, one in (lost, auc_lost) for end in (value, one.low, one.high)),
            mcnemar_p(every, right, groups),
        ]
        found.append(SetAccuracy(*values))
    return tuple(found)


def _mean_area(logits: Floats, labels: Ints) -> tuple[float, Floats]:
    """The mean AUC over the classes that have cases and leave others, and each case's influence.

    A case whose logits are not finite has none.
    """
    finite = np.isfinite(logits).all(axis=1)
    scores = class_scores(logits[finite])
    truth = cases_of_class(labels[finite], logits.shape[1])
    known = [c for c in range(scores.shape[1]) if truth[:, c].any() and not truth[:, c].all()]
    influence = np.zeros(len(labels))
    if not known:
        return float("nan"), influence
    found = [area_and_influence(scores[:, c], truth[:, c]) for c in known]
    influence[finite] = np.mean([one for _, one in found], axis=0)
    return float(np.mean([area for area, _ in found])), influence


def _of_difference(difference: float, influence: Floats, groups: Groups) -> Interval:
    """Of a difference of AUCs of the same cases, from each case's influence on it.

    DeLong et al. (Biometrics 1988), over whole groups with Student's t (Obuchowski, Biometrics
    1997). None below 15 groups, and where no case has any influence.
    """
    from scipy.stats import t

    number = number_of(groups, len(influence))
    influence = summed(influence, groups)
    if number < LEAST_DRAWN or not influence.any() or not np.isfinite(difference):
        return NO_INTERVAL
    error = float(np.sqrt((influence**2).sum() * number / (number - 1)))
    half = float(t.ppf(0.975, number - 1)) * error
    return Interval(max(-1.0, difference - half), min(1.0, difference + half), "DeLong")


def mcnemar_p(one: Bools, other: Bools, groups: Groups = None) -> float:
    """Two-sided p that two answers to the same cases are right equally often, ``[N]`` each.

    McNemar's exact test: a sign test of the cases where one alone is right; of groups, a sign test
    of the groups where one is right more often. NaN without such.
    """
    from scipy.stats import binomtest

    gained = summed(other.astype(float) - one, groups)
    changed = int((gained != 0).sum())
    if not changed:
        return float("nan")
    return bounded_p(float(binomtest(int((gained > 0).sum()), changed).pvalue))


def set_fits(
    targets: Floats,
    answers: Floats,
    masks: Sequence[FeatureMask],
    groups: Groups = None,
) -> tuple[SetFit, ...]:
    """Of each mask: ``answers [N, M]`` against ``targets [N]``, all of them known."""
    found = []
    for m, mask in enumerate(masks):
        measures = {one.measure: one for one in regression_measures(answers[:, m], targets, groups)}
        values = [
            value
            for name in ("R²", "mean absolute error", "Pearson's r")
            for value in (
                measures[name].value,
                *unless_equal(measures[name].low, measures[name].high),
            )
        ]
        found.append(SetFit(mask.name, mask.count, len(targets), *values))
    return tuple(found)
