"""Whether a NetCDF-4 file is whole, found out before a library begins to read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Deflate makes at most 1032 bytes of one; a file that claims more holds values nobody wrote.
_MOST_FROM_ONE = 1032
_MARGIN = 2**24


def check_whole(file: Path) -> None:
    """Walk through a file: every object, every attribute, and the bytes that it claims to hold.

    h5netcdf reads an attribute before it is ready to be closed, so that a damaged file would leave
    a traceback of its destructor on standard error, whatever is caught
    (``AttributeError: 'File' object has no attribute '_writable'``, h5netcdf 1.8).

    Raises
    ------
    ValueError
        Where it claims more values than it can hold.
    Exception
        Whatever HDF5 says of a damaged place.
    """
    import h5py

    claimed = 0

    def visit(_: str, entry: Any) -> None:
        nonlocal claimed
        dict(entry.attrs)
        if isinstance(entry, h5py.Dataset):
            claimed += entry.nbytes

    with h5py.File(file, "r") as content:
        dict(content.attrs)
        content.visititems(visit)
    most = _MOST_FROM_ONE * file.stat().st_size + _MARGIN
    if claimed > most:
        raise ValueError(f"{claimed} bytes claimed, at most {most} possible")
