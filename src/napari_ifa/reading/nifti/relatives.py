"""AFNI, MINC and Philips PAR/REC: as nibabel reads them, with the orientation that they state.

Nothing is checked but what could harm the computer: sizes that are claimed, texts without an end,
and HDF5 files that point to others. What cannot be opened is an UnsupportedStudyError with one
sentence; a damaged header raises an error of the libraries that read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import StringIO
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.nifti.gzipped import BEST_RATIO
from napari_ifa.reading.nifti.names import data_of
from napari_ifa.reading.nifti.orientation import checked_affine
from napari_ifa.reading.nifti.problems import NiftiNote
from napari_ifa.reading.nifti.stored import StoredImages, proxied, spatial_shape
from napari_ifa.reading.problems import not_read
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.volumes.volume import LPS_TO_RAS

#: Bytes of a header that is a text; real ones have less than a tenth of it.
_LONGEST_TEXT = 2**24
#: Characters of a line; nibabel's parser of PAR files takes a time that grows with their third
#: power.
_LONGEST_LINE = 2000
_HDF5, _NETCDF = b"\x89HDF", b"CDF\x01"
_SPACE = ["xspace", "yspace", "zspace"]


def afni_images(path: Path) -> StoredImages:
    """The images (sub-bricks) of an AFNI file, by its header."""
    from nibabel.brikhead import AFNIArrayProxy, AFNIHeader, parse_AFNI_header

    header = AFNIHeader(parse_AFNI_header(_text(path)))
    stored = _as_stated(
        proxied(path, (path, data_of(path)), header, AFNIArrayProxy), header.get_affine()
    )
    # As many numbers as the header claims images: looked at when that is known to be true.
    scale = header.get_data_scaling()
    if scale is not None and not np.isfinite(scale).all():
        raise ValueError("a scale that is no number")
    return stored


def parrec_images(path: Path) -> StoredImages:
    """The images of a Philips PAR/REC pair, by its header; a ValueError where it lacks slices."""
    from nibabel.parrec import PARRECArrayProxy, PARRECHeader, parse_PAR_header

    text = _text(path)
    if max(map(len, text), default=0) > _LONGEST_LINE:
        raise ValueError("a line that no PAR file has")
    text.seek(0)
    info, lines = parse_PAR_header(text)
    if len(np.unique(lines["slice number"])) != info["max_slices"]:
        raise ValueError("slices are missing")
    # Fewer times or contrasts than were planned, as in a map that was computed, are no fault.
    header = PARRECHeader(info, lines, permit_truncated=True, strict_sort=True)
    slices = lines["slice number"][header.get_sorted_slice_indices()]
    in_order = np.arange(len(lines)) % int(info["max_slices"]) + 1
    if len(slices) < len(lines) or (slices != in_order).any():
        raise ValueError("slices are missing")
    # To bring the slices in order, nibabel reads the whole file.
    stored = proxied(path, (path, data_of(path)), header, PARRECArrayProxy)
    stored = replace(_as_stated(stored, header.get_affine()), in_slabs=False, modality="MR")
    # Of each image: its echo, its type and so on, where these differ.
    differ = header.get_volume_labels().items()
    labels = [
        ", ".join(f"{name} {values[k]}" for name, values in differ) for k in range(stored.count)
    ]
    return replace(stored, labels=tuple(labels))


def minc_images(path: Path) -> StoredImages:
    """The images of a MINC 1 or 2 file, by its header; axes as (x, y, z), fastest first."""
    with path.open("rb") as file:
        start = file.read(4)
    if start not in (_HDF5, _NETCDF):
        raise ValueError("not a MINC file")
    opened = partial(_minc, _minc2 if start == _HDF5 else _minc1, path)
    with opened() as (proxy, _):
        minc = proxy.minc
        names = list(minc._dim_names)
        sizes, dtype, affine = proxy.shape, minc.get_data_dtype(), minc.get_affine()
    space = names[1:] if names[:1] == ["time"] else names
    if sorted(space) != _SPACE or len(sizes) != len(names) or dtype.kind not in "iuf":
        raise ValueError("other axes than those of space and time, or other values than numbers")
    shape, count = spatial_shape(sizes, path.name)
    # A compressed part of the file may hold many planes.
    stored = StoredImages(path, (path,), shape, count, dtype, opened, in_slabs=False)
    return _as_stated(stored, affine[:, [2, 1, 0, 3]])


def _as_stated(stored: StoredImages, ras_affine: Any) -> StoredImages:
    name = stored.path.name
    affine = checked_affine(LPS_TO_RAS @ ras_affine, name)
    return replace(stored, affine=affine, notes=(Note(NiftiNote.AS_STATED, file=name),))


@dataclass(frozen=True, eq=False)
class _Minc:
    """nibabel's view of an open MINC file, with the fastest axis first as in all other files."""

    minc: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.minc.get_data_shape())[::-1]

    def __getitem__(self, key: tuple[Any, ...]) -> NDArray[Any]:
        values: NDArray[Any] = self.minc.get_scaled_data(key[::-1]).T
        return values


@contextmanager
def _minc(opened: Callable[[Path], Any], path: Path) -> Iterator[tuple[_Minc, None]]:
    with opened(path) as minc:
        yield _Minc(minc), None


def _text(path: Path) -> StringIO:
    """The header, which is a text; ValueError where it is too long to be one."""
    if path.stat().st_size > _LONGEST_TEXT:
        raise ValueError("too long for a header")
    return StringIO(path.read_text("latin-1"))


@contextmanager
def _minc1(path: Path) -> Iterator[Any]:
    from nibabel.externals.netcdf import netcdf_file
    from nibabel.minc1 import Minc1File

    # Sizes in the header are trusted by the library: a map of the file ends where the file does.
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield Minc1File(netcdf_file(content))


@contextmanager
def _minc2(path: Path) -> Iterator[Any]:
    import h5py
    from nibabel.minc2 import Minc2File

    with h5py.File(path, "r") as file:
        image = _dataset(file, "minc-2.0/image/0/image")
        spatial_shape(image.shape, path.name)
        stored = max(prod(image.shape), prod(image.chunks or ())) * image.dtype.itemsize
        most = max(
            prod(_dataset(file, f"minc-2.0/image/0/image-{end}").shape) for end in ("min", "max")
        )
        if stored > path.stat().st_size * BEST_RATIO or most > prod(image.shape):
            raise not_read(path, ValueError("more is claimed than the file can hold"))
        yield Minc2File(file)


def _dataset(file: Any, place: str) -> Any:
    """A dataset in this very file: HDF5 can point to other files, which are left alone."""
    import h5py

    at = file
    for step in place.split("/"):
        if not isinstance(at.get(step, getlink=True), h5py.HardLink):
            raise ValueError("not in this file")
        at = at[step]
    if not isinstance(at, h5py.Dataset) or at.is_virtual or at.external:
        raise ValueError("not in this file")
    return at
