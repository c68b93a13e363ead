"""What the header of one file says of the images in it, checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import has_other_bytes, is_gzipped, open_unpacked
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.volume import Affine, Window

#: Deflate cannot compress better than this.
BEST_RATIO = 1040
#: Bytes before the voxels, beyond which a header is damaged.
_LARGEST_OFFSET = 2**28
#: Stored bytes that are read at once, where a plane is smaller.
_SLAB = 2**18


class Voxels(Protocol):
    """Where the values of a file's images are, and how they are read."""

    def slabs(self, image: int, said: list[str]) -> Iterator[NDArray[Any]]:
        """``[x, y, n]``: the planes of one image in order, scaled to what the values mean.

        What is noticed on the way is added to ``said``. A damaged file raises whatever the library
        that reads it does.
        """


@dataclass(frozen=True, eq=False)
class StoredImages:
    """The images of one file, all on one grid.

    Attributes
    ----------
    path : the file that is named to the person; of a pair, the header.
    files : all files.
    shape : (x, y, z) of each image, in the file's order, fastest first.
    count : number of images.
    affine : ``[4, 4]``, (x, y, z) → LPS mm; its axes need not be at right angles.
    dtype : as stored: numbers, complex numbers, or colours as fields R, G, B (and A).
    voxels : how the values are read.
    header : the NIfTI header without its extensions, which may hold a whole DICOM header with
        names; None for other formats.
    labels : what tells each image apart, beside its number; empty or one for each.
    unverified : the file does not say where left and right are.
    """

    path: Path
    files: tuple[Path, ...]
    shape: tuple[int, int, int]
    count: int
    affine: Affine
    dtype: np.dtype[Any]
    voxels: Voxels
    header: Any = None
    modality: str = ""
    labels: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    unverified: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ProxiedVoxels:
    """Values that a nibabel array proxy ``[x, y, z, image]`` gives.

    Attributes
    ----------
    path : the file with the voxels, compressed or not.
    proxy : class of the array proxy.
    spec : what the class takes beside the opened file: a header, or
        ``(shape, dtype, offset, slope, intercept)``.
    shape : (x, y, z, image).
    in_slabs : whether the proxy reads a part without reading the whole.
    """

    path: Path
    proxy: Any
    spec: Any
    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    in_slabs: bool = True

    def slabs(self, image: int, said: list[str]) -> Iterator[NDArray[Any]]:
        """See :class:`Voxels`."""
        x, y, z, count = self.shape
        planes = max(1, _SLAB // (x * y * self.dtype.itemsize)) if self.in_slabs else z
        with open_unpacked(self.path) as file:
            values = self.proxy(file, self.spec, mmap=False)
            which = (image,) if len(values.shape) == 4 else ()
            for k in range(0, z, planes):
                yield values[(slice(None), slice(None), slice(k, min(k + planes, z)), *which)]
            if image == count - 1 and has_other_bytes(file):
                sentence = "other bytes follow the compressed image; they are left out."
                said.append(Note(f"{self.path.name}: {sentence}", NiftiNote.OTHER_BYTES))


def spatial_shape(shape: tuple[int, ...], name: str) -> tuple[tuple[int, int, int], int]:
    """(x, y, z) of each image and how many there are, from all the sizes that a header states.

    Raises
    ------
    UnsupportedStudyError
        Where that is no image, or too large for this computer.
    """
    sizes = tuple(int(n) for n in shape)
    if len(sizes) < 2 or min(sizes) < 1:
        raise UnsupportedStudyError(
            f"{name}: no image inside (its size is {sizes}). Not opened.",
            NiftiProblem.NO_IMAGE,
            sizes=sizes,
        )
    space = sizes[0], sizes[1], sizes[2] if len(sizes) > 2 else 1
    refuse_if_too_large(space, 4, name)
    return space, prod(sizes[3:])


def refuse_more_than_stored(claimed: int, path: Path, name: str, offset: int = 0) -> None:
    """Refuse what the file is too small to hold: ``claimed`` bytes from ``offset`` on.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. Nothing is allocated.
    """
    most = path.stat().st_size * (BEST_RATIO if is_gzipped(path) else 1)
    if not 0 <= offset <= _LARGEST_OFFSET or offset + claimed > most:
        raise damaged(name)


def damaged(name: str) -> UnsupportedStudyError:
    """Of image data that end too early or cannot be unpacked."""
    return UnsupportedStudyError(
        f"{name}: image data incomplete or damaged; not opened.", NiftiProblem.DATA_DAMAGED
    )
