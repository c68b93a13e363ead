"""Nuclear medicine (NM): where the slices of a reconstruction lie.

Position and orientation stand with the detector, and are those of the first slice (DICOM PS3.3,
C.8.4.11); the others follow along the normal, in front of it where SpacingBetweenSlices is negative
(C.8.4.15). All other images are seen from outside, and lie nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import Frame

_RECONSTRUCTIONS = {"RECON TOMO", "RECON GATED TOMO"}
_PROJECTIONS = {"TOMO", "GATED TOMO"}
_PLANAR = {"STATIC", "DYNAMIC", "GATED", "WHOLE BODY"}
#: What tells images of one place apart.
_IMAGES = ("EnergyWindowVector", "RRIntervalVector", "TimeSlotVector")


def nuclear_frames(frame: Frame, fields: Fields) -> list[Frame]:
    """One row for each frame of a file; ``frame`` holds what stands at the top of its header."""
    count = frame.image.number_of_frames
    rows = [frame] if count == 1 else [replace(frame, index=k) for k in range(count)]
    kinds = {*frame.traits.image_type}
    if not kinds & _RECONSTRUCTIONS:
        if kinds & _PROJECTIONS:
            return _unplaced(rows, "these are projections from around the patient, not slices")
        if kinds & _PLANAR:
            return _unplaced(rows, "these are planar images, not slices")
        if not fields.has("SliceVector"):
            return _unplaced(rows, "")
    slices = _vector(fields, "SliceVector", count)
    others = [vector for tag in _IMAGES if (vector := _vector(fields, tag, count))]
    if slices is None:
        if others:
            return _unplaced(rows, "its slices are not numbered (SliceVector)")
        slices = range(1, count + 1)
    plane = _first_plane(frame, fields)
    if isinstance(plane, str):
        return _unplaced(rows, plane)
    distance = fields.number("SpacingBetweenSlices")
    if not distance and max(slices) > 1:
        reason = "the distance of its slices is not stated (SpacingBetweenSlices)"
        return _unplaced(rows, reason)
    position, orientation = (np.array(numbers) for numbers in plane)
    step = np.cross(orientation[:3], orientation[3:]) * (distance or 0.0)
    return [
        replace(
            row,
            image_position_patient=tuple(float(x) for x in position + step * (number - 1)),
            image_orientation_patient=plane[1],
            traits=replace(
                row.traits, dimension_index_values=tuple(vector[k] for vector in others)
            ),
        )
        for k, (row, number) in enumerate(zip(rows, slices, strict=True))
    ]


def _first_plane(frame: Frame, fields: Fields) -> tuple[tuple[float, ...], tuple[float, ...]] | str:
    """Position and orientation of the first slice, or why there are none."""
    used = set(_vector(fields, "DetectorVector", frame.image.number_of_frames) or ())
    detectors = fields.items("DetectorInformationSequence")
    detectors = [
        detector for number, detector in enumerate(detectors, 1) if not used or number in used
    ]
    positions = {detector.numbers("ImagePositionPatient", 3) for detector in detectors} - {None}
    orientations = {detector.numbers("ImageOrientationPatient", 6) for detector in detectors} - {
        None
    }
    if len(positions) > 1 or len(orientations) > 1:
        return "its detectors state different positions"
    # At the top of the header they are not of an NM image, but some writers put them there.
    position = next(iter(positions), frame.image_position_patient)
    orientation = next(iter(orientations), frame.image_orientation_patient)
    if position is None:
        return "no patient position"
    if orientation is None:
        return "no patient orientation"
    if frame.pixel_spacing is None:
        return "no pixel spacing"
    return position, orientation


def _vector(fields: Fields, tag: str, count: int) -> Sequence[int] | None:
    """A number for each frame, counted from 1; None where it is not stated, or wrongly."""
    values = fields.shorts(tag)
    return values if len(values) == count and min(values) >= 1 else None


def _unplaced(rows: list[Frame], reason: str) -> list[Frame]:
    """The rows without a place; a single frame may be placed by the top of its header."""
    if len(rows) == 1 and rows[0].image_position_patient is not None:
        return rows
    image = replace(rows[0].image, unplaced=reason)
    return [replace(row, image=image, image_position_patient=None) for row in rows]
