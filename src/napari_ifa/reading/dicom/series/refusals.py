"""DICOM images that are not opened, and the sentence that says why."""

from __future__ import annotations

import re
from collections.abc import Sequence

from napari_ifa.reading.dicom.header.compression import decoder_of, is_installed
from napari_ifa.reading.dicom.header.frames import COLOURS, PALETTE, Frame, Refusal
from napari_ifa.reading.dicom.header.placement import placement_refusal
from napari_ifa.reading.problems import DicomProblem
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.wording import counted

_OF_THREE = tuple(kind for kind in COLOURS if kind != PALETTE)
_OF_ONE = ("MONOCHROME1", "MONOCHROME2", PALETTE, "")


def label(frames: Sequence[Frame]) -> str:
    """``"Series 5"``, as every sentence about it begins."""
    number = frames[0].image.series_number
    return f"Series {number}" if number is not None else "Series without number"


def refusal(frames: Sequence[Frame]) -> Note | None:
    """One sentence about the frames of a series, or None where all of them can be stacked."""
    found = (check(frame) for frame in frames for check in _CHECKS)
    notes = (Note(one.kind, series=label(frames), **one.facts) for one in found if one)
    return next(notes, None)


def damaged(frame: Frame) -> Note:
    """The sentence about a file with broken pixel data."""
    return Note(DicomProblem.DAMAGED, file=frame.image.path.name)


def unplaced(frames: Sequence[Frame]) -> str:
    """The sentence about frames that are opened without a place in the patient."""
    return f"{label(frames)}: {_why_without_place(frames)}"


def _why_without_place(frames: Sequence[Frame]) -> str:
    image = frames[0].image
    if image.unplaced:
        return f"{image.unplaced}; opened as 2D, without mm."
    if frames[0].image_position_patient is None and "ImagePositionPatient" in image.unreadable:
        return "the patient position is not three numbers; opened as 2D, without mm."
    if frames[0].image_position_patient is None or len(frames) == 1:
        return "no patient position; opened as 2D, without mm."
    if len({frame.image_position_patient for frame in frames}) > 1:
        return "its images share positions; opened as a 2D stack, without mm."
    locations = {frame.slice_location for frame in frames}
    order = "slice locations" if len(locations) > 1 else "instance numbers"
    return (
        "all images state one patient position; opened as a 2D stack, without mm, in the order of"
        f" their {order}."
    )


def remarks(frames: Sequence[Frame]) -> list[str]:
    """A sentence for each thing that was put right in the headers of the frames."""
    said = dict.fromkeys(remark for frame in frames for remark in frame.image.remarks)
    return [f"{label(frames)}: {remark}" for remark in said]


def not_told_apart(frames: Sequence[Frame], differing: Sequence[str] = ()) -> str:
    """The question about frames that share positions; ``differing`` is what differs all the same,
    as ``"trigger times"``."""
    shared = f"{label(frames)}: {len(frames)} images share positions and"
    if not differing:
        return f"{shared} nothing tells them apart. Open as a 2D stack?"
    several = " and ".join(filter(None, (", ".join(differing[:-1]), differing[-1])))
    return (
        f"{shared} cannot be sorted into whole images, though their {several} differ."
        " Open as a 2D stack?"
    )


def cut_off(frames: Sequence[Frame], count: int) -> str:
    """The sentence about an image that ends before other times of it do."""
    slices = counted(count, "slice")
    return f"{label(frames)}: {slices} missing at the end, which other images of the series have."


def _image_refusal(frame: Frame) -> Refusal | None:
    kind = frame.image.refused
    return Refusal(kind, frames=frame.image.number_of_frames) if kind else None


def _value_refusal(frame: Frame) -> Refusal | None:
    image = frame.image
    if image.samples_per_pixel not in (1, 3) or (image.samples_per_pixel == 3) != (
        image.photometric_interpretation in _OF_THREE
    ):
        colours = _plain(image.photometric_interpretation) or "unknown colours"
        return Refusal(DicomProblem.SAMPLES, samples=image.samples_per_pixel, colours=colours)
    if image.samples_per_pixel == 1 and image.photometric_interpretation not in _OF_ONE:
        colours = _plain(image.photometric_interpretation) or "an unknown kind"
        return Refusal(DicomProblem.PIXELS, colours=colours)
    if image.pixels.is_float:
        return None
    if image.bits_allocated not in (1, 8, 16, 32):
        return Refusal(DicomProblem.BITS, bits=image.bits_allocated)
    if not 0 < image.bits_stored <= image.high_bit + 1 <= image.bits_allocated:
        return Refusal(DicomProblem.CONTRADICTING_BITS)
    if frame.rescale_slope is None or frame.rescale_intercept is None:
        return Refusal(DicomProblem.RESCALING)
    return None


def _codec_refusal(frame: Frame) -> Refusal | None:
    if not frame.image.pixels.encapsulated:
        return None
    syntax = frame.image.transfer_syntax_uid
    name = str(syntax.name) if _plain(syntax) else "of an unknown kind"
    decoder = decoder_of(frame.image)
    if decoder is None:
        return Refusal(DicomProblem.COMPRESSION, compression=name)
    if not is_installed(decoder[0], syntax):
        return Refusal(DicomProblem.NEEDS_PACKAGE, compression=name, package=decoder[1])
    return None


def _plain(code: str) -> str:
    """A code of the standard; empty where a damaged header holds anything else, even a name."""
    return code if re.fullmatch(r"[A-Z0-9_. ]{1,64}", code) else ""


_CHECKS = (_image_refusal, placement_refusal, _value_refusal, _codec_refusal)
