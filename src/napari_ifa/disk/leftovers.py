"""What ended processes left behind, found and removed at the next run.

Every piece of work in progress is registered in the cache folder before it is made: where it lies,
and a token that it carries inside. The process holds a lock as long as it lives, so that what it
registered is left over exactly when its lock is free. Nothing is removed that is not registered
and recognisably ours: a folder, no link, of our name and with that token.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import stat
import time
import uuid
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from napari_ifa.disk.cache import cache_folder, work_place
from napari_ifa.disk.claim import Claim
from napari_ifa.disk.exchange import undo_exchange
from napari_ifa.disk.flushing import flush_file

#: Of the folder in which something is made; the dot hides it where it does not lie in the cache.
NAME = re.compile(r"\.?napari-ifa-[0-9a-f]{32}")
#: Within it: the token that the register knows it by.
MARK = ".napari-ifa-work"
_ENTRY = re.compile(r"([0-9a-f]{32})-([0-9a-f]{32})\.json")
_OWNER = re.compile(r"([0-9a-f]{32})\.lock")
_WEEK = 7 * 24 * 3600


def register(folder: Path, token: str) -> Path:
    """Note a folder that is about to be made; the note's file, to be removed after the folder.

    Raises
    ------
    OSError
        Where the cache folder cannot be written.
    """
    owner = _owner(os.getpid(), work_place())
    entry = work_place() / f"{owner}-{token}.json"
    entry.write_text(json.dumps({"folder": str(folder.absolute()), "token": token}), "utf-8")
    flush_file(entry)
    return entry


def clear_leftovers() -> int:
    """Remove what ended processes left behind, and put back what they had begun to replace.

    Returns
    -------
    int
        Pieces of work that were removed.
    """
    try:
        place = work_place()
        names = os.listdir(place)
    except OSError:
        return 0
    removed = 0
    # A power cut may have taken the lock, but not what it was for.
    found = (_OWNER.fullmatch(name) or _ENTRY.fullmatch(name) for name in names)
    for owner in sorted({match[1] for match in found if match}):
        claim = Claim(place / f"{owner}.lock")
        try:
            if not claim.take():
                continue
        except OSError:
            continue
        for name in _entries(place, owner):
            with suppress(OSError):
                removed += _clear(place / name)
        _remove_lock(claim, place, owner)
    _clear_old_claims()
    return removed


def remove_work(folder: Path) -> None:
    """Remove a folder in which something was made, once what it had begun to replace is put back.

    Its mark goes last, so that it stays recognisable.

    Raises
    ------
    OSError
        Where something of it cannot be put back or removed.
    """
    undo_exchange(folder)
    for entry in list(os.scandir(folder)):
        if entry.name == MARK:
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    (folder / MARK).unlink(missing_ok=True)
    folder.rmdir()


def _entries(place: Path, owner: str) -> list[str]:
    found = filter(None, map(_ENTRY.fullmatch, os.listdir(place)))
    return [match[0] for match in found if match[1] == owner]


def _remove_lock(claim: Claim, place: Path, owner: str) -> None:
    """Release a lock, and remove its file unless something that it is for is still there."""
    is_done = not _entries(place, owner)
    if is_done:
        with suppress(OSError):
            (place / f"{owner}.lock").unlink(missing_ok=True)
    claim.release()
    if is_done and os.name == "nt":
        # There a file cannot be removed while it is open.
        with suppress(OSError):
            (place / f"{owner}.lock").unlink(missing_ok=True)


def _clear(entry: Path) -> bool:
    """Remove what an entry speaks of, and then the entry; True where there was something."""
    folder, token = _read(entry)
    found = _is_ours(folder, token) if folder is not None else False
    if folder is not None and found:
        remove_work(folder)
    elif folder is not None and not folder.parent.is_dir():
        # The disk may not be there today.
        return False
    elif folder is not None and NAME.fullmatch(folder.name):
        with suppress(OSError):
            # Ended before it was marked, or after; a folder that holds anything stays.
            folder.rmdir()
    entry.unlink(missing_ok=True)
    return found


def _read(entry: Path) -> tuple[Path | None, str]:
    """The folder and the token; no folder where the entry is damaged."""
    try:
        content = json.loads(entry.read_text(encoding="utf-8"))
        folder, token = content["folder"], content["token"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None, ""
    if not isinstance(folder, str) or not isinstance(token, str) or "\0" in folder:
        return None, ""
    path = Path(folder)
    named = _ENTRY.fullmatch(entry.name)
    good = path.is_absolute() and named is not None and named[2] == token
    return (path if good else None), token


def _is_ours(folder: Path, token: str) -> bool:
    """A folder, no link, of our name, this user's, that carries the token."""
    if not NAME.fullmatch(folder.name) or not folder.name.endswith(token):
        return False
    try:
        found, mark = folder.lstat(), (folder / MARK).lstat()
        if not (stat.S_ISDIR(found.st_mode) and stat.S_ISREG(mark.st_mode)):
            return False
        if hasattr(os, "getuid") and found.st_uid != os.getuid():
            return False
        return mark.st_size < 100 and (folder / MARK).read_text(encoding="utf-8") == token
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=8)
def _owner(process: int, place: Path) -> str:
    """This process's name in the register; its lock is held as long as the process lives."""
    while True:
        name = uuid.uuid4().hex
        file = place / f"{name}.lock"
        claim = Claim(file)
        # Another run that clears may have looked at the file before it was locked.
        if claim.take():
            if file.exists():
                break
            claim.release()
    atexit.register(_leave, claim, file, process)
    return name


def _leave(claim: Claim, file: Path, process: int) -> None:
    if os.getpid() != process:
        return
    with suppress(OSError):
        _remove_lock(claim, file.parent, file.stem)


def _clear_old_claims() -> None:
    """Lock files of places that no run has worked on for a week."""
    with suppress(OSError):
        for file in (cache_folder() / "runs").glob("*.lock"):
            if time.time() - file.stat().st_mtime > _WEEK:
                claim = Claim(file)
                if claim.take():
                    file.unlink(missing_ok=True)
                    claim.release()
