"""Written data brought to the disk, so that a power cut finds the old result or the new one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

#: A file system that cannot flush says so in one of these ways; there is nothing to wait for.
_CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EROFS}


def flush_file(file: Path) -> None:
    """Return once a file's content is on the disk.

    Raises
    ------
    OSError
        Where it cannot be, as on a full disk of a file server, which may tell it only now.
    """
    with file.open("rb+") as stream:
        _flush(stream.fileno())


def flush_folder(folder: Path) -> None:
    """Return once a folder's entries are on the disk. Windows does that by itself."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)


def flush_tree(folder: Path) -> None:
    """Return once all files below a folder are on the disk, and their names."""
    for place, _, names in os.walk(folder):
        for name in names:
            flush_file(Path(place, name))
        flush_folder(Path(place))


def _flush(descriptor: int) -> None:
    try:
        if not _flushed_through(descriptor):
            os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise


def _flushed_through(descriptor: int) -> bool:
    """macOS's fsync ends at the drive's own memory; this goes on to the disk (fsync(2) there)."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)  # type: ignore[attr-defined]
    except (ImportError, AttributeError, OSError):
        return False
    return True
