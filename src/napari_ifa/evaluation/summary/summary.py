"""What an analysis is made of, in tables and figures: its cases, answers, scale and importance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from napari_ifa.analysis.scale import READING, CommonScale, ScaleChoice
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.cohorts.truth import cases_of_class
from napari_ifa.errors import AnalysisError, AnalysisMismatchError
from napari_ifa.evaluation.checks.principal import principal_features
from napari_ifa.evaluation.checks.sides import cases_that_count
from napari_ifa.evaluation.figures import summary as figures
from napari_ifa.evaluation.figures.importance import importance_figure
from napari_ifa.evaluation.measures.feature_order import kept_number
from napari_ifa.evaluation.numbers import Floats
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import (
    OVER,
    comparison_said,
    quoted_names,
    said_of,
)
from napari_ifa.evaluation.statistics.independence import number_of
from napari_ifa.evaluation.statistics.intervals import LEAST_DRAWN
from napari_ifa.evaluation.statistics.performance import (
    Measured,
    accuracy,
    classification_measures,
    confusion_counts,
    regression_measures,
)
from napari_ifa.evaluation.summary.cases import (
    COHORT_COLUMN,
    Named,
    Row,
    answerable_classes,
    cohort_names,
    cohort_section,
    remarks_on,
    remarks_section,
    span,
)
from napari_ifa.wording import counted, percent

#: Features listed for every class.
_LISTED = 5
#: The share of the features whose part of the whole is told.
_PRINCIPAL = 0.05
#: The percentiles of the common scale over voxels.
_LOW, _HIGH = 10.0, 90.0
#: Classes drawn in the figure of distributions: those with the most cases.
_DRAWN_CLASSES = 6
#: The scales that the table names: the paper's on either basis, and the centred ones.
_SCALES = (
    ScaleChoice("paper", "voxels"),
    ScaleChoice("paper", "extremes"),
    ScaleChoice("centred", "voxels"),
    ScaleChoice("centred", "extremes"),
)
#: Classes, those with the most cases, of which it is told how well the cohort tells the scale.
_MEASURED_CLASSES = 32


def summary_sections(analysis: Analysis, other: Analysis | None = None) -> tuple[Section, ...]:
    """The analysis in four sections: its cohort, accuracy, common scale and importance.

    A fifth, of remarks, follows the cohort where cases were skipped, stand twice, or something was
    noted on the list.

    Parameters
    ----------
    other : the same model's analysis of another cohort, such as the test split; it stands beside
        the first in every table and figure.

    Raises
    ------
    AnalysisMismatchError
        Where the two have other classes or another number of features.
    """
    pair = [analysis] if other is None else [analysis, other]
    if len({(a.class_names, a.features) for a in pair}) > 1:
        raise AnalysisMismatchError(EvaluationProblem.CLASSES_OR_FEATURES)
    if len({a.target for a in pair}) > 1:
        raise AnalysisMismatchError(EvaluationProblem.NOT_COMPARABLE, different="targets")
    named = list(zip(cohort_names(analysis, other), pair, strict=True))
    remarks = list(remarks_on(named))
    return (
        cohort_section(named, remarks),
        *([remarks_section(remarks)] if remarks else []),
        _accuracy_section(named),
        _scale_section(named),
        _importance_section(named),
    )


def headline_measure(analysis: Analysis) -> Measured | None:
    """Accuracy, or in a regression the mean absolute error; None where there is nothing to tell."""
    if analysis.is_regression:
        return next(iter(measures_of(analysis)), None)
    labelled = (analysis.labels >= 0).any()
    return accuracy(analysis.decisive, analysis.labels, analysis.groups) if labelled else None


def measures_of(analysis: Analysis) -> list[Measured]:
    """How well the model answers the analysed cases; empty where they have no labels."""
    if not analysis.is_regression:
        return classification_measures(
            analysis.decisive, analysis.labels, analysis.class_names, analysis.groups
        )
    if len(analysis.class_names) > 1:
        return []
    return regression_measures(analysis.logits[:, 0], analysis.targets, analysis.groups)


def _accuracy_section(named: Named) -> Section:
    rows: list[Row] = []
    sentences, drawn = [], []
    for name, analysis in named:
        measures = measures_of(analysis)
        for m in measures:
            cells = {"class" if k == "class_name" else k: v for k, v in asdict(m).items()}
            rows.append({"cohort": name, **cells})
        if measures:
            drawn.append((name, analysis))
            told = "; ".join(_told(m) for m in measures if not m.class_name)
            sentences.append(f"{name}, {counted(measures[0].cases, 'case')}: {told}.")
        elif analysis.is_regression and len(analysis.class_names) > 1:
            sentences.append(
                f"{name}: the model answers with several values and a case has one, so how well it"
                " answers is not told."
            )
        else:
            sentences.append(f"{name}: no case has a label, so how well it answers is unknown.")
    return Section(
        key="accuracy",
        title="How well the model answers",
        meaning=" ".join(sentences),
        limits=(
            "Intervals take the cases as drawn from the patients of interest; cases that the model"
            " was trained on say nothing of new ones." + _independent(named)
        ),
        rows=tuple(rows),
        columns={
            "cohort": COHORT_COLUMN,
            "measure": "what is measured",
            "class": "the class it is of; empty for all",
            "value": "share or area, 0 to 1; the error in the target's own unit",
            "low": "lower end of the 95 % interval",
            "high": "upper end of the 95 % interval",
            "cases": "cases it rests on",
            "interval": "how the interval is found",
        },
        draw=partial(_draw_answers, drawn) if drawn else None,
    )


def _independent(named: Named) -> str:
    """What the intervals take for independent, once for all cohorts where that is the same."""
    said = list(dict.fromkeys(said_of(analysis.groups) for _, analysis in named))
    if len(said) == 1:
        return said[0]
    return "".join(f" {name}:{said_of(analysis.groups)}" for name, analysis in named)


def _draw_answers(named: Named) -> Any:
    names = [name for name, _ in named]
    first = named[0][1]
    if first.is_regression:
        return figures.scatter_figure([(a.targets, a.logits[:, 0]) for _, a in named], names)
    classes = len(first.class_names)
    tables = [confusion_counts(a.decisive, a.labels, classes) for _, a in named]
    return figures.confusion_figure(tables, names, [name for _, name in answerable_classes(first)])


def _told(measured: Measured) -> str:
    interval = ""
    if np.isfinite(measured.low):
        interval = f" (95 % interval {measured.low:.3g} to {measured.high:.3g})"
    return f"{measured.measure} {measured.value:.3g}{interval}"


def _scale_section(named: Named) -> Section:
    rows: list[Row] = []
    for name, analysis in named:
        measured = _most_cases(analysis, _MEASURED_CLASSES)
        for c, class_name in _compared_classes(analysis):
            head = {"cohort": name, "class": class_name}
            for choice in _SCALES:
                rows.append(head | _scale_columns(analysis, c, choice, c in measured))
    of_voxels = [row for row in rows if (row["form"], row["basis"]) == ("paper", "voxels")]
    own = [row for row in of_voxels if row["cohort"] == named[0][0]]
    neutral = [row["neutral"] for row in own if np.isfinite(row["neutral"])]
    without = len(own) - len(neutral)
    by_class = ", by class," if len(neutral) > 1 else ""
    meaning = (
        f"In {named[0][0]} no contribution lies at an S-CAM of"
        f" {span(min(neutral), max(neutral))}{by_class} on the scale of all voxels:"
        f" {_above_and_below(named[0][1])}."
        if neutral
        else f"In {named[0][0]} no class has a common scale."
    )
    if neutral and without:
        meaning += f" {counted(without, 'class', 'classes')} without a scale."
    meaning += comparison_said(named[0][1].class_names, named[0][1].compared_class)
    meaning += f" {_precision(named[0][1])}".rstrip()
    lost = sum(row["not_finite"] for row in of_voxels)
    if lost:
        meaning += f" {lost} voxels are infinite or not a number and are left out."
    chosen = _most_cases(named[0][1], _DRAWN_CLASSES)
    if len(own) > len(chosen):
        meaning += f" The figure shows the {len(chosen)} classes with the most cases."
    return Section(
        key="scale",
        title="The common scale",
        meaning=meaning,
        limits=(
            "The scale makes patients comparable for one model and one cohort; it does not say that"
            " an activation is right, and values of two models or layers do not compare."
        ),
        rows=tuple(rows),
        columns={
            "cohort": COHORT_COLUMN,
            "class": "the class explained",
            "form": "paper: the two percentiles become 0.1 and 0.9; centred: 0 stays 0, and -P and"
            " P become -0.9 and 0.9",
            "basis": "voxels: percentiles of all voxels; extremes: of the cases' least and"
            " greatest values",
            "low": "the percentile that the paper's form sets to 0.1",
            "high": "the percentile that is set to 0.9; of the centred form one of the magnitude",
            "p_low": "class activation at the low end (logit)",
            "p_high": "class activation at the high end (logit)",
            "width_low": "lower end of the 95 % interval of p_high - p_low over cohorts of this"
            " size (logit)",
            "width_high": "upper end of that interval",
            "alpha": "slope α of S-CAM = tanh(α·u + β) (per logit)",
            "beta": "offset β",
            "neutral": "tanh β, the S-CAM of no contribution",
            "for_reading": "whether it is the scale that the viewer begins with: centred, on the"
            " extremes where these lie more than five times above P90 of the voxels' magnitude",
            "voxels": "finite voxels of the feature grid, of all cases",
            "not_finite": "voxels that are infinite or not a number; they are left out",
            "note": "why there is no scale",
        },
        draw=partial(_draw_distributions, named, chosen),
    )


def _above_and_below(analysis: Analysis) -> str:
    if analysis.is_regression:
        return "above it a voxel raises the answer, below it lowers it"
    return "above it a voxel speaks for the class, below it against"


def _precision(analysis: Analysis) -> str:
    """How well the cohort tells the scale for reading, of the class where it does so least."""
    scales = []
    for c in _most_cases(analysis, _MEASURED_CLASSES):
        with suppress(AnalysisError):
            scales.append((analysis.scaled(c, READING), analysis.class_names[c]))
    if not scales:
        return ""
    worst, name = max(scales, key=lambda found: _relative_width(found[0]))
    told = worst.precision
    return f"Of the scale for reading, class '{name}': {told}" if told else ""


def _relative_width(scale: CommonScale) -> float:
    if scale.width_interval is None:
        return float("inf")
    low, high = scale.width_interval
    return (high - low) / scale.width


def _compared_classes(analysis: Analysis) -> list[tuple[int, str]]:
    """Numbers and names of the classes, but for one that all are compared with."""
    return [(c, n) for c, n in enumerate(analysis.class_names) if c != analysis.compared_class]


def _most_cases(analysis: Analysis, most: int) -> list[int]:
    """The classes with the most cases, of those that have numbers."""
    cases = cases_that_count(analysis, "true")
    classes = [c for c, _ in _compared_classes(analysis)]
    return sorted(classes, key=lambda c: -cases[c])[:most]


def _scale_columns(analysis: Analysis, c: int, choice: ScaleChoice, measured: bool) -> Row:
    head: Row = {"form": choice.form, "basis": choice.basis}
    names = (
        *("low", "high", "p_low", "p_high", "width_low", "width_high", "alpha", "beta", "neutral"),
    )
    data = analysis.dataset
    number, infinite = data["voxel_count"].values[c].sum(), data["voxel_not_finite"].values[c]
    counts = {"voxels": int(number), "not_finite": int(infinite)}
    try:
        scale = analysis.scaled(c, choice)
        reading = analysis.scaled(c, READING)
    except AnalysisError as error:
        unknown = dict.fromkeys(names, float("nan"))
        return head | unknown | {"for_reading": False} | counts | {"note": str(error)}
    interval = scale.width_interval if measured else None
    width_low, width_high = interval or (float("nan"), float("nan"))
    return {
        **head,
        "low": scale.low if choice.form == "paper" else float("nan"),
        "high": scale.high,
        "p_low": scale.p_low,
        "p_high": scale.p_high,
        "width_low": width_low,
        "width_high": width_high,
        "alpha": scale.alpha,
        "beta": scale.beta,
        "neutral": scale.neutral,
        "for_reading": (reading.form, reading.basis) == (choice.form, choice.basis),
        **counts,
        "note": scale.note,
    }


def _draw_distributions(named: Named, classes: Sequence[int]) -> Any:
    return figures.distribution_figure(
        [analysis.distribution() for _, analysis in named],
        [name for name, _ in named],
        classes,
        [named[0][1].class_names[c] for c in classes],
        (_LOW, _HIGH),
    )


def _importance_section(named: Named) -> Section:
    kind: Kind = "true" if all(cases_that_count(a, "true").any() for _, a in named) else "all"
    rows = [row for name, analysis in named for row in _importance_rows(name, analysis, kind)]
    name, first = named[0]
    principal = principal_features(first, top=_PRINCIPAL, kind=kind)
    shares = [principal.share(c) for c in range(len(first.class_names))]
    known = [share for share in shares if np.isfinite(share)]
    shown = dict.fromkeys(percent(end) for end in (min(known), max(known))) if known else {}
    over = OVER[kind]
    meaning = f"Importance is a feature's mean contribution over {over}."
    meaning += comparison_said(first.class_names, first.compared_class)
    if known:
        meaning += (
            f" In {name} the {kept_number(_PRINCIPAL, first.features)} most important of"
            f" {counted(first.features, 'feature')} make"
            f" {' to '.join(shown)} of what"
            f" {'raises the answer' if first.is_regression else 'speaks for a class'}."
        )
    empty = sorted({str(r["class"]) for r in rows if r["feature"] is None})
    if empty:
        meaning += f" No case is of {quoted_names(empty)}: no number, hatched in the figure."
    return Section(
        key="importance",
        title="Which features the model relies on",
        meaning=meaning,
        limits=(
            "A feature is a channel of the layer, not an anatomical finding; what it responds to is"
            " seen only on its maps, and features that always occur together share their importance"
            " arbitrarily."
        ),
        rows=tuple(rows),
        columns={
            "cohort": COHORT_COLUMN,
            "class": "the class explained",
            "rank": "place among the features, by importance",
            "feature": "number of the feature in the layer, from 0",
            "importance": f"mean contribution over {over} (logit; eq. {_EQUATION[kind]})",
            "low": "lower end of its 95 % interval (Student's t over cases or, where they are"
            " known, patients); none below 15 of them",
            "high": "upper end of that interval",
            "frequency": "share of these cases in which the feature speaks for the class",
            "share": "its part of all that speaks for the class",
            "cases": "cases it rests on",
        },
        draw=partial(_draw_importance, named, kind),
    )


_EQUATION = {"all": 3, "true": 4}


def _importance_rows(name: str, analysis: Analysis, kind: Kind) -> Iterator[Row]:
    data = analysis.dataset
    frequency = data[f"frequency_{kind}"].values
    counts = cases_that_count(analysis, "true")
    for c, class_name in _compared_classes(analysis):
        column = analysis.importance(c, kind)
        cases = int(counts[c]) if kind == "true" else len(analysis.case_ids)
        head: Row = {"cohort": name, "class": class_name}
        if not np.isfinite(column).any():
            nothing = dict.fromkeys(("importance", "low", "high", "frequency", "share"), None)
            yield {**head, "rank": None, "feature": None, **nothing, "cases": cases}
            continue
        total = np.nansum(np.clip(column, 0, None))
        best = np.argsort(-np.nan_to_num(column, nan=-np.inf), kind="stable")[:_LISTED]
        half = _half_width(analysis, c, kind, cases)
        for rank, f in enumerate(best, start=1):
            yield {
                **head,
                "rank": rank,
                "feature": int(f),
                "importance": float(column[f]),
                "low": float(column[f] - half[f]),
                "high": float(column[f] + half[f]),
                "frequency": float(frequency[f, c]),
                "share": float(max(column[f], 0) / total) if total > 0 else float("nan"),
                "cases": cases,
            }


def _half_width(analysis: Analysis, class_idx: int, kind: Kind, cases: int) -> Floats:
    """Half of the 95 % interval of a column of the importance matrix, ``[F]`` (Student's t).

    NaN below 15 cases. Where several cases are of one patient, over patients, from the cases' own
    contributions; NaN where those are not kept, as they are not for the mean over all cases.
    """
    from scipy.stats import t

    variance = analysis.dataset[f"variance_{kind}"].values[:, class_idx] / max(cases, 1)
    own = cases_of_class(analysis.labels, len(analysis.class_names))[:, class_idx]
    groups, number = analysis.groups, cases
    if groups is not None and number_of(groups, len(groups)) < len(groups):
        profiles = analysis.profiles if kind == "true" else None
        if profiles is None or not own.any():
            return np.full(analysis.features, np.nan)
        values, members = profiles[own], np.unique(groups[own], return_inverse=True)[1]
        number = int(members.max()) + 1
        sums = np.zeros((number, analysis.features))
        np.add.at(sums, members, (values - values.mean(axis=0)) / cases)
        variance = (sums**2).sum(axis=0) * number / max(number - 1, 1)
    if number < LEAST_DRAWN:
        return np.full(analysis.features, np.nan)
    return np.asarray(t.ppf(0.975, number - 1) * np.sqrt(variance))


def _draw_importance(named: Named, kind: Kind) -> Any:
    first, *others = (analysis for _, analysis in named)
    return importance_figure(first, *others, kind=kind)
