"""What a model answers from some of its features, over a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.cohorts.batches import BatchSize, CohortPass, ReadCase
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.groups import group_numbers
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.cohorts.truth import Truth, decisive
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.measures.set_measures import SetAccuracy, SetFit
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.statistics.certainty import LEAST_P_TOLD
from napari_ifa.evaluation.statistics.independence import Groups, said_of
from napari_ifa.evaluation.statistics.performance import is_right
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork

    DrawAbove = Callable[[Axes], None]

#: Above this share the principal features are hardly a choice any more.
_MUCH = 0.5


@dataclass(frozen=True, eq=False)
class MaskedPredictions:
    """Logits of every case of a cohort for several feature masks.

    Attributes
    ----------
    logits : ``[N, M, C]`` float32, of the cases that could be read.
    labels : ``[N]`` class numbers; -1 without a label, and in a regression.
    targets : ``[N]`` the values of a regression; NaN elsewhere.
    masks : the M feature masks.
    case_ids : ``[N]``.
    skipped : cases that could not be read.
    bypassed : whether part of the answer goes around the target layer, so that switching features
        off does not show all of it; told from the first case.
    groups : ``[N]``, equal for cases of one patient; None where no patient is known.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float64]
    masks: tuple[FeatureMask, ...]
    case_ids: tuple[str, ...]
    skipped: tuple[SkippedCase, ...]
    bypassed: bool
    groups: Groups = None

    def __repr__(self) -> str:
        cases, masks, outputs = self.logits.shape
        known = ", ".join(f"{value:.3f}" for value in self.accuracy() if np.isfinite(value))
        accuracy = f"; accuracy {known}" if known else ""
        return (
            f"MaskedPredictions: {counted(cases, 'case')}, {counted(masks, 'feature mask')},"
            f" {counted(outputs, 'output')}; {len(self.skipped)} skipped{accuracy}"
        )

    def accuracy(self) -> NDArray[np.float64]:
        """Share of the labelled cases that are answered rightly, ``[M]``; NaN without any."""
        known = self.labels >= 0
        if not known.any():
            return np.full(len(self.masks), np.nan)
        right = [is_right(one[known], self.labels[known]) for one in self.logits.swapaxes(0, 1)]
        return np.array([one.mean() for one in right])


