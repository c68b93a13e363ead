"""Whether there is room for what will be written, found out before it is."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path

#: A file system that cannot set room aside says so in one of these ways.
_CANNOT = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV, errno.ESPIPE}


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
            if error.errno not in _CANNOT:
                raise
