"""How far the maps and the features of an analysis can be trusted, measured on a cohort."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ifa.analysis.given import Source, given_analysis, given_classifier, given_cohort
from napari_ifa.analysis.importance import Ranking
from napari_ifa.analysis.scale import Basis, CommonScale, Form, ScaleChoice, Scope
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.cohorts.batches import CohortPass
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.cohorts.truth import Truth
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.evaluation_pass import (
    SETS,
    BatchMeasures,
    CaseMeasures,
    MarkedCase,
    explained_classes,
    lesion_of,
)
from napari_ifa.evaluation.measures.average_drop import AverageDrop
from napari_ifa.evaluation.measures.consistency import Consistency, pooling_scale
from napari_ifa.evaluation.measures.feature_order import FRACTIONS, CurveMasks, FeatureOrder
from napari_ifa.evaluation.measures.localisation import CohortLocalisation
from napari_ifa.evaluation.measures.masked_accuracy import masked_batches
from napari_ifa.evaluation.measures.masking_curve import MaskingCurve, accuracy_curve, fit_curve
from napari_ifa.evaluation.measures.set_measures import (
    MaskedAccuracy,
    SetAccuracy,
    SetFit,
    set_accuracies,
    set_fits,
)
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.evaluation.sections.left_out import left_out_sections
from napari_ifa.evaluation.statistics.independence import Groups, of_some
from napari_ifa.memory import memory_said
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.targets import IN_WORDS, Target
from napari_ifa.progress import Progress, Stop
from napari_ifa.wording import counted, listed

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The measures of an analysis on a cohort; each that exists makes a section.

    Attributes
    ----------
    cases : cases evaluated.
    skipped : cases and lesion masks that could not be used.
    unlabelled : cases without a label; they count where none is needed.
    notes : sentences on what was left out, and why.
    consistency : of the sums of maps with the logits.
    masked_accuracy, masking_curve : what is left with features switched off; None without labels.
    average_drop : None where the model has no probabilities, as in a regression.
    localisation : None where no case has a lesion.
    """

    cases: int
    skipped: tuple[SkippedCase, ...]
    unlabelled: int
    notes: tuple[str, ...]
    consistency: Consistency
    masked_accuracy: MaskedAccuracy | None
    masking_curve: MaskingCurve | None
    average_drop: AverageDrop | None
    localisation: CohortLocalisation | None

    def __repr__(self) -> str:
        return "\n".join((f"Evaluation of {counted(self.cases, 'case')}", *map(str, self.sections)))

    @property
    def sections(self) -> tuple[Section, ...]:
        """One per measure, in the order of the attributes, and one of what was left out."""
        measures = sections_of(
            self.consistency,
            self.masked_accuracy,
            self.masking_curve,
            self.average_drop,
            self.localisation,
        )
        return (*measures, *left_out_sections(self.notes, self.skipped))


