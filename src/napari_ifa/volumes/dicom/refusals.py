"""DICOM images that are not opened, and the sentence that says why."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from pydicom.uid import UID

from napari_ifa.volumes.dicom.decoding import plugin
from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.stored_frames import frame_is_complete

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_ENHANCED = (
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.3",
    "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.128.1",
    "1.2.840.10008.5.1.4.1.1.130",
)
_CODEC_PACKAGES = {
    "1.2.840.10008.1.2.4.50": "pillow",
    "1.2.840.10008.1.2.4.51": "python-gdcm",
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.5": "pylibjpeg-rle",
}
#: Direction cosines of unit length and at right angles, within this.
_COSINE_TOLERANCE = 1e-3
#: Both sides of a slice are longer than this (mm) only where slices were tiled into one image.
_LONGEST_SHORT_SIDE = 700.0


def label(frames: Sequence[Frame]) -> str:
    """``"Series 5"``, as every sentence about it begins."""
    number = frames[0].image.number
    return f"Series {number}" if number is not None else "Series without number"


def refusal(frames: Sequence[Frame]) -> str | None:
    """One sentence about the frames of a series, or None where all of them can be stacked."""
    for frame in frames:
        reason = _reason(frame)
        if reason is not None:
            return f"{label(frames)}: {reason}"
    for frame in frames:
        if not frame_is_complete(frame):
            return damaged(frame)
    return None


def damaged(frame: Frame) -> str:
    """The sentence about a file with broken pixel data."""
    return f"{frame.image.path.name}: image data incomplete or damaged; the series is not opened."


def _reason(frame: Frame) -> str | None:
    checks = (_layout_reason, _kind_reason, _geometry_reason, _value_reason, _codec_reason)
    return next((reason for check in checks if (reason := check(frame))), None)


def _layout_reason(frame: Frame) -> str | None:
    if frame.image.refused:
        return frame.image.refused
    if frame.image.sop_class in _ENHANCED:
        return "enhanced multi-frame images are not supported yet."
    if frame.image.frame_count > 1:
        return f"multi-frame images ({frame.image.frame_count} in one file) are not supported yet."
    return None


def _kind_reason(frame: Frame) -> str | None:
    if frame.image.sop_class.startswith(_SECONDARY_CAPTURE):
        return "secondary capture (a screenshot or a derived picture); not opened."
    if frame.image.samples != 1 or not frame.image.photometric.startswith("MONOCHROME"):
        return f"colour image ({_plain(frame.image.photometric) or 'unknown colours'}); not opened."
    if frame.is_localizer:
        return "localizer (a scout image); not opened."
    return None


def _geometry_reason(frame: Frame) -> str | None:
    if frame.position is None:
        return "no patient position; not opened."
    if frame.orientation is None:
        return "no patient orientation; left and right are unknown. Not opened."
    row, column = np.reshape(frame.orientation, (2, 3))
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > _COSINE_TOLERANCE or abs(row @ column) > _COSINE_TOLERANCE:
        return "the patient orientation is invalid. Not opened."
    if frame.pixel_spacing is None:
        return "no pixel spacing; lengths are unknown. Not opened."
    sides = np.multiply(frame.pixel_spacing, (frame.rows, frame.columns))
    if frame.image.modality == "MR" and sides.min() > _LONGEST_SHORT_SIDE:
        return (
            f"slices of {sides[0]:.0f} × {sides[1]:.0f} mm must be a mosaic of several slices "
            "without its private header; left and right could be swapped. Not opened."
        )
    return None


def _value_reason(frame: Frame) -> str | None:
    if frame.image.bits_allocated not in (8, 16, 32):
        return f"{frame.image.bits_allocated} bits per pixel are not supported."
    if not 0 < frame.image.bits_stored <= frame.image.high_bit + 1 <= frame.image.bits_allocated:
        return "the header contradicts itself about the bits of a pixel. Not opened."
    if frame.slope is None or frame.intercept is None:
        return "the rescale slope or intercept is not a usable number. Not opened."
    return None


def _codec_reason(frame: Frame) -> str | None:
    if not frame.image.pixels.encapsulated:
        return None
    syntax = frame.image.transfer_syntax
    try:
        available = plugin(frame.image) is not None
    except (NotImplementedError, ValueError):
        return f"compression {_name(syntax)} is not supported."
    if not available:
        package = _CODEC_PACKAGES.get(syntax, "that is not known here")
        return f"compression {_name(syntax)} needs package {package}."
    return None


def _name(syntax: UID) -> str:
    return str(syntax.name) if _plain(syntax) else "of an unknown kind"


def _plain(code: str) -> str:
    """A code of the standard; empty where a damaged header holds anything else, even a name."""
    return code if re.fullmatch(r"[A-Z0-9_. ]{1,64}", code) else ""
