"""What can be wrong with a place where images are looked for, or with a choice of one, and what is
said of pictures and discs: the kinds, each with its sentence."""

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
    NO_SUCH_FILE = "{file}: there is no such file or folder."
    NO_PERMISSION = "{file}: no permission to read it."
    # Folders of studies are often called by the patient, so no sentence names one.
    CLOSED_FOLDER = "There is no permission to read this folder; ask its owner for it."
    SPECIAL_FILE = "{file}: neither a file nor a folder."
    NO_IMAGE = "{begun} DICOM, NIfTI, PNG or JPEG image among {details}."
    EMPTY = "The folder is empty."
    EMPTY_ARCHIVE = "{begun}the archive is empty."
    DICOM_WITHOUT_IMAGE = (
        "{file}: a DICOM object without an image; open the folder of the images instead."
    )
    DAMAGED_DICOM = "{file}: cannot be read as DICOM; it may be damaged."
    NAMED_AS_PICTURE = "{file}: not a PNG or JPEG picture, in spite of its name."
    OTHER_FILE = "{file}: neither a DICOM, NIfTI, PNG nor JPEG file."
    DAMAGED = "{file}: image data incomplete or damaged; not opened."
    # Archives
    OTHER_ARCHIVE = "{file}: {archive} archives are not opened, only zip; unpack it first."
    TOO_MANY_FILES = (
        "{file}: more than {most:,} files in one archive; unpack it first and open the folder of"
        " the study."
    )
    CLAIMS_TOO_MUCH = (
        "{file}: the archive claims {gigabytes:,.0f} GiB of content, far more than its size allows"
        " for. Not opened."
    )
    NO_SPACE = (
        "{file}: unpacking needs {needed}, but only {free} of the disk for temporary files can"
        " be used; unpack it elsewhere and open the folder."
    )
    ENCRYPTED = "{file}: the archive is encrypted; unpack it with its password and open the folder."
    COMPRESSION = (
        "{file}: compressed in a way that is not read (zip method {method}); unpack it first and"
        " open the folder."
    )
    PACKED_OTHERWISE = (
        "{file}: packed in a way that is not read; unpack it first and open the folder."
    )
    DAMAGED_ARCHIVE = "{file}: the zip archive is damaged or incomplete; fetch it again."
    DAMAGED_MEMBER = (
        "{file}: a file in the zip archive is damaged ({member}); fetch the archive again."
    )
    UNREADABLE = "{file}: the zip archive cannot be unpacked ({reason})."
    # Pictures
    TOO_MANY_PIXELS = (
        "{file}: the header claims more than {millions} million pixels, the most that are opened;"
        " make the picture smaller."
    )
    PRINT_COLOURS = "{file}: colours for print (CMYK) instead of RGB; save it as RGB. Not opened."
    COLOURS = "{file}: pixels of kind '{mode}' are not opened; save it as grey or RGB."
    NO_PICTURE = (
        "An array of shape {shape} is not a picture; give [rows, columns], or [rows, columns, 3] in"
        " colour."
    )
    NO_NUMBERS = (
        "An array of {dtype} is not a picture; give real numbers, such as uint8 or float32."
    )


