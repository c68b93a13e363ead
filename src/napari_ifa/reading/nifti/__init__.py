"""NIfTI and all else that nibabel reads: from a file to its Series, and to a Volume."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import IfaError, UnsupportedStudyError
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.nifti.afni import afni_images
from napari_ifa.reading.nifti.gzipped import is_gzipped
from napari_ifa.reading.nifti.headers import mgh_images, nifti_images, unit_in_mm
from napari_ifa.reading.nifti.minc import minc_images
from napari_ifa.reading.nifti.names import (
    data_of,
    header_of,
    is_nibabel_file,
    is_nibabel_name,
    is_nifti_name,
    stem_of,
    suffix_of,
)
from napari_ifa.reading.nifti.parrec import parrec_images
from napari_ifa.reading.nifti.stored import StoredImages, damaged
from napari_ifa.reading.nifti.values import (
    COMPLEX_PARTS,
    is_colour,
    is_complex,
    is_grey,
    read_values,
)
from napari_ifa.reading.series import Series
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.shear import StraightGrid, shear_degrees, straight_grid, straightened
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order

__all__ = [
    "is_nibabel_file",
    "is_nibabel_name",
    "is_nifti_name",
    "nifti_series",
    "read_nifti",
    "unit_in_mm",
]

#: More images than this in one file are not one choice in a list.
_MOST_IMAGES = 10_000


@dataclass(frozen=True)
class _Format:
    words: str
    read: Callable[[Path], StoredImages]


_NIFTI = _Format("NIfTI", nifti_images)
_FREESURFER = _Format("FreeSurfer", mgh_images)
_AFNI = _Format("AFNI", afni_images)
_PHILIPS = _Format("Philips PAR/REC", parrec_images)
_BY_SUFFIX = {
    ".nii": _NIFTI,
    ".nii.gz": _NIFTI,
    ".hdr": _Format("NIfTI or Analyze", nifti_images),
    ".hdr.gz": _Format("NIfTI or Analyze", nifti_images),
    ".mgh": _FREESURFER,
    ".mgz": _FREESURFER,
    ".head": _AFNI,
    ".mnc": _Format("MINC", minc_images),
    ".par": _PHILIPS,
}


def nifti_series(path: Path, root: Path) -> list[Series]:
    """The Series of one file, one for each 3D image in it, by its header alone.

    A file that cannot be opened is one Series with the reason in ``unsupported``. A data file
    (``.img``, ``.BRIK``, ``.REC``) gives the same Series as its header. Complex numbers are two
    Series for each image, magnitude and phase; ``volume_index`` counts them all.

    Parameters
    ----------
    root : the folder scanned.
    """
    path = header_of(path)
    place = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    try:
        stored = _stored(path)
        grid = _straight(stored)
        parts = _parts(stored)
        shape, affine = (stored.shape, stored.affine) if grid is None else (grid.shape, grid.affine)
        empty = np.broadcast_to(np.zeros((), np.int16), shape)
        volume = volume_from_file_order(empty, affine, SourceOrder(kind="nifti"))
    except UnsupportedStudyError as error:
        return [
            Series(
                key=_key(place, 0),
                path=path,
                kind="nifti",
                description=stem_of(path),
                unsupported=str(error),
                files=(path,),
            )
        ]
    first = Series(
        key=_key(place, 0),
        path=path,
        kind="nifti",
        modality=stored.modality,
        description=stem_of(path),
        image_count=stored.shape[2],
        shape=volume.shape,
        spacing=volume.spacing,
        orientation=volume.plane,
        notes=_notes(stored, grid),
        files=stored.files,
    )
    return [
        replace(first, key=_key(place, index), part=part, volume_index=index)
        for index, part in enumerate(parts)
    ]


def read_nifti(
    series: Series | Path,
    volume_index: int = 0,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Volume:
    """One image of a file: scaled values, int16 where they allow, else float32; uint8 in colour.

    Lengths are mm whatever the header's unit. ``in_source_order()`` of the result is the array
    as MONAI's ``NibabelReader`` gives it for a NIfTI file. Axes that are not at right angles are
    straightened by resampling, and ``report.sheared`` says so.

    Parameters
    ----------
    series : the file, or a Series of it.
    volume_index : which image, as :func:`nifti_series` counts them.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the file cannot be opened rightly.
    Cancelled
        When ``stop`` says so.
    """
    path = header_of(series.path if isinstance(series, Series) else series)
    stored = _stored(path)
    parts = _parts(stored)
    if not 0 <= volume_index < len(parts):
        raise UnsupportedStudyError(
            f"{path.name}: there is no image {volume_index + 1}; the file has {len(parts)}."
        )
    grid = _straight(stored)
    values = _values(stored, volume_index, progress, stop)
    affine = stored.affine
    if grid is not None:
        values, affine = straightened(values, grid, stop=stop), grid.affine
    part = parts[volume_index]
    return volume_from_file_order(
        values,
        affine,
        SourceOrder(kind="nifti", header=stored.header),
        modality=stored.modality,
        description=", ".join(text for text in (stem_of(path), part) if text),
        windows=() if is_complex(stored.pixels.dtype) else stored.windows,
        report=GeometryReport(
            unverified=stored.unverified,
            sheared=grid is not None,
            notes=(*_notes(stored, grid), *stored.pixels.remarks),
        ),
    )


def _stored(path: Path) -> StoredImages:
    """What the header says, where what it says can be opened."""
    suffix = suffix_of(path)
    if suffix not in _BY_SUFFIX:
        data_of(path)  # a data file alone: says that its header is missing
    kind = _BY_SUFFIX[suffix]
    with _one_sentence(
        path.name,
        f"{path.name}: not a readable {kind.words} file; its header is damaged or incomplete.",
    ):
        stored = kind.read(path)
    dtype = stored.pixels.dtype
    if not (is_grey(dtype) or is_colour(dtype) or is_complex(dtype)):
        raise UnsupportedStudyError(
            f"{path.name}: its values are stored as a type of number that is not read. Not opened."
        )
    if stored.count > _MOST_IMAGES:
        raise UnsupportedStudyError(
            f"{path.name}: {stored.count} images in one file, more than can be chosen from. Not"
            " opened."
        )
    return stored


def _values(
    stored: StoredImages, volume_index: int, progress: Progress | None, stop: Stop | None
) -> NDArray[Any]:
    image, part = volume_index, ""
    if is_complex(stored.pixels.dtype):
        image, which = divmod(volume_index, len(COMPLEX_PARTS))
        part = list(COMPLEX_PARTS)[which]
    try:
        # Among others: doubles beyond the range of float32 become infinite.
        with _without_warnings():
            return read_values(stored, image, part, progress, stop)
    except IfaError:
        raise
    except PermissionError as error:
        raise UnsupportedStudyError(f"{stored.path.name}: no permission to read it.") from error
    except Exception as error:  # the libraries' errors have no common base
        raise UnsupportedStudyError(damaged(stored.path.name)) from error


def _parts(stored: StoredImages) -> list[str]:
    """What tells the images of a file apart, as the list shows it."""
    parts = []
    for k in range(stored.count):
        words = [f"image {k + 1} of {stored.count}"] if stored.count > 1 else []
        words += [stored.labels[k]] if stored.labels and stored.labels[k] else []
        parts.append(", ".join(words))
    if is_complex(stored.pixels.dtype):
        return [", ".join(text for text in (p, c) if text) for p in parts for c in COMPLEX_PARTS]
    return parts


def _straight(stored: StoredImages) -> StraightGrid | None:
    """The grid that a sheared image is resampled to; None for right angles."""
    if not shear_degrees(stored.affine):
        return None
    grid = straight_grid(stored.shape, stored.affine, stored.path.name)
    refuse_if_too_large(grid.shape, 4, stored.path.name)
    return grid


def _notes(stored: StoredImages, grid: StraightGrid | None) -> tuple[str, ...]:
    notes = [note for file in stored.files if (note := _packed_otherwise(file))]
    notes += stored.notes
    if grid is not None:
        notes.append(
            f"{stored.path.name}: the axes miss the right angle by {grid.degrees:.1f}° (sheared);"
            " shown straightened by interpolation, do not measure on it."
        )
    if len(stored.pixels.dtype.names or ()) > 3:
        notes.append(f"{stored.path.name}: transparency (the alpha channel) is left out.")
    return tuple(notes)


def _packed_otherwise(path: Path) -> str:
    """The sentence for a file whose name says another thing of its compression than it is."""
    named = path.name.lower().endswith((".gz", ".mgz"))
    if is_gzipped(path) == named:
        return ""
    packed = "is not compressed, though named so" if named else "is compressed, with another name"
    return f"{path.name}: {packed}; opened by its content."


def _key(place: str, index: int) -> str:
    text = f"nifti|{place}|{index}" if index else f"nifti|{place}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _one_sentence(name: str, sentence: str) -> Iterator[None]:
    """Whatever goes wrong with a header becomes one sentence, and no warning of a library."""
    try:
        with _without_warnings():
            yield
    except IfaError:
        raise
    except FileNotFoundError as error:
        raise UnsupportedStudyError(f"{name}: there is no such file or folder.") from error
    except PermissionError as error:
        raise UnsupportedStudyError(f"{name}: no permission to read it.") from error
    except Exception as error:  # nibabel's errors have no common base
        raise UnsupportedStudyError(sentence) from error
