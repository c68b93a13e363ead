"""Duplicates: cases of which the network saw the very same image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.section import Section
from napari_ifa.analysis.store import Analysis
from napari_ifa.analysis.wording import counted


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Groups of cases with one content.

    Attributes
    ----------
    class_names : ``[C]``.
    case_ids : ``[N]``.
    label : ``[N]``, class numbers; −1 for a case without a label.
    groups : numbers of the cases of each group, in the cohort's order.
    known : whether the analysis holds what tells duplicates.
    """

    class_names: tuple[str, ...]
    case_ids: tuple[str, ...]
    label: NDArray[np.int64]
    groups: tuple[tuple[int, ...], ...]
    known: bool

    @property
    def contradicting(self) -> tuple[tuple[int, ...], ...]:
        """Groups whose cases have different labels."""
        return tuple(g for g in self.groups if len({int(self.label[n]) for n in g}) > 1)

    @property
    def sections(self) -> tuple[Section, ...]:
        """One table of all that stand in a group."""
        rows = tuple(
            {
                "group": number + 1,
                "case": self.case_ids[n],
                "class": self.class_names[self.label[n]] if self.label[n] >= 0 else None,
                "labels_differ": group in self.contradicting,
            }
            for number, group in enumerate(self.groups)
            for n in group
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
                    "case": "id of the case",
                    "class": "its label",
                    "labels_differ": "whether the group's labels contradict one another",
                },
            ),
        )

    def _meaning(self) -> str:
        if not self.known:
            return "This analysis does not tell equal images, so duplicates are not known."
        if not self.groups:
            return f"No two of the {len(self.case_ids)} cases are the same image."
        extra = sum(len(g) - 1 for g in self.groups)
        return (
            f"{counted(len(self.groups), 'image')} in more than one case, {extra} cases too many,"
            f" and {len(self.contradicting)} with contradicting labels; a repeated image counts"
            " more than once in every mean."
        )


def duplicates(analysis: Analysis) -> Duplicates:
    """Cases whose network inputs have the same hash."""
    data = analysis.dataset
    known = "content" in data
    groups: dict[int, list[int]] = {}
    for n, content in enumerate(data["content"].values if known else ()):
        groups.setdefault(int(content), []).append(n)
    return Duplicates(
        class_names=analysis.class_names,
        case_ids=tuple(str(name) for name in data["case"].values),
        label=np.asarray(data["label"].values, dtype=np.int64),
        groups=tuple(tuple(g) for g in groups.values() if len(g) > 1),
        known=known,
    )
