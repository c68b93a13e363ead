"""How rightly a model answers from a set of its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.evaluation.certainty import bounded_p, unless_equal
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.performance import (
    classification_measures,
    is_right,
    regression_measures,
)


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


def set_accuracies(
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    masks: Sequence[FeatureMask],
    class_names: tuple[str, ...],
) -> tuple[SetAccuracy, ...]:
    """Of each mask, the first of which keeps all features.

    ``logits [N, M, C]`` are those of labelled cases, at least one, with class numbers
    ``labels [N]``.
    """
    every = is_right(logits[:, 0], labels)
    found = []
    for m, mask in enumerate(masks):
        measures = classification_measures(logits[:, m], labels, class_names)
        accuracy, balanced = measures[:2]
        areas = np.array([one.value for one in measures if one.measure.startswith("AUC")])
        areas = areas[np.isfinite(areas)]
        found.append(
            SetAccuracy(
                mask.name,
                mask.count,
                len(labels),
                accuracy.value,
                accuracy.low,
                accuracy.high,
                balanced.value,
                balanced.low,
                balanced.high,
                float(areas.mean()) if areas.size else float("nan"),
                mcnemar_p(every, is_right(logits[:, m], labels)),
            )
        )
    return tuple(found)


def mcnemar_p(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Two-sided p that two answers to the same cases are right equally often, ``[N]`` each.

    McNemar's exact test: a sign test of the cases where one alone is right. NaN without such.
    """
    from scipy.stats import binomtest

    changed = int((one != other).sum())
    if not changed:
        return float("nan")
    return bounded_p(float(binomtest(int((other & ~one).sum()), changed).pvalue))


def set_fits(
    targets: NDArray[np.float64], answers: NDArray[np.float64], masks: Sequence[FeatureMask]
) -> tuple[SetFit, ...]:
    """Of each mask: ``answers [N, M]`` against ``targets [N]``, all of them known."""
    found = []
    for m, mask in enumerate(masks):
        measures = {one.measure: one for one in regression_measures(answers[:, m], targets)}
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