class DicomProblem(Enum):
    """Why a DICOM series is not opened."""

    # Kind of object, and how its slices are stored
    WHOLE_SLIDE = "{series}: whole-slide microscopy; not opened."
    TOO_MANY_FRAMES = "{series}: the header claims {frames} frames in one file. Not opened."
    MOSAIC_WITHOUT_HEADER = (
        "{series}: Siemens mosaic without its private header; the slice direction is unknown, left"
        " and right could be swapped. Not opened."
    )
    MOSAIC_WITHOUT_DISTANCE = (
        "{series}: Siemens mosaic without the distance of its slices (SpacingBetweenSlices);"
        " lengths are unknown. Not opened."
    )
    LOOKS_LIKE_MOSAIC = (
        "{series}: slices of {height:.0f} × {width:.0f} mm must be a mosaic of several slices"
        " without its private header; left and right could be swapped. Not opened."
    )
    TILES_WITHOUT_POSITIONS = (
        "{series}: several slices tiled into one image without their positions; left and right"
        " could be swapped. Not opened."
    )
    # Position, orientation and spacing
    ORIENTATION_UNREADABLE = "{series}: the patient orientation is not six numbers. Not opened."
    NO_ORIENTATION = "{series}: no patient orientation; left and right are unknown. Not opened."
    INVALID_ORIENTATION = "{series}: the patient orientation is invalid. Not opened."
    SPACING_UNREADABLE = (
        "{series}: the pixel spacing is not two numbers; lengths are unknown. Not opened."
    )
    NO_SPACING = "{series}: no pixel spacing; lengths are unknown. Not opened."
    TOO_FAR = "{series}: the patient position or spacing is not a possible length. Not opened."
    # Pixels and their values
    SAMPLES = "{series}: {samples} values for a pixel of {colours} are not supported."
    PIXELS = "{series}: pixels of {colours} are not supported."
    BITS = "{series}: {bits} bits per pixel are not supported."
    CONTRADICTING_BITS = (
        "{series}: the header contradicts itself about the bits of a pixel. Not opened."
    )
    RESCALING = "{series}: the rescale slope or intercept is not a usable number. Not opened."
    DAMAGED_TABLE = (
        "{series}: its modality look-up table is damaged, so its values are unknown. Not opened."
    )
    COMPRESSION = "{series}: compression {compression} is not supported."
    NEEDS_PACKAGE = "{series}: compression {compression} needs package {package}."
    UNNAMED_COMPRESSION = (
        "{series}: its pixels are compressed, but its header names no compression and they do not"
        " show which it is. Not opened."
    )
    DAMAGED = "{file}: image data incomplete or damaged; skipped."
    GRID = (
        "{series}: slice distances vary ({least:.2f}–{greatest:.2f} mm) or positions drift too far"
        " to be brought to one grid. Not opened."
    )
    GRID_OF_LABELS = (
        "{series}: slice distances of a segmentation vary ({least:.2f}–{greatest:.2f} mm); labels"
        " cannot be interpolated. Not opened."
    )


class PictureNote(Enum):
    """What a person should know of a picture that is opened."""

    UNPLACED = (
        "The patient's position and the size of a pixel are not known; a pixel is shown as 1 mm."
    )
    NO_TRANSPARENCY = "The picture's transparency (alpha channel) is left out."
    PALETTE = (
        "The picture's colours are a palette; the numbers of its entries are shown, as MONAI's"
        " reader gives them to a network."
    )
    FIRST_OF_SEVERAL = "The file holds several pictures; the first is opened."
    NOT_TURNED = (
        "The file asks to be turned or mirrored (EXIF orientation); it is shown as stored, as"
        " MONAI's reader gives it to a network."
    )
    EIGHT_BITS = "The picture's 16 bits for a colour are reduced to 8, as MONAI's reader does."


class DiscNote(Enum):
    """What a person should know of a series that a DICOMDIR names."""

    FILES_MISSING = "The DICOMDIR names {files} that {are} not there; the series may be incomplete."


def not_read(path: Path, error: Exception) -> UnsupportedStudyError:
    """Of a file that is not there, may not be read, or else is damaged; ``error`` says which."""
    if isinstance(error, FileNotFoundError):
        kind = StudyProblem.NO_SUCH_FILE
    elif isinstance(error, PermissionError):
        kind = StudyProblem.NO_PERMISSION
    else:
        kind = StudyProblem.DAMAGED
    return UnsupportedStudyError(kind, file=path.name)


def refused(reason: str) -> UnsupportedStudyError:
    """The sentence as an error to raise, with its kind and facts where it has them."""
    if isinstance(reason, Note):
        return UnsupportedStudyError(reason, reason.kind, **reason.facts)
    return UnsupportedStudyError(reason)
