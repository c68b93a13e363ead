"""Kinds of what can be wrong with a place where images are looked for, or with a choice of one,
and of what is said of pictures and discs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.geometry_report import Note


class StudyProblem(Enum):
    """Why nothing is opened."""

    SEVERAL_SERIES = "{count} series found; choose one of them: {listed}."
    NO_SUCH_SERIES = "No series {wanted} here; there are {count}: {listed}."
    ASKS_FIRST = "{question} If so, choose {key}."
    NOTHING_GIVEN = "No file or folder was given."
    NO_SUCH_PLACE = "There is no such file or folder; check the path of the study."
    NO_PERMISSION = "a file or folder may not be read"
    SPECIAL_FILE = "{file}: neither a file nor a folder."
    NO_IMAGE = "{begun} DICOM, NIfTI, PNG or JPEG image among {details}."
    EMPTY = "a folder or an archive without a file"
    DICOM_WITHOUT_IMAGE = "a DICOM object without an image"
    DAMAGED_DICOM = "DICOM that cannot be read"
    OTHER_ARCHIVE = "an archive that is not zip"
    TOO_LARGE = "more than is unpacked or opened"
    NO_SPACE = (
        "{file}: unpacking needs {needed}, but only {free} of the disk for temporary files can"
        " be used; unpack it elsewhere and open the folder."
    )
    ENCRYPTED = "{file}: the archive is encrypted; unpack it with its password and open the folder."
    COMPRESSION = "an archive packed in a way that is not read"
    DAMAGED = "a file that is incomplete or damaged"
    UNREADABLE = "{file}: the zip archive cannot be unpacked ({reason})."
    COLOURS = "pixels of a kind that is not opened"
    NO_PICTURE = "an array that is not a picture"


class DicomProblem(Enum):
    """Why a DICOM series is not opened."""

    FORM = "an object, or a layout of its slices or pixels, of a kind that is not opened"
    PLACE = "a position, orientation or spacing that cannot be used"
    VALUES = "pixels or a rescaling of a kind that is not read"
    COMPRESSION = "a compression that is not read, or not by what is installed"
    GRID = "slices that cannot be brought to one grid; least, greatest: their distances in mm"


class PictureNote(Enum):
    """What a person should know of a picture that is opened."""

    UNPLACED = "neither the place in the patient nor the size of a pixel is known"
    NO_TRANSPARENCY = "the alpha channel is left out"
    PALETTE = "numbers of a palette's entries"
    FIRST_OF_SEVERAL = "the first of several pictures"
    NOT_TURNED = "shown as stored, although EXIF asks for another orientation"
    EIGHT_BITS = "16 bits for a colour are reduced to 8"


class DiscNote(Enum):
    """What a person should know of a series that a DICOMDIR names."""

    FILES_MISSING = "files are named that are not there"


def not_read(path: Path, error: Exception) -> UnsupportedStudyError:
    """Of a file that is not there, may not be read, or else is damaged; ``error`` says which."""
    if isinstance(error, FileNotFoundError):
        kind, reason = StudyProblem.NO_SUCH_PLACE, "there is no such file or folder."
    elif isinstance(error, PermissionError):
        kind, reason = StudyProblem.NO_PERMISSION, "no permission to read it."
    else:
        kind, reason = StudyProblem.DAMAGED, "image data incomplete or damaged; not opened."
    return UnsupportedStudyError(f"{path.name}: {reason}", kind)


def refused(reason: str) -> UnsupportedStudyError:
    """The sentence as an error to raise, with its kind and facts where it has them."""
    if isinstance(reason, Note):
        return UnsupportedStudyError(reason, reason.kind, **reason.facts)
    return UnsupportedStudyError(reason)
