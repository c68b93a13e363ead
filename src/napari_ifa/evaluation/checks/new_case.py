"""How unusual a new case's contributions are among the stored ones of a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.outliers import LEAST_CASES, LEAST_FEATURES, Distance
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.statistics.distances import (
    correlation_distance,
    mahalanobis_of_the_others,
    mean_of_the_others,
    rank_p,
)
from napari_ifa.wording import counted


@dataclass(frozen=True)
class Comparison:
    """One case among the stored ones of a class.

    Attributes
    ----------
    distance : of its contributions from the mean of the class's cases.
    usual : median of the stored cases' own distances, each from the mean of the others.
    p : share of the cases, itself included, that lie at least as far; see ``outliers.outliers``.
    cases, patients : that it was compared with; as many patients as cases where none are known.
    """

    distance: float
    usual: float
    p: float
    cases: int
    patients: int


def compared_with_class(
    analysis: Analysis,
    contributions: NDArray[np.floating],
    class_idx: int,
    *,
    by: Distance = "correlation",
    group: int | None = None,
) -> Comparison:
    """Where a new case would stand among the labelled cases of a class.

    Its p is exact where it comes from the same distribution as they do: it is judged as each of
    them is, by the mean of the others, to which the new case belongs as well.

    Parameters
    ----------
    contributions : ``[F]`` of the new case to the class, by the analysis's model and method.
    by : the distance; the Mahalanobis distance with fewer than four features.
    group : the new case's pseudonym as in the dataset's ``group``; the patient's own stored cases
        are left out.

    Raises
    ------
    AnalysisError
        The analysis holds no contributions of single cases, too few cases of the class, or
        compares all classes with it.
    """
    data = analysis.dataset
    if "contribution" not in data:
        raise AnalysisError(EvaluationProblem.NO_PROFILES)
    features = data.sizes["feature"]
    new = np.asarray(contributions, dtype=np.float64)
    if new.shape != (features,):
        raise AnalysisError(EvaluationProblem.CONTRIBUTIONS, features=features, given=new.size)
    names, classes = analysis.class_names, len(analysis.class_names)
    analysis.check_class(class_idx)
    of_class = cases_of_class(analysis.labels, classes)[:, class_idx]
    if analysis.is_regression:
        of_class = np.ones(len(of_class), bool)
    if group is not None and "group" in data:
        of_class &= data["group"].values != np.uint64(group)
    members = np.flatnonzero(of_class)
    groups = analysis.groups
    own = np.arange(len(members)) if groups is None else groups[members]
    patients = len(np.unique(own))
    if patients < LEAST_CASES:
        raise AnalysisError(
            EvaluationProblem.FEW_CASES,
            independent=counted(patients, "independent case"),
            name=names[class_idx],
            least=LEAST_CASES,
        )
    profiles = np.concatenate([np.asarray(data["contribution"].values[members], float), [new]])
    own = np.append(own, own.max() + 1)
    if by == "correlation" and features >= LEAST_FEATURES:
        distance = correlation_distance(profiles, mean_of_the_others(profiles, own))
    else:
        distance = mahalanobis_of_the_others(profiles, own)
    return Comparison(
        distance=float(distance[-1]),
        usual=float(np.nanmedian(distance[:-1])),
        p=float(rank_p(distance, own)[-1]),
        cases=len(members),
        patients=patients,
    )
