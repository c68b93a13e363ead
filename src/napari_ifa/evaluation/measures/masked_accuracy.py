"""What a model answers from some of its features, over a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.explanation import other_features
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.cohorts.batches import BatchSize, CohortPass, ReadCase
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.cohorts.truth import Truth, decisive
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.statistics.independence import Groups
from napari_ifa.evaluation.statistics.performance import is_right
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork


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
    labels: Ints
    targets: Floats
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

    def accuracy(self) -> Floats:
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
    batch_size, skip_up_to, progress, stop : as of `evaluate`, and so are the other errors.

    Raises
    ------
    AnalysisError
        No mask is given, or one is not for this layer.
    """
    from napari_ifa.cam import CutNetwork, bypassed, masked_logits

    if not masks:
        raise AnalysisError(EvaluationProblem.NO_MASK)
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
        raise AnalysisError(EvaluationProblem.MASK_SIZES)
    stack = np.stack([mask.keep for mask in masks])
    around: list[bool] = []
    with CutNetwork(classifier.network, classifier.target_layer) as cut:

        def compute(x: Tensor, cases: list[ReadCase[None]]) -> NDArray[np.float32]:
            if not around:
                features = int(cut.run(x[:1]).features.shape[1])
                if stack.shape[1] != features:
                    raise other_features(masks[0], features)
            found = _float32(masked_logits(cut, x, masks=stack))
            if not around:
                around.append(bypassed(cut, x[:1]))
            return found

        logits = [
            np.asarray(decisive(found, classifier.output_activation))
            for _, found in batches.computed(compute)
        ]
    used = list(batches.used)
    return MaskedPredictions(
        logits=np.concatenate(logits),
        labels=truth.labels[used],
        targets=truth.targets[used],
        masks=tuple(masks),
        case_ids=tuple(cohort.cases[n].id for n in used),
        skipped=batches.skipped,
        bypassed=around[0],
        groups=batches.groups,
    )


def masked_batches(given: int | None) -> BatchSize:
    """For passes that hold the answers to many masks beside each case's features."""
    return BatchSize(given, numbers_cpu=2**19, numbers_gpu=2**25, most=16)


def batch_masked_logits(
    cut: CutNetwork, x: Tensor, activation: ClassActivation, masks: Bools
) -> NDArray[np.float32]:
    """Logits ``[B, M, C]`` of a batch whose class activation of all classes is known.

    No pass is needed where the contributions add up to the logits.
    """
    from napari_ifa.cam import masked_logits

    if activation.additive:
        return _float32(activation.masked_logits(masks))
    return _float32(masked_logits(cut, x, masks=masks))


def _float32(logits: Tensor) -> NDArray[np.float32]:
    return np.asarray(logits.float().cpu().numpy())
