"""How well a model answers a cohort, from the answers and labels that an analysis holds.

Intervals are of 95 %. Shares have Wilson's, balanced accuracy a score interval over its classes
(`of_mean_share`), an AUC Newcombe's (method 5, Stat Med 2006). None of them shrinks to a point
where every case is right, as a bootstrap would. Where several cases are of one patient, numbers of
cases are brought down to those of independent ones first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from napari_ifa.cohorts.truth import cases_of_class, predicted_classes
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.statistics.independence import Groups, independent_share, of_some
from napari_ifa.evaluation.statistics.intervals import Interval, bootstrapped, pearson
from napari_ifa.evaluation.statistics.shares import of_mean_share, of_share

_Z = 1.959963984540054
#: How near to 1 an AUC's bracket is closed: at 1 itself the equation has another root.
_NEARLY = 1e-12


@dataclass(frozen=True)
class Measured:
    """One figure of how well a model answers.

    Attributes
    ----------
    measure : its name.
    class_name : the class it is of; empty for all.
    value, low, high : the figure and its 95 % interval; NaN where there is none.
    cases : how many cases it rests on.
    interval : by which method.
    """

    measure: str
    class_name: str
    value: float
    low: float
    high: float
    cases: int
    interval: str


def classification_measures(
    logits: Floats,
    labels: Ints,
    class_names: tuple[str, ...],
    groups: Groups = None,
) -> list[Measured]:
    """Accuracy, balanced accuracy, and each class's sensitivity and AUC.

    Parameters
    ----------
    logits : ``[N, C]``; with one output, above 0 means that the class is present.
    labels : ``[N]`` class numbers, -1 for a case without one, which counts for nothing here.
    groups : ``[N]``, equal for cases of one patient; None where every case is on its own.

    Returns
    -------
    Balanced accuracy is the mean of the classes' sensitivities, of those that have cases. An AUC
    tells a class from all the others by its softmax probability, or by the one output; cases whose
    logits are not finite count as wrong, and not for an AUC.
    """
    known = labels >= 0
    logits, labels, groups = logits[known], labels[known], of_some(groups, known)
    if labels.size == 0:
        return []
    right = is_right(logits, labels)
    rows = [accuracy(logits, labels, groups)]
    # One output answers two classes: its own, and that it is absent.
    numbers = range(len(class_names)) if len(class_names) > 1 else (1, 0)
    names = class_names if len(class_names) > 1 else (class_names[0], f"not {class_names[0]}")
    members: list[Bools] = list(labels == np.array([*numbers])[:, None])
    present = [own for own in members if own.any()]
    rights = [right[own] for own in present]
    balanced = float(np.mean([one.mean() for one in rights]))
    interval = of_mean_share(rights, [of_some(groups, own) for own in present])
    rows.append(_measured("balanced accuracy", "", balanced, right.size, interval))
    rows += [
        _share("sensitivity", name, right[own], of_some(groups, own))
        for name, own in zip(names, members, strict=True)
    ]
    finite = np.isfinite(logits).all(axis=1)
    truth = cases_of_class(labels[finite], len(class_names))
    scores, groups = class_scores(logits[finite]), of_some(groups, finite)
    # Of two classes one's AUC is the other's too.
    for c in range(1, 2) if len(class_names) == 2 else range(len(class_names)):
        area, interval = area_under_curve(scores[:, c], truth[:, c], groups)
        rows.append(_measured("AUC against the others", class_names[c], area, len(truth), interval))
    return rows


def accuracy(logits: Floats, labels: Ints, groups: Groups = None) -> Measured:
    """The share of cases with a label that are answered rightly; NaN where there is none."""
    known = labels >= 0
    return _share("accuracy", "", is_right(logits[known], labels[known]), of_some(groups, known))


def regression_measures(values: Floats, targets: Floats, groups: Groups = None) -> list[Measured]:
    """Mean absolute error, R² and Pearson's r of answered ``values [N]`` against ``targets [N]``.

    R² is 1 − Σ(target − value)² / Σ(target − mean target)², which is negative where the mean
    itself would answer better. Cases without a target or a finite answer count for nothing.
    """
    known = np.isfinite(targets) & np.isfinite(values)
    values, targets, groups = values[known], targets[known], of_some(groups, known)
    if values.size == 0:
        return []
    both = (values, targets)
    measures: dict[str, Callable[..., Floats]] = {
        "mean absolute error": _absolute_error,
        "R²": determination,
        "Pearson's r": pearson,
    }
    return [
        _measured(name, "", float(f(*both)), values.size, bootstrapped(f, *both, groups=groups))
        for name, f in measures.items()
    ]


def is_right(logits: Floats, labels: Ints) -> Bools:
    """Which cases are answered rightly, ``[N]``; none whose logits are not finite."""
    finite = np.isfinite(logits).all(axis=1)
    return np.asarray(finite & (predicted_classes(logits) == labels))


def confusion_counts(logits: Floats, labels: Ints, classes: int) -> Ints:
    """Cases by true class (row) and answered class (column), ``[C, C]``; ``[2, 2]`` of one output.

    Only cases with a label and finite logits count.
    """
    counted = (labels >= 0) & np.isfinite(logits).all(axis=1)
    table = np.zeros((max(classes, 2), max(classes, 2)), np.int64)
    np.add.at(table, (labels[counted], predicted_classes(logits[counted])), 1)
    return table


def area_under_curve(
    scores: Floats, positive: Bools, groups: Groups = None
) -> tuple[float, Interval]:
    """Area under the ROC curve of ``scores [N]``, and Newcombe's interval.

    The interval holds every θ with (θ − AUC)² ≤ z²·θ(1 − θ)·(1 + n*(1 − θ)/(2 − θ) +
    n*θ/(1 + θ)) / (mn), n* = (m + n)/2 − 1 (Newcombe, Stat Med 2006, method 5). NaN where all
    cases are of one kind.
    """
    from scipy.optimize import brentq

    m, n = int(positive.sum()), int((~positive).sum())
    if not m or not n:
        return float("nan"), Interval()
    area, influence = area_and_influence(scores, positive)
    share = independent_share(influence, groups)
    if not share > 0:
        return area, Interval()
    pairs = max((m + n) * share / 2 - 1, 0.0)

    def beyond(theta: float) -> float:
        spread = 1 + pairs * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - area) ** 2 - _Z**2 * theta * (1 - theta) * spread / (m * n * share**2)

    low = 0.0 if area == 0 else float(brentq(beyond, 0.0, min(area, 1 - _NEARLY)))
    high = 1.0 if area == 1 else float(brentq(beyond, max(area, _NEARLY), 1.0))
    return area, Interval(low, high, "Newcombe" + " for groups" * (share != 1))


def area_and_influence(scores: Floats, positive: Bools) -> tuple[float, Floats]:
    """Area under the ROC curve of ``scores [N]``, and what each case adds to its error, ``[N]``.

    A positive case's influence is the share of negative ones below it, less the area, over the
    number of positive ones; a negative one's the other way round (DeLong et al., Biometrics 1988).
    There must be cases of either kind.
    """
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    # Mann and Whitney's U as a share of all pairs; ties count half.
    area = float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))
    influence = np.empty(m + n)
    influence[positive] = ((ranks[positive] - rankdata(scores[positive])) / n - area) / m
    below = (ranks[~positive] - rankdata(scores[~positive])) / m
    influence[~positive] = (1 - below - area) / n
    return area, influence


def class_scores(logits: Floats) -> Floats:
    """What tells each class from the others, ``[N, C]``: its log-probability, or the one output."""
    if logits.shape[1] == 1:
        return logits
    from scipy.special import log_softmax

    # The logarithm keeps the order of probabilities that would all round to 1.
    return np.asarray(log_softmax(logits, axis=1))


def _share(measure: str, name: str, right: Bools, groups: Groups) -> Measured:
    value = float(right.mean()) if right.size else float("nan")
    return _measured(measure, name, value, right.size, of_share(right, groups))


def _measured(measure: str, name: str, value: float, cases: int, interval: Interval) -> Measured:
    return Measured(measure, name, value, interval.low, interval.high, cases, interval.method)


def _absolute_error(values: Floats, targets: Floats, axis: int = -1) -> Floats:
    return np.asarray(np.abs(values - targets).mean(axis=axis))


def determination(values: Floats, targets: Floats, axis: int = -1) -> Floats:
    """R² over an axis, as a statistic of resamples; NaN where all targets are the same."""
    centred = targets - targets.mean(axis=axis, keepdims=True)
    total = (centred**2).sum(axis=axis)
    explained = ((targets - values) ** 2).sum(axis=axis) / np.where(total > 0, total, np.nan)
    return np.asarray(1 - explained)
