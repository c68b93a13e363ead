"""All files of a folder and of the folders below it that may be images."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.reading.series_list import SkippedFiles

UNREADABLE_FOLDER = "folder that may not be read"
LINKED_FOLDER = "link to another folder, not followed"
SPECIAL_FILE = "neither a file nor a folder"

#: What systems and archive tools leave beside the files of a person.
_LEFT_BY_TOOLS = {"thumbs.db", "desktop.ini", ".ds_store"}
_FOLDERS_OF_TOOLS = {"__macosx", "@eadir", "$recycle.bin", "system volume information"}
#: Entries between two questions whether to stop, and two words about progress.
OFTEN = 1000


def files_below(
    root: Path,
    skipped: SkippedFiles,
    progress: Progress | None = None,
    stop: Stop | None = None,
    is_deep: bool = True,
) -> list[Path]:
    """Files by folder, each in the order of names: the same at every scan.

    Links to files are followed, links to folders are not: they may lead round in a circle, or to
    the whole of a disk. Hidden folders and what tools leave are passed over without a word, and
    without ``is_deep`` all folders.
    """
    files: list[Path] = []
    # A list of folders, because a tree may be deeper than functions may call each other.
    waiting = [os.fspath(root)]
    seen = 0
    while waiting:
        folder = waiting.pop()
        here: list[str] = []
        below: list[str] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen % OFTEN == 1:
                        _pause(seen, progress, stop)
                    _sort(entry, here, below, skipped)
        except OSError:
            skipped.add(UNREADABLE_FOLDER)
        if here:
            path = Path(folder)
            files += [path / name for name in sorted(here)]
        if is_deep:
            waiting += [os.path.join(folder, name) for name in sorted(below, reverse=True)]
    return files


def files_beside(path: Path, skipped: SkippedFiles, stop: Stop | None = None) -> list[Path]:
    """Files of the folder that ``path`` lies in, itself among them."""
    return sorted({path, *files_below(path.parent, skipped, stop=stop, is_deep=False)})


def _sort(
    entry: os.DirEntry[str], files: list[str], folders: list[str], skipped: SkippedFiles
) -> None:
    name = entry.name
    try:
        if entry.is_dir(follow_symlinks=False):
            if not name.startswith(".") and name.lower() not in _FOLDERS_OF_TOOLS:
                folders.append(name)
        elif name.startswith("._") or name.lower() in _LEFT_BY_TOOLS:
            return
        elif entry.is_file():
            files.append(name)
        elif entry.is_dir():
            skipped.add(LINKED_FOLDER)
        else:
            # Pipes and sockets would block for ever; a broken link leads nowhere.
            skipped.add(SPECIAL_FILE, name)
    except OSError:
        skipped.add(SPECIAL_FILE, name)


def _pause(seen: int, progress: Progress | None, stop: Stop | None) -> None:
    check_stop(stop)
    if progress is not None and seen > 1:
        progress(0, seen)
