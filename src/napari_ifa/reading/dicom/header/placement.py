"""Whether what a frame's header says of its place in the patient can be used."""

from __future__ import annotations

from math import hypot

from napari_ifa.reading.dicom.header.frames import Frame, Refusal
from napari_ifa.reading.problems import DicomProblem

#: Direction cosines of unit length and at right angles, within this.
_COSINE_TOLERANCE = 1e-3
#: Both sides of a slice are longer than this (mm) only where slices were tiled into one image.
_LONGEST_SHORT_SIDE = 700.0
#: A length (mm) that no scanner reaches: 100 m.
_FARTHEST = 1e5


def placement_refusal(frame: Frame) -> Refusal | None:
    """Why position, orientation and spacing of a frame cannot be used."""
    if frame.image_position_patient is None:
        return None
    if frame.image_orientation_patient is None:
        if "ImageOrientationPatient" in frame.image.unreadable:
            return Refusal(DicomProblem.ORIENTATION_UNREADABLE)
        return Refusal(DicomProblem.NO_ORIENTATION)
    row, column = frame.image_orientation_patient[:3], frame.image_orientation_patient[3:]
    errors = (
        hypot(*row) - 1,
        hypot(*column) - 1,
        sum(a * b for a, b in zip(row, column, strict=True)),
    )
    if max(map(abs, errors)) > _COSINE_TOLERANCE:
        return Refusal(DicomProblem.INVALID_ORIENTATION)
    if frame.pixel_spacing is None:
        if "PixelSpacing" in frame.image.unreadable:
            return Refusal(DicomProblem.SPACING_UNREADABLE)
        return Refusal(DicomProblem.NO_SPACING)
    farthest = max(
        *map(abs, frame.image_position_patient), *frame.pixel_spacing, frame.slice_distance or 0.0
    )
    if farthest > _FARTHEST:
        return Refusal(DicomProblem.TOO_FAR)
    height, width = frame.pixel_spacing[0] * frame.rows, frame.pixel_spacing[1] * frame.columns
    is_long = min(height, width) > _LONGEST_SHORT_SIDE
    if frame.image.modality == "MR" and frame.tile is None and is_long:
        return Refusal(DicomProblem.LOOKS_LIKE_MOSAIC, height=height, width=width)
    return None
