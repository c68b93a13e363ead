"""The cohort of an analysis: its cases by class, and what was found wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_ifa.analysis.fit.cohort_words import cases_outside, reference_sentences
from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.truth import answer_names
from napari_ifa.evaluation.numbers import Bools
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.wording import quoted_names
from napari_ifa.evaluation.statistics.performance import is_right
from napari_ifa.wording import counted, listed

Row = dict[str, Any]
#: Analyses with what their cohorts are called in tables.
Named = Sequence[tuple[str, Analysis]]

COHORT_COLUMN = "name and split of the cohort"
#: Notes of a cohort that only count its labels, as ``cohorts.checks`` words them.
_COUNTS = re.compile(
    r"Classes: .*|Labels are values from .*|\d+ classes, of \d+ to \d+ cases each\."
)


def cohort_names(analysis: Analysis, other: Analysis | None = None) -> tuple[str, ...]:
    """What the cohorts are called in tables: name and split.

    Two splits of one cohort are called by their splits; where both are the same they are numbered.
    """
    both = [analysis] if other is None else [analysis, other]
    names = [str(one.dataset.attrs.get("cohort_name", "")) or "cohort" for one in both]
    splits = [str(one.dataset.attrs.get("cohort_split", "")) for one in both]
    if len(both) > 1 and len(set(names)) == 1 and all(splits) and len(set(splits)) > 1:
        return tuple(splits)
    titles = [f"{n} ({s})" if s else n for n, s in zip(names, splits, strict=True)]
    if len(set(titles)) < len(titles):
        titles = [f"{title}, {number}" for number, title in enumerate(titles, start=1)]
    return tuple(titles)


def cohort_section(named: Named, remarks: Sequence[Row]) -> Section:
    rows: list[Row] = []
    sentences = []
    for name, analysis in named:
        rows += _class_rows(name, analysis)
        own = [row for row in remarks if row["cohort"] == name]
        skipped = sum(row["what"] == "skipped" for row in own)
        twice = sum(row["what"] == "duplicate" for row in own)
        cases = len(analysis.case_ids)
        labelled = int(_has_truth(analysis).sum())
        sentences.append(
            f"{name}: {counted(cases, 'case')} analysed, {labelled} with a"
            f" {_truth_of(analysis)}; {skipped} skipped, {twice} the"
            " same image as another."
            f" {' '.join(reference_sentences(analysis))}"
        )
    empty = sorted({str(row["class"]) for row in rows if row["cases"] == 0})
    without = (
        f" No case is of {quoted_names(empty)}, which has no importance of its own."
        if empty
        else ""
    )
    return Section(
        key="cohort",
        title="The cohort",
        meaning=" ".join(sentences) + without,
        limits=(
            "How many cases there are does not tell whether they resemble the patients whom the"
            " model will meet; cases of one patient are not told apart from those of several."
        ),
        rows=tuple(rows),
        columns={
            "cohort": COHORT_COLUMN,
            "class": "the true class; all of them in a regression",
            "cases": "cases analysed",
            "right": "of these, answered rightly; empty in a regression",
            "share_right": "share of these that are answered rightly",
        },
    )


def _class_rows(name: str, analysis: Analysis) -> Iterator[Row]:
    def row(class_name: str, cases: int, right: int | None = None) -> Row:
        share = None if right is None else right / cases if cases else float("nan")
        head = {"cohort": name, "class": class_name, "cases": cases}
        return head | {"right": right, "share_right": share}

    if analysis.is_regression:
        yield row("", len(analysis.case_ids))
        return
    labels = analysis.labels
    right = is_right(analysis.decisive, labels)
    for number, class_name in answerable_classes(analysis):
        own = labels == number
        yield row(class_name, int(own.sum()), int(right[own].sum()))
    if (labels < 0).any():
        yield row("(no label)", int((labels < 0).sum()))


def answerable_classes(analysis: Analysis) -> list[tuple[int, str]]:
    """Class numbers that a label can have; one output answers present (1) and absent (0)."""
    return list(enumerate(answer_names(analysis.class_names)))


def remarks_on(named: Named) -> Iterator[Row]:
    for name, analysis in named:
        found = [("skipped", case, reason) for case, reason in analysis.skipped]
        found += [
            ("duplicate", case, f"the same image to the model as {group[0]}")
            for group in analysis.duplicates
            for case in group[1:]
        ]
        found += [
            (
                "unlike the others",
                case,
                f"{score:.1f} times as far from the others as 95 % of the cases are at most, in"
                " intensities or features",
            )
            for case, score in cases_outside(analysis)
        ]
        found += [("note", "", note) for note in analysis.notes if not counts_labels(note)]
        for what, case, remark in found:
            yield {"cohort": name, "what": what, "case": case, "remark": remark}
    if len(named) > 1:
        (first, one), (second, other) = named
        for case, twin in _shared_cases(one, other):
            remark = f"the same image to the model as {twin} of {first}"
            yield {"cohort": second, "what": "in both", "case": case, "remark": remark}


def counts_labels(note: str) -> bool:
    """Whether a note of a cohort tells its labels alone, which the tables do too."""
    return _COUNTS.fullmatch(note) is not None


def labels_seen(analysis: Analysis) -> str:
    """One sentence of the labels of the cases analysed; empty where there are none."""
    if not _has_truth(analysis).any():
        return ""
    if analysis.is_regression:
        return f"Labels of the cases analysed: {_truth_of(analysis)}."
    counts = [(name, int((analysis.labels == c).sum())) for c, name in answerable_classes(analysis)]
    return f"Classes of the cases analysed: {listed([f'{n} ({k})' for n, k in counts if k], 20)}."


def _shared_cases(one: Analysis, other: Analysis) -> Iterator[tuple[str, str]]:
    """Cases of the second cohort that stand in the first too, with what they are called there."""
    if any("content" not in a.dataset for a in (one, other)):
        return
    known = dict(zip(one.dataset["content"].values.tolist(), one.case_ids, strict=True))
    for content, case in zip(other.dataset["content"].values.tolist(), other.case_ids, strict=True):
        if content in known:
            yield case, known[content]


def remarks_section(remarks: Sequence[Row]) -> Section:
    both = sum(row["what"] == "in both" for row in remarks)
    leak = (
        f"; {counted(both, 'image')} in both cohorts, so that one is no full test of the other"
        if both
        else ""
    )
    return Section(
        key="cohort_remarks",
        title="Cases and remarks to look at",
        meaning=f"{counted(len(remarks), 'remark')} on the cohort's list and images{leak}.",
        limits=(
            "Only images that are equal to the last voxel after preprocessing are found to be"
            " duplicates; another series of the same patient is not."
        ),
        rows=tuple(remarks),
        columns={
            "cohort": COHORT_COLUMN,
            "what": (
                "skipped, duplicate, unlike the others, in both cohorts, or a note on the list"
            ),
            "case": "the case's id, as the cohort's list has it",
            "remark": "why, or what it is",
        },
    )


def _has_truth(analysis: Analysis) -> Bools:
    known: Bools = np.isfinite(analysis.targets) if analysis.is_regression else analysis.labels >= 0
    return known


def _truth_of(analysis: Analysis) -> str:
    known = analysis.targets[_has_truth(analysis)] if analysis.is_regression else np.empty(0)
    if not known.size:
        return "value" if analysis.is_regression else "label"
    return f"value of {span(float(known.min()), float(known.max()))}"


def span(low: float, high: float) -> str:
    """ "0.1 to 0.3", or one number where the two read the same."""
    ends = dict.fromkeys(f"{end:.3g}" for end in (low, high))
    return " to ".join(ends)
