"""Consistency of maps and answers, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_ifa.evaluation.figures.measures import consistency_figure
from napari_ifa.evaluation.measures.consistency import (
    FEW,
    KINDS,
    OWN_SCALE,
    Consistency,
    Correlation,
)
from napari_ifa.evaluation.section import Row, Section
from napari_ifa.evaluation.sections.wording import (
    HIGH,
    LEAST_P_TOLD,
    comparison_said,
    said_of,
)
from napari_ifa.evaluation.statistics.independence import number_of
from napari_ifa.evaluation.statistics.intervals import LEAST_DRAWN
from napari_ifa.wording import counted

#: What the pooled rows are called.
PREDICTED = "predicted class of each case"
#: On which scale each kind of map is summed.
_SCALES = (
    "of each image: its own least and greatest value",
    "none: logits",
    "of each class: percentiles of its voxels or extremes, as chosen",
    "one for all classes: 0.9 at P90 of the cases' greatest |activation|, 0 at 0",
)
_COLUMNS = {
    "class": "whose map, and {answer}: a class over all cases, or the predicted class of each case",
    "map": "what is summed over the voxels of the network's input grid, where it is brought by"
    " linear interpolation: the usual CAM (ReLU, min-max of each image), the class activation"
    " (logit), or S-CAM (tanh on a common scale, eq. 1)",
    "scale": "the scale that it is summed on",
    "n": "cases",
    "coefficient": "the chosen correlation of that sum with {answer}",
    "chosen": "Pearson where the pair may be bivariate normal (Henze-Zirkler p > 0.05), else"
    " Spearman",
    "low": "lower end of its 95 % interval",
    "high": HIGH,
    "interval": "how the interval was found; none below 15 cases or patients",
    "p": "two-sided p of the chosen correlation, not corrected for the number of rows; none where"
    f" several cases are of one patient; {LEAST_P_TOLD}",
    "pearson": "Pearson's r",
    "pearson_p": "its two-sided p",
    "spearman": "Spearman's rho",
    "spearman_p": "its two-sided p (t approximation, but no less than 2/n!)",
    "normality_p": "p of the Henze-Zirkler test of bivariate normality",
    "note": "why there is no number",
}


def consistency_sections(found: Consistency) -> Iterator[Section]:
    """One row for each class and kind of map; the pooled ones first."""
    several = len(found.class_names) > 1
    told = ", ".join(
        f"{KINDS[kind]} {_told(found.correlations[None if several else 0, kind])}"
        f"{_by_class(found, kind)}"
        for kind in found.shown
    )
    if several:
        told += f"; S-CAM on each class's own scale{_by_class(found, OWN_SCALE)}"
    yield Section(
        key="consistency",
        title="Consistency of maps and answers",
        meaning=(
            f"Over {len(found.pooled)} cases the sum of a map correlates with the"
            f" {'predicted class' if several else 'output'}'s {found.answer}: {told}."
            + " A range by class is that of each class's own coefficient over all cases." * several
            + _left_out(found)
        ),
        limits=_limits(found, several),
        rows=tuple(
            _row(PREDICTED if c is None else found.class_names[c], kind, one)
            for (c, kind), one in found.correlations.items()
        ),
        columns={name: text.format(answer=_answer(found)) for name, text in _COLUMNS.items()},
        draw=lambda: consistency_figure(found),
    )


def _left_out(found: Consistency) -> str:
    cases = len(found.logits) - len(found.pooled)
    said = comparison_said(found.class_names, found.compared_class)
    if not cases:
        return said
    return f"{said} The {counted(cases, 'case')} answered so count for the other classes alone."


def _answer(found: Consistency) -> str:
    return f"the {found.answer}"


def _limits(found: Consistency, several: bool) -> str:
    cases = len(found.logits)
    limits = (
        f"A correlation says that the sum of a map goes with {_answer(found)}, not that the map is"
        " right; the class activation is summed as it is, since an affine scale cannot change"
        " a correlation, while tanh (S-CAM) and the usual CAM's own scale for each image can."
    )
    if several:
        limits += (
            " Pooled over predicted classes, S-CAM is summed on one scale for all of them,"
            " centred on zero; on a scale for each class its sums do not compare, and are given"
            " class by class alone."
        )
    if cases < FEW:
        limits += f" With {cases} cases the test of normality misses much."
    if number_of(found.groups, cases) < LEAST_DRAWN:
        limits += f" There is no interval below {LEAST_DRAWN} cases or patients."
    if not found.resampled:
        limits += " Classes have no interval of their own: there are too many to resample."
    return limits + said_of(found.groups)


def _by_class(found: Consistency, kind: int) -> str:
    if len(found.class_names) == 1:
        return ""
    every = [found.correlations[c, kind].coefficient for c in found.classes]
    known = [value for value in every if np.isfinite(value)]
    if not known:
        return " [by class none]"
    return f" [by class {min(known):.3f} to {max(known):.3f}]"


def _row(name: str, kind: int, found: Correlation) -> Row:
    return {
        "class": name,
        "map": KINDS[kind],
        "scale": _SCALES[kind],
        "n": found.n,
        "coefficient": found.coefficient,
        "chosen": found.chosen,
        "low": found.interval.low,
        "high": found.interval.high,
        "interval": found.interval.method,
        "p": found.p,
        "pearson": found.pearson,
        "pearson_p": found.pearson_p,
        "spearman": found.spearman,
        "spearman_p": found.spearman_p,
        "normality_p": found.normality_p,
        "note": found.reason,
    }


def _told(found: Correlation) -> str:
    if not found.chosen:
        return f"none ({found.reason})"
    letter = "r" if found.chosen == "Pearson" else "rho"
    text = f"{letter} = {found.coefficient:.3f}"
    if found.interval.method:
        text += f" ({found.interval.low:.3f} to {found.interval.high:.3f})"
    return text
