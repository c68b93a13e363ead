"""What the header of one file says of the images in it, and how their planes are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import GzipFile, is_gzipped, open_unpacked
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.volume import Affine, Window

#: Deflate cannot compress better than this.
_GZIP_BEST_RATIO = 1040
#: Bytes before the voxels, beyond which a header is damaged.
_LARGEST_OFFSET = 2**28
#: Bytes of a header that is a text; real ones have less than a tenth of it.
_LONGEST_TEXT, _TEXT_PIECE = 2**24, 2**16
#: Shortest and longest distance of voxels in mm: a nanometre, ten metres.
_LENGTHS = (1e-6, 1e4)
#: Farthest place in mm.
_FARTHEST = 1e7
#: Volume of the unit cell, relative to a right-angled one, below which the axes lie in a plane.
_SINGULAR = 1e-6


class Pixels(Protocol):
    """Where the values of a file's images are, and how they are read."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """As stored: numbers, complex numbers, or colours as fields R, G, B (and A)."""

    @property
    def remarks(self) -> Sequence[str]:
        """One sentence for each thing that was noticed while planes were read."""

    def planes(self, image: int) -> Iterator[NDArray[Any]]:
        """``[x, y]`` for each z of one image, in this order; scaled to what the values mean.

        A damaged file raises whatever the library that reads it does.
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
    pixels : the values.
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
    pixels: Pixels
    header: Any = None
    modality: str = ""
    labels: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    unverified: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class RawPixels:
    """Planes that stand one behind the other in a file, compressed with gzip or not.

    Attributes
    ----------
    shape, count : of :class:`StoredImages`.
    offset : bytes before the first plane.
    slope, intercept : ``[count, z]`` or what broadcasts to it; value = stored · slope + intercept.
        None where the stored numbers are the values. ValueError where one is no number.
    order : ``[count, z]``, the place of each plane in the file; None where they stand in order.
    remarks : see :class:`Pixels`.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    count: int = 1
    offset: int = 0
    slope: NDArray[np.float64] | None = None
    intercept: NDArray[np.float64] | None = None
    order: NDArray[np.intp] | None = field(default=None, repr=False)
    remarks: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        for scale in (self.slope, self.intercept):
            if scale is not None and not np.isfinite(scale).all():
                raise ValueError("a scale that is no number")

    def planes(self, image: int) -> Iterator[NDArray[Any]]:
        """See :class:`Pixels`; one plane is held at a time."""
        x, y, z = self.shape
        size = x * y * self.dtype.itemsize
        with open_unpacked(self.path) as file:
            for k in range(z):
                place = image * z + k if self.order is None else int(self.order[image, k])
                file.seek(self.offset + place * size)
                stored = np.frombuffer(_exactly(file, size), self.dtype).reshape((x, y), order="F")
                yield self._scaled(stored, image, k)
            if image == self.count - 1:
                # A compressed file ends with a checksum, which is looked at on the way past it.
                file.read(1)
                if isinstance(file, GzipFile) and file.has_trailing:
                    self.remarks.append(
                        f"{self.path.name}: other bytes follow the compressed image; they are left"
                        " out."
                    )

    def _scaled(self, stored: NDArray[Any], image: int, k: int) -> NDArray[Any]:
        if self.slope is None or self.intercept is None or self.dtype.fields is not None:
            return stored
        all_planes = (self.count, self.shape[2])
        slope = np.broadcast_to(self.slope, all_planes)[image, k]
        intercept = np.broadcast_to(self.intercept, all_planes)[image, k]
        if slope == 1 and intercept == 0:
            return stored
        return cast(NDArray[Any], stored * slope + intercept)


def read_header_text(path: Path) -> str:
    """The whole of a header that is a text; ValueError where it is too long to be one."""
    text = bytearray()
    with open_unpacked(path) as file:
        while part := file.read(_TEXT_PIECE):
            text += part
            if len(text) > _LONGEST_TEXT:
                raise ValueError("too long for a header")
    return text.decode("latin-1")


def _exactly(file: BinaryIO, size: int) -> bytearray:
    """The next ``size`` bytes; no more memory is taken than there is data."""
    content = bytearray()
    while len(content) < size:
        part = file.read(min(size - len(content), 2**24))
        if not part:
            raise EOFError
        content += part
    return content


def spatial_shape(shape: tuple[int, ...], name: str) -> tuple[tuple[int, int, int], int]:
    """(x, y, z) of each image and how many there are, from all the sizes that a header states.

    Raises
    ------
    UnsupportedStudyError
        Where that is no image.
    """
    sizes = tuple(int(n) for n in shape)
    if len(sizes) < 2 or min(sizes) < 1:
        raise UnsupportedStudyError(f"{name}: no image inside (its size is {sizes}). Not opened.")
    return (sizes[0], sizes[1], sizes[2] if len(sizes) > 2 else 1), prod(sizes[3:])


def refuse_impossible_size(pixels: RawPixels, name: str) -> None:
    """Refuse what this computer cannot hold, or what the file is too small to hold.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. Nothing is allocated.
    """
    refuse_if_too_large(pixels.shape, 4, name)
    claimed = prod(pixels.shape) * pixels.count * pixels.dtype.itemsize
    ratio = _GZIP_BEST_RATIO if is_gzipped(pixels.path) else 1
    most = pixels.path.stat().st_size * ratio
    if not 0 <= pixels.offset <= _LARGEST_OFFSET or pixels.offset + claimed > most:
        raise UnsupportedStudyError(damaged(name))


def checked_affine(lps_affine: Any, name: str) -> Affine:
    """The affine, where its three axes span space.

    Raises
    ------
    UnsupportedStudyError
        Where it holds no numbers, its axes lie in a plane, or its lengths are none of a patient.
    """
    affine = np.asarray(lps_affine, dtype=float)
    shortest, longest = _LENGTHS
    valid = affine.shape == (4, 4) and bool((np.abs(affine) <= _FARTHEST).all())
    if valid:
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        valid = bool((lengths >= shortest).all() and (lengths <= longest).all())
    if not valid or abs(np.linalg.det(affine[:3, :3] / lengths)) < _SINGULAR:
        raise UnsupportedStudyError(invalid_orientation(name))
    return affine


def invalid_orientation(name: str) -> str:
    """The sentence for an orientation matrix that is none."""
    return f"{name}: the orientation matrix is invalid. Not opened."


def no_orientation(name: str) -> str:
    """The sentence for a file that does not say where left and right are."""
    return f"{name}: no orientation stored; left and right are unverified."


def damaged(name: str) -> str:
    """The sentence for image data that end too early or cannot be unpacked."""
    return f"{name}: image data incomplete or damaged; not opened."
