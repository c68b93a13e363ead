"""Redundancy: what can go, by what the model's accuracy loses without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.truth import answer_names
from napari_ifa.evaluation.findings.finding import Finding
from napari_ifa.evaluation.measures.feature_removal import (
    FILLINGS,
    TOLERATED,
    FeatureRemoval,
    Filling,
    RemovalStep,
)
from napari_ifa.evaluation.measures.masked_accuracy import BYPASSED
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.statistics.independence import number_of, said_of
from napari_ifa.evaluation.statistics.shares import of_share
from napari_ifa.wording import counted, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: Independent cases without which a loss of a point cannot be ruled out even where none is seen:
#: 1 − 0.05^(1/n) is 1 % at n = 299.
_LEAST_CASES = 299
_POINTS = f"{100 * TOLERATED:g} point"
_BECOMES: dict[Filling, str] = {"mean": "its mean over the cohort", "zero": "zero"}


@dataclass(frozen=True, eq=False, repr=False)
class Redundancy(Finding):
    """How many features the model's accuracy does without, and how many are active at all.

    The analysis alone cannot tell what is redundant: a feature that speaks for and against in turn
    has a mean contribution of 0 and may decide everything, and one that a single class of many
    needs is silent in nearly all cases. `feature_removal` measures it.

    Attributes
    ----------
    class_names : ``[C]``.
    frequency : ``[F, C]``, share of all cases in which the feature speaks for the class.
    steady : ``[F, C]``, whether mean and variance show that the feature contributes, for or
        against, in more than ``threshold`` of all cases.
    threshold : share of the cases below which a feature is rarely active.
    removal : what was measured; None where nothing was.
    reason : why it was not measured, a sentence.
    """

    class_names: tuple[str, ...]
    frequency: Floats
    steady: NDArray[np.bool_]
    threshold: float
    removal: FeatureRemoval | None = None
    reason: str = ""

    @property
    def rare(self) -> NDArray[np.bool_]:
        """``[F]``: active for or against no class in at least ``threshold`` of the cases.

        What a rare finding needs is rare, so that this says nothing of redundancy.
        """
        seldom = (self.frequency < self.threshold).all(axis=1)
        return np.asarray(seldom & ~self.steady.any(axis=1))

    @property
    def removable(self) -> NDArray[np.bool_]:
        """``[F]``: features that can go; none where it was not measured."""
        if self.removal is None:
            return np.zeros(len(self.frequency), bool)
        return self.removal.removable

    def with_removal(self, removal: FeatureRemoval) -> Redundancy:
        """The same with what was measured."""
        return replace(self, removal=removal, reason="")

    def not_measured(self, reason: str) -> Redundancy:
        """The same with a sentence on why nothing could be measured."""
        return replace(self, removal=None, reason=reason)

    @property
    def sections(self) -> tuple[Section, ...]:
        """One row of counts for the layer; where measured, the steps and what can go."""
        removal = self.removal
        if removal is None:
            return (self._summary(),)
        steps = self._steps(removal)
        return (self._summary(), steps, *((self._features(),) if self.removable.any() else ()))

    def _summary(self) -> Section:
        removal = self.removal
        return Section(
            key="redundancy",
            title="Redundancy",
            meaning=self._meaning(),
            limits=self._limits(),
            rows=(
                {
                    "features": len(self.frequency),
                    "rarely_active": int(self.rare.sum()),
                    "can_go": removal.can_go() if removal else None,
                    "can_go_to_zero": removal.can_go("zero") if removal else None,
                    "named": int(self.removable.sum()) if removal else None,
                    "seemed_to_go": _number(removal.seemed_to_go()) if removal else None,
                    "accuracy": removal.accuracy if removal else None,
                    "cases": len(removal.every) if removal else None,
                },
            ),
            columns={
                "features": "features of the target layer",
                "rarely_active": "active for or against no class in"
                f" {100 * self.threshold:g} % of the cases; for information, not a sign that they"
                " can go",
                "can_go": f"features that can go, to their mean, for at most {_POINTS} of accuracy"
                " with a confidence of 95 %; empty where not measured",
                "can_go_to_zero": "the same where they become zero",
                "named": "those among them that the orders of all parts of the cohort agree on",
                "seemed_to_go": f"features without which no more than {_POINTS} was lost in these"
                " cases, which need not hold for others",
                "accuracy": "with all features",
                "cases": "labelled cases that it was measured on",
            },
            draw=self.figure if removal is not None else None,
        )

    def _meaning(self) -> str:
        rare = int(self.rare.sum())
        active = (
            f" {rare} of {counted(len(self.frequency), 'feature')}"
            f" {'is' if rare == 1 else 'are'} rarely active, which does not make"
            f" {'it' if rare == 1 else 'them'} redundant." * (rare > 0)
        )
        removal = self.removal
        if removal is None:
            return f"Not measured. {self.reason}{active}"
        features, number = len(self.frequency), removal.can_go()
        cases = counted(len(removal.every), "labelled case")
        with_all = f"with all {features} features the accuracy is {100 * removal.accuracy:.1f} %"
        if number:
            step = next(one for one in removal.of_filling("mean") if one.removed == number)
            text = (
                f"{counted(number, 'feature')} of {features} can go for at most {_POINTS} of"
                f" accuracy: without {'it' if number == 1 else 'them'} {_lost(step)}; {with_all}"
                f" ({cases}). Where removed features become zero,"
                f" {removal.can_go('zero') or 'none'} can go."
            )
        else:
            text = (
                f"No feature is shown to be removable for at most {_POINTS} of accuracy;"
                f" {with_all} ({cases})."
            )
            seemed = removal.seemed_to_go()
            if seemed is not None:
                text += (
                    f" Up to {counted(seemed.removed, 'feature')} seemed to: without"
                    f" {'it' if seemed.removed == 1 else 'them'} {_lost(seemed)}."
                )
            independent = number_of(removal.groups, len(removal.every))
            if independent < _LEAST_CASES:
                text += (
                    f" To rule a loss of {_POINTS} out takes {_LEAST_CASES} independent cases, and"
                    f" there are {independent}."
                )
        return text + active

    def _limits(self) -> str:
        text = (
            "What can go from these cases may be all that tells a rare finding which few or none of"
            " them hold: see the class that loses most."
        )
        removal = self.removal
        if removal is None:
            return text
        chance = float(np.unique(removal.labels, return_counts=True)[1].max()) / len(removal.labels)
        if not of_share(removal.every, removal.groups).low > chance:
            text += (
                f" The accuracy with all features is not clearly above the {100 * chance:.1f} % of"
                " an answer that is always the same: a model that tells little can lose little."
            )
        text += (
            " Cases that the model was trained on say nothing of new ones. Other sets of as many"
            " features may be needed where these are removed."
        )
        return text + BYPASSED * removal.bypassed + said_of(removal.groups)

    def _steps(self, removal: FeatureRemoval) -> Section:
        names = answer_names(self.class_names)
        return Section(
            key="feature_removal",
            title="What accuracy loses without features",
            meaning=" ".join(self._sentences(removal)),
            limits=(
                "The order comes from other cases than those that measure the loss, one for each of"
                f" {len(removal.orders)} parts of the cohort, so that the features of a step differ"
                " a little from part to part. Another order might let more features go."
            ),
            rows=tuple(
                {
                    "removed_to": _BECOMES[step.filling],
                    "removed": step.removed,
                    "share": step.removed / len(self.frequency),
                    "accuracy": removal.accuracy - step.lost,
                    "lost": step.lost,
                    "lost_at_most": step.at_most,
                    "balanced_lost": step.balanced_lost,
                    "worst_class": names[step.worst_class],
                    "worst_lost": step.worst_lost,
                }
                for step in removal.steps
            ),
            columns={
                "removed_to": "what a removed feature becomes in every voxel",
                "removed": "features removed, the least needed first: those without which alone the"
                " answers of other cases move least",
                "share": "of all features, 0 to 1",
                "accuracy": "of these cases without them, 0 to 1",
                "lost": "accuracy with all features less that, over the same cases",
                "lost_at_most": "upper end of that loss at 95 % (one-sided; MOVER of Clopper and"
                " Pearson's)",
                "balanced_lost": "mean of the classes' losses",
                "worst_class": "the class that loses most of its cases",
                "worst_lost": "share of its cases that it loses",
            },
        )

    def _sentences(self, removal: FeatureRemoval) -> Iterator[str]:
        names = answer_names(self.class_names)
        for filling in FILLINGS:
            steps = removal.of_filling(filling)
            half = min(steps, key=lambda step: abs(2 * step.removed - len(self.frequency)))
            yield (
                f"Without the {half.removed} least needed of {len(self.frequency)} features, each"
                f" of which becomes {_BECOMES[filling]}, {_lost(half)}"
                + f"; '{names[half.worst_class]}' loses {100 * half.worst_lost:.1f} % of its cases"
                * (half.worst_lost > 0)
                + "."
            )

    def _features(self) -> Section:
        assert self.removal is not None
        chosen = np.flatnonzero(self.removable)
        most = self.frequency.max(axis=1)
        return Section(
            key="removable_features",
            title="Features that can go",
            meaning=(
                f"{counted(len(chosen), 'feature')} can go together for at most {_POINTS} of"
                f" accuracy: {listed([f'f{f}' for f in chosen], 10)}."
            ),
            limits=(
                "They can go together with what is left; that does not mean that each carries"
                " nothing, nor that the model would learn without them."
            ),
            rows=tuple(
                {
                    "feature": int(f),
                    "highest_frequency": float(most[f]),
                    "rarely_active": bool(self.rare[f]),
                }
                for f in chosen
            ),
            columns={
                "feature": "number of the feature, from 0",
                "highest_frequency": "share of the analysed cases in which it speaks for a class,"
                " for the class where that is most",
                "rarely_active": "active for or against no class in"
                f" {100 * self.threshold:g} % of the analysed cases",
            },
        )

    def figure(self) -> Figure:
        """The loss over the features removed, with its upper end."""
        from napari_ifa.evaluation.findings.figures import removal_figure

        assert self.removal is not None
        return removal_figure(self.removal)


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
            "The model answers with values, so that there is no accuracy to lose without features."
            if analysis.is_regression
            else "What accuracy loses without features takes the model and labelled cases, and the"
            " analysis alone was given."
        ),
    )


def _lost(step: RemovalStep) -> str:
    """What a step loses, in words."""
    gained = step.lost < 0
    return (
        f"{100 * abs(step.lost):.1f} points are {'gained' if gained else 'lost'}, and new cases"
        f" lose {100 * step.at_most:.1f} at most (95 % confidence)"
    )


def _number(step: RemovalStep | None) -> int:
    return step.removed if step is not None else 0
