"""What of a file is read otherwise than its header says, in words."""

from __future__ import annotations

from pydicom.uid import UID, UncompressedTransferSyntaxes

from napari_ifa.volumes.dicom import tags
from napari_ifa.volumes.dicom.fields import Fields
from napari_ifa.volumes.dicom.modality_table import is_applied
from napari_ifa.volumes.dicom.pixeldata import GE_BIG_ENDIAN_PIXELS, PixelData
from napari_ifa.volumes.dicom.values import is_fractional


def remarks_on(fields: Fields, sop_class: str, syntax: UID, pixels: PixelData) -> tuple[str, ...]:
    """Each as the end of a sentence about a series."""
    return tuple(
        text
        for text in (
            _on_syntax(syntax, pixels),
            _on_table(fields, sop_class),
            "a segmentation in fractions; values are shares from 0 to 1."
            if is_fractional(fields)
            else "",
        )
        if text
    )


def _on_syntax(syntax: UID, pixels: PixelData) -> str:
    if pixels.encapsulated or not syntax or syntax in UncompressedTransferSyntaxes:
        return ""
    if syntax == GE_BIG_ENDIAN_PIXELS:
        return "stored in a private form of GE's; its pixels are read as big-endian numbers."
    if syntax.is_transfer_syntax and not syntax.is_private:
        return (
            f"its pixels are not compressed, although the header says {syntax.name}; read as they"
            " are stored."
        )
    return (
        "stored in a form (transfer syntax) that is not known; its pixels are read as uncompressed"
        " little-endian numbers. Check the values."
    )


def _on_table(fields: Fields, sop_class: str) -> str:
    if not fields.has(tags.MODALITY_LUT) or is_applied(fields, sop_class):
        return ""
    return (
        "its modality look-up table leads back to the intensity of the X-rays and is not applied;"
        " values are as stored."
    )
