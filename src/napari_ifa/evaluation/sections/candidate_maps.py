"""What the first confounder candidates respond to, in words."""

from __future__ import annotations

from collections.abc import Sequence

from napari_ifa.evaluation.checks.candidate_maps import CandidateMaps
from napari_ifa.evaluation.checks.confounders import Confounders
from napari_ifa.evaluation.figures.candidate_maps import candidate_maps_figure
from napari_ifa.evaluation.section import Section


def candidate_maps_section(found: Confounders, maps: CandidateMaps) -> Section:
    """The maps as a section, with the cases that are shown as its table."""
    candidate = found.candidate
    are_candidates = [bool(candidate[row[0].feature, row[0].class_idx]) for row in maps.rows]
    skipped = "".join(f" {one.id} is left out: {one.reason}" for one in maps.skipped)
    return Section(
        key="confounder_maps",
        title=(
            "Where the first confounder candidates answer"
            if all(are_candidates)
            else "Where the first features in rank answer"
        ),
        meaning=_which_are_candidates(are_candidates)
        + " Each picture shows one feature alone, on the cases in which it contributes most:"
        " evidence outside the organ, on a marker, a border or a device is no sign of a disease."
        + skipped,
        limits="A place inside the organ clears no feature, and a place outside convicts none:"
        " switch the feature off and see whether the answer still holds.",
        rows=tuple(
            {
                "feature": one.feature,
                "class": found.class_names[one.class_idx],
                "case": one.case_id,
                "candidate": bool(candidate[one.feature, one.class_idx]),
            }
            for row in maps.rows
            for one in row
        ),
        columns={
            "feature": "number of the feature",
            "class": "the class whose evidence it carries",
            "case": "the case that is shown",
            "candidate": "whether it is a candidate, by its share or by its place",
        },
        draw=lambda: candidate_maps_figure(found, maps),
    )


def _which_are_candidates(candidate: Sequence[bool]) -> str:
    if not any(candidate):
        return "The first in rank; none is a candidate."
    if all(candidate):
        number = len(candidate)
        return "The first candidate." if number == 1 else f"The first {number} candidates."
    number = sum(candidate)
    return (
        f"The first in rank, of which {number} of {len(candidate)}"
        f" {'is a candidate' if number == 1 else 'are candidates'}."
    )
