"""Whether a NetCDF-4 file is whole and all of it its own, found out before a library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

#: Deflate makes at most 1032 bytes of one; a file that claims more holds values nobody wrote.
_MOST_FROM_ONE = 1032
_MARGIN = 2**24
#: Measured numbers hardly pack: what is large and packs better is made to fill the memory.
_LARGE, _MOST_FROM_ONE_LARGE = 2**29, 100
#: Variables and groups; an analysis has about forty.
_MOST_OBJECTS = 500
#: Bytes of texts that are read at a time: many may be said to lie at one place of the file.
_TEXT_BLOCK = 2**26


def check_whole(file: Path) -> None:
    """Walk through a file: every object, every attribute, and the bytes that it claims to hold.

    h5netcdf reads an attribute before it is ready to be closed, so that a damaged file would leave
    a traceback of its destructor on standard error, whatever is caught
    (``AttributeError: 'File' object has no attribute '_writable'``, h5netcdf 1.8). It also follows
    links, to other files too.

    Raises
    ------
    ValueError
        Where it claims more than it can hold, or refers to other files or to itself.
    Exception
        Whatever HDF5 says of a damaged place.
    """
    import h5py

    size = file.stat().st_size
    claimed = objects = 0
    with h5py.File(file, "r") as content:
        waiting = [content]
        while waiting:
            group = waiting.pop()
            _check_attributes(group, size)
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise ValueError("a link in place of a variable")
                entry = group[name]
                # A group that holds one above it has no end of them.
                objects += 1
                if objects > _MOST_OBJECTS:
                    raise ValueError("more variables than an analysis has")
                if isinstance(entry, h5py.Group):
                    waiting.append(entry)
                    continue
                _check_attributes(entry, size)
                if isinstance(entry, h5py.Dataset):
                    claimed += _claimed(entry, size)
    most = _MOST_FROM_ONE * size + _MARGIN
    if claimed > _LARGE:
        most = min(most, _MOST_FROM_ONE_LARGE * size)
    if claimed > most:
        raise ValueError(f"{claimed} bytes claimed, at most {most} possible")


def _claimed(variable: Any, size: int) -> int:
    """Bytes of a variable, without its values being read; those of texts are read and counted."""
    import h5py

    if variable.is_virtual or variable.external:
        raise ValueError("values that lie in another file")
    nbytes = int(variable.nbytes)
    kind = h5py.check_string_dtype(variable.dtype)
    if variable.shape is None or (kind is None and not variable.dtype.hasobject):
        return nbytes
    if kind is None:
        raise ValueError("neither numbers nor texts")
    if kind.length is not None:
        return nbytes
    if variable.ndim != 1:
        if variable.size * size > _TEXT_BLOCK:
            raise ValueError("more texts than a table has")
        return nbytes + sum(map(len, np.ravel(variable[()])))
    # No text is longer than the file, and together they are no longer either.
    block, found = max(1, _TEXT_BLOCK // size), 0
    for start in range(0, len(variable), block):
        found += sum(map(len, variable[start : start + block]))
        if found > size:
            raise ValueError("texts that are longer than the file")
    return nbytes + found


def _check_attributes(owner: Any, size: int) -> None:
    """Read them all; a list of texts is refused where it could be longer than memory."""
    import h5py

    for name in owner.attrs:
        attribute = owner.attrs.get_id(name)
        if attribute.dtype.hasobject and h5py.check_string_dtype(attribute.dtype) is not None:
            count = attribute.shape[0] if attribute.shape else 1
            if count > 1 and count * size > _TEXT_BLOCK:
                raise ValueError("more texts than an attribute has")
        owner.attrs[name]
