"""Redundancy, in words: what accuracy loses without features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_ifa.cohorts.truth import answer_names
from napari_ifa.evaluation.checks.redundancy import Redundancy
from napari_ifa.evaluation.figures.checks import removal_figure
from napari_ifa.evaluation.measures.feature_removal import (
    FILLINGS,
    TOLERATED,
    FeatureRemoval,
    Filling,
    RemovalStep,
)
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import BYPASSED, FEATURE, said_of
from napari_ifa.evaluation.statistics.independence import number_of
from napari_ifa.evaluation.statistics.shares import of_share
from napari_ifa.wording import counted, listed

_BECOMES: dict[Filling, str] = {"mean": "its mean over the cohort", "zero": "zero"}


_POINTS = f"{100 * TOLERATED:g} point"


#: Independent cases without which a loss of a point cannot be ruled out even where none is seen:
#: 1 − 0.05^(1/n) is 1 % at n = 299.
_LEAST_CASES = 299


def redundancy_sections(found: Redundancy) -> Iterator[Section]:
    """One row of counts for the layer; where measured, the steps and what can go."""
    yield _summary(found)
    if found.removal is not None:
        yield _steps(found, found.removal)
        if found.removable.any():
            yield _features(found)


def _summary(found: Redundancy) -> Section:
    removal = found.removal
    seemed = removal.seemed_to_go() if removal else None
    return Section(
        key="redundancy",
        title="Redundancy",
        meaning=_meaning(found),
        limits=_limits(found),
        rows=(
            {
                "features": len(found.frequency),
                "rarely_active": int(found.rare.sum()),
                "can_go": removal.can_go() if removal else None,
                "can_go_to_zero": removal.can_go("zero") if removal else None,
                "named": int(found.removable.sum()) if removal else None,
                "seemed_to_go": (seemed.removed if seemed else 0) if removal else None,
                "accuracy": removal.accuracy if removal else None,
                "cases": len(removal.every) if removal else None,
            },
        ),
        columns={
            "features": "features of the target layer",
            "rarely_active": "active for or against no class in"
            f" {100 * found.threshold:g} % of the cases; for information, not a sign that they"
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
        draw=(lambda: removal_figure(removal)) if removal is not None else None,
    )


def _meaning(found: Redundancy) -> str:
    rare = int(found.rare.sum())
    active = (
        f" {rare} of {counted(len(found.frequency), 'feature')}"
        f" {'is' if rare == 1 else 'are'} rarely active, which does not make"
        f" {'it' if rare == 1 else 'them'} redundant." * (rare > 0)
    )
    removal = found.removal
    if removal is None:
        return f"Not measured. {found.reason}{active}"
    features, number = len(found.frequency), removal.can_go()
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


def _limits(found: Redundancy) -> str:
    text = (
        "What can go from these cases may be all that tells a rare finding which few or none of"
        " them hold: see the class that loses most."
    )
    removal = found.removal
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


def _steps(found: Redundancy, removal: FeatureRemoval) -> Section:
    names = answer_names(found.class_names)
    return Section(
        key="feature_removal",
        title="What accuracy loses without features",
        meaning=" ".join(_sentences(found, removal)),
        limits=(
            "The order comes from other cases than those that measure the loss, one for each of"
            f" {len(removal.orders)} parts of the cohort, so that the features of a step differ"
            " a little from part to part. Another order might let more features go."
        ),
        rows=tuple(
            {
                "removed_to": _BECOMES[step.filling],
                "removed": step.removed,
                "share": step.removed / len(found.frequency),
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


def _sentences(found: Redundancy, removal: FeatureRemoval) -> Iterator[str]:
    names = answer_names(found.class_names)
    for filling in FILLINGS:
        steps = removal.of_filling(filling)
        half = min(steps, key=lambda step: abs(2 * step.removed - len(found.frequency)))
        yield (
            f"Without the {half.removed} least needed of {len(found.frequency)} features, each"
            f" of which becomes {_BECOMES[filling]}, {_lost(half)}"
            + f"; '{names[half.worst_class]}' loses {100 * half.worst_lost:.1f} % of its cases"
            * (half.worst_lost > 0)
            + "."
        )


def _features(found: Redundancy) -> Section:
    chosen = np.flatnonzero(found.removable)
    most = np.nanmax(found.frequency, axis=1)
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
                "rarely_active": bool(found.rare[f]),
            }
            for f in chosen
        ),
        columns={
            "feature": FEATURE,
            "highest_frequency": "share of the analysed cases in which it speaks for a class,"
            " for the class where that is most",
            "rarely_active": "active for or against no class in"
            f" {100 * found.threshold:g} % of the analysed cases",
        },
    )


def _lost(step: RemovalStep) -> str:
    """What a step loses, in words."""
    gained = step.lost < 0
    return (
        f"{100 * abs(step.lost):.1f} points are {'gained' if gained else 'lost'}, and new cases"
        f" lose {100 * step.at_most:.1f} at most (95 % confidence)"
    )
