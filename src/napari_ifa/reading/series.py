"""A series: what can be chosen and opened in a folder, without its pixels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.problems import refused
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from napari_ifa.reading.dicom.header.frames import Frame
    from napari_ifa.reading.dicom.series.stack import Stack

#: Is given now and then what a scan that still runs has found so far.
Found = Callable[[list["Series"]], None]


def series_key(text: str) -> str:
    """Eight hexadecimal digits for what tells a series from all others."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def place_below(root: Path, path: Path) -> str:
    """The path from the folder scanned, or the name alone where it lies elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


@dataclass(frozen=True)
class Series:
    """One DICOM series (or a part of it that is one image), one NIfTI file, or one picture.

    Attributes
    ----------
    key : eight hexadecimal digits, the same at every scan; carries no patient data.
    path : the file, or the folder that holds the first image.
    kind : what reads it; ``"image"`` for a PNG or JPEG picture.
    modality, description : of the series, never of the patient.
    part : what tells it apart from the other images of its series: ``"time 3 of 10"``,
        ``"echo 4.9 ms"``; empty where it is the only one.
    number : DICOM series number, if any.
    study, study_date : which of several studies it is of, counted from 1 by their dates, and that
        date as ``"2018-05-26"``; 0 and empty where all is of one study.
    image_count : slices (or frames) found.
    shape, spacing : along (I, P, L), in voxels and mm; None where the geometry is not known.
    orientation : in words: ``"axial"``, ``"oblique sagittal 15°"``; empty where not known.
    unsupported : one sentence that says why it is not opened, or None.
    question : one sentence that a person has to agree to, by choosing it, before it is opened.
    alternative : another way to see an image that is listed too; never opened unless chosen.
    notes : what was corrected or is missing, one sentence each.
    files : all files it consists of.
    frames : rows of the DICOM frame table, in no particular order.
    stack : the grid that they form, found when they are listed; None where it is unsupported.
    volume_index : which of the images of a NIfTI file, counted from 0.
    parsed : what the scan found out of a NIfTI file and its header, for the reading.
    archive : keeps what was unpacked from an archive on disk for as long as it is needed.
    """

    key: str
    path: Path
    kind: Literal["dicom", "nifti", "image"]
    modality: str = ""
    description: str = ""
    part: str = ""
    number: int | None = None
    study: int = 0
    study_date: str = ""
    image_count: int = 1
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    orientation: str = ""
    unsupported: str | None = None
    question: str | None = None
    alternative: bool = False
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    frames: tuple[Frame, ...] = field(default=(), repr=False, compare=False)
    stack: Stack | None = field(default=None, repr=False, compare=False)
    volume_index: int = 0
    parsed: Any = field(default=None, repr=False, compare=False)
    archive: Any = field(default=None, repr=False, compare=False)

    @property
    def refusal(self) -> UnsupportedStudyError:
        """``unsupported`` as an error to raise, with its kind and facts."""
        return refused(self.unsupported or "")

    @property
    def study_words(self) -> str:
        """``"study 2, 2018-05-26"``; empty where all is of one study."""
        named = f"study {self.study}" if self.study else ""
        return ", ".join(filter(None, (named, self.study_date)))

    @property
    def title(self) -> str:
        """A line for a list: ``"CT, STD BRAIN 5MM, 28 images"``."""
        count = counted(self.image_count, "image")
        return ", ".join(
            filter(None, (self.study_words, self.modality, self.description, self.part, count))
        )
