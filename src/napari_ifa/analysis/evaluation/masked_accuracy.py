"""What a model answers from some of its features, over a cohort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.cohorts.cohort import Cohort
from napari_ifa.analysis.evaluation.case_batches import (
    CaseBatches,
    Progress,
    ReadCase,
    SkippedCase,
    Stop,
)
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.performance import (
    classification_measures,
    is_right,
    regression_measures,
)
from napari_ifa.analysis.section import Section
from napari_ifa.analysis.truth import Truth
from napari_ifa.analysis.wording import counted
from napari_ifa.errors import AnalysisError
from napari_ifa.models.classifier import Classifier

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork

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
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int64]
    targets: NDArray[np.float64]
    masks: tuple[FeatureMask, ...]
    case_ids: tuple[str, ...]
    skipped: tuple[SkippedCase, ...]
    bypassed: bool

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
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> MaskedPredictions:
    """The model's answers to a cohort with features switched off, many masks in one pass.

    The target layer's output times the mask goes through the rest of the network.

    Parameters
    ----------
    masks : of the target layer's features.
    batch_size : cases at a time; a number that suits the device by default.
    progress : called with cases done and cases in all.
    stop : asked before every case; True ends the work.

    Raises
    ------
    CohortError
        An empty cohort, a label that the model lacks, or more than 5 % of cases that cannot be
        read or explained; the case is named.
    AnalysisError
        No mask is given, or one is not for this layer.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork, bypassed, masked_logits

    if not masks:
        raise AnalysisError("There is no feature mask; give one or more.")
    batches = CaseBatches(classifier, cohort, batch_size, progress=progress, stop=stop)
    truth = Truth.of(classifier, cohort.cases)
    if len({mask.keep.size for mask in masks}) > 1:
        raise AnalysisError("The feature masks are for different numbers of features.")
    stack = np.stack([mask.keep for mask in masks])
    logits: list[NDArray[np.float32]] = []
    positions: list[int] = []
    around: list[bool] = []
    with CutNetwork(classifier.network, classifier.target_layer) as cut:

        def compute(x: Tensor, cases: list[ReadCase]) -> NDArray[np.float32]:
            if not around:
                _check_size(stack, int(cut.run(x[:1]).features.shape[1]))
            found = _float32(masked_logits(cut, x, masks=stack))
            if not around:
                around.append(bypassed(cut, x[:1]))
            return found

        for cases, found in batches.computed(compute):
            logits.append(found)
            positions += [case.position for case in cases]
    return MaskedPredictions(
        logits=np.concatenate(logits),
        labels=truth.labels[positions],
        targets=truth.targets[positions],
        masks=tuple(masks),
        case_ids=tuple(cohort.cases[n].id for n in positions),
        skipped=tuple(batches.skipped),
        bypassed=around[0],
    )


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
    picture : draws the importance matrix that the choice rests on.
    """

    sets: tuple[SetAccuracy, ...] | tuple[SetFit, ...]
    features: int
    chosen: str
    unlabelled: int
    bypassed: bool
    picture: Callable[[], Figure] | None = None

    def section(self) -> Section:
        """The table, with the importance matrix as its figure."""
        every, principal, others = self.sets
        share = principal.kept / self.features
        if isinstance(every, SetAccuracy):
            values = [
                f"{100 * one.accuracy:.1f} %" for one in self.sets if isinstance(one, SetAccuracy)
            ]
            what, columns = "The accuracy", _ACCURACY_COLUMNS
        else:
            values = [f"{one.r2:.3f}" for one in self.sets if isinstance(one, SetFit)]
            what, columns = "R²", _FIT_COLUMNS
        limits = (
            "Switched-off features give a network inputs that it was not trained on, and the"
            " features chosen on one cohort are the principal ones of that cohort."
        )
        if share > _MUCH:
            limits += (
                f" The principal features are {share:.0%} of all, since every class brings its own:"
                " that is hardly a choice; take a smaller share."
            )
        if self.bypassed:
            limits += BYPASSED
        left_out = f" {self.unlabelled} cases without a label are left out." * (self.unlabelled > 0)
        return Section(
            key="masked_accuracy",
            title="Accuracy after feature masking",
            meaning=(
                f"{what} over {every.n} cases is {values[0]} with all {self.features} features,"
                f" {values[1]} with {counted(principal.kept, 'principal one')} alone"
                f" ({self.chosen}) and"
                f" {values[2]} with the other {others.kept}.{left_out}"
            ),
            limits=limits,
            rows=tuple(asdict(one) for one in self.sets),
            columns=columns,
            draw=self.picture,
        )


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
    "balanced_low": "lower end of its 95 % interval (MOVER of the classes' Wilson intervals)",
    "balanced_high": "upper end",
    "auc": "area under the ROC curve of a class's probability against the rest, mean over the"
    " classes",
    "p": "that the accuracy is that of all features (McNemar's exact test on the same cases); none"
    " where no case is answered otherwise",
}
_FIT_COLUMNS = {
    "features": "which features are kept",
    "kept": "how many",
    "n": "cases with a target",
    "r2": "R², share of the targets' variance explained; below 0 is worse than their mean",
    "low": "lower end of its 95 % interval (bootstrap over cases)",
    "high": "upper end",
    "mae": "mean absolute error, in the target's unit",
    "mae_low": "lower end of its 95 % interval (bootstrap over cases)",
    "mae_high": "upper end",
    "pearson": "Pearson's r of answer and target",
    "pearson_low": "lower end of its 95 % interval (bootstrap over cases)",
    "pearson_high": "upper end",
}


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
    return float(binomtest(int((other & ~one).sum()), changed).pvalue)


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
            for value in (measures[name].value, measures[name].low, measures[name].high)
        ]
        found.append(SetFit(mask.name, mask.count, len(targets), *values))
    return tuple(found)
