"""What can be wrong with an export, and the one way in which a place that cannot be written is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from napari_ifa.disk import reason_of
from napari_ifa.errors import IfaError


class ExportProblem(Enum):
    """The kinds of `IfaError` that an export raises, each with its ``facts``."""

    NOT_WRITTEN = "a place that cannot be written"  # reason
    NO_NIFTI_NAME = "a name that is none of a NIfTI file"  # file
    NOT_DICOM = "an image that does not come from DICOM"
    SEVERAL_SUBJECTS = "files of several patients, studies or frames of reference"  # what
    SOURCE_GONE = "a source file that cannot be read any more"  # file
    SOURCE_CHANGED = "a source file that has changed"  # file
    NO_PLACE = "an image without a place in the patient"
    NO_VALUES = "a map without finite values"
    OTHER_FILES = "a folder that holds other files"  # folder
    WRONG_KEY = "a section's key that cannot be a file's name, or is there twice"  # key
    NO_EARLIER_RESULT = "a file that is not of an earlier result"  # file
    NO_SECTIONS = "a folder without sections"  # file
    OTHER_VERSION = "sections of another version"  # version
    DAMAGED = "sections that are damaged"  # file or section


@contextmanager
def unwritten_said(what: str, hint: str = "choose another folder") -> Iterator[None]:
    """Where the block cannot write, one sentence of what could not be written, why, and a hint.

    Raises
    ------
    IfaError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        raise IfaError(
            f"{what}{reason}; {hint}.", ExportProblem.NOT_WRITTEN, reason=reason
        ) from error


#: The hint where several files, or a large one, are written.
MAKE_ROOM = "make room there or choose another folder"
