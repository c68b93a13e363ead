"""Arrays in idx and npz files: what their headers say, and their items without reading anew.

The idx format: Yann LeCun, "The MNIST database". The npy format: ``numpy.lib.format``.
"""

from __future__ import annotations

import errno
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError, UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import BEST_RATIO, is_gzipped, open_unpacked
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order

_UNPLACED = "The patient's position and the size of a voxel are not known; 1 mm stands for a voxel."
_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CHUNK = 1 << 24
#: Arrays kept open: those of two splits, which a pass over both needs by turns at their border.
_OPEN = 2
_DAMAGE = (
    *(ArithmeticError, EOFError, KeyError, MemoryError, RecursionError, RuntimeError, TypeError),
    *(ValueError, struct.error, zlib.error, zipfile.BadZipFile),
)
#: Threads that ask for the same array wait for the one that reads it.
_reading = threading.Lock()


@dataclass(frozen=True)
class ArrayHeader:
    """Where an array stands in a file.

    Attributes
    ----------
    member : its name in an npz file; None for an idx file, which is one array.
    dtype, shape, fortran : of the array; ``fortran`` where its first axis runs fastest.
    offset : bytes before its values in the stream: the unpacked idx file or npy member.
    start : bytes before that stream in the file where the file holds it as it is, so that it can
        be mapped; None where it is compressed.
    """

    path: Path
    member: str | None
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int
    start: int | None

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


def npz_members(path: Path) -> list[str]:
    """The arrays of an npz file.

    Raises
    ------
    CohortError
        Where it is none.
    """
    with _damage_said(path), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    return [name.removesuffix(".npy") for name in names]


def array_header(path: Path, member: str | None = None) -> ArrayHeader:
    """The header of an idx file, gzipped or not, or of an array of an npz file.

    Raises
    ------
    CohortError
        Where it is none, claims more than the file can hold or this computer's memory can, or
        would need pickle to be read.
    """
    with _damage_said(path):
        header = _idx_header(path) if member is None else _npy_header(path, member)
    if any(n < 0 for n in header.shape):
        raise CohortError(ListProblem.NEGATIVE_SIZE, array=_called(header))
    if header.dtype.hasobject:
        raise CohortError(ListProblem.PYTHON_OBJECTS, array=_called(header))
    if header.dtype.kind not in "biufUS":
        raise CohortError(ListProblem.NOT_NUMBERS, array=_called(header))
    return header


def read_array(header: ArrayHeader) -> NDArray[Any]:
    """The whole array, mapped where the file holds it as it is; not to be written to.

    Raises
    ------
    CohortError
        Where the file is damaged.
    """
    with _damage_said(header.path):
        order = "F" if header.fortran else "C"
        if header.start is not None:
            place = header.start + header.offset
            return np.memmap(header.path, header.dtype, "r", place, header.shape, order)  # type: ignore[call-overload]
        values = bytearray(header.size)
        with _stream(header.path, header.member) as stream:
            _fill(memoryview(values), stream, header.offset)
            # Reading on makes gzip and zip check their sums.
            if stream.read(1):
                raise ValueError("more values than the header says")
        array: NDArray[Any] = np.frombuffer(values, header.dtype)
        return array.reshape(header.shape, order=order)  # type: ignore[call-overload]


def array_item(path: Path, member: str | None, item: int) -> NDArray[Any]:
    """One item ``array[item]`` as a copy in native byte order.

    The last arrays stay open in this process as long as their files do not change.

    Raises
    ------
    CohortError
        Where the file is damaged, gone, or holds fewer items.
    """
    with _damage_said(path):
        state = path.stat()
    with _reading:
        array = _opened(path, member, state.st_mtime_ns, state.st_size)
    if isinstance(array, CohortError):
        raise copy(array)
    if not 0 <= item < len(array):
        raise CohortError(ListProblem.NO_SUCH_ITEM, file=path.name, items=len(array), item=item)
    return np.array(array[item], dtype=array.dtype.newbyteorder("="))


@lru_cache(_OPEN)
def _opened(path: Path, member: str | None, changed: int, size: int) -> NDArray[Any] | CohortError:
    """The array, or why there is none, so that a damaged file is not unpacked for every item."""
    del changed, size  # part of the key alone
    try:
        return read_array(array_header(path, member))
    except CohortError as error:
        # As a copy, since the traceback of the error itself holds what was read.
        return copy(error)


