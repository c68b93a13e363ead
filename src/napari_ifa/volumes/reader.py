"""The one way in: what files, folders and archives hold, and the Volume of what was chosen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.folder import files_below, files_beside
from napari_ifa.volumes.scan import NO_IMAGE, Scan, archive_kind, place_in_list, start_of
from napari_ifa.volumes.series import Found, Progress, Series, Stop
from napari_ifa.volumes.series_list import SeriesList, SkippedFiles
from napari_ifa.volumes.volume import Volume

OnePath = str | os.PathLike[str]

#: Choices or reasons named in one message.
_MOST_LISTED = 12


def list_series(
    path: OnePath | Iterable[OnePath],
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    found: Found | None = None,
) -> SeriesList:
    """What can be chosen in a folder (with all folders below it), or what a file belongs to.

    Only headers are read. Series that cannot be opened are listed too, with the reason in
    ``unsupported``. Each image of a NIfTI file is a series, and so is a PNG or JPEG picture, listed
    after the studies; a DICOM file stands for its series in its folder, a DICOMDIR for the files it
    names, and a zip archive for what is in it. An archive's files are unpacked into a private
    folder that lasts as long as its Series and Volumes do.

    Parameters
    ----------
    path : a file or folder, or several of them.
    progress : told (files done, files in all); an archive's files are counted twice, unpacked
        and looked into.
    stop : True ends the scan.
    found : told of the series found so far, while the scan goes on. Those of a DICOM series may
        grow until it ends.

    Returns
    -------
    SeriesList
        A list whose ``skipped`` says what was no image.

    Raises
    ------
    UnsupportedStudyError
        Where a path does not exist, may not be read, or nothing holds an image.
    Cancelled
        When ``stop`` says so.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    if not paths:
        raise UnsupportedStudyError("No file or folder was given.")
    existing = list(dict.fromkeys(_existing(one) for one in paths))
    skipped = SkippedFiles()
    places, archives = _places(existing, skipped, progress, stop)
    name = existing[0].name if len(existing) == 1 else f"{len(existing)} files and folders"
    series: list[Series] = []
    files: list[Path] = list(places.files)
    if places.files:
        scan = Scan(places.root, skipped)
        scan.run(files, progress, stop, places.only_shown(found))
        series += places.shown(scan.series())
    for packed in archives:
        before = list(series)
        unpacked, members = _unpacked(packed, skipped, progress, stop)
        scan = Scan(unpacked.folder, skipped, unpacked)
        scan.run(members, progress, stop, _with(before, found))
        series += scan.series()
        files += members
    if not series and places.fall_back is not None:
        return list_series(places.fall_back, progress=progress, stop=stop, found=found)
    if not series:
        raise UnsupportedStudyError(_nothing_found(name, files, archives, skipped))
    return SeriesList(sorted(series, key=place_in_list), skipped.entries())


