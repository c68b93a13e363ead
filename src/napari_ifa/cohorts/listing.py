"""What a list of cases holds, whichever kind of list it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.splits import splits_called
from napari_ifa.errors import CohortError
from napari_ifa.wording import listed

#: Splits named in one message.
_MOST_NAMED = 12


@dataclass(frozen=True)
class Listing:
    """The cases of a file or folder, by split.

    Attributes
    ----------
    name : of the cohort.
    source : the file or folder as messages call it.
    splits : cases in their order by the split's name, ``""`` for those in none; in place of a case
        that is listed wrongly stands the error, so that it matters only to those who want the
        split.
    expected : what such a file or folder holds, for the message where it holds no case.
    notes : sentences on what was found beside the cases.
    """

    name: str
    source: str
    splits: Mapping[str, Sequence[Case | CohortError]]
    expected: str
    notes: tuple[str, ...] = ()

    def chosen(self, split: str | None) -> tuple[str, ...]:
        """The names of the splits that ``split`` asks for: one, or all for None.

        Raises
        ------
        CohortError
            Where there is none of this name, more than one, or no case in it.
        """
        if split is None:
            if not any(self.splits.values()):
                raise CohortError(ListProblem.NO_CASE, file=self.source, expected=self.expected)
            return tuple(self.splits)
        names = [name for name in self.splits if name]
        found = splits_called(split, names)
        if len(found) > 1:
            both = ", ".join(found)
            raise CohortError(
                ListProblem.SEVERAL_SPLITS, file=self.source, split=split, splits=both
            )
        if not found:
            raise CohortError(
                ListProblem.NO_SUCH_SPLIT, file=self.source, split=split, splits=self._named()
            )
        if not self.splits[found[0]]:
            raise CohortError(
                ListProblem.NO_CASE_IN_SPLIT, file=self.source, split=found[0], splits=self._named()
            )
        return (found[0],)

    def cases(self, split: str) -> list[Case]:
        """The cases of a split.

        Raises
        ------
        CohortError
            The first that is listed wrongly, and how.
        """
        for entry in self.splits[split]:
            if isinstance(entry, CohortError):
                raise entry
        return self.sound_cases(split)

    def sound_cases(self, split: str) -> list[Case]:
        """The cases of a split without those that are listed wrongly."""
        return [entry for entry in self.splits[split] if isinstance(entry, Case)]

    def _named(self) -> str:
        names = [f"{name} ({len(cases)})" for name, cases in self.splits.items() if name]
        return listed(names, _MOST_NAMED) or "none"
