"""MINC files: version 1 on NetCDF, version 2 on HDF5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import GZIP_MARK
from napari_ifa.reading.nifti.stored import StoredImages, checked_affine, damaged, spatial_shape
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.volume import LPS_TO_RAS

_HDF5 = b"\x89HDF"
_NETCDF = b"CDF\x01"
#: Deflate, the one compression of MINC, cannot do better than this.
_BEST_RATIO = 1040
#: Bytes of unpacked chunks kept, so that a chunk of many planes is not unpacked for each.
_CACHE = 2**26


@dataclass(frozen=True, eq=False)
class MincPixels:
    """Planes of a MINC file; ``opened`` gives nibabel's view of the file while it is open."""

    opened: Callable[[], AbstractContextManager[Any]]
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    is_4d: bool
    remarks: tuple[str, ...] = ()

    def planes(self, image: int) -> Iterator[NDArray[Any]]:
        """``[x, y]`` for each z of one image, scaled; one plane is held at a time."""
        with self.opened() as minc:
            for k in range(self.shape[2]):
                # MINC's slowest axis comes first.
                plane = minc.get_scaled_data((image, k) if self.is_4d else (k,))
                if plane.shape != (self.shape[1], self.shape[0]):
                    raise ValueError("a plane of another size")
                yield plane.T


def minc_images(path: Path) -> StoredImages:
    """The images of a MINC file, by its header; axes as (x, y, z), fastest first.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of the libraries that read it.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start not in (_HDF5, _NETCDF):
        if start.startswith(GZIP_MARK):
            raise UnsupportedStudyError(f"{path.name}: compressed with gzip; unpack it first.")
        raise ValueError("not a MINC file")
    opened = partial(_minc2 if start == _HDF5 else _minc1, path)
    name = path.name
    with opened() as minc:
        names = list(minc._dim_names)
        sizes = tuple(int(n) for n in minc.get_data_shape())
        dtype = minc.get_data_dtype()
        affine = minc.get_affine()
    is_4d = len(names) == 4 and names[0] == "time"
    space = names[1:] if is_4d else names
    if sorted(space) != ["xspace", "yspace", "zspace"] or len(sizes) != len(names):
        raise UnsupportedStudyError(
            f"{name}: its axes are {', '.join(names)}; only three axes of space, with or without"
            " time before them, are read. Not opened."
        )
    if dtype.kind not in "iuf":
        raise UnsupportedStudyError(f"{name}: its values are not plain numbers. Not opened.")
    # From MINC's order, slowest first, to the order of all other files.
    shape, count = spatial_shape(sizes[::-1], name)
    affine = affine[:, [2, 1, 0, 3]]
    return StoredImages(
        path=path,
        files=(path,),
        shape=shape,
        count=count,
        affine=checked_affine(LPS_TO_RAS @ affine, name),
        pixels=MincPixels(opened, dtype, shape, is_4d),
    )


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

    with h5py.File(path, "r", rdcc_nbytes=_CACHE) as file:
        image = _dataset(file, "minc-2.0/image/0/image")
        refuse_if_too_large(image.shape, 4, path.name)
        size = path.stat().st_size * _BEST_RATIO
        chunk = prod(image.chunks or (1,)) * image.dtype.itemsize
        if prod(image.shape) * image.dtype.itemsize > size or chunk > size:
            raise UnsupportedStudyError(damaged(path.name))
        for limit in ("image-min", "image-max"):
            values = _dataset(file, f"minc-2.0/image/0/{limit}")
            if prod(values.shape) > prod(image.shape):
                raise UnsupportedStudyError(damaged(path.name))
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
