"""Several files moved into a folder, all or none, however the process ends.

A file is exchanged by the system in one step, several are not. So it is written down beforehand
what goes and what comes; the next run finds that and puts the old files back, or sees that all new
ones are in place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from napari_ifa.disk.flushing import flush_file, flush_folder, flush_tree

#: Within the folder of the work: what is new, what was there before, and the list of both.
NEW, BEFORE, LIST = "new", "before", "exchange.json"


def exchange(work: Path, folder: Path, goes: Iterable[str]) -> None:
    """Move all entries of ``work/new`` into ``folder``; where one cannot be, all is put back.

    Parameters
    ----------
    work : on the same file system as the folder.
    goes : names in the folder that are removed, or give way to new ones.

    Raises
    ------
    OSError
        Where something cannot be moved; the folder is as it was.
    """
    flush_tree(work / NEW)
    names = sorted(os.listdir(work / NEW))
    (work / BEFORE).mkdir()
    content = {
        "folder": str(folder.absolute()),
        "new": {name: _identity(work / NEW / name) for name in names},
        "goes": sorted(set(goes)),
    }
    (work / LIST).write_text(json.dumps(content), "utf-8")
    flush_file(work / LIST)
    flush_folder(work)
    try:
        for name in content["goes"]:
            if os.path.lexists(folder / name):
                os.replace(folder / name, work / BEFORE / name)
        for name in names:
            os.replace(work / NEW / name, folder / name)
    except BaseException:
        undo_exchange(work)
        raise
    flush_folder(folder)


def undo_exchange(work: Path) -> None:
    """Put back what an exchange had moved, unless all that is new is in its place.

    Only files that are known to be the new ones are taken out of the folder again, and nothing
    that has come there since is replaced.
    """
    try:
        content = json.loads((work / LIST).read_text(encoding="utf-8"))
        folder, new, goes = Path(content["folder"]), dict(content["new"]), list(content["goes"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        # It had not begun.
        return
    names = [name for name in (*new, *goes) if not _is_name(name)]
    waiting = [name for name in new if os.path.lexists(work / NEW / str(name))]
    if names or not waiting or not folder.is_dir():
        return
    for name, identity in new.items():
        if name not in waiting and _identity(folder / name) == identity:
            os.replace(folder / name, work / NEW / name)
    for name in goes:
        if os.path.lexists(work / BEFORE / name) and not os.path.lexists(folder / name):
            os.replace(work / BEFORE / name, folder / name)
    with suppress(OSError):
        flush_folder(folder)


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name not in ("", ".", "..") and Path(name).name == name


def _identity(file: Path) -> list[int]:
    """What a file keeps where it is moved; empty where it is not there."""
    try:
        found = file.lstat()
    except OSError:
        return []
    return [found.st_ino, found.st_size, found.st_mtime_ns]
