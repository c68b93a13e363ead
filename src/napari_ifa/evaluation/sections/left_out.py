"""What an evaluation left out, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.evaluation.section import Section


def left_out_sections(notes: Sequence[str], skipped: Sequence[SkippedCase]) -> Iterator[Section]:
    """One row for each case or lesion mask that could not be used; no section without a note."""
    if not notes:
        return
    yield Section(
        key="left_out",
        title="What was left out",
        meaning=" ".join(notes),
        limits="What is left out of one measure may count in the others; each states its n.",
        rows=tuple(
            {
                "case": case.id,
                "left_out": "lesion mask" if case.mask_alone else "case",
                "reason": case.reason,
            }
            for case in skipped
        ),
        columns={
            "case": "the case's id",
            "left_out": "whether the case could not be used, or its lesion mask alone",
            "reason": "why",
        },
    )