@memory_said(
    AnalysisError, "evaluate this analysis", "use a batch size of 1, or a part of the cohort"
)
def evaluate(
    classifier: Classifier | Source,
    analysis: Analysis | Source,
    cohort: Cohort | Source,
    top: float = 0.05,
    *,
    by: Ranking = "value",
    kind: Kind = "true",
    fractions: Sequence[float] = FRACTIONS,
    basis: Basis = "voxels",
    form: Form = "paper",
    scope: Scope = "class",
    target: Target | None = None,
    batch_size: int | None = None,
    skip_up_to: float = 0.05,
    progress: Progress | None = None,
    stop: Stop | None = None,
    seed: int = 0,
) -> Evaluation:
    """Measure an analysis on a cohort, in one pass over its cases.

    Where all classes are compared with one of them, that one has no maps: measures of maps leave it
    out, with the cases that are explained for it, and accuracy counts all.

    Parameters
    ----------
    classifier, analysis, cohort : or the paths that they are read from.
    analysis : gives the method, the common scale and the importance of the features.
    cohort : best one that the analysis has not seen.
    top : share of every class's features that are principal; their union over the classes is kept,
        so that the choice does not depend on a case's label.
    by, kind : how features are ranked, and by which importance matrix (``"true"``, eq. 4, or
        ``"all"``, eq. 3); see `FeatureOrder`.
    fractions : shares of the features at which the masking curve is taken.
    basis, form, scope : of the common scale, see `ScaleChoice`.
    target : what each class is compared with, see `Analysis.of_target`; the analysis's own by
        default.
    batch_size : cases at a time, where their inputs' shapes agree; a number that suits the device
        and the images by default. Results do not depend on it beyond rounding.
    skip_up_to : share of the cases that may be skipped; they are listed.
    progress : called with cases done and cases in all.
    stop : asked before every case; True ends the work.
    seed : of the consistency's bootstrap and of the random orders of features.

    Raises
    ------
    AnalysisMismatchError
        The analysis was made with another model.
    AnalysisError
        A share that is none.
    CohortError
        An empty cohort, a label that the model lacks, or more cases that cannot be read or
        explained than may be skipped; the case is named.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork, bypassed, class_activations

    classifier, analysis = given_classifier(classifier), given_analysis(analysis)
    cohort = given_cohort(cohort)
    analysis.check(classifier)
    analysis = analysis if target is None else analysis.of_target(target)
    choice = ScaleChoice(form, basis, scope)
    if not len(fractions):
        raise AnalysisError(EvaluationProblem.NO_SHARES)
    batches = CohortPass(
        classifier,
        cohort,
        lesion_of,
        size=masked_batches(batch_size),
        skip_up_to=skip_up_to,
        progress=progress,
        stop=stop,
    )
    truth = Truth.of(classifier, cohort.cases)
    order = FeatureOrder.of(analysis, by, kind)
    masks = CurveMasks.of(order, top, tuple(fractions), seed)
    classes = len(classifier.class_names)
    found = CaseMeasures(
        classifier,
        truth.labels,
        np.stack([mask.keep for mask in masks.masks]),
        [_scale(analysis, c, choice) for c in range(classes)],
        pooling_scale(
            analysis.dataset["activation_minimum"].values,
            analysis.dataset["activation_maximum"].values,
        ),
        analysis.compared_class,
    )
    around: list[bool] = []
    with CutNetwork(classifier.network, classifier.target_layer) as cut:

        def compute(x: Tensor, cases: list[MarkedCase]) -> BatchMeasures:
            activations = class_activations(
                cut, x, None, analysis.method, "all", analysis.targets_run, stop=stop
            )
            measures = found.of_batch(cut, x, activations[0], activations[-1], cases)
            if not around:
                around.append(bypassed(cut, x[:1]))
            return measures

        found.parts.extend(measures for _, measures in batches.computed(compute))
    logits = found.joined("logits")
    predicted = explained_classes(logits)
    used, groups = list(batches.used), batches.groups
    truth = Truth(truth.labels[used], truth.targets[used])
    known = np.isfinite(truth.targets) if found.regression else truth.labels >= 0
    sets, curve = _masked(found, truth, known, masks, around[0], groups)
    whose = (classifier.class_names, seed, groups)
    return Evaluation(
        cases=len(logits),
        skipped=batches.skipped,
        unlabelled=int((~known).sum()),
        notes=(*_notes(found, known, order, kind), *_skipped_notes(batches.skipped)),
        consistency=Consistency(
            found.joined("sums"),
            found.joined("explained"),
            predicted,
            *whose,
            answer=_answer(analysis),
            compared_class=analysis.compared_class,
        ),
        masked_accuracy=None
        if sets is None
        else MaskedAccuracy(
            sets=sets,
            analysis=analysis,
            principal=order.union(top),
            top=top,
            by=by,
            kind=order.kind,
            unlabelled=int((~known).sum()),
            bypassed=around[0],
            groups=of_some(groups, known),
        ),
        masking_curve=curve,
        average_drop=_average_drop(found, logits, predicted, groups),
        localisation=_localisation(found, groups),
    )


def _answer(analysis: Analysis) -> str:
    """What the maps explain, in words."""
    if analysis.compared_class is None:
        return IN_WORDS[analysis.target]
    return f"logit less that of '{analysis.class_names[analysis.compared_class]}'"


def _scale(analysis: Analysis, class_idx: int, choice: ScaleChoice) -> CommonScale | None:
    try:
        return analysis.scaled(class_idx, choice)
    except AnalysisError:
        return None


def _masked(
    found: CaseMeasures,
    truth: Truth,
    known: Bools,
    masks: CurveMasks,
    bypassed: bool,
    groups: Groups,
) -> tuple[tuple[SetAccuracy, ...] | tuple[SetFit, ...] | None, MaskingCurve | None]:
    if not known.any() or (found.regression and len(found.classifier.class_names) > 1):
        return None, None
    answers, groups = found.joined("answers")[known], of_some(groups, known)
    sets = masks.masks[:SETS]
    if found.regression:
        targets, values = truth.targets[known], answers.astype(float)
        fits = set_fits(targets, values[:, :SETS], sets, groups)
        return fits, fit_curve(masks, targets, values, bypassed, groups)
    labels = truth.labels[known]
    logits = found.joined("set_logits")[known].astype(float)
    chance = float(np.bincount(labels).max() / labels.size)
    curve = accuracy_curve(masks, answers == labels[:, None], chance, bypassed, groups)
    return set_accuracies(logits, labels, sets, found.classifier.class_names, groups), curve


def _average_drop(
    found: CaseMeasures,
    logits: Floats,
    predicted: Ints,
    groups: Groups,
) -> AverageDrop | None:
    whole = found.classifier.probabilities(logits)
    explained = predicted != found.compared_class
    if whole is None or not explained.any():
        return None
    masked = found.classifier.probabilities(found.joined("masked_inputs"))
    assert masked is not None
    own = np.flatnonzero(explained), predicted[explained]
    names = found.classifier.class_names
    return AverageDrop(whole[own], masked[own], own[1], names, of_some(groups, explained))


def _localisation(found: CaseMeasures, groups: Groups) -> CohortLocalisation | None:
    every = (one for part in found.parts for one in part.found)
    rows = [(n, one) for n, one in enumerate(every) if one is not None]
    located = [(n, c, one) for n, (c, one) in rows if one is not None]
    if not located:
        return None
    places, classes, inside = zip(*located, strict=True)
    return CohortLocalisation(
        inside,
        classes,
        len(rows) - len(located),
        found.classifier.class_names,
        of_some(groups, np.array(places)),
    )


def _notes(found: CaseMeasures, known: Bools, order: FeatureOrder, kind: Kind) -> Iterator[str]:
    names = found.classifier.class_names
    lacking, measure = ("target value", "R²") if found.regression else ("label", "accuracy")
    if found.regression:
        yield (
            "The model answers with values, not with classes: average increase and drop, and"
            " accuracy, do not exist for it; R² stands in place of accuracy."
        )
    elif found.classifier.no_probabilities:
        yield (
            "Average increase and drop are left out, for they need probabilities:"
            f" {found.classifier.no_probabilities}."
        )
    compared = found.compared_class
    if compared is not None:
        without = int((explained_classes(found.joined("logits")) == compared).sum())
        yield (
            f"Every class is compared with '{names[compared]}', which has no map of its own."
            f" {counted(without, 'case')} answered so are left out where the predicted class is"
            " explained, and its cases where the true class is; accuracy counts all cases."
        )
    if not known.any():
        yield (
            f"No case has a {lacking}: there is no {measure}, with or without features switched"
            " off."
        )
    elif found.regression and len(names) > 1:
        yield (
            "The model gives several values and a case has one target: the masked answers are not"
            " compared with it."
        )
    elif not known.all():
        yield (
            f"{(~known).sum()} of {known.size} cases have no {lacking} and count for no {measure}."
        )
    if order.kind != kind:
        why = (
            "Values have no true class"
            if found.regression
            else "No case of the analysis counts for a class"
        )
        yield f"{why}, so that features are ranked by their mean contribution to all cases."
    elif order.without_cases and not found.regression:
        missing = listed([names[c] for c in order.without_cases])
        yield f"The analysis has no case of {missing}, which therefore bring no principal feature."
    without_scale = [
        name
        for c, (name, scale) in enumerate(zip(names, found.scales, strict=True))
        if scale is None and c != compared
    ]
    if without_scale:
        yield (
            "The class activation of the analysis varies too little for a common scale of"
            f" {listed(without_scale)}: there is no S-CAM of it."
        )
    sizes = {part.size for part in found.parts}
    if len(sizes) > 1:
        yield (
            f"The network's inputs have {len(sizes)} different sizes: sums over more voxels"
            " are larger, whatever the answer."
        )


def _skipped_notes(skipped: Sequence[SkippedCase]) -> Iterator[str]:
    masks = sum(case.mask_alone for case in skipped)
    if len(skipped) > masks:
        yield f"{len(skipped) - masks} cases could not be used; they are listed with the reason."
    if masks:
        yield f"{masks} lesion masks could not be used; they are listed with the reason."
