"""Cases to look at, in words: outliers, and images that are there more than once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from napari_ifa.evaluation.checks.duplicates import Appearance, Duplicates, contradicts
from napari_ifa.evaluation.checks.outliers import LEAST_CASES, OVERALL_WEIGHT, Outliers
from napari_ifa.evaluation.figures.checks import outlier_figure
from napari_ifa.evaluation.numbers import Floats, Ints
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import at, comparison_said, described
from napari_ifa.wording import counted, listed

#: Most rows of the table of outliers.
MOST_ROWS = 10_000


def outlier_sections(found: Outliers) -> Iterator[Section]:
    """Every case that could be ranked, the least usual first."""
    ranked, relative = found.ranked, found.relative
    rows = tuple(
        {"rank": rank + 1, "case": found.case_ids[n]}
        | _answer(found, n)
        | _place(found, n, relative)
        for rank, n in enumerate(ranked[:MOST_ROWS].tolist())
    )
    group = "its class's" if not found.regression else "the"
    every = {
        "rank": "by p, no finer than the smallest class allows, then by relative distance",
        "case": "id of the case",
        "class": "its label",
        "predicted": "what the model answers",
        "agrees": "whether the two are the same",
        "answer": "the value that the model answers",
        "target": "the value that it should answer; empty where none is known",
        "residual": "answer − target",
        "correlation_distance": "1 − Pearson's r of its contributions and the mean of"
        f" {group} other cases",
        "mahalanobis_distance": "distance from that mean by the covariance of"
        f" {group} other cases (Ledoit and Wolf's shrinkage)",
        "relative_distance": f"{found.by} distance over the usual one: a mean of the median"
        f" of {group} cases, counted n times, and that of all, counted {OVERALL_WEIGHT} times",
        "p": f"share of {group} cases that lie at least as far, itself included"
        + ("; the patient's own other cases left out" if found.grouped else ""),
        "nearer_others": "its contributions are more like those of the other labels' cases",
    }
    yield Section(
        key="outliers",
        title="Special cases and outliers",
        meaning=_outlier_meaning(found),
        limits=(
            "Some case is always the farthest, and p is its place within its"
            f" {'cohort' if found.regression else 'class'}, not a"
            " verdict: a wrong label, a rare but true appearance and a poor image look"
            " alike here, so open the case."
        ),
        rows=rows,
        columns=described(rows, every),
        draw=(lambda: outlier_figure(found)) if rows else None,
    )


def _answer(found: Outliers, n: int) -> dict[str, object]:
    if not found.regression:
        return {
            "class": found.class_names[found.label[n]],
            "predicted": found.class_names[found.predicted[n]],
            "agrees": bool(found.label[n] == found.predicted[n]),
        }
    answer, target = float(found.answer[n]), float(found.target[n])
    if not np.isfinite(found.target).any():
        return {"answer": answer}
    return {"answer": answer, "target": target, "residual": answer - target}


def _place(found: Outliers, n: int, relative: Floats) -> dict[str, object]:
    distances = {
        "correlation_distance": found.correlation,
        "mahalanobis_distance": found.mahalanobis,
        "relative_distance": relative,
        "p": found.p,
    }
    place = at(n, distances)
    if not found.regression:
        place["nearer_others"] = bool(found.nearer_others[n]) if found.compared else None
    return place


def _outlier_meaning(found: Outliers) -> str:
    if not found.stored:
        return (
            "This analysis was made without the contributions of single cases, so no case can"
            " be judged; analyse again with them."
        )
    ranked = found.ranked
    if not len(ranked):
        return (
            f"No class has {LEAST_CASES} labelled cases with varying contributions, so no case"
            " can be judged."
            if not found.regression
            else f"There are no {LEAST_CASES} cases with varying contributions, so no case can"
            " be judged."
        )
    text = f"{len(ranked)} of {counted(len(found.label), 'case')} ranked by how far their"
    if found.regression:
        text += f" contributions lie from those of all other cases ({found.by} distance);"
    else:
        text += (
            f" contributions lie from those of their class's other cases ({found.by} distance,"
            " by its place within the class, then by how it compares with the usual distance);"
        )
    first = len(found.first)
    text += " open the first." if first == 1 else f" open the first {first} (5 %)."
    if len(ranked) > MOST_ROWS:
        text += f" The table holds the first {MOST_ROWS}."
    if found.grouped:
        text += " A patient's own other cases are left out of each comparison."
    text += "" if found.regression else _about_labels(found, ranked)
    if found.compared_class is None:
        return text
    said = comparison_said(found.class_names, found.compared_class)
    own = counted(int((found.label == found.compared_class).sum()), "case")
    return f"{text}{said} Its {own} are not ranked."


def _about_labels(found: Outliers, ranked: Ints) -> str:
    wrong = int((found.label[ranked] != found.predicted[ranked]).sum())
    nearer = int(found.nearer_others.sum())
    text = ""
    if found.compared:
        text += (
            f" {counted(nearer, 'case is', 'cases are')} more like the cases of other labels"
            " than like those of the same."
            if nearer
            else " None is more like the cases of other labels than like those of its own."
        )
    text += (
        f" The model answers {wrong} of the ranked wrongly."
        if wrong
        else " The model answers all of them rightly."
    )
    counts = np.bincount(found.label[found.label >= 0], minlength=len(found.class_names))
    few = [n for n, k in zip(found.class_names, counts, strict=True) if k < LEAST_CASES]
    if few:
        text += f" Fewer than {LEAST_CASES} cases, not ranked: {listed(few)}."
    unlabelled = int((found.label < 0).sum())
    return text + (f" Without a label: {counted(unlabelled, 'case')}." if unlabelled else "")


def duplicate_sections(found: Duplicates) -> Iterator[Section]:
    """One table of all that stand in a group."""
    truth = "target" if found.regression else "class"
    rows = tuple(
        {
            "group": number + 1,
            "cohort": one.cohort,
            "case": one.case,
            truth: one.truth,
            "labels_differ": contradicts(group),
        }
        for number, group in enumerate(found.groups)
        for one in group
    )
    yield Section(
        key="duplicates",
        title="Duplicates",
        meaning=_duplicate_meaning(found),
        limits=(
            "Only inputs that are equal in every voxel after preprocessing are found; the"
            " same patient on another day, or the same image stored with loss, is not."
        ),
        rows=rows,
        columns={
            "group": "cases with the same number are one image",
            "cohort": "the cohort that it stands in",
            "case": "id of the case",
            truth: "the value it should answer" if found.regression else "its label",
            "labels_differ": "whether the group's labels contradict one another",
        },
    )


def _duplicate_meaning(found: Duplicates) -> str:
    looked_at = " and ".join(
        f"{counted(n, 'case')} of '{name}'"
        for name, n in zip(found.cohorts, found.cases, strict=True)
    )
    if not found.known:
        return (
            f"Duplicates are not known among the {looked_at}: the analysis does not tell equal"
            " images."
        )
    if not found.groups:
        return f"No two of the {looked_at} are the same image."
    extra = sum(len(g) - 1 for g in found.groups)
    number, contradicting = len(found.groups), len(found.contradicting)
    text = (
        f"Among the {looked_at} {counted(number, 'image')}"
        f" {'stands' if number == 1 else 'stand'} in more than one case,"
        f" {counted(extra, 'case')} too many"
    )
    if len(found.cohorts) > 1:
        within = [
            f"{sum(_repeats(g, name) for g in found.groups)} within '{name}'"
            for name in found.cohorts
        ]
        text += f" ({listed(within)}, {len(found.in_both)} in both)"
    return (
        f"{text}, {contradicting or 'none'} with contradicting labels; a repeated image counts"
        " more than once in every mean"
        + (", and one in both hides overfitting." if found.in_both else ".")
    )


def _repeats(group: tuple[Appearance, ...], cohort: str) -> bool:
    return sum(one.cohort == cohort for one in group) > 1
