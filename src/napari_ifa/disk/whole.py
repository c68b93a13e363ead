"""A file, or the files of a folder, that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_ifa.disk.exchange import NEW, exchange
from napari_ifa.disk.existing import Kind, check_entry, check_file
from napari_ifa.disk.flushing import flush_file, flush_folder, flush_tree
from napari_ifa.disk.reasons import check_room, reasons_told
from napari_ifa.disk.work import WorkFolder, is_in_work

#: Writers choose the format by these; the rest of a name may be a patient's.
_SUFFIXES = (".nii.gz", ".nii", ".dcm", ".png", ".svg", ".nc", ".npz", ".json", ".csv", ".md")


@contextmanager
def whole_file(
    target: Path, kind: Kind | None, *, overwrite: bool = False, needed: int | None = None
) -> Iterator[Path]:
    """A path to write to; it becomes ``target`` when the block ends without an exception.

    It has the target's suffix, since writers choose the format by it. What is written is on the
    disk before the target changes. Missing folders are made, and removed where it fails. Where the
    target is a link, the file that it leads to is written.

    Parameters
    ----------
    kind : of file; an existing one of another kind is never replaced. None for the product's own
        parts.
    overwrite : replace an existing file of this kind.
    needed : bytes that will be written, where that is known; without room for them nothing is.

    Raises
    ------
    ExistingOutputError, IfaError
        Where something is there that must stay.
    OSError
        Where the place cannot be written; ``strerror`` tells why, and how much room there is.
    """
    place = Path(os.path.realpath(target))
    if kind is not None:
        check_file(target, kind, overwrite)
    if is_in_work(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        # Whoever moves the whole flushes it.
        with reasons_told(place.parent, needed):
            if needed is not None:
                check_room(place.parent, needed)
            yield place
        return
    with (
        reasons_told(place.parent, needed),
        _made(place.parent),
        WorkFolder.near(place.parent) as w,
    ):
        if needed is not None:
            check_room(w, needed)
        suffixes = (suffix for suffix in _SUFFIXES if place.name.lower().endswith(suffix))
        part = w / f"part{next(suffixes, '')}"
        yield part
        flush_file(part)
        _take_group(part, place.parent)
        if kind is not None:
            check_file(target, kind, overwrite)
        _move(part, place)
        flush_folder(place.parent)


@contextmanager
def whole_folder(
    folder: Path, *, overwrite: bool = False, obsolete: Iterable[str] = ()
) -> Iterator[Path]:
    """A folder to write to; its entries come into ``folder`` when the block ends, all or none.

    Other files in ``folder`` are left alone. What is written is on the disk before anything
    changes. Missing folders are made, and removed where it fails. Files and folders that are
    written below a folder of this kind become part of it.

    Parameters
    ----------
    overwrite : replace entries of the same names.
    obsolete : names in ``folder`` of an older result, which go.

    Raises
    ------
    ExistingOutputError, IfaError, OSError
        As `whole_file`.
    """
    place = Path(os.path.realpath(folder))
    if is_in_work(place):
        place.mkdir(parents=True, exist_ok=True)
        with reasons_told(place):
            yield place
        return
    goes = set(obsolete)
    with reasons_told(place), _made(place.parent), WorkFolder.near(place) as work:
        new = work / NEW
        new.mkdir()
        yield new
        names = os.listdir(new)
        _take_group(new, place if place.is_dir() else place.parent)
        for name in set(names) - goes:
            if os.path.lexists(place / name):
                check_entry(place / name, new / name, overwrite)
                goes.add(name)
        _bring(work, place, goes)


def _bring(work: Path, place: Path, goes: Iterable[str]) -> None:
    """The new entries into their place, by a copy where the system cannot move them there."""
    try:
        if place.is_dir():
            exchange(work, place, goes)
        else:
            flush_tree(work / NEW)
            os.replace(work / NEW, place)
            flush_folder(place.parent)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with WorkFolder(place if place.is_dir() else place.parent) as nearer:
            shutil.copytree(work / NEW, nearer / NEW)
            place.mkdir(exist_ok=True)
            exchange(nearer, place, goes)


def _move(part: Path, place: Path) -> None:
    try:
        os.replace(part, place)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # One file system in two parts, between which nothing can be moved.
        with WorkFolder(place.parent) as nearer:
            copied = nearer / part.name
            shutil.copyfile(part, copied)
            flush_file(copied)
            os.replace(copied, place)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder and those above it; where the block fails they are gone again."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for place in missing:
            with suppress(OSError):
                place.rmdir()
        raise


def _take_group(written: Path, folder: Path) -> None:
    """What is new in a folder of a group belongs to the group, as if it had been made there."""
    if os.name == "nt":
        return
    of_folder = folder.stat()
    if not of_folder.st_mode & stat.S_ISGID:
        return
    for path in (written, *(written.rglob("*") if written.is_dir() else ())):
        with suppress(OSError):
            os.chown(path, -1, of_folder.st_gid)
            if path.is_dir():
                path.chmod(path.stat().st_mode | stat.S_ISGID)
