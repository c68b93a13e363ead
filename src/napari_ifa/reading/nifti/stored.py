"""What the header of one file says of the images in it, checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import BEST_RATIO, is_gzipped, open_unpacked
from napari_ifa.reading.nifti.problems import NiftiProblem
from napari_ifa.reading.problems import not_read
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.shear import StraightGrid
from napari_ifa.volumes.volume import Affine, Window

#: Bytes before the voxels, beyond which a header is damaged.
_LARGEST_OFFSET = 2**28


@dataclass(frozen=True, eq=False)
class StoredImages:
    """The images of one file, all on one grid.

    Attributes
    ----------
    path : the file that is named to the person; of a pair, the header.
    files : all files; the last holds the voxels.
    shape : (x, y, z) of each image, in the file's order, fastest first.
    count : number of images.
    dtype : as stored: numbers, complex numbers, or colours as fields R, G, B (and A).
    opened : gives nibabel's array proxy ``[x, y, z, image]`` of the values, scaled to what they
        mean, without the last axis where there is one image; and the file that it reads, if any.
    in_slabs : whether the proxy reads a part without reading the whole.
    affine : ``[4, 4]``, (x, y, z) → LPS mm; its axes need not be at right angles.
    straight : the grid that a sheared image is resampled to; None for right angles.
    header : the NIfTI header without its extensions, which may hold a whole DICOM header with
        names; None for other formats.
    labels : what tells each image apart, beside its number; empty or one for each.
    unverified : the file does not say where left and right are.
    state : size and time of change of each file when its header was parsed.
    """

    path: Path
    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    count: int
    dtype: np.dtype[Any]
    opened: Callable[[], AbstractContextManager[tuple[Any, BinaryIO | None]]]
    in_slabs: bool = True
    affine: Affine = field(default_factory=lambda: np.eye(4))
    straight: StraightGrid | None = None
    header: Any = None
    modality: str = ""
    labels: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    unverified: bool = False
    notes: tuple[str, ...] = ()
    state: tuple[tuple[int, int], ...] = ()


def proxied(path: Path, files: tuple[Path, ...], header: Any, proxy: Any = None) -> StoredImages:
    """The images that ``header`` speaks of, where the last of the files can hold them.

    Parameters
    ----------
    proxy : class of the array proxy that reads them, nibabel's plain one unless given.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. Nothing is allocated.
    """
    shape, count = spatial_shape(header.get_data_shape(), path.name)
    dtype, offset = header.get_data_dtype(), header.get_data_offset()
    most = files[-1].stat().st_size * (BEST_RATIO if is_gzipped(files[-1]) else 1)
    claimed = prod(shape) * count * dtype.itemsize
    if not 0 <= offset <= _LARGEST_OFFSET or offset + claimed > most:
        raise not_read(path, ValueError("more is claimed than the file can hold"))
    if proxy is None:
        from nibabel.arrayproxy import ArrayProxy

        slope, intercept = header.get_slope_inter()
        if slope is None or dtype.names is not None:
            # Colours have no scale.
            slope, intercept = 1.0, 0.0
        proxy, header = ArrayProxy, ((*shape, count), dtype, offset, slope, intercept)
    opened = partial(_opened, files[-1], proxy, header)
    return StoredImages(path, files, shape, count, dtype, opened)


@contextmanager
def _opened(path: Path, proxy: Any, spec: Any) -> Iterator[tuple[Any, BinaryIO]]:
    with open_unpacked(path) as file:
        yield proxy(file, spec, mmap=False), file


def spatial_shape(shape: tuple[int, ...], name: str) -> tuple[tuple[int, int, int], int]:
    """(x, y, z) of each image and how many there are, from all the sizes that a header states.

    Raises
    ------
    UnsupportedStudyError
        Where that is no image, or too large for this computer.
    """
    sizes = tuple(int(n) for n in shape)
    if len(sizes) < 2 or min(sizes) < 1:
        raise UnsupportedStudyError(NiftiProblem.NO_IMAGE, sizes=sizes, name=name)
    space = sizes[0], sizes[1], sizes[2] if len(sizes) > 2 else 1
    refuse_if_too_large(space, 4, name)
    return space, prod(sizes[3:])
