"""Whether what a frame's header says of its place in the patient can be used."""

from __future__ import annotations

from math import hypot

from napari_ifa.reading.dicom.header.frames import Frame

#: Direction cosines of unit length and at right angles, within this.
_COSINE_TOLERANCE = 1e-3
#: Both sides of a slice are longer than this (mm) only where slices were tiled into one image.
_LONGEST_SHORT_SIDE = 700.0
#: A length (mm) that no scanner reaches: 100 m.
_FARTHEST = 1e5


def placement_reason(frame: Frame) -> str | None:
    """Why position, orientation and spacing of a frame cannot be used: the end of a sentence."""
    if frame.image_position_patient is None:
        return None
    if frame.image_orientation_patient is None:
        if "ImageOrientationPatient" in frame.image.unreadable:
            return "the patient orientation is not six numbers. Not opened."
        return "no patient orientation; left and right are unknown. Not opened."
    row, column = frame.image_orientation_patient[:3], frame.image_orientation_patient[3:]
    errors = (
        hypot(*row) - 1,
        hypot(*column) - 1,
        sum(a * b for a, b in zip(row, column, strict=True)),
    )
    if max(map(abs, errors)) > _COSINE_TOLERANCE:
        return "the patient orientation is invalid. Not opened."
    if frame.pixel_spacing is None:
        if "PixelSpacing" in frame.image.unreadable:
            return "the pixel spacing is not two numbers; lengths are unknown. Not opened."
        return "no pixel spacing; lengths are unknown. Not opened."
    farthest = max(
        *map(abs, frame.image_position_patient), *frame.pixel_spacing, frame.slice_distance or 0.0
    )
    if farthest > _FARTHEST:
        return "the patient position or spacing is not a possible length. Not opened."
    sides = frame.pixel_spacing[0] * frame.rows, frame.pixel_spacing[1] * frame.columns
    if frame.image.modality == "MR" and frame.tile is None and min(sides) > _LONGEST_SHORT_SIDE:
        return (
            f"slices of {sides[0]:.0f} × {sides[1]:.0f} mm must be a mosaic of several slices "
            "without its private header; left and right could be swapped. Not opened."
        )
    return None
