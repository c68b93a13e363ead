"""What is left of a model's answers with features switched off, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from napari_ifa.analysis.importance import Ranking
from napari_ifa.analysis.store import Kind
from napari_ifa.evaluation.figures.measures import masked_accuracy_figure, masking_curve_figure
from napari_ifa.evaluation.measures.masking_curve import ORDERS, MaskingCurve
from napari_ifa.evaluation.measures.set_measures import MaskedAccuracy, SetAccuracy, SetFit
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import (
    BYPASSED,
    HIGH,
    LEAST_P_TOLD,
    low_end,
    said_of,
)
from napari_ifa.wording import counted

#: Above this share the principal features are hardly a choice any more.
_MUCH = 0.5
_RANKED_BY: dict[Ranking, str] = {
    "value": "value",
    "abs": "size",
    "contrast": "difference to the other classes",
}
_CASES: dict[Kind, str] = {"true": "the class's own cases", "all": "all cases"}
_ACCURACY_COLUMNS = {
    "features": "which features are kept",
    "kept": "how many",
    "n": "labelled cases",
    "accuracy": "share of the cases answered rightly, 0 to 1",
    "low": low_end("Wilson"),
    "high": HIGH,
    "balanced_accuracy": "mean over the classes that have cases of the share answered rightly",
    "balanced_low": low_end("score interval over the classes"),
    "balanced_high": HIGH,
    "auc": "area under the ROC curve of a class's probability against the rest, mean over the"
    " classes",
    "lost": "accuracy with all features less this one, over the same cases",
    "lost_low": low_end("MOVER of Clopper and Pearson's"),
    "lost_high": HIGH,
    "auc_lost": "AUC with all features less this one, over the same cases",
    "auc_lost_low": f"{low_end('DeLong')}; none below 15 cases or patients",
    "auc_lost_high": HIGH,
    "p": "that the accuracy is that of all features (McNemar's exact test on the same cases; where"
    " patients are known, of the patients); none where no case is answered otherwise;"
    f" {LEAST_P_TOLD}",
}
_OVER_CASES = low_end("bootstrap over cases")
_FIT_COLUMNS = {
    "features": "which features are kept",
    "kept": "how many",
    "n": "cases with a target",
    "r2": "R², share of the targets' variance explained; below 0 is worse than their mean",
    "low": f"{_OVER_CASES}; none where every resample gives the same",
    "high": HIGH,
    "mae": "mean absolute error, in the target's unit",
    "mae_low": _OVER_CASES,
    "mae_high": HIGH,
    "pearson": "Pearson's r of answer and target",
    "pearson_low": _OVER_CASES,
    "pearson_high": HIGH,
}
_CURVE_COLUMNS = {
    "order": "which features are kept: a feature's place is its best rank in any class",
    "kept": "features kept",
    "share": "of all features, 0 to 1",
    "n": "cases with a label",
    "value": "accuracy (0 to 1) with these features alone; mean of the random orders",
    "low": f"{low_end('Wilson')}; least of the random orders",
    "high": "upper end; greatest of the random orders",
}
_FIT_CURVE_COLUMNS = {
    **_CURVE_COLUMNS,
    "order": "which features are kept: a feature's place is the rank of its importance",
    "n": "cases with a target value",
    "value": "R² with these features alone, at most 1; mean of the random orders",
    "low": "lower end of its 95 % interval (bootstrap; none where every resample gives the same);"
    " least of the random orders",
}


def masked_accuracy_sections(found: MaskedAccuracy) -> Iterator[Section]:
    """One row for all features, the principal ones and the others."""
    every, principal, others = found.sets
    if isinstance(every, SetAccuracy):
        values = [
            f"{100 * one.accuracy:.1f} %" for one in found.sets if isinstance(one, SetAccuracy)
        ]
        what, columns, lacking = "The accuracy", _ACCURACY_COLUMNS, "label"
        title = "Accuracy after feature masking"
    else:
        values = [f"{one.r2:.3f}" for one in found.sets if isinstance(one, SetFit)]
        what, columns, lacking = "R²", _FIT_COLUMNS, "target value"
        title = "R² after feature masking"
    several = len(found.analysis.class_names) > 1
    limits = (
        "Switched-off features give a network inputs that it was not trained on, and the"
        " features chosen on one cohort are the principal ones of that cohort."
    )
    share = principal.kept / every.kept
    if share > _MUCH:
        limits += (
            f" The principal features are {share:.0%} of all"
            f"{', since every class brings its own' * isinstance(every, SetAccuracy)}:"
            " that is hardly a choice; take a smaller share."
        )
    left_out = f" {found.unlabelled} cases without a {lacking} are left out." * bool(
        found.unlabelled
    )
    yield Section(
        key="masked_accuracy",
        title=title,
        meaning=(
            f"{what} over {every.n} cases is {values[0]} with all {every.kept} features,"
            f" {values[1]} with {counted(principal.kept, 'principal one')} alone"
            f" (the top {100 * found.top:g} %{' of each class' * several} by"
            f" {_RANKED_BY[found.by]} of their mean contribution to {_CASES[found.kind]}) and"
            f" {values[2]} with the other {others.kept}.{_lost(found)}{left_out}"
        ),
        limits=limits + BYPASSED * found.bypassed + said_of(found.groups),
        rows=tuple(asdict(one) for one in found.sets),
        columns=columns,
        draw=lambda: masked_accuracy_figure(found),
    )


def _lost(found: MaskedAccuracy) -> str:
    """What the principal features alone, and the others alone, lose against all."""
    told = [
        f"{100 * one.lost:.1f} ({100 * one.lost_low:.1f} to {100 * one.lost_high:.1f})"
        for one in found.sets[1:]
        if isinstance(one, SetAccuracy) and np.isfinite(one.lost_low)
    ]
    if not told:
        return ""
    return (
        f" Against all features that is a loss of {' and '.join(told)} points (95 % interval"
        " over the same cases)."
    )


def masking_curve_sections(found: MaskingCurve) -> Iterator[Section]:
    """One row for each point of the curve."""
    lines = [found.of_order(order) for order in ORDERS]
    best, worst, random = (min(line, key=lambda p: abs(p.share - 0.1)) for line in lines)
    answers_values = found.measure == "R²"
    constant = "always the mean" if answers_values else "always the same"
    yield Section(
        key="masking_curve",
        title=f"Masking curve: {found.measure} over the features kept",
        meaning=(
            f"With {counted(best.kept, 'feature')} ({best.share:.0%}) the {found.measure} is"
            f" {best.value:.2f} where the most important are kept, {random.value:.2f} on"
            f" average where they are drawn at random and {worst.value:.2f} where the least"
            f" important are kept; with all it is {found.every:.2f}, and an answer that is"
            f" {constant} reaches {found.chance:.2f}."
        ),
        limits=(
            "The order by importance means something only as far as its curve lies above the"
            " random one; the bounds of the random orders are the least and greatest of a few,"
            " not an interval."
            + " R² has no lower bound: far below 0 the answers are off by more than the targets"
            " differ." * answers_values + BYPASSED * found.bypassed + said_of(found.groups)
        ),
        rows=tuple(asdict(point) for point in found.points),
        columns=_FIT_CURVE_COLUMNS if answers_values else _CURVE_COLUMNS,
        draw=lambda: masking_curve_figure(found),
    )