def _idx_header(path: Path) -> ArrayHeader:
    with _stream(path, None) as stream:
        magic = stream.read(4)
        dtype = _IDX_TYPES.get(magic[2]) if len(magic) == 4 and magic[:2] == b"\0\0" else None
        if dtype is None or not magic[3]:
            raise CohortError(ListProblem.NOT_IDX, file=path.name)
        sizes = stream.read(4 * magic[3])
    shape = struct.unpack(f">{magic[3]}I", sizes)
    packed = is_gzipped(path)
    start = None if packed else 0
    header = ArrayHeader(path, None, np.dtype(dtype), shape, False, 4 + len(sizes), start)
    held = path.stat().st_size
    _check_size(header, held * BEST_RATIO if packed else held, exact=not packed)
    return header


def _npy_header(path: Path, member: str) -> ArrayHeader:
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(f"{member}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CohortError(ListProblem.NOT_NUMPYS_PACKING, file=path.name)
        with archive.open(info) as stream:
            version = np.lib.format.read_magic(stream)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
            offset = stream.tell()
    start = None
    if info.compress_type == zipfile.ZIP_STORED:
        start = _start_of_member(path, info.header_offset)
    header = ArrayHeader(path, member, dtype, shape, fortran, offset, start)
    if not dtype.hasobject:
        if offset + header.size != info.file_size:
            raise ValueError("another size than the header's")
        held = path.stat().st_size
        _check_size(header, held * BEST_RATIO if start is None else held - start, exact=False)
    return header


def _start_of_member(path: Path, header_offset: int) -> int:
    """Where a member's bytes begin: behind its local header, which repeats its name."""
    with path.open("rb") as file:
        file.seek(header_offset)
        local = file.read(30)
    name, extra = struct.unpack("<HH", local[26:30])
    return header_offset + 30 + int(name) + int(extra)


def _check_size(header: ArrayHeader, most: int, exact: bool) -> None:
    needed = header.offset + header.size
    if needed > most:
        raise CohortError(
            ListProblem.TOO_SHORT, array=_called(header), shape=size_text(header.shape)
        )
    if exact and needed < most:
        raise CohortError(ListProblem.TOO_LONG, array=_called(header))
    if header.start is None:
        refuse_if_too_large(header.shape, header.dtype.itemsize, _called(header))


def size_text(shape: tuple[int, ...]) -> str:
    """A shape in words, of a damaged header's too."""
    return " × ".join(map(str, shape[:6])) + (" × …" if len(shape) > 6 else "")


@contextmanager
def _stream(path: Path, member: str | None) -> Iterator[BinaryIO]:
    """The unpacked bytes of an idx file or of an npz file's member."""
    if member is not None:
        with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as stream:
            yield cast(BinaryIO, stream)
    else:
        with open_unpacked(path) as file:
            yield file


def _fill(values: memoryview, stream: BinaryIO, offset: int) -> None:
    if len(stream.read(offset)) < offset:
        raise EOFError
    done = 0
    while done < len(values):
        part = stream.read(min(_CHUNK, len(values) - done))
        if not part:
            raise EOFError
        values[done : done + len(part)] = part
        done += len(part)


@contextmanager
def _damage_said(path: Path) -> Iterator[None]:
    try:
        yield
    except CohortError:
        raise
    except UnsupportedStudyError as error:
        raise CohortError(str(error), error.kind, **error.facts) from error
    except OSError as error:
        # gzip complains without a number, and a wrong place in a zip file cannot be gone to.
        if error.strerror and error.errno != errno.EINVAL:
            raise CohortError(
                ListProblem.UNREADABLE, file=path.name, reason=error.strerror
            ) from error
        raise CohortError(ListProblem.DAMAGED, file=path.name) from error
    except _DAMAGE as error:
        raise CohortError(ListProblem.DAMAGED, file=path.name) from error


def _called(header: ArrayHeader) -> str:
    return f"{header.path.name}, {header.member}" if header.member else header.path.name


def read_item(path: Path, member: str | None, item: int) -> Volume:
    """One image of an idx or npz file.

    Voxels are 1 mm wide: such files tell nothing of size or orientation. A network sees columns
    first, as MONAI's readers give pictures and NIfTI files.

    Raises
    ------
    CohortError
        Where the file is damaged or has changed.
    """
    values = array_item(path, member, item)
    # Truths and half-precision numbers as types that images have.
    if values.dtype.kind == "b":
        values = values.astype(np.uint8)
    elif values.dtype == np.float16:
        values = values.astype(np.float32)
    if values.ndim == 2 or (values.ndim == 3 and values.shape[-1] in (1, 3)):
        from napari_ifa.reading.picture import picture_volume

        return picture_volume(values[..., 0] if values.shape[2:] == (1,) else values)
    if values.ndim != 3:
        raise CohortError(ListProblem.NO_LONGER_IMAGES, file=path.name)
    return volume_from_file_order(
        values.transpose(), np.eye(4), SourceOrder(), report=GeometryReport(notes=(_UNPLACED,))
    )
