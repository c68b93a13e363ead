"""How many features can go before a model answers worse: measured, on cases that did not choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_ifa.cohorts.batches import CohortPass, ReadCase
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.truth import Truth, decisive
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.measures.masked_accuracy import masked_batches
from napari_ifa.evaluation.measures.removal_order import (
    FOLDS,
    FoldOrder,
    LayerAnswers,
    fold_orders,
    folds_of,
    removal_counts,
)
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.statistics.independence import Groups, of_some
from napari_ifa.evaluation.statistics.performance import is_right
from napari_ifa.evaluation.statistics.shares import of_lost_share
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork

Filling = Literal["mean", "zero"]
FILLINGS: tuple[Filling, ...] = get_args(Filling)

#: Accuracy that may be lost: one point.
TOLERATED = 0.01
#: Either end alone holds at 95 %.
_LEVEL = 0.9
#: Classes of a case whose logits are looked at for the order, the largest ones.
_CLASSES = 8
#: Numbers that are kept for the order: cases × classes × features.
_KEPT = 2**26
#: Up to this many classes all are looked at where the slopes are the same for every case.
_SHARED_CLASSES = 64


@dataclass(frozen=True)
class RemovalStep:
    """What is lost without a number of features.

    Attributes
    ----------
    filling : what a removed feature becomes: the cohort's mean of it, or zero.
    removed : how many are.
    lost : accuracy with all features less that without them.
    at_most : upper end of the loss: it is lower in new cases, with a confidence of 95 %.
    balanced_lost : the mean of the classes' losses.
    worst_class, worst_lost : the class that loses most of its own cases, and how much of them.
    """

    filling: Filling
    removed: int
    lost: float
    at_most: float
    balanced_lost: float
    worst_class: int
    worst_lost: float

    @property
    def tolerable(self) -> bool:
        """Whether new cases lose a point at most, and the mean over classes does here."""
        return self.at_most <= TOLERATED and self.balanced_lost <= TOLERATED


@dataclass(frozen=True, eq=False)
class FeatureRemoval:
    """Which cases are answered rightly with more and more features removed, the least needed first.

    Each part of the cohort is measured with the order and the means of the other parts.

    Attributes
    ----------
    labels : ``[N]`` class numbers.
    every : ``[N]``, whether the case is answered rightly with all features.
    right : the same without ``counts`` features, ``[N, S]``, by what they become.
    counts : ``[S]`` features removed, ascending.
    orders : of each part of the cohort.
    groups : ``[N]``, equal for cases of one patient; None where no patient is known.
    bypassed : whether part of the answer goes around the target layer.
    """

    labels: Ints
    every: Bools
    right: dict[Filling, Bools]
    counts: tuple[int, ...]
    orders: tuple[FoldOrder, ...]
    groups: Groups = None
    bypassed: bool = False

    @property
    def accuracy(self) -> float:
        """With all features."""
        return float(self.every.mean())

    @cached_property
    def steps(self) -> tuple[RemovalStep, ...]:
        """By what removed features become, and ascending."""
        return tuple(
            self._step(filling, place, removed)
            for filling in FILLINGS
            for place, removed in enumerate(self.counts)
        )

    def of_filling(self, filling: Filling) -> tuple[RemovalStep, ...]:
        """The steps of one way to remove, ascending."""
        return tuple(step for step in self.steps if step.filling == filling)

    def can_go(self, filling: Filling = "mean") -> int:
        """How many features can go for a point at most, with a confidence of 95 %.

        The steps are tested in ascending order up to the first that is not tolerable, so that
        testing many does not make a false one likelier.
        """
        number = 0
        for step in self.of_filling(filling):
            if not step.tolerable:
                break
            number = step.removed
        return number

    def seemed_to_go(self) -> RemovalStep | None:
        """The last step, to the mean, up to which at most a point was lost as measured; or None."""
        last = None
        for step in self.of_filling("mean"):
            if max(step.lost, step.balanced_lost) > TOLERATED:
                break
            last = step
        return last

    @property
    def removable(self) -> Bools:
        """``[F]``, features that can go: those among the ones removed in every part's order."""
        number, features = self.can_go(), len(self.orders[0].order)
        removed = np.concatenate([one.order[:number] for one in self.orders])
        return np.asarray(np.bincount(removed, minlength=features) == len(self.orders))

    def _step(self, filling: Filling, place: int, removed: int) -> RemovalStep:
        right = self.right[filling][:, place]
        classes = np.unique(self.labels)
        lost = np.array(
            [self.every[self.labels == c].mean() - right[self.labels == c].mean() for c in classes]
        )
        bound = of_lost_share(self.every, right, self.groups, _LEVEL).high
        return RemovalStep(
            filling=filling,
            removed=removed,
            lost=float(self.every.mean() - right.mean()),
            at_most=bound if np.isfinite(bound) else 1.0,
            balanced_lost=float(lost.mean()),
            worst_class=int(classes[lost.argmax()]),
            worst_lost=float(lost.max()),
        )


