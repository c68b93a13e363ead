"""Duplicates: cases of which the network saw the very same image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.store import Analysis
from napari_ifa.evaluation.findings.finding import Finding
from napari_ifa.evaluation.section import Section
from napari_ifa.wording import counted, listed


@dataclass(frozen=True)
class Appearance:
    """One case of a group: where it stands, and what it is said to be.

    Attributes
    ----------
    cohort : name of its cohort.
    case : its id.
    truth : its class's name, or the value that a regression should give; None where unknown.
    """

    cohort: str
    case: str
    truth: str | float | None


@dataclass(frozen=True, eq=False, repr=False)
class Duplicates(Finding):
    """Groups of cases with one content, within and among the cohorts looked at.

    Attributes
    ----------
    cohorts : names of the cohorts looked at.
    cases : how many cases each of them has.
    groups : the cases of each image that stands in more than one, in the cohorts' order.
    known : whether every analysis holds what tells duplicates.
    regression : whether the model answers with values.
    """

    cohorts: tuple[str, ...]
    cases: tuple[int, ...]
    groups: tuple[tuple[Appearance, ...], ...]
    known: bool
    regression: bool

    @property
    def contradicting(self) -> tuple[tuple[Appearance, ...], ...]:
        """Groups whose cases have different labels."""
        return tuple(g for g in self.groups if _contradicts(g))

    @property
    def in_both(self) -> tuple[tuple[Appearance, ...], ...]:
        """Groups that stand in both cohorts."""
        return tuple(g for g in self.groups if len({one.cohort for one in g}) > 1)

    @property
    def sections(self) -> tuple[Section, ...]:
        """One table of all that stand in a group."""
        truth = "target" if self.regression else "class"
        rows = tuple(
            {
                "group": number + 1,
                "cohort": one.cohort,
                "case": one.case,
                truth: one.truth,
                "labels_differ": _contradicts(group),
            }
            for number, group in enumerate(self.groups)
            for one in group
        )
        return (
            Section(
                key="duplicates",
                title="Duplicates",
                meaning=self._meaning(),
                limits=(
                    "Only inputs that are equal in every voxel after preprocessing are found; the"
                    " same patient on another day, or the same image stored with loss, is not."
                ),
                rows=rows,
                columns={
                    "group": "cases with the same number are one image",
                    "cohort": "the cohort that it stands in",
                    "case": "id of the case",
                    truth: "the value it should answer" if self.regression else "its label",
                    "labels_differ": "whether the group's labels contradict one another",
                },
            ),
        )

    def _meaning(self) -> str:
        looked_at = " and ".join(
            f"{counted(n, 'case')} of '{name}'"
            for name, n in zip(self.cohorts, self.cases, strict=True)
        )
        if not self.known:
            return (
                f"Duplicates are not known among the {looked_at}: the analysis does not tell equal"
                " images."
            )
        if not self.groups:
            return f"No two of the {looked_at} are the same image."
        extra = sum(len(g) - 1 for g in self.groups)
        number, contradicting = len(self.groups), len(self.contradicting)
        text = (
            f"Among the {looked_at} {counted(number, 'image')}"
            f" {'stands' if number == 1 else 'stand'} in more than one case,"
            f" {counted(extra, 'case')} too many"
        )
        if len(self.cohorts) > 1:
            within = [
                f"{sum(_repeats(g, name) for g in self.groups)} within '{name}'"
                for name in self.cohorts
            ]
            text += f" ({listed(within)}, {len(self.in_both)} in both)"
        return (
            f"{text}, {contradicting or 'none'} with contradicting labels; a repeated image counts"
            " more than once in every mean"
            + (", and one in both hides overfitting." if self.in_both else ".")
        )


def duplicates(analysis: Analysis, other: Analysis | None = None) -> Duplicates:
    """Cases whose network inputs have the same hash, in one analysis or among two."""
    analyses = (analysis,) if other is None else (analysis, other)
    cohorts = _names(analyses)
    known = all("content" in one.dataset for one in analyses)
    groups: dict[int, list[Appearance]] = defaultdict(list)
    for name, one in zip(cohorts, analyses, strict=True) if known else ():
        truths = _truths(one)
        for n, content in enumerate(one.dataset["content"].values):
            groups[int(content)].append(Appearance(name, one.case_ids[n], truths[n]))
    return Duplicates(
        cohorts=cohorts,
        cases=tuple(len(one.case_ids) for one in analyses),
        groups=tuple(tuple(g) for g in groups.values() if len(g) > 1),
        known=known,
        regression=analysis.is_regression,
    )


def _contradicts(group: tuple[Appearance, ...]) -> bool:
    return len({one.truth for one in group if one.truth is not None}) > 1


def _repeats(group: tuple[Appearance, ...], cohort: str) -> bool:
    return sum(one.cohort == cohort for one in group) > 1


def _names(analyses: tuple[Analysis, ...]) -> tuple[str, ...]:
    """What tells the cohorts apart: their splits, or else their names, or else their places."""
    attributes = [one.dataset.attrs for one in analyses]
    for keys in (("cohort_split",), ("cohort_name",), ("cohort_name", "cohort_split")):
        names = tuple(", ".join(str(a[key]) for key in keys if a.get(key)) for a in attributes)
        if all(names) and len(set(names)) == len(names):
            return names
    return ("training", "test")[: len(analyses)] if len(analyses) > 1 else ("the cohort",)


def _truths(analysis: Analysis) -> list[str | float | None]:
    if analysis.is_regression:
        return [float(value) if np.isfinite(value) else None for value in analysis.targets]
    names = analysis.class_names
    if len(names) == 1:
        names = (f"not {names[0]}", names[0])
    return [names[label] if label >= 0 else None for label in analysis.labels.tolist()]
