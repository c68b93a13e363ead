"""Fields that are more than one number: rescaling, spacings, planes of a dose."""

from __future__ import annotations

import numpy as np

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import Frame

#: A place (mm) that is stated twice is the same within this.
_SAME_PLACE = 0.1


def positive(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """The values where all of them are greater than zero."""
    return values if values is not None and min(values) > 0 else None


def slice_distance(fields: Fields) -> float | None:
    """SpacingBetweenSlices, or the thickness where that is not stated, greater than zero."""
    stated = (
        fields.number(keyword) or 0.0 for keyword in ("SpacingBetweenSlices", "SliceThickness")
    )
    return next((distance for distance in stated if distance > 0), None)


def stated_distance(fields: Fields) -> float | None:
    """Of the slices, by SpacingBetweenSlices alone, whose sign is a direction."""
    return abs(fields.number("SpacingBetweenSlices") or 0.0) or None


def padding(fields: Fields, signed: bool, is_float: bool) -> tuple[float, float] | None:
    """The stored numbers, from the least to the greatest, that stand for no value; None for none.

    PixelPaddingValue alone, or from it to PixelPaddingRangeLimit, which lies below it where
    the darkest number is the largest (DICOM PS3.3, C.7.5.1.1.2). Their value representation, which
    writers confuse, is not asked: 16 bits have the sign of the pixels.
    """
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if is_float:
        stated = [fields.single(f"Float{name}") for name in names]
        stated += [fields.double(f"DoubleFloat{name}") for name in names]
        values = [value for value in stated if value is not None]
    else:
        bits = [fields.short(name) for name in names]
        if bits[0] is None:
            return None
        words = np.array([value for value in bits if value is not None]).astype(np.uint16)
        values = words.view(np.int16 if signed else np.uint16).astype(float).tolist()
    return (min(values), max(values)) if values else None


def rescale(fields: Fields) -> tuple[float | None, float | None]:
    """Slope and intercept: 1 and 0 where absent, None where they are no usable numbers.

    Of a fractional segmentation those that make the stored numbers shares from 0 to 1, whatever
    number its maker stored for the whole (PS3.3 C.8.20.2.3).
    """
    if is_fractional(fields):
        whole = fields.short("MaximumFractionalValue")
        return (1 / whole if whole else None), 0.0
    return _number(fields, "RescaleSlope", 1.0), _number(fields, "RescaleIntercept", 0.0)


def is_fractional(fields: Fields) -> bool:
    """Whether this is a segmentation of probabilities, or of shares of each voxel."""
    return fields.ascii("SegmentationType") == "FRACTIONAL"


def _number(fields: Fields, tag: str, default: float) -> float | None:
    if not fields.ascii(tag):
        return default
    value = fields.number(tag)
    # A slope of zero would show an empty image.
    return None if tag == "RescaleSlope" and value == 0 else value


def dose_offsets(frame: Frame, offsets: tuple[float, ...] | None) -> list[tuple[float, ...] | None]:
    """Position of each plane of an RT dose (PS3.3 C.8.8.3.2); None where it is not known.

    Offsets that begin with 0 count from the first plane, along the normal; others are the planes'
    own z coordinates, which is allowed for axial planes only, and then begin at the position's.
    """
    nothing: list[tuple[float, ...] | None] = [None] * frame.image.number_of_frames
    if (
        offsets is None
        or frame.image_position_patient is None
        or frame.image_orientation_patient is None
    ):
        return nothing
    first = np.array(frame.image_position_patient)
    row, column = np.reshape(frame.image_orientation_patient, (2, 3))
    along = np.cross(row, column)
    if offsets[0] != 0:
        if abs(along[2]) < 0.999 or abs(offsets[0] - first[2]) > _SAME_PLACE:
            return nothing
        return [(first[0], first[1], z) for z in offsets]
    return [tuple(float(x) for x in first + along * offset) for offset in offsets]
