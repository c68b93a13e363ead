"""From a file that nibabel reads to its Series, and to a Volume."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import IfaError, UnsupportedStudyError
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.nifti.gzipped import is_gzipped
from napari_ifa.reading.nifti.headers import mgh_images, nifti_images
from napari_ifa.reading.nifti.names import data_of, header_of, stem_of, suffix_of
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.reading.nifti.relatives import afni_images, minc_images, parrec_images
from napari_ifa.reading.nifti.stored import StoredImages
from napari_ifa.reading.nifti.values import (
    COMPLEX_PARTS,
    is_colour,
    is_complex,
    read_values,
)
from napari_ifa.reading.problems import not_read
from napari_ifa.reading.series import Series, place_below, series_key
from napari_ifa.volumes.geometry_report import GeometryReport, Note
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.shear import shear_degrees, straight_grid, straightened
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order

#: More images than this in one file are not one choice in a list.
_MOST_IMAGES = 10_000


#: Suffix of a header → what the format is called, and what reads the header.
_FORMATS: dict[str, tuple[str, Callable[[Path], StoredImages]]] = {
    ".nii": ("NIfTI", nifti_images),
    ".nii.gz": ("NIfTI", nifti_images),
    ".hdr": ("NIfTI or Analyze", nifti_images),
    ".hdr.gz": ("NIfTI or Analyze", nifti_images),
    ".mgh": ("FreeSurfer", mgh_images),
    ".mgz": ("FreeSurfer", mgh_images),
    ".head": ("AFNI", afni_images),
    ".mnc": ("MINC", minc_images),
    ".par": ("Philips PAR/REC", parrec_images),
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
    text = f"nifti|{place_below(root, path)}"
    first = Series(series_key(text), path, "nifti", description=stem_of(path), files=(path,))
    try:
        stored = _parsed(path)
        shown = stored.straight or stored
        empty = np.broadcast_to(np.zeros((), np.int16), shown.shape)
        volume = volume_from_file_order(empty, shown.affine, SourceOrder(kind="nifti"))
    except UnsupportedStudyError as error:
        return [replace(first, unsupported=Note.of(error))]
    first = replace(
        first,
        modality=stored.modality,
        image_count=stored.shape[2],
        shape=volume.shape,
        spacing=volume.spacing,
        orientation=volume.plane,
        notes=stored.notes,
        files=stored.files,
        parsed=stored,
    )
    return [
        replace(
            first,
            key=series_key(f"{text}|{index}") if index else first.key,
            part=part,
            volume_index=index,
        )
        for index, part in enumerate(_parts(stored))
    ]


def read_nifti(
    series: Series, progress: Progress | None = None, stop: Stop | None = None
) -> Volume:
    """The image of a Series: scaled values, int16 where they allow, else float32; uint8 in colour.

    Lengths are mm whatever the header's unit. ``in_source_order()`` of the result is the array
    as MONAI's ``NibabelReader`` gives it for a NIfTI file. Axes that are not at right angles are
    straightened by resampling, and ``report.sheared`` says so.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the file cannot be opened correctly.
    """
    path, stored, volume_index = header_of(series.path), series.parsed, series.volume_index
    if stored is None or stored.state != _state(stored.files):
        stored = _parsed(path)
    parts = _parts(stored)
    if not 0 <= volume_index < len(parts):
        raise UnsupportedStudyError(
            NiftiProblem.NO_SUCH_IMAGE, images=len(parts), file=path.name, image=volume_index + 1
        )
    values, said = _values(stored, volume_index, progress, stop)
    if stored.straight is not None:
        values = straightened(values, stored.straight, stop=stop)
    part = parts[volume_index]
    return volume_from_file_order(
        values,
        (stored.straight or stored).affine,
        SourceOrder(kind="nifti", header=stored.header),
        modality=stored.modality,
        description=", ".join(text for text in (stem_of(path), part) if text),
        windows=() if is_complex(stored.dtype) else stored.windows,
        report=GeometryReport(
            unverified=stored.unverified,
            sheared=stored.straight is not None,
            notes=(*stored.notes, *said),
        ),
    )


def _state(files: tuple[Path, ...]) -> tuple[tuple[int, int], ...]:
    """Size and time of the last change of each file; empty where one is not there any more."""
    try:
        found = [file.stat() for file in files]
    except OSError:
        return ()
    return tuple((one.st_size, one.st_mtime_ns) for one in found)


def _parsed(path: Path) -> StoredImages:
    """What the header says, where what it says can be opened."""
    suffix = suffix_of(path)
    if suffix not in _FORMATS:
        data_of(path)  # a data file alone: says that its header is missing
    words, read = _FORMATS[suffix]
    try:
        with _without_warnings():
            stored = read(path)
    except IfaError:
        raise
    except Exception as error:  # nibabel's errors have no common base
        if isinstance(error, FileNotFoundError | PermissionError):
            raise not_read(path, error) from error
        raise UnsupportedStudyError(
            NiftiProblem.HEADER_DAMAGED, format=words, file=path.name
        ) from error
    if not (stored.dtype.kind in "iufc" or is_colour(stored.dtype)):
        raise UnsupportedStudyError(NiftiProblem.VALUE_TYPE, file=path.name)
    if stored.count > _MOST_IMAGES:
        raise UnsupportedStudyError(
            NiftiProblem.TOO_MANY_IMAGES, images=stored.count, file=path.name
        )
    straight = None
    if shear_degrees(stored.affine):
        straight = straight_grid(stored.shape, stored.affine, path.name)
        refuse_if_too_large(straight.shape, 4, path.name)
    stored = replace(stored, straight=straight, state=_state(stored.files))
    return replace(stored, notes=_notes(stored))


def _values(
    stored: StoredImages, volume_index: int, progress: Progress | None, stop: Stop | None
) -> tuple[NDArray[Any], list[str]]:
    image, part = volume_index, ""
    if is_complex(stored.dtype):
        image, which = divmod(volume_index, len(COMPLEX_PARTS))
        part = list(COMPLEX_PARTS)[which]
    try:
        # Among others: doubles beyond the range of float32 become infinite.
        with _without_warnings():
            return read_values(stored, image, part, progress, stop)
    except IfaError:
        raise
    except Exception as error:  # the libraries' errors have no common base
        raise not_read(stored.path, error) from error


def _parts(stored: StoredImages) -> tuple[str, ...]:
    """What tells the images of a file apart, as the list shows it."""
    count = stored.count
    numbers = [f"image {k + 1} of {count}" if count > 1 else "" for k in range(count)]
    kinds = list(COMPLEX_PARTS) if is_complex(stored.dtype) else [""]
    labelled = zip(numbers, stored.labels or [""] * count, strict=True)
    return tuple(", ".join(filter(None, (*words, kind))) for words in labelled for kind in kinds)


def _notes(stored: StoredImages) -> tuple[str, ...]:
    name, grid = stored.path.name, stored.straight
    notes = [note for file in stored.files if (note := _packed_otherwise(file))]
    notes += stored.notes
    if grid is not None:
        notes.append(Note(NiftiNote.STRAIGHTENED, file=name, degrees=grid.degrees))
    if len(stored.dtype.names or ()) > 3:
        notes.append(Note(NiftiNote.NO_TRANSPARENCY, file=name))
    return tuple(notes)


def _packed_otherwise(path: Path) -> str:
    """The sentence for a file whose name says another thing of its compression than it is."""
    named = path.name.lower().endswith((".gz", ".mgz"))
    if is_gzipped(path) == named:
        return ""
    packed = "is not compressed, though named so" if named else "is compressed, with another name"
    return Note(NiftiNote.COMPRESSION, file=path.name, found=packed)


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