def read_volume(
    path: OnePath | Series,
    series: Series | str | int | None = None,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Volume:
    """Open one image: dropped, chosen in the panel or named on the command line, all end here.

    Parameters
    ----------
    path : a NIfTI file, a PNG or JPEG picture, a DICOM file (its whole series in that folder), a
        DICOMDIR, a zip archive, a folder, or a Series.
    series : which one: a Series, its key, or its DICOM series number. Without it, the only one
        that can be opened as it is; pictures beside a DICOM or NIfTI study do not count, nor do
        alternative ways to see an image that is listed too. One that asks a question first is
        opened only by its key or as a Series.
    progress : told (done, in all) while headers are scanned, then again while slices are read.
    stop : True ends the work.

    Raises
    ------
    UnsupportedStudyError
        With one sentence: why it cannot be opened, or what there is to choose from.
    Cancelled
        When ``stop`` says so.
    """
    if isinstance(path, Series):
        chosen = path
    elif isinstance(series, Series):
        chosen = series
    else:
        chosen = _choose(list_series(path, progress=progress, stop=stop), series)
    if chosen.unsupported is not None:
        raise UnsupportedStudyError(chosen.unsupported)
    volume = _read(chosen, progress, stop)
    notes = [note for note in chosen.notes if note not in volume.report.notes]
    report = replace(volume.report, notes=(*volume.report.notes, *notes))
    return replace(volume, source=replace(volume.source, archive=chosen.archive), report=report)


def _read(chosen: Series, progress: Progress | None, stop: Stop | None) -> Volume:
    if chosen.kind == "nifti":
        from napari_ifa.volumes.nifti import read_nifti

        return read_nifti(chosen, chosen.volume_index, progress, stop)
    if chosen.kind == "image":
        from napari_ifa.volumes.picture import read_picture

        return read_picture(chosen.path)
    from napari_ifa.volumes.dicom import read_dicom

    return read_dicom(chosen, progress, stop)


# ------------------------------------------------------------------------------------ choosing


def _choose(found: Sequence[Series], wanted: str | int | None) -> Series:
    if wanted is None:
        # A study on a disc comes with its viewer's icons and a preview.
        return _only_one([s for s in found if s.kind != "image"], found)
    by_key = [s for s in found if s.key == str(wanted)]
    if by_key:
        return by_key[0]
    numbered = [s for s in found if s.number is not None and str(s.number) == str(wanted)]
    if not numbered:
        raise UnsupportedStudyError(
            f"No series {wanted} here; there are {len(found)}: {_listed(found)}."
        )
    plain = [s for s in numbered if not s.alternative and s.question is None] or numbered
    if len(plain) > 1:
        raise _choice(plain)
    return _asked_for(plain[0])


def _only_one(preferred: Sequence[Series], found: Sequence[Series]) -> Series:
    """The one that opens without being asked for, or the sentence that says why there is none."""
    able = [s for s in preferred if _opens(s)] or [s for s in found if _opens(s)]
    if len(able) == 1:
        return able[0]
    if able:
        raise _choice(able)
    asking = [s for s in found if s.unsupported is None]
    if any(not s.alternative for s in asking):
        if len(asking) == 1:
            return _asked_for(asking[0])
        raise _choice(asking)
    reasons = [str(s.unsupported) for s in found if not s.alternative]
    if len(reasons) == 1:
        raise UnsupportedStudyError(reasons[0])
    more = f" (and {len(reasons) - 1} more series that cannot be opened)."
    raise UnsupportedStudyError(reasons[0].rstrip(".") + more)


def _opens(series: Series) -> bool:
    return series.unsupported is None and series.question is None and not series.alternative


def _asked_for(series: Series) -> Series:
    if series.question is not None:
        raise UnsupportedStudyError(
            f"{series.question} If so, choose it with --series {series.key}."
        )
    return series


def _choice(series: Sequence[Series]) -> UnsupportedStudyError:
    return UnsupportedStudyError(
        f"{len(series)} series found; choose one with --series KEY: {_listed(series)}."
    )


def _listed(series: Sequence[Series]) -> str:
    texts = [f"{s.key} ({s.title})" for s in series[:_MOST_LISTED]]
    more = len(series) - len(texts)
    return "; ".join(texts) + (f"; and {more} more" if more else "")


# ------------------------------------------------------------------------------------- looking


@dataclass
class _Places:
    """Files to look into, and which of them a person pointed at.

    ``meant`` holds files whose series are asked for; those of the other files, which merely lie
    beside them, are left out. ``fall_back`` is a folder to look into where nothing is found.
    """

    root: Path
    files: dict[Path, None] = field(default_factory=dict)
    meant: set[Path] = field(default_factory=set)
    note: str = ""
    fall_back: Path | None = None

    def add(self, files: Iterable[Path], meant: bool = True) -> None:
        files = list(files)
        self.files.update(dict.fromkeys(files))
        if meant:
            self.meant.update(files)

    def shown(self, series: list[Series]) -> list[Series]:
        # A dropped duplicate has no series of its own: its twin has.
        return [self._noted(s) for s in self._mine(series) or series]

    def only_shown(self, found: Found | None) -> Found | None:
        if found is None:
            return None
        tell = found

        def show(series: list[Series]) -> None:
            if mine := self._mine(series):
                tell([self._noted(s) for s in mine])

        return show

    def _mine(self, series: list[Series]) -> list[Series]:
        return [s for s in series if not self.meant.isdisjoint(s.files)]

    def _noted(self, series: Series) -> Series:
        if not self.note or series.kind != "dicom":
            return series
        return replace(series, notes=(*series.notes, self.note))


def _places(
    paths: Sequence[Path], skipped: SkippedFiles, progress: Progress | None, stop: Stop | None
) -> tuple[_Places, list[Path]]:
    """Where to look, and the zip archives to unpack."""
    from napari_ifa.volumes.nifti import is_nibabel_file
    from napari_ifa.volumes.picture import is_picture

    folders = [path if path.is_dir() else path.parent for path in paths]
    places = _Places(_common_folder(folders))
    archives = []
    looked_beside = set()
    for path in paths:
        if path.is_dir():
            places.add(files_below(path, skipped, progress, stop))
        elif is_nibabel_file(path) or is_picture(path):
            places.add([path])
        elif archive_kind(start_of(path)) == "zip":
            archives.append(path)
        elif reason := _no_image(path):
            if not _add_dicomdir(path, places, skipped, stop):
                if len(paths) == 1:
                    raise UnsupportedStudyError(reason)
                skipped.add(NO_IMAGE, path.name)
        else:
            places.add([path])
            if path.parent not in looked_beside:
                looked_beside.add(path.parent)
                places.add(files_beside(path, SkippedFiles(), stop), meant=False)
    return places, archives


def _add_dicomdir(path: Path, places: _Places, skipped: SkippedFiles, stop: Stop | None) -> bool:
    """Whether it is one; its files are added."""
    from napari_ifa.volumes.dicomdir import MISSING, is_dicomdir, referenced_files

    if not is_dicomdir(path):
        return False
    before = skipped.count(MISSING)
    places.add(referenced_files(path, skipped, stop))
    places.fall_back = path.parent
    missing = skipped.count(MISSING) - before
    if missing:
        places.note = (
            f"The DICOMDIR names {missing} file{'' if missing == 1 else 's'} that"
            f" {'is' if missing == 1 else 'are'} not there; the series may be incomplete."
        )
    return True


def _unpacked(
    path: Path, skipped: SkippedFiles, progress: Progress | None, stop: Stop | None
) -> tuple[Any, list[Path]]:
    from napari_ifa.volumes.archive import unpack

    unpacked = unpack(path, skipped, progress, stop)
    return unpacked, files_below(unpacked.folder, skipped, None, stop)


def _with(before: list[Series], found: Found | None) -> Found | None:
    if found is None:
        return None
    tell = found
    return lambda series: tell(sorted([*before, *series], key=place_in_list))


def _common_folder(folders: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:
        # Several drives; places then count from the first.
        return folders[0]


def _existing(path: OnePath) -> Path:
    path = Path(path).absolute()
    try:
        exists = path.exists()
    except PermissionError as error:
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.") from error
    except (OSError, ValueError):
        exists = False
    if not exists:
        raise UnsupportedStudyError(f"{path.name}: there is no such file or folder.")
    if not os.access(path, os.R_OK):
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.")
    if not path.is_dir() and not path.is_file():
        raise UnsupportedStudyError(f"{path.name}: neither a file nor a folder.")
    return path


# ----------------------------------------------------------------------------- why there is none


def _nothing_found(
    name: str, files: Sequence[Path], archives: Sequence[Path], skipped: SkippedFiles
) -> str:
    from napari_ifa.volumes.dicom.header import NotAnImage

    entries = skipped.entries()
    total = len(files) or sum(entry.count for entry in entries)
    if not total:
        return f"{name}: the {'archive' if archives else 'folder'} is empty."
    details = [f"{total} files"]
    if objects := skipped.count(NotAnImage.OTHER_OBJECT.value):
        details.append(f"{objects} DICOM objects without an image")
    if unreadable := skipped.count(NotAnImage.UNREADABLE.value):
        details.append(f"{unreadable} that cannot be read")
    return f"{name}: no DICOM, NIfTI, PNG or JPEG image among {', '.join(details)}."


def _no_image(path: Path) -> str:
    """Why a file is no DICOM image, in a sentence; empty where it is one."""
    from napari_ifa.volumes.dicom.header import NotAnImage, read_frames
    from napari_ifa.volumes.picture import is_picture_name

    row = read_frames(path)
    if row is NotAnImage.OTHER_OBJECT:
        return (
            f"{path.name}: a DICOM object without an image; open the folder of the images instead."
        )
    if row is NotAnImage.UNREADABLE:
        return f"{path.name}: cannot be read as DICOM; it may be damaged."
    if row is NotAnImage.OTHER_FILE:
        if kind := archive_kind(start_of(path)):
            return f"{path.name}: {kind} archives are not opened, only zip; unpack it first."
        if is_picture_name(path):
            return f"{path.name}: not a PNG or JPEG picture, in spite of its name."
        return f"{path.name}: neither a DICOM, NIfTI, PNG nor JPEG file."
    return ""
