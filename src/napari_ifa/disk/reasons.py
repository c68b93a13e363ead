"""Why something could not be written, in words, and whether there is room for it before it is."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_ifa.memory import in_gib

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
#: A file system that cannot set room aside says so in one of these ways.
_CANNOT_SET_ASIDE = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV, errno.ESPIPE}
#: How HDF5 tells the system's error, in the middle of a text with the file's whole path.
_HDF5_NUMBER = re.compile(r"errno = (\d+)")


def reason_of(error: OSError) -> str:
    """Why a file could not be written, as ``" (No space left on device)"``; empty if unknown.

    A library's own error may come before the system's, and may quote what was written.
    """
    found = _system_error(error)
    return f" ({found.strerror})" if found is not None else ""


@contextmanager
def reasons_told(folder: Path, needed: int | None = None) -> Iterator[None]:
    """Whatever fails in the block is an OSError whose ``strerror`` is the whole reason.

    Of a disk without room it tells how much is free in ``folder``, and what is needed where that
    is known, in bytes.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        found = _system_error(error)
        if found is None or found.errno is None:
            raise
        raise OSError(found.errno, f"{found.strerror}{_room(found.errno, folder, needed)}") from (
            error
        )


def check_room(folder: Path, needed: int) -> None:
    """Set so many bytes aside on a folder's disk for a moment, as a quota allows them.

    HDF5 needs that: where a disk fills up while it writes it may end the whole process
    (a segmentation fault in ``H5Ldelete``, HDF5 1.14 and h5py 3.16).

    Raises
    ------
    OSError
        Where there is no room.
    """
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if not hasattr(os, "posix_fallocate"):
        return
    with tempfile.TemporaryFile(dir=folder) as stream:
        try:
            os.posix_fallocate(stream.fileno(), 0, max(1, needed))
        except OSError as error:
            if error.errno not in _CANNOT_SET_ASIDE:
                raise


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's own error behind a library's; None where there is none."""
    while error is not None:
        if isinstance(error, OSError) and error.errno and error.strerror:
            return error
        if isinstance(error, OSError | RuntimeError) and (
            number := _HDF5_NUMBER.search(str(error))
        ):
            return OSError(int(number[1]), os.strerror(int(number[1])))
        error = error.__cause__ or error.__context__
    return None


def _room(number: int, folder: Path, needed: int | None) -> str:
    if number not in _NO_ROOM:
        return ""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError:
        return ""
    wanted = f"{in_gib(needed)} needed, " if needed is not None else ""
    return f": {wanted}{in_gib(free)} free"
