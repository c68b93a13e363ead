"""Which series is meant, where nobody points at one: for the reader, the viewer and the command
line alike."""

from __future__ import annotations

from collections.abc import Sequence

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.reading.series import Series

#: Choices named in one message.
_MOST_LISTED = 12


def candidates(found: Sequence[Series]) -> list[Series]:
    """Those among which a person has to choose.

    Another way to see an image that is listed too is none of them. One that asks first counts only
    where none opens without a question, and a picture only where there is nothing else: a study on
    a disc comes with its viewer's icons.
    """
    able = [series for series in found if series.unsupported is None and not series.alternative]
    able = [series for series in able if series.question is None] or able
    return [series for series in able if series.kind != "image"] or able


def choose(found: Sequence[Series], wanted: str | int | None = None) -> Series:
    """The series with this key or DICOM series number; without either, the only candidate.

    A key is an answer to a series that asks first; a number is none.

    Raises
    ------
    UnsupportedStudyError
        With one sentence: what there is to choose from, or why there is nothing. Where a person can
        choose, ``facts["choices"]`` holds the Series.
    """
    if wanted is None:
        return _only_one(found)
    by_key = [s for s in found if s.key == str(wanted)]
    if by_key:
        return by_key[0]
    numbered = [s for s in found if s.number is not None and str(s.number) == str(wanted)]
    if not numbered:
        raise UnsupportedStudyError(
            StudyProblem.NO_SUCH_SERIES,
            choices=tuple(found),
            wanted=wanted,
            count=len(found),
            listed=_listed(found),
        )
    return _only_one(numbered)


def _only_one(found: Sequence[Series]) -> Series:
    """The one that opens without being asked for, or the sentence that says why there is none."""
    able = candidates(found)
    if len(able) == 1:
        if able[0].question is not None:
            raise UnsupportedStudyError(
                StudyProblem.ASKS_FIRST,
                choices=(able[0],),
                question=able[0].question,
                key=able[0].key,
            )
        return able[0]
    refused = [s for s in found if s.unsupported is not None]
    refusals = [s.refusal for s in [s for s in refused if not s.alternative] or refused]
    if able or not refusals:
        choices = tuple(able or found)
        raise UnsupportedStudyError(
            StudyProblem.SEVERAL_SERIES,
            choices=choices,
            count=len(choices),
            listed=_listed(choices),
        )
    first = refusals[0]
    if len(refusals) == 1:
        raise first
    more = f" (and {len(refusals) - 1} more series that cannot be opened)."
    raise UnsupportedStudyError(str(first).rstrip(".") + more, first.kind, **first.facts)


def _listed(series: Sequence[Series]) -> str:
    texts = [f"{s.key} ({s.title})" for s in series[:_MOST_LISTED]]
    more = len(series) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")
