"""Duplicates: cases of which the network saw the very same image."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.truth import answer_names
from napari_ifa.evaluation.numbers import Numbers


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
class Duplicates(Numbers):
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
        return tuple(g for g in self.groups if contradicts(g))

    @property
    def in_both(self) -> tuple[tuple[Appearance, ...], ...]:
        """Groups that stand in both cohorts."""
        return tuple(g for g in self.groups if len({one.cohort for one in g}) > 1)


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


def contradicts(group: tuple[Appearance, ...]) -> bool:
    return len({one.truth for one in group if one.truth is not None}) > 1


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
    names = answer_names(analysis.class_names)
    return [names[label] if label >= 0 else None for label in analysis.labels.tolist()]
