"""What a look into folders and files found: the series, and what was no image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from napari_ifa.reading.series import Series

#: Names kept for one reason; the count goes on.
_MOST_NAMES = 1000


@dataclass(frozen=True)
class Skipped:
    """Files that were left out for one reason.

    Attributes
    ----------
    reason : of each of them, as ``"DICOM without an image"``.
    count : how many.
    names : of the files, without their folders, in the order met; at most 1000. Folders have none:
        they are often called by the patient.
    """

    reason: str
    count: int
    names: tuple[str, ...]


class SeriesList(list[Series]):
    """A list of series that also says what was looked at and left out.

    Attributes
    ----------
    skipped : one entry for each reason, in the order met.
    """

    def __init__(self, series: Iterable[Series] = (), skipped: Iterable[Skipped] = ()) -> None:
        super().__init__(series)
        self.skipped = tuple(skipped)


class SkippedFiles:
    """Collects files that are left out, by reason."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = defaultdict(list)
        self._counts = Counter[str]()

    def add(self, reason: str, name: str = "") -> None:
        """Note one more; ``name`` is a file's, without its folder, and empty for a folder."""
        self._counts[reason] += 1
        if name and len(self._names[reason]) < _MOST_NAMES:
            self._names[reason].append(name)

    def count(self, reason: str) -> int:
        """How many were left out for this reason."""
        return self._counts[reason]

    def entries(self) -> tuple[Skipped, ...]:
        """One for each reason."""
        return tuple(
            Skipped(reason, count, tuple(self._names[reason]))
            for reason, count in self._counts.items()
        )