def feature_removal(
    classifier: Classifier,
    cohort: Cohort,
    *,
    batch_size: int | None = None,
    skip_up_to: float = 0.05,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> FeatureRemoval:
    """Remove a model's features, the least needed first, and count what it still answers rightly.

    Two passes over the labelled cases: one for what each answer needs, one with features removed,
    to the mean of the other parts of the cohort and to zero.

    Parameters
    ----------
    cohort : best one that the model was not trained on.
    batch_size, skip_up_to, stop : as of `evaluate`, and so are the other errors.
    progress : called with cases done and cases in all, each case twice.

    Raises
    ------
    AnalysisError
        Where there is no accuracy to lose: the model answers with values, fewer than 5 cases have
        a label, or the layer has one feature.
    """
    from napari_ifa.cam import CutNetwork, bypassed

    if classifier.output_activation == "none":
        raise AnalysisError(EvaluationProblem.VALUES)
    labels = Truth.of(classifier, cohort.cases).labels
    kept = np.flatnonzero(labels >= 0)
    if len(kept) < FOLDS:
        raise AnalysisError(EvaluationProblem.FEW_LABELS, cases=len(kept), least=FOLDS)
    cohort = replace(cohort, cases=tuple(cohort.cases[n] for n in kept))
    labels = labels[kept]

    def batches(start: int) -> CohortPass[None]:
        def told(done: int, number: int) -> None:
            if progress is not None:
                progress(start + done, 2 * number)

        return CohortPass(
            classifier,
            cohort,
            size=masked_batches(batch_size),
            skip_up_to=skip_up_to,
            progress=told,
            stop=stop,
        )

    with CutNetwork(classifier.network, classifier.target_layer) as cut:
        first = batches(0)
        answers = _layer_answers(classifier, cut, first, labels, len(cohort))
        features = answers.activation.shape[1]
        if features < 2:
            raise AnalysisError(EvaluationProblem.ONE_FEATURE)
        folds = folds_of(answers.labels, first.groups)
        orders = fold_orders(answers, folds)
        counts = removal_counts(features)
        fold_at = dict(zip(first.used, folds.tolist(), strict=True))
        row_at = {position: row for row, position in enumerate(first.used)}
        stacks = [_masks_of(one, counts) for one in orders]
        around: list[bool] = []

        def compute(x: Tensor, cases: list[ReadCase[None]]) -> Bools:
            if not around:
                around.append(bypassed(cut, x[:1]))
            places = [case.position for case in cases]
            parts = [fold_at.get(place, 0) for place in places]
            told = classifier.output_activation
            return _rightly(cut, x, labels[places], stacks, parts, told)

        found: dict[int, Bools] = {}
        for cases, right in batches(len(cohort)).computed(compute):
            for case, row in zip(cases, right, strict=True):
                if case.position in row_at:
                    found[case.position] = row
    chosen = np.array([row_at[position] for position in found])
    table = np.stack(list(found.values()))
    steps = len(counts)
    return FeatureRemoval(
        labels=answers.labels[chosen],
        every=table[:, 0],
        right={"mean": table[:, 1 : 1 + steps], "zero": table[:, 1 + steps :]},
        counts=counts,
        orders=orders,
        groups=of_some(first.groups, chosen),
        bypassed=around[0],
    )


def _plan(found: ClassActivation, cases: int) -> tuple[int, int, bool]:
    """What is kept of a case: for how many classes, of every which case, or once for all."""
    outputs, features = found.logits.shape[1], found.features.shape[1]
    if found.affine_head and outputs <= _SHARED_CLASSES:
        return outputs, 1, True
    classes = min(_CLASSES, outputs)
    return classes, -(-cases * classes * features // _KEPT), False


def _rightly(
    cut: CutNetwork,
    x: Tensor,
    labels: Ints,
    stacks: list[tuple[Bools, Floats]],
    folds: list[int],
    activation: str,
) -> Bools:
    """Whether each case is answered rightly with its own part's masks, ``[B, M]``."""
    from napari_ifa.cam import masked_logits

    parts = np.array(folds)
    right = np.zeros((len(x), len(stacks[0][0])), bool)
    for part in np.unique(parts):
        rows = np.flatnonzero(parts == part)
        masks, fill = stacks[part]
        logits = masked_logits(cut, x[rows.tolist()], masks=masks, fill=fill)
        values = np.asarray(decisive(logits.double().cpu().numpy(), activation), float)
        for mask in range(len(masks)):
            right[rows, mask] = is_right(values[:, mask], labels[rows])
    return right


def _masks_of(order: FoldOrder, counts: Sequence[int]) -> tuple[Bools, Floats]:
    """Masks ``[1 + 2·S, F]`` and what fills them: all features, then without ``counts`` of them.

    First those whose features become their mean, then those whose features become zero.
    """
    kept = np.ones((len(counts), len(order.order)), bool)
    for row, number in enumerate(counts):
        kept[row, order.order[:number]] = False
    masks = np.concatenate([np.ones((1, kept.shape[1]), bool), kept, kept])
    fill = np.zeros(masks.shape)
    fill[1 : 1 + len(counts)] = order.mean
    return masks, fill


def _layer_answers(
    classifier: Classifier,
    cut: CutNetwork,
    batches: CohortPass[None],
    labels: Ints,
    cases: int,
) -> LayerAnswers:
    """Of the cases that can be used."""
    from napari_ifa.cam import class_activation

    logits: list[Floats] = []
    activation: list[Floats] = []
    slopes: list[NDArray[np.float32]] = []
    slope: list[int] = []
    plan: list[tuple[int, int, bool]] = []

    def compute(x: Tensor, read: list[ReadCase[None]]) -> ClassActivation:
        return class_activation(cut, x, method="gradcam", class_idx="all", stop=batches.stop)

    for read, found in batches.computed(compute):
        if not plan:
            plan.append(_plan(found, cases))
        classes, every, shared = plan[0]
        best = found.logits.topk(classes, dim=1).indices.sort(dim=1).values
        logits.extend(found.logits.gather(1, best).double().cpu().numpy())
        activation.extend(found.features.flatten(2).double().mean(-1).cpu().numpy())
        for row, case in enumerate(read):
            if shared and found.affine_head and slopes:
                slope.append(0)
            elif case.position % every and slopes:
                slope.append(-1)
            else:
                voxels = found.features[0, 0].numel()
                slope.append(len(slopes))
                slopes.append((voxels * found.weights[row, best[row]].float()).cpu().numpy())
    return LayerAnswers(
        labels=labels[list(batches.used)],
        activation=np.stack(activation),
        logits=np.stack(logits),
        slopes=np.stack(slopes),
        slope=np.array(slope),
        sigmoid=classifier.output_activation == "sigmoid",
    )
