"""Which series is meant, where nobody points at one."""

from __future__ import annotations

from collections.abc import Sequence

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.series import Series

#: Choices named in one message.
_MOST_LISTED = 12


def choose(found: Sequence[Series], wanted: str | int | None) -> Series:
    """The series with this key or DICOM series number; without either, the only one that opens.

    A key is an answer to a series that asks first; a number is none.

    Raises
    ------
    UnsupportedStudyError
        With one sentence: what there is to choose from, or why there is nothing.
    """
    if wanted is None:
        # A study on a disc comes with its viewer's icons and a preview.
        return _only_one([s for s in found if s.kind != "image"], found)
    by_key = [s for s in found if s.key == str(wanted)]
    if by_key:
        return by_key[0]
    numbered = [s for s in found if s.number is not None and str(s.number) == str(wanted)]
    if not numbered:
        raise UnsupportedStudyError(
            f"No series {wanted} here; there are {len(found)}: {_listed(found)}."
        )
    plain = [s for s in numbered if not s.alternative and s.question is None] or numbered
    if len(plain) > 1:
        raise _choice(plain)
    return _asked_for(plain[0])


def _only_one(preferred: Sequence[Series], found: Sequence[Series]) -> Series:
    """The one that opens without being asked for, or the sentence that says why there is none."""
    able = [s for s in preferred if _opens(s)] or [s for s in found if _opens(s)]
    if len(able) == 1:
        return able[0]
    if able:
        raise _choice(able)
    asking = [s for s in found if s.unsupported is None]
    if any(not s.alternative for s in asking):
        if len(asking) == 1:
            return _asked_for(asking[0])
        raise _choice(asking)
    refused = [s for s in found if s.unsupported is not None]
    reasons = [str(s.unsupported) for s in [s for s in refused if not s.alternative] or refused]
    if not reasons:
        raise _choice(found)
    if len(reasons) == 1:
        raise UnsupportedStudyError(reasons[0])
    more = f" (and {len(reasons) - 1} more series that cannot be opened)."
    raise UnsupportedStudyError(reasons[0].rstrip(".") + more)


def _opens(series: Series) -> bool:
    return series.unsupported is None and series.question is None and not series.alternative


def _asked_for(series: Series) -> Series:
    if series.question is not None:
        raise UnsupportedStudyError(
            f"{series.question} If so, choose it with --series {series.key}."
        )
    return series


def _choice(series: Sequence[Series]) -> UnsupportedStudyError:
    return UnsupportedStudyError(
        f"{len(series)} series found; choose one with --series KEY: {_listed(series)}."
    )


def _listed(series: Sequence[Series]) -> str:
    texts = [f"{s.key} ({s.title})" for s in series[:_MOST_LISTED]]
    more = len(series) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")
