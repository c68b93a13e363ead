"""One of two cohorts that are compared: what its importance columns are the means of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.identity import differing
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.problems import EvaluationProblem


@dataclass(frozen=True, eq=False)
class Side:
    """One cohort, class by class.

    Attributes
    ----------
    mean : ``[F, C]``, the importance matrix in logits.
    logit : ``[C]``, the class's mean logit over the cases that count.
    cases : ``[C]``, cases that count.
    patients : ``[C]``, independent ones among them: patients where they are known, else the cases.
    error : ``[F, C]``, squared standard error of a mean over independent ones.
    independent : for each class the contributions ``[patients, F]``, a patient's cases averaged;
        None where the analysis holds no contributions of single cases.
    grouped : whether the patients are known.
    """

    mean: Floats
    logit: Floats
    cases: Ints
    patients: Ints
    error: Floats
    independent: tuple[Floats, ...] | None
    grouped: bool

    @classmethod
    def of(cls, analysis: Analysis, kind: Kind) -> Side:
        """By the cases of each class (``"true"``) or by all (``"all"``)."""
        data, classes = analysis.dataset, len(analysis.class_names)
        mean = np.asarray(data[f"importance_{kind}"].values, dtype=float)
        variance = np.asarray(data[f"variance_{kind}"].values, dtype=float)
        cases = cases_that_count(analysis, kind)
        counted = np.ones((len(analysis.labels), classes), bool)
        if kind == "true":
            counted = cases_of_class(analysis.labels, classes)
        counted[:, [c for c in range(classes) if c == analysis.compared_class]] = False
        groups, logits = analysis.groups, analysis.logits
        patients = cases if groups is None else _distinct(groups, counted)
        with np.errstate(divide="ignore", invalid="ignore"):
            logit = np.where(counted, logits, 0.0).sum(axis=0) / counted.sum(axis=0)
            error = variance / cases
        independent = None
        # Each case's contributions are to its own class; to another one they are not stored.
        if "contribution" in data and (kind == "true" or classes == 1):
            values = data["contribution"].values
            independent = tuple(
                _independent(values[of_class], None if groups is None else groups[of_class])
                for of_class in counted.T
            )
            if groups is not None:
                error = np.stack([_error_of_mean(found) for found in independent], axis=1)
        return cls(mean, logit, cases, patients, error, independent, groups is not None)


def check_same_model(one: Analysis, other: Analysis) -> None:
    """Refuse two analyses that are not of one model by one method, against the same.

    Raises
    ------
    AnalysisMismatchError
        Lists what differs.
    """
    mine, theirs = one.dataset.attrs, other.dataset.attrs
    different = differing(mine, theirs)
    different += [key for key in ("method", "target") if getattr(one, key) != getattr(other, key)]
    if one.dataset["importance_all"].shape != other.dataset["importance_all"].shape:
        different.append("number of features or classes")
    if different:
        raise AnalysisMismatchError(
            EvaluationProblem.NOT_COMPARABLE, different=", ".join(different)
        )


def cases_that_count(analysis: Analysis, kind: Kind) -> Ints:
    """``[C]``: the cases that a column of the importance matrix is the mean of.

    None for a class that all are compared with.
    """
    data = analysis.dataset
    if kind == "true":
        number = np.array(data["cases_true"].values, dtype=np.int64)
    else:
        every = int(data["cases_all"]) if "cases_all" in data else data.sizes["case"]
        number = np.full(len(analysis.class_names), every, dtype=np.int64)
    if analysis.compared_class is not None:
        number[analysis.compared_class] = 0
    return number


def patients_of_classes(analysis: Analysis) -> Ints:
    """``[C]``: patients with cases of each class, or its cases where no patients are known."""
    of_class = cases_of_class(analysis.labels, len(analysis.class_names))
    groups = analysis.groups
    return np.asarray(of_class.sum(axis=0) if groups is None else _distinct(groups, of_class))


def in_both(one: Analysis, other: Analysis, variable: str) -> int | None:
    """How many images (``"content"``) or patients (``"group"``) stand in both analyses.

    None where a file does not tell.
    """
    if variable not in one.dataset or variable not in other.dataset:
        return None
    if variable == "group" and (one.groups is None or other.groups is None):
        return None
    both = np.intersect1d(one.dataset[variable].values, other.dataset[variable].values)
    return int((both != 0).sum()) if variable == "group" else len(both)


def _distinct(groups: Ints, counted: Bools) -> Ints:
    return np.array([len(np.unique(groups[of_class])) for of_class in counted.T], np.int64)


def _independent(values: NDArray[np.floating], groups: Ints | None) -> Floats:
    """``[patients, F]``, a patient's cases averaged."""
    cases = values.astype(np.float64)
    if groups is None or not len(cases):
        return cases
    _, number = np.unique(groups, return_inverse=True)
    order = np.argsort(number, kind="stable")
    counts = np.bincount(number)
    starts = np.cumsum(counts) - counts
    return np.asarray(np.add.reduceat(cases[order], starts, axis=0) / counts[:, None])


def _error_of_mean(values: Floats) -> Floats:
    if len(values) < 2:
        return np.full(values.shape[1], np.nan)
    return np.asarray(values.var(axis=0, ddof=1) / len(values))
