"""Segmentations (SEG): frames without anything in them may be left out of the file.

So a gap is empty, not missing, and the distance of the slices is the one that is stated, not that
of the frames that are there (DICOM PS3.3, A.51 and C.8.20).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import LABEL_MAP, Frame, StoredImage
from napari_ifa.reading.dicom.series.refusals import label
from napari_ifa.reading.problems import DicomProblem

#: A gap is a whole number of steps within this part of one.
_WHOLE = 0.05
#: More slices than any scanner takes: the header is damaged.
_MOST_SLICES = 20_000


def empty_label(image: StoredImage) -> float:
    """The number of what is in no segment: 0, or what a map of labels states as its padding."""
    if image.sop_class_uid == LABEL_MAP and image.padding is not None:
        return image.padding[0]
    return 0.0


def slots(
    frames: Sequence[Frame], heights: NDArray[np.float64]
) -> tuple[list[int], float, list[str]]:
    """Where each frame lies in the whole stack, the distance of two slices (mm), and notes.

    A place counts slices from the first frame; the frames of places in between were left out. Where
    the stated distance does not fit the positions, these are right, and a note says so.

    Parameters
    ----------
    frames : one at a position, in rising order.
    heights : ``[n]``, of the frames along the stack, in mm.

    Raises
    ------
    UnsupportedStudyError
        Where the frames lie on no even grid: nothing lies between two labels.
    """
    gaps = np.diff(heights)
    stated = frames[0].spacing_between_slices
    notes = []
    places = _places(gaps, stated) if stated is not None else None
    if places is None:
        places = _places(gaps, float(gaps.min()))
        if places is None:
            raise UnsupportedStudyError(
                DicomProblem.GRID_OF_LABELS,
                series=label(frames),
                least=float(gaps.min()),
                greatest=float(gaps.max()),
            )
        if stated is not None:
            notes.append(
                f"{label(frames)}: the stated slice distance ({stated:g} mm) does not fit the"
                f" positions; shown at {gaps.min():.2f} mm."
            )
    return places, float(heights[-1] - heights[0]) / places[-1], notes


def _places(gaps: NDArray[np.float64], step: float) -> list[int] | None:
    """In steps from the first; None where a gap is not a whole number of steps, or absurd."""
    if step <= 0 or gaps.sum() > _MOST_SLICES * step:
        return None
    steps = np.rint(gaps / step)
    if (steps < 1).any() or np.abs(gaps / step - steps).max() > _WHOLE:
        return None
    return [0, *(int(k) for k in steps.cumsum())]
