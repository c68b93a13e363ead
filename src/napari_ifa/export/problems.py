"""What can be wrong with an export, and the one way in which a place that cannot be written is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from napari_ifa.disk import reason_of
from napari_ifa.errors import IfaError


class ExportProblem(Enum):
    """The kinds of `IfaError` that an export raises, each with its ``facts``."""

    NOT_WRITTEN = "{what}{reason}; {hint}."
    NO_NIFTI_NAME = "{file}: a NIfTI file is named .nii or .nii.gz."
    NOT_DICOM = (
        "This image does not come from DICOM, which a DICOM export needs to refer to; export"
        " as NIfTI instead."
    )
    SEVERAL_SUBJECTS = (
        "The files of this image {found}, and an export to DICOM would name one for all;"
        " export as NIfTI instead."
    )
    SOURCE_GONE = "{file}: the source file cannot be read any more; open the study again."
    SOURCE_CHANGED = "{file}: the source file has changed since it was read; open the study again."
    NO_PLACE = (
        "This image states no place in the patient, which a Parametric Map needs; export as"
        " Secondary Capture or NIfTI instead."
    )
    NO_VALUES = (
        "The map has no values that can be written: the image lies outside the model's field"
        " of view, or the activation is infinite."
    )
    OTHER_FILES = "{folder}: holds other files already; choose a new folder."
    WRONG_KEY = (
        "A section called '{key}' cannot be written; a key is made of letters, digits, - and"
        " _, and stands once."
    )
    NO_EARLIER_RESULT = (
        "{file} in the folder for the results is not of an earlier result, so it is not"
        " replaced; choose another folder."
    )
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
        raise IfaError(ExportProblem.NOT_WRITTEN, reason=reason, what=what, hint=hint) from error


#: The hint where several files, or a large one, are written.
MAKE_ROOM = "make room there or choose another folder"
