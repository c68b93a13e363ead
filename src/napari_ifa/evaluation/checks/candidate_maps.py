"""The maps of the first confounder candidates, each feature alone, on the cases it matters in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.case_activation import CaseActivation
from napari_ifa.analysis.explanation import Explanation
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.scale import ScaleChoice
from napari_ifa.cohorts.batches import BatchSize, CohortPass, ReadCase
from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.findings import Findings
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import PreparedInput
from napari_ifa.progress import Stop
from napari_ifa.volumes import Volume
from napari_ifa.volumes.windowing import default_window

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from torch import Tensor

OpenedCase: TypeAlias = "ReadCase[tuple[Volume, MetaTensor]]"


@dataclass(frozen=True, eq=False)
class CandidateMap:
    """FS-S-CAM (eq. 5) of one feature alone on one case, in the slice where it is strongest.

    Attributes
    ----------
    feature, class_idx, case_id : of which it is.
    contribution : of the feature to the class, in logits.
    image, s_cam : ``[rows, columns]`` of that slice; an image in colour has its channels last.
    limits : of the image's grey values.
    aspect : height of a pixel over its width.
    neutral : where the scale has no evidence.
    slices : of the image.
    """

    feature: int
    class_idx: int
    case_id: str
    contribution: float
    image: NDArray[np.generic]
    s_cam: NDArray[np.floating]
    limits: tuple[float, float]
    aspect: float
    neutral: float
    slices: int


@dataclass(frozen=True, eq=False)
class CandidateMaps:
    """The maps of the first features in rank.

    Attributes
    ----------
    rows : one for each feature that has a case, in their rank.
    skipped : cases that could not be used.
    """

    rows: tuple[tuple[CandidateMap, ...], ...]
    skipped: tuple[SkippedCase, ...]


def candidate_maps(
    classifier: Classifier,
    cohort: Cohort,
    findings: Findings,
    *,
    features: int = 3,
    cases: int = 4,
    skip_up_to: float = 0.05,
    stop: Stop | None = None,
) -> CandidateMaps:
    """The maps of the first features in rank, each alone, on the cases it contributes most in.

    The scale is the common one of all features together, by the cases' extremes, since a confounder
    often fills a small part of the image.

    Parameters
    ----------
    features : of the first in rank; fewer where there are fewer.
    cases : of the class, for each feature.
    skip_up_to, stop : as of `evaluate`, and so are the other errors.

    Raises
    ------
    AnalysisError
        No class has a case in the cohort, so there is nothing to show.
    AnalysisMismatchError
        The findings are of another model.
    """
    from napari_ifa.cam import CutNetwork, class_activations

    analysis = findings.analysis
    analysis.check(classifier)
    wanted: dict[Case, list[tuple[int, int]]] = {}
    ranked = findings.confounders.ranked[:features]
    for f, c in ranked:
        for case in candidate_cases(cohort, findings, f, c)[:cases]:
            wanted.setdefault(case, []).append((f, c))
    if not wanted:
        raise AnalysisError(EvaluationProblem.NO_CANDIDATE_CASE)
    chosen = CohortPass(
        classifier,
        cohort,
        lambda _, volume, prepared: (volume, prepared),
        size=BatchSize(1),
        skip_up_to=skip_up_to,
        stop=stop,
        positions=[place for place, case in enumerate(cohort.cases) if case in wanted],
    )
    found: dict[tuple[int, int], dict[Case, CandidateMap]] = {pair: {} for pair in ranked}
    with CutNetwork(classifier.network, classifier.target_layer, early=True) as cut:

        def compute(x: Tensor, batch: list[OpenedCase]) -> list[CandidateMap]:
            activations = class_activations(
                cut, x, None, analysis.method, "all", analysis.targets_run, stop=stop
            )
            (one,) = batch
            assert one.kept is not None
            volume, prepared = one.kept
            case = CaseActivation.of(classifier, volume, PreparedInput(prepared), x, activations)
            return [
                _map_of(
                    one.case.id,
                    Explanation(
                        volume,
                        case,
                        analysis,
                        c,
                        FeatureMask.only(case.features, [f]),
                        ScaleChoice(basis="extremes"),
                        analysis.target,
                    ),
                    f,
                )
                for f, c in wanted[one.case]
            ]

        for (one,), maps in chosen.computed(compute):
            for made in maps:
                found[made.feature, made.class_idx][one.case] = made
    rows = (
        tuple(of_pair[case] for case in candidate_cases(cohort, findings, f, c) if case in of_pair)
        for (f, c), of_pair in found.items()
    )
    return CandidateMaps(tuple(row for row in rows if row), chosen.skipped)


def _map_of(case_id: str, explanation: Explanation, feature: int) -> CandidateMap:
    volume, scale = explanation.volume, explanation.scale
    assert scale is not None
    axis = volume.source.axes.index(2)
    others = tuple(a for a in range(3) if a != axis)
    strength = np.nan_to_num(np.abs(explanation.class_activation.array)).max(axis=others)
    index = int(strength.argmax())
    height, width = (size for a, size in enumerate(volume.spacing) if a != axis)
    return CandidateMap(
        feature=feature,
        class_idx=explanation.class_idx,
        case_id=case_id,
        contribution=float(explanation.contributions[feature]),
        image=volume.array.take(index, axis),
        s_cam=explanation.s_cam.array.take(index, axis),
        limits=default_window(volume).limits,
        aspect=height / width,
        neutral=scale.neutral,
        slices=int(volume.array.shape[axis]),
    )


def candidate_cases(
    cohort: Cohort, findings: Findings, feature: int, class_idx: int
) -> tuple[Case, ...]:
    """The cases of a class, those first in which a feature contributes most, for or against.

    Without any label they are those that the model answers so, and all where it answers with
    values. Where the analysis holds no contributions of single cases, they are in the cohort's
    order.
    """
    analysis = findings.analysis
    size = np.zeros(len(analysis.case_ids))
    if "contribution" in analysis.dataset:
        size = np.abs(analysis.dataset["contribution"].values[:, feature].astype(float))
    labels = analysis.labels if (analysis.labels >= 0).any() else analysis.predicted
    chosen = cases_of_class(labels, len(analysis.class_names))[:, class_idx]
    if analysis.is_regression:
        chosen = np.ones(len(size), bool)
    of_class = {analysis.case_ids[n]: size[n] for n in np.flatnonzero(chosen)}
    members = [case for case in cohort.cases if case.id in of_class]
    return tuple(sorted(members, key=lambda case: -of_class[case.id]))
