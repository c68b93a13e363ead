"""A private folder in which something is made or kept for a while."""

from __future__ import annotations

import os
import tempfile
import uuid
import weakref
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from napari_ifa.disk.cache import work_place
from napari_ifa.disk.leftovers import MARK, NAME, clear_leftovers, register, remove_work


class WorkFolder:
    """A folder that only this user can look into, removed with the last reference to this.

    What a process that is killed leaves of it is removed by the next run.

    Parameters
    ----------
    place : in which it is made.

    Attributes
    ----------
    path : the folder. Its name says nothing of what is in it.

    Raises
    ------
    OSError
        Where it cannot be made.
    """

    def __init__(self, place: Path) -> None:
        _clear_once(os.getpid())
        token = uuid.uuid4().hex
        # In the cache and the folder for temporary files nothing has to be hidden.
        hidden = "" if place in (work_place(), Path(tempfile.gettempdir())) else "."
        self.path = place.absolute() / f"{hidden}napari-ifa-{token}"
        entry = register(self.path, token)
        self._end = weakref.finalize(self, _remove, self.path, entry, os.getpid())
        try:
            self.path.mkdir(mode=0o700)
            (self.path / MARK).write_text(token, encoding="utf-8")
        except BaseException:
            self._end()
            raise

    @classmethod
    def temporary(cls) -> WorkFolder:
        """A folder among the system's temporary files."""
        return cls(Path(tempfile.gettempdir()))

    @classmethod
    def near(cls, folder: Path) -> WorkFolder:
        """A folder from which a result can be moved into ``folder`` in one step, but not in it.

        It lies in the cache folder where that is on the same disk, and otherwise beside
        ``folder``: what a killed process leaves must not be sent on with the results.
        """
        for place in _places(existing_folder(folder)):
            with suppress(PermissionError):
                return cls(place)
        return cls(existing_folder(folder))

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove it now."""
        self._end()


def is_in_work(path: Path) -> bool:
    """Whether a path lies in a folder that is a work in progress itself."""
    return any(NAME.fullmatch(parent.name) and (parent / MARK).is_file() for parent in path.parents)


def existing_folder(folder: Path) -> Path:
    """The folder, or the innermost one above it that there is already."""
    whole = Path(os.path.realpath(folder))
    return next(place for place in (whole, *whole.parents) if place.is_dir())


def _places(folder: Path) -> list[Path]:
    """Where work for a folder may lie, the best first."""
    places = []
    with suppress(OSError):
        if same_disk(work_place(), folder) and _same_rights(folder):
            places.append(work_place())
    if folder.parent != folder and same_disk(folder.parent, folder):
        places.append(folder.parent)
    return places


def _same_rights(folder: Path) -> bool:
    """Whether a file that is moved here from the cache is as readable for others as a new one.

    On Windows a moved file keeps the rights of the folder in which it was made.
    """
    return os.name != "nt" or folder.is_relative_to(Path.home())


def same_disk(one: Path, other: Path) -> bool:
    """Whether a file can be moved from one to the other in one step, as far as is known before."""
    return one.stat().st_dev == other.stat().st_dev


@lru_cache(maxsize=4)
def _clear_once(process: int) -> None:
    """Before a process makes its first work, what others left is removed."""
    clear_leftovers()


def _remove(folder: Path, entry: Path, owner: int) -> None:
    # A forked process has a copy of the reference, not of the files.
    if os.getpid() != owner:
        return
    try:
        remove_work(folder)
    except FileNotFoundError:
        pass
    except OSError:
        # As of a file that is still open on Windows: the next run removes it.
        return
    with suppress(OSError):
        entry.unlink(missing_ok=True)
