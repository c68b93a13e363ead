"""Where to look: from what a person points at to the files that are looked into."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.folder import files_below, files_beside
from napari_ifa.reading.problems import DiscNote, StudyProblem
from napari_ifa.reading.scan import NO_IMAGE
from napari_ifa.reading.series import Found, Series
from napari_ifa.reading.series_list import SkippedFiles
from napari_ifa.reading.starts import archive_kind, is_picture, start_of
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from napari_ifa.reading.dicom.header.frame_table import NotAnImage
    from napari_ifa.reading.dicom.header.frames import Frame

OnePath = str | os.PathLike[str]


@dataclass
class Places:
    """Files to look into, and which of them a person pointed at.

    ``beside`` holds files that merely lie beside those: they complete a DICOM series. ``note`` is
    said of every DICOM series. ``fall_back`` is a folder to look into where nothing is found.
    ``parsed`` holds the frames of those DICOM files.
    """

    root: Path
    files: dict[Path, None] = field(default_factory=dict)
    beside: set[Path] = field(default_factory=set)
    note: str = ""
    fall_back: Path | None = None
    parsed: dict[Path, list[Frame]] = field(default_factory=dict)

    def add(self, files: Iterable[Path]) -> None:
        """Files that a person pointed at."""
        files = list(files)
        self.files.update(dict.fromkeys(files))
        self.beside.difference_update(files)

    def add_beside(self, files: Iterable[Path]) -> None:
        """Files that lie beside one of those."""
        new = [file for file in files if file not in self.files]
        self.files.update(dict.fromkeys(new))
        self.beside.update(new)

    def shown(self, series: list[Series]) -> list[Series]:
        """Those of the series that a person pointed at."""
        # A dropped duplicate has no series: its twin has one.
        return [self._noted(s) for s in self._mine(series) or series]

    def show(self, found: Found, series: list[Series]) -> None:
        """Tells ``found`` of those, while a scan goes on."""
        if mine := self._mine(series):
            found([self._noted(s) for s in mine])

    def _mine(self, series: list[Series]) -> list[Series]:
        if not self.beside:
            return series
        mine = [s for s in series if s.kind != "dicom" or not self.beside.issuperset(s.files)]
        # Studies are counted in the whole folder, and only told apart where there are several.
        if len({s.study for s in mine if s.kind == "dicom"}) == 1:
            mine = [replace(s, study=0, study_date="") for s in mine]
        return mine

    def _noted(self, series: Series) -> Series:
        if not self.note or series.kind != "dicom":
            return series
        return replace(series, notes=(*series.notes, self.note))


def places_of(
    paths: Sequence[Path], skipped: SkippedFiles, progress: Progress | None, stop: Stop | None
) -> tuple[Places, list[Path]]:
    """Where to look, and the zip archives to unpack.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where there is one path and it leads to no image.
    """
    from napari_ifa.reading.dicom.header.frame_table import NotAnImage, read_frames
    from napari_ifa.reading.nifti import is_nibabel_file

    folders = [path if path.is_dir() else path.parent for path in paths]
    places = Places(_common_folder(folders))
    archives = []
    looked_beside = set()
    for path in paths:
        if path.is_dir():
            places.add(files_below(path, skipped, progress, stop))
        elif is_nibabel_file(path) or is_picture(start_of(path)):
            places.add([path])
        elif archive_kind(start_of(path)) == "zip":
            archives.append(path)
        elif isinstance(frames := read_frames(path), NotAnImage):
            if not _add_dicomdir(path, places, skipped, stop):
                if len(paths) == 1:
                    raise _no_image(path, frames)
                skipped.add(NO_IMAGE, path.name)
        else:
            places.add([path])
            places.parsed[path] = frames
            if path.parent not in looked_beside:
                looked_beside.add(path.parent)
                places.add_beside(files_beside(path, SkippedFiles(), stop))
    return places, archives


def _add_dicomdir(path: Path, places: Places, skipped: SkippedFiles, stop: Stop | None) -> bool:
    """Whether it is one; its files are added."""
    from napari_ifa.reading.dicomdir import MISSING, is_dicomdir, referenced_files

    if not is_dicomdir(path):
        return False
    before = skipped.count(MISSING)
    places.add(referenced_files(path, skipped, stop))
    places.fall_back = path.parent
    missing = skipped.count(MISSING) - before
    if missing:
        are = "is" if missing == 1 else "are"
        places.note = Note(
            DiscNote.FILES_MISSING, files=counted(missing, "file"), are=are, count=missing
        )
    return True


def _common_folder(folders: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        # Several drives; places then count from the first.
        return folders[0]


def existing_path(path: OnePath) -> Path:
    """The absolute path of a file or folder that can be read.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where it cannot.
    """
    path = Path(path).absolute()
    try:
        exists = path.exists()
    except PermissionError as error:
        raise UnsupportedStudyError(StudyProblem.CLOSED_FOLDER) from error
    except (OSError, ValueError):
        exists = False
    if not exists:
        raise UnsupportedStudyError(StudyProblem.NO_SUCH_PLACE)
    if not os.access(path, os.R_OK):
        if path.is_file():
            raise UnsupportedStudyError(StudyProblem.NO_PERMISSION, file=path.name)
        raise UnsupportedStudyError(StudyProblem.CLOSED_FOLDER)
    if not path.is_dir() and not path.is_file():
        raise UnsupportedStudyError(StudyProblem.SPECIAL_FILE, file=path.name)
    return path


def _no_image(path: Path, found: NotAnImage) -> UnsupportedStudyError:
    """Why a file is not an image."""
    from napari_ifa.reading.dicom.header import frame_table
    from napari_ifa.reading.picture import is_picture_name

    if found is frame_table.NotAnImage.OTHER_OBJECT:
        kind = StudyProblem.DICOM_WITHOUT_IMAGE
    elif found is frame_table.NotAnImage.UNREADABLE:
        kind = StudyProblem.DAMAGED_DICOM
    elif archive := archive_kind(start_of(path)):
        return UnsupportedStudyError(StudyProblem.OTHER_ARCHIVE, file=path.name, archive=archive)
    elif is_picture_name(path):
        kind = StudyProblem.NAMED_AS_PICTURE
    else:
        kind = StudyProblem.OTHER_FILE
    return UnsupportedStudyError(kind, file=path.name)