def masked_predictions(
    classifier: Classifier,
    cohort: Cohort,
    masks: Sequence[FeatureMask],
    *,
    batch_size: int | None = None,
    skip_up_to: float = 0.05,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> MaskedPredictions:
    """The model's answers to a cohort with features switched off, many masks in one pass.

    The target layer's output times the mask goes through the rest of the network.

    Parameters
    ----------
    masks : of the target layer's features.
    batch_size : cases at a time; a number that suits the device by default.
    skip_up_to : share of the cases that may be skipped.
    progress : called with cases done and cases in all.
    stop : asked before every case; True ends the work.

    Raises
    ------
    CohortError
        An empty cohort, a label that the model lacks, or more cases that cannot be read or
        explained than may be skipped; the case is named.
    AnalysisError
        No mask is given, or one is not for this layer.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork, bypassed, masked_logits

    if not masks:
        raise AnalysisError("There is no feature mask; give one or more.")
    batches: CohortPass[None] = CohortPass(
        classifier,
        cohort,
        size=masked_batches(batch_size),
        skip_up_to=skip_up_to,
        progress=progress,
        stop=stop,
    )
    truth = Truth.of(classifier, cohort.cases)
    if len({mask.keep.size for mask in masks}) > 1:
        raise AnalysisError("The feature masks are for different numbers of features.")
    stack = np.stack([mask.keep for mask in masks])
    logits: list[NDArray[np.float32]] = []
    positions: list[int] = []
    pseudonyms: list[int] = []
    around: list[bool] = []
    with CutNetwork(classifier.network, classifier.target_layer) as cut:

        def compute(x: Tensor, cases: list[ReadCase[None]]) -> NDArray[np.float32]:
            if not around:
                _check_size(stack, int(cut.run(x[:1]).features.shape[1]))
            found = _float32(masked_logits(cut, x, masks=stack))
            if not around:
                around.append(bypassed(cut, x[:1]))
            return found

        for cases, found in batches.computed(compute):
            logits.append(np.asarray(decisive(found, classifier.output_activation)))
            positions += [case.position for case in cases]
            pseudonyms += [case.group for case in cases]
    return MaskedPredictions(
        logits=np.concatenate(logits),
        labels=truth.labels[positions],
        targets=truth.targets[positions],
        masks=tuple(masks),
        case_ids=tuple(cohort.cases[n].id for n in positions),
        skipped=batches.skipped,
        bypassed=around[0],
        groups=group_numbers(np.array(pseudonyms, np.uint64)),
    )


def masked_batches(given: int | None) -> BatchSize:
    """For passes that hold the answers to many masks beside each case's features."""
    return BatchSize(given, numbers_cpu=2**19, numbers_gpu=2**25, most=16)


def batch_masked_logits(
    cut: CutNetwork, x: Tensor, activation: ClassActivation, masks: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Logits ``[B, M, C]`` of a batch whose class activation of all classes is known.

    No pass is needed where the contributions add up to the logits.
    """
    from napari_ifa.cam import masked_logits

    if activation.additive:
        return _float32(activation.masked_logits(masks))
    return _float32(masked_logits(cut, x, masks=masks))


def _check_size(masks: NDArray[np.bool_], features: int) -> None:
    if masks.shape[1] != features:
        raise AnalysisError(
            f"The feature mask is for {masks.shape[1]} features; this layer has {features}."
        )


def _float32(logits: Tensor) -> NDArray[np.float32]:
    return np.asarray(logits.float().cpu().numpy())


@dataclass(frozen=True, eq=False)
class MaskedAccuracy:
    """What is left of a model's answers with the principal features, and with the others.

    Attributes
    ----------
    sets : of all features, the principal ones, the others.
    features : of the target layer.
    chosen : how the principal ones were chosen, in words.
    unlabelled : cases that are left out, for they have no label.
    bypassed : whether part of the answer goes around the target layer.
    groups : ``[n]``, equal for cases of one patient; None where none are known.
    picture : draws the importance matrix that the choice rests on, below what it is given.
    """

    sets: tuple[SetAccuracy, ...] | tuple[SetFit, ...]
    features: int
    chosen: str
    unlabelled: int
    bypassed: bool
    groups: Groups = None
    picture: Callable[[DrawAbove], Figure] | None = None

    def __repr__(self) -> str:
        return f"MaskedAccuracy: {self.section().meaning}"

    def _draw(self) -> Figure:
        from napari_ifa.evaluation.figures import draw_sets, sets_figure

        if self.picture is None:
            return sets_figure(self.sets)
        return self.picture(lambda axes: draw_sets(axes, self.sets))

    def section(self) -> Section:
        """The table; the figure has its accuracies above the importance matrix."""
        every, principal, others = self.sets
        share = principal.kept / self.features
        if isinstance(every, SetAccuracy):
            values = [
                f"{100 * one.accuracy:.1f} %" for one in self.sets if isinstance(one, SetAccuracy)
            ]
            what, columns, lacking = "The accuracy", _ACCURACY_COLUMNS, "label"
            title = "Accuracy after feature masking"
        else:
            values = [f"{one.r2:.3f}" for one in self.sets if isinstance(one, SetFit)]
            what, columns, lacking = "R²", _FIT_COLUMNS, "target value"
            title = "R² after feature masking"
        limits = (
            "Switched-off features give a network inputs that it was not trained on, and the"
            " features chosen on one cohort are the principal ones of that cohort."
        )
        if share > _MUCH:
            limits += (
                f" The principal features are {share:.0%} of all"
                f"{', since every class brings its own' * isinstance(every, SetAccuracy)}:"
                " that is hardly a choice; take a smaller share."
            )
        if self.bypassed:
            limits += BYPASSED
        limits += said_of(self.groups)
        left_out = f" {self.unlabelled} cases without a {lacking} are left out." * (
            self.unlabelled > 0
        )
        return Section(
            key="masked_accuracy",
            title=title,
            meaning=(
                f"{what} over {every.n} cases is {values[0]} with all {self.features} features,"
                f" {values[1]} with {counted(principal.kept, 'principal one')} alone"
                f" ({self.chosen}) and"
                f" {values[2]} with the other {others.kept}.{self._lost()}{left_out}"
            ),
            limits=limits,
            rows=tuple(asdict(one) for one in self.sets),
            columns=columns,
            draw=self._draw,
        )

    def _lost(self) -> str:
        """What the principal features alone, and the others alone, lose against all."""
        told = [
            f"{_points(one.lost)} ({_points(one.lost_low)} to {_points(one.lost_high)})"
            for one in self.sets[1:]
            if isinstance(one, SetAccuracy) and np.isfinite(one.lost_low)
        ]
        if not told:
            return ""
        return (
            f" Against all features that is a loss of {' and '.join(told)} points (95 % interval"
            " over the same cases)."
        )


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


#: What is said where a path goes around the target layer.
BYPASSED = (
    " Part of the answer goes around the target layer, where no feature can be switched off: the"
    " masked answers do not show all that the answer rests on."
)

_ACCURACY_COLUMNS = {
    "features": "which features are kept",
    "kept": "how many",
    "n": "labelled cases",
    "accuracy": "share of the cases answered rightly, 0 to 1",
    "low": "lower end of its 95 % interval (Wilson)",
    "high": "upper end",
    "balanced_accuracy": "mean over the classes that have cases of the share answered rightly",
    "balanced_low": "lower end of its 95 % interval (score interval over the classes)",
    "balanced_high": "upper end",
    "auc": "area under the ROC curve of a class's probability against the rest, mean over the"
    " classes",
    "lost": "accuracy with all features less this one, over the same cases",
    "lost_low": "lower end of its 95 % interval (MOVER of Clopper and Pearson's)",
    "lost_high": "upper end",
    "auc_lost": "AUC with all features less this one, over the same cases",
    "auc_lost_low": "lower end of its 95 % interval (DeLong); none below 15 cases or patients",
    "auc_lost_high": "upper end",
    "p": "that the accuracy is that of all features (McNemar's exact test on the same cases; where"
    " patients are known, of the patients); none where no case is answered otherwise;"
    f" {LEAST_P_TOLD}",
}
_FIT_COLUMNS = {
    "features": "which features are kept",
    "kept": "how many",
    "n": "cases with a target",
    "r2": "R², share of the targets' variance explained; below 0 is worse than their mean",
    "low": "lower end of its 95 % interval (bootstrap over cases); none where every resample gives"
    " the same",
    "high": "upper end",
    "mae": "mean absolute error, in the target's unit",
    "mae_low": "lower end of its 95 % interval (bootstrap over cases)",
    "mae_high": "upper end",
    "pearson": "Pearson's r of answer and target",
    "pearson_low": "lower end of its 95 % interval (bootstrap over cases)",
    "pearson_high": "upper end",
}
