"""The one way in: what files, folders and archives hold, and the Volume of what was chosen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.memory import memory_said
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.choice import choose
from napari_ifa.reading.folder import files_below
from napari_ifa.reading.places import OnePath, existing_path, places_of
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.reading.scan import Scan, place_in_list
from napari_ifa.reading.series import Found, Series
from napari_ifa.reading.series_list import SeriesList, SkippedFiles
from napari_ifa.volumes.volume import Volume
from napari_ifa.wording import counted

_SMALLER = "close other images and programs, or use a computer with more memory"


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
    progress : is given (files done, files in all); an archive's files are counted twice, unpacked
        and looked into.
    stop : True ends the scan.
    found : is given the series found so far, while the scan goes on. Those of a DICOM series may
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
        raise UnsupportedStudyError(StudyProblem.NOTHING_GIVEN)
    existing = list(dict.fromkeys(existing_path(one) for one in paths))
    skipped = SkippedFiles()
    places, archives = places_of(existing, skipped, progress, stop)
    series: list[Series] = []
    files = [file for file in places.files if file not in places.beside]
    if files:
        scan = Scan(places.root, skipped, beside=places.beside, parsed=places.parsed)
        scan.run(list(places.files), progress, stop, found and partial(places.show, found))
        series += places.shown(scan.series())
    for packed in archives:
        from napari_ifa.reading.archive import unpack

        unpacked = unpack(packed, skipped, progress, stop)
        members = files_below(unpacked.folder, skipped, None, stop)
        scan = Scan(unpacked.folder, skipped, unpacked)
        scan.run(members, progress, stop, found and partial(_found_with, found, series[:]))
        series += scan.series()
        files += members
    if not series and places.fall_back is not None:
        return list_series(places.fall_back, progress=progress, stop=stop, found=found)
    if not series:
        raise _nothing_found(existing, files, archives, skipped)
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
    progress : is given (done, in all) while headers are scanned, then again while slices are read.
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
        chosen = choose(list_series(path, progress=progress, stop=stop), series)
    if chosen.unsupported is not None:
        raise chosen.refusal
    with memory_said(UnsupportedStudyError, "open this image", _SMALLER):
        volume = _read(chosen, progress, stop)
    notes = [note for note in chosen.notes if note not in volume.report.notes]
    report = replace(volume.report, notes=(*volume.report.notes, *notes))
    return replace(volume, source=replace(volume.source, archive=chosen.archive), report=report)


def _read(chosen: Series, progress: Progress | None, stop: Stop | None) -> Volume:
    if chosen.kind == "nifti":
        from napari_ifa.reading.nifti import read_nifti

        return read_nifti(chosen, progress, stop)
    if chosen.kind == "image":
        from napari_ifa.reading.picture import read_picture

        return read_picture(chosen.path)
    from napari_ifa.reading.dicom import read_dicom

    return read_dicom(chosen, progress, stop)


def _found_with(found: Found, before: list[Series], series: list[Series]) -> None:
    found(sorted([*before, *series], key=place_in_list))


def _nothing_found(
    paths: Sequence[Path], files: Sequence[Path], archives: Sequence[Path], skipped: SkippedFiles
) -> UnsupportedStudyError:
    from napari_ifa.reading.dicom.header.frame_table import NotAnImage

    # A folder may be called by the patient, so it is not named.
    named = f"{paths[0].name}: " if len(paths) == 1 and paths[0].is_file() else ""
    entries = skipped.entries()
    total = len(files) or sum(entry.count for entry in entries)
    if not total:
        kind = StudyProblem.EMPTY_ARCHIVE if archives else StudyProblem.EMPTY
        return UnsupportedStudyError(kind, begun=named)
    details = [counted(total, "file")]
    if objects := skipped.count(NotAnImage.OTHER_OBJECT.value):
        details.append(f"{counted(objects, 'DICOM object')} without an image")
    if unreadable := skipped.count(NotAnImage.UNREADABLE.value):
        details.append(f"{unreadable} that cannot be read")
    begun = f"{named}no" if named else "No"
    return UnsupportedStudyError(
        StudyProblem.NO_IMAGE,
        files=total,
        without_image=objects,
        unreadable=unreadable,
        begun=begun,
        details=", ".join(details),
    )
