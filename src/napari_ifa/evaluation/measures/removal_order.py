"""In which order features are removed, taken from other cases than those that measure the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.evaluation.statistics.independence import Groups

#: Parts of the cohort; each is measured with the order and the means of the others.
FOLDS = 5
#: Numbers in a block of cases × classes × features.
_BLOCK = 2**22


@dataclass(frozen=True, eq=False)
class LayerAnswers:
    """What each case's answer makes of the features, to the first order.

    Attributes
    ----------
    labels : ``[N]`` class numbers.
    activation : ``[N, F]``, each feature's mean over the voxels.
    logits : ``[N, K]``, the largest logits of the case.
    slopes : ``[S, K, F]``, what a logit gains where a feature rises by 1 in every voxel.
    slope : ``[N]``, which of the slopes are the case's; −1 where they are not kept, for a case that
        has no say.
    sigmoid : whether each logit answers for itself; else a softmax makes one answer of them.
    """

    labels: Ints
    activation: Floats
    logits: Floats
    slopes: NDArray[np.floating[Any]]
    slope: Ints
    sigmoid: bool

    def needed(self, cases: Bools) -> tuple[Floats, Floats]:
        """How much some of the cases need each feature, ``[F]``, and its mean over them, ``[F]``.

        The need is how far the answer moves where the feature alone is replaced by that mean: the
        divergence (Kullback and Leibler, 1951) of the answers' probabilities, averaged over the
        cases of each class, for the class where that is most. So a feature counts that speaks for
        and against in turn and whose mean contribution is 0, and one that a single class of many
        needs. Equal needs are told apart by how far the logits move.
        """
        mean = self.activation[cases].mean(axis=0)
        rows = np.flatnonzero(cases & (self.slope >= 0))
        found = np.zeros((len(rows), self.activation.shape[1]))
        moved = np.zeros_like(found)
        for block, divergence, squares in self._divergences(rows, mean):
            found[block], moved[block] = divergence, squares
        classes = [self.labels[rows] == c for c in np.unique(self.labels[rows])]
        need = np.max([found[own].mean(axis=0) for own in classes], axis=0)
        size = np.max([moved[own].mean(axis=0) for own in classes], axis=0)
        # Where probabilities are 1 to the last digit, the logits alone tell features apart.
        least = np.finfo(float).tiny
        return np.maximum(need, least * size / max(float(size.max()), least)), mean

    def _divergences(self, rows: Ints, mean: Floats) -> Iterator[tuple[slice, Floats, Floats]]:
        classes, features = self.logits.shape[1], self.activation.shape[1]
        length = max(1, _BLOCK // (classes * features))
        for start in range(0, len(rows), length):
            block = rows[start : start + length]
            change = self.slopes[self.slope[block]] * (mean - self.activation[block])[:, None]
            before = self.logits[block][:, :, None]
            yield (
                slice(start, start + len(block)),
                _divergence(before, before + change, self.sigmoid),
                (change**2).sum(axis=1),
            )


def _divergence(before: Floats, after: Floats, sigmoid: bool) -> Floats:
    """Of the probabilities of logits ``[N, K, 1]`` and ``[N, K, F]``: ``[N, F]``."""
    from scipy.special import log_expit, log_softmax

    if sigmoid:
        pairs = [(log_expit(sign * before), log_expit(sign * after)) for sign in (1, -1)]
    else:
        pairs = [(log_softmax(before, axis=1), log_softmax(after, axis=1))]
    total: Floats = sum((np.exp(p) * (p - q)).sum(axis=1) for p, q in pairs)
    return np.maximum(total, 0.0)


@dataclass(frozen=True, eq=False)
class FoldOrder:
    """In which order features go where one part of the cohort is measured.

    Attributes
    ----------
    order : ``[F]`` feature numbers, the least needed first.
    mean : ``[F]``, what a removed feature becomes.
    """

    order: Ints
    mean: Floats


def fold_orders(answers: LayerAnswers, folds: Ints) -> tuple[FoldOrder, ...]:
    """For each fold of the cases ``[N]``, the order and the means of the cases in the others."""
    found = []
    for fold in range(int(folds.max()) + 1):
        need, mean = answers.needed(folds != fold)
        found.append(FoldOrder(np.argsort(need, kind="stable"), mean))
    return tuple(found)


def folds_of(labels: Ints, groups: Groups) -> Ints:
    """Which part of the cohort each case belongs to, ``[N]``: up to five, each class in all.

    Cases of one group stay together.
    """
    owner = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    number = int(owner.max()) + 1
    first = np.full(number, -1)
    first[owner[::-1]] = labels[::-1]
    shuffled = np.random.default_rng(0).permutation(number)
    dealt = shuffled[np.argsort(first[shuffled], kind="stable")]
    fold = np.empty(number, np.int64)
    fold[dealt] = np.arange(number) % min(FOLDS, number)
    return np.asarray(fold[owner])


def removal_counts(features: int) -> tuple[int, ...]:
    """How many features are removed, step by step: up to twenty steps, never all of them."""
    shares = (0.01, 0.02, *np.arange(0.05, 0.96, 0.05), 0.98)
    counts = {min(features - 1, max(1, int(share * features))) for share in shares}
    return tuple(sorted(counts - {0}))
