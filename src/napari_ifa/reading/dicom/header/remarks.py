"""What of a file is read otherwise than its header says, or not said by it, in words."""

from __future__ import annotations

from pydicom.uid import UID, AllTransferSyntaxes

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.modality_table import is_applied
from napari_ifa.reading.dicom.header.pixeldata import GE_BIG_ENDIAN_PIXELS, PixelData
from napari_ifa.reading.dicom.header.values import is_fractional


def remarks_on(fields: Fields, sop_class: str, syntax: UID, pixels: PixelData) -> tuple[str, ...]:
    """Each as the end of a sentence about a series."""
    shares = "a segmentation in fractions; values are shares from 0 to 1."
    said = (_on_syntax(syntax, pixels), _on_table(fields, sop_class), _on_units(fields))
    return tuple(filter(None, (*said, shares if is_fractional(fields) else "")))


def _on_syntax(syntax: UID, pixels: PixelData) -> str:
    if pixels.encapsulated or not syntax or syntax in AllTransferSyntaxes:
        return ""
    if syntax == GE_BIG_ENDIAN_PIXELS:
        return "stored in a private form of GE's; its pixels are read as big-endian numbers."
    return (
        "stored in a form (transfer syntax) that is not known; its pixels are read as uncompressed"
        " little-endian numbers. Check the values."
    )


def _on_table(fields: Fields, sop_class: str) -> str:
    if not fields.has("ModalityLUTSequence") or is_applied(fields, sop_class):
        return ""
    return (
        "its modality look-up table leads back to the intensity of the X-rays and is not applied;"
        " values are as stored."
    )


def _on_units(fields: Fields) -> str:
    """A CT without its rescaling, as converters from other formats write it."""
    is_colour = (fields.short("SamplesPerPixel") or 1) > 1
    if fields.ascii("Modality") != "CT" or is_colour or fields.has("ModalityLUTSequence"):
        return ""
    groups = (fields.first(f"{whose}FunctionalGroupsSequence") for whose in ("Shared", "PerFrame"))
    items = (group.first("PixelValueTransformationSequence") for group in groups if group)
    places = (fields, *(item for item in items if item))
    if any(place.ascii("RescaleIntercept") for place in places):
        return ""
    return (
        "its header states no rescaling (RescaleIntercept); values are as stored and may not be"
        " Hounsfield units."
    )
