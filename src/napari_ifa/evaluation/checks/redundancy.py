"""Redundancy: what can go, by what the model's accuracy loses without it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.store import Analysis
from napari_ifa.evaluation.measures.feature_removal import FeatureRemoval
from napari_ifa.evaluation.numbers import Bools, Floats, Numbers
from napari_ifa.evaluation.problems import EvaluationProblem


@dataclass(frozen=True, eq=False, repr=False)
class Redundancy(Numbers):
    """How many features the model's accuracy does without, and how many are active at all.

    The analysis alone cannot tell what is redundant: a feature that speaks for and against in turn
    has a mean contribution of 0 and may decide everything, and one that a single class of many
    needs is silent in nearly all cases. `feature_removal` measures it.

    Attributes
    ----------
    class_names : ``[C]``.
    frequency : ``[F, C]``, share of all cases in which the feature speaks for the class; NaN for
        one that all are compared with.
    steady : ``[F, C]``, whether mean and variance show that the feature contributes, for or
        against, in more than ``threshold`` of all cases.
    threshold : share of the cases below which a feature is rarely active.
    removal : what was measured; None where nothing was.
    reason : why it was not measured, a sentence.
    """

    class_names: tuple[str, ...]
    frequency: Floats
    steady: Bools
    threshold: float
    removal: FeatureRemoval | None = None
    reason: str = ""

    @property
    def rare(self) -> Bools:
        """``[F]``: active for or against no class in at least ``threshold`` of the cases.

        What a rare finding needs is rare, so that this says nothing of redundancy.
        """
        often = (self.frequency >= self.threshold).any(axis=1)
        return np.asarray(~often & ~self.steady.any(axis=1))

    @property
    def removable(self) -> Bools:
        """``[F]``: features that can go; none where it was not measured."""
        if self.removal is None:
            return np.zeros(len(self.frequency), bool)
        return self.removal.removable


def redundancy(analysis: Analysis, *, threshold: float = 0.05) -> Redundancy:
    """Which features are rarely active; what can go takes the model (see `feature_removal`).

    ``threshold`` is the share p of all cases below which a feature counts as rarely active. The
    analysis counts the cases with k > 0; that a feature is not silent in the others, but speaks
    against the class, shows in its mean and variance: what is not 0 in at most a share p of the
    cases has mean² ≤ p / (1 − p) · variance (Cauchy and Schwarz).
    """
    data = analysis.dataset
    mean = np.asarray(data["importance_all"].values, dtype=float)
    variance = np.nan_to_num(np.asarray(data["variance_all"].values, dtype=float))
    return Redundancy(
        class_names=analysis.class_names,
        frequency=np.asarray(data["frequency_all"].values, dtype=float),
        steady=mean**2 * (1 - threshold) > threshold * variance,
        threshold=threshold,
        reason=(
            EvaluationProblem.VALUES.value
            if analysis.is_regression
            else "What accuracy loses without features takes the model and labelled cases, and the"
            " analysis alone was given."
        ),
    )
