"""One image of a cohort, and what is known of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError, UnsupportedStudyError
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume, check_complete

Label = int | str | float | None

#: Up to here a double holds every whole number, so a label is the same as int and as float.
_LARGEST = 2**53
#: What a list may call the groups, by how surely a patient is meant, without capitals and signs.
GROUP_NAMES = (
    *("patientid", "patient", "subjectid", "subject", "participantid", "participant"),
    *("groupid", "group"),
)
_WHOLE_AS_FRACTION = re.compile(r"([+-]?\d+)\.0*")


@dataclass(frozen=True, slots=True)
class Case:
    """One image of a cohort.

    Attributes
    ----------
    id : the image's path relative to the cohort's root, or what the list calls it.
    path : of the image: a file, or the folder of a DICOM series.
    label : class number or name, the value that a regression model should give, or None.
    mask : a lesion mask's path, or None.
    group : what the list says that cases belong together by, such as the patient; None where it
        says nothing. An ID of a patient, so it is stored under a pseudonym alone; see ``groups``.
    item : which image of a file that holds many, such as an idx or npz file; None where the file
        is the image.
    member : which array of an npz file the item is of; None elsewhere.
    """

    id: str
    path: Path
    label: Label = None
    mask: Path | None = None
    item: int | None = None
    member: str | None = None
    group: str | None = None

    def read(self) -> Volume:
        """The image.

        Raises
        ------
        UnsupportedStudyError
            Where it cannot be opened rightly, or slices of it are missing.
        CohortError
            Where the file that holds it among others is damaged or has changed.
        """
        if self.item is None:
            volume = read_volume(self.path)
            check_complete(volume, UnsupportedStudyError)
            return volume
        from napari_ifa.cohorts.array_file import read_item

        return read_item(self.path, self.member, self.item)


def sole(value: Any) -> Any:
    """What stands alone in a list; anything else as it is."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def group_text(value: Any, where: str) -> str | None:
    """A group as it stands in a list: a name or a whole number, or None where there is none.

    ``7``, ``7.0`` and ``"7"`` are the same group: tables with gaps write whole numbers like that.

    Raises
    ------
    CohortError
        For what is neither; ``where`` it stands begins the sentence.
    """
    value = sole(value)
    if value is None or (isinstance(value, float) and isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CohortError(ListProblem.GROUP_TYPE, where=where)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(str(value).split())
    if whole := _WHOLE_AS_FRACTION.fullmatch(text):
        text = whole[1]
    return None if text.casefold() in ("", "nan", "none", "null") else text


def group_title(titles: Iterable[str]) -> str | None:
    """The one of ``titles`` that tells patients apart best: a patient before a mere group."""
    named = [title for title in titles if _plain(title) in GROUP_NAMES]
    return min(named, key=lambda title: GROUP_NAMES.index(_plain(title)), default=None)


def _plain(title: str) -> str:
    return "".join(character for character in title.casefold() if character.isalnum())


def label_of(value: Any, where: str) -> Label:
    """A label as it stands in a list: a number, a name, None, or a list of one of them.

    NaN is how numpy and pandas write that there is none.

    Raises
    ------
    CohortError
        For what is no label of one class or value, such as a list of several; ``where`` it stands
        begins the sentence.
    """
    if isinstance(value, list) and len(value) != 1:
        raise CohortError(ListProblem.LIST_OF_LABELS, where=where, labels=len(value))
    value = sole(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise CohortError(ListProblem.LABEL_TYPE, where=where)
    if isinstance(value, float) and isnan(value):
        return None
    if abs(value) > _LARGEST or not isfinite(value):
        raise CohortError(ListProblem.LABEL_SIZE, where=where)
    return value
