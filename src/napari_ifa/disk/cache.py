"""The product's own folder, which only this user can look into."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

#: Names another place for the folder, such as a scratch disk.
VARIABLE = "NAPARI_IFA_CACHE_DIR"
_NAME = "napari-ifa"


def cache_folder() -> Path:
    """The folder, made where there is none, of mode 0700.

    It lies in the user's cache (``~/.cache`` on Linux, ``~/Library/Caches`` on macOS,
    ``%LOCALAPPDATA%`` on Windows), or in the folder that the environment variable
    ``NAPARI_IFA_CACHE_DIR`` names. Where neither can be written it lies in the system's folder for
    temporary files.

    Raises
    ------
    OSError
        Where none of them can be written; ``strerror`` is a sentence.
    """
    try:
        return private_folder(_wanted())
    # Of a user that the system does not know pathlib raises a RuntimeError.
    except (OSError, RuntimeError):
        user = os.getuid() if hasattr(os, "getuid") else "user"
        try:
            return private_folder(Path(tempfile.gettempdir()) / f"{_NAME}-cache-{user}")
        except OSError as error:
            raise OSError(
                error.errno or errno.EACCES,
                "Neither the cache folder nor the folder for temporary files can be written; let"
                f" the environment variable {VARIABLE} name a folder of your own",
            ) from error


def _wanted() -> Path:
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser().absolute() / _NAME
    place = user_cache_path(_NAME, False)
    if not place.is_absolute():
        # Without a home the "~" stays as it is, and would be a folder of that name here.
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return place


def work_place() -> Path:
    """The part of the cache folder in which results are made."""
    return private_folder(cache_folder() / "work")


def private_folder(folder: Path) -> Path:
    """A folder of this user that no one else can look into, made where there is none.

    Raises
    ------
    PermissionError
        Where it belongs to someone else, or is a link.
    OSError
        Where it cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    is_ours = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    if not (stat.S_ISDIR(found.st_mode) and is_ours):
        raise PermissionError(f"{folder.name} is not this user's own folder")
    if os.name != "nt" and found.st_mode & 0o077:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{folder.name} cannot be written")
    return folder
