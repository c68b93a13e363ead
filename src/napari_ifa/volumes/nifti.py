"""NIfTI files: from a file to a Series by its header, and to a Volume."""

from __future__ import annotations

import hashlib
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.series import Progress, Series, Stop
from napari_ifa.volumes.volume import (
    LPS_TO_RAS,
    Affine,
    SourceOrder,
    Volume,
    Window,
    volume_from_file_order,
)

_SUFFIXES = (".nii.gz", ".nii")
_UNIT_IN_MM = {"meter": 1000.0, "micron": 0.001}
#: Largest cosine between two axes of an unsheared grid.
_SHEAR = 1e-3
#: Volume of the unit cell, relative to a right-angled one, below which the axes lie in a plane.
_SINGULAR = 1e-6
#: Deflate cannot compress better than this.
_GZIP_BEST_RATIO = 1040
_INT16 = np.iinfo(np.int16)


def is_nifti_name(path: Path) -> bool:
    """True for ``.nii`` and ``.nii.gz``."""
    return path.name.lower().endswith(_SUFFIXES)


def nifti_series(path: Path, root: Path) -> Series:
    """The Series of one file, by its header alone; ``root`` is the folder scanned."""
    place = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    key = hashlib.sha256(os.fsencode(f"nifti|{place}")).hexdigest()[:8]
    shape = spacing = unsupported = None
    orientation = ""
    try:
        _, file_shape, affine, _ = _open(path)
        empty = np.broadcast_to(np.zeros((), np.int16), file_shape)
        volume = volume_from_file_order(empty, affine, SourceOrder(kind="nifti"))
        shape, spacing, orientation = volume.shape, volume.spacing, volume.plane
    except UnsupportedStudyError as error:
        unsupported = str(error)
    return Series(
        key=key,
        path=path,
        kind="nifti",
        description=_stem(path),
        image_count=file_shape[2] if unsupported is None else 1,
        shape=shape,
        spacing=spacing,
        orientation=orientation,
        unsupported=unsupported,
        files=(path,),
    )


def read_nifti(path: Path, progress: Progress | None = None, stop: Stop | None = None) -> Volume:
    """The image of a NIfTI file: scaled values, int16 where they allow, else float32.

    Lengths are mm whatever the header's unit. ``in_source_order()`` of the result is the array
    as MONAI's ``NibabelReader`` gives it.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the file cannot be opened rightly.
    Cancelled
        When ``stop`` says so.
    """
    image, shape, affine, notes = _open(path)
    values = _values(path, image, shape, progress, stop)
    return volume_from_file_order(
        values,
        affine,
        SourceOrder(kind="nifti", header=_without_extensions(image.header)),
        description=_stem(path),
        windows=_windows(image.header),
        report=GeometryReport(unverified=bool(notes), notes=notes),
    )


def unit_in_mm(header: Any) -> float:
    """Length of the header's spatial unit; mm where it names none."""
    try:
        return _UNIT_IN_MM.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        return 1.0


def _stem(path: Path) -> str:
    name = path.name
    suffix = next(s for s in _SUFFIXES if name.lower().endswith(s))
    return name[: -len(suffix)]


def _open(path: Path) -> tuple[Any, tuple[int, int, int], Affine, tuple[str, ...]]:
    """The lazy image, its shape (x, y, z), its index → LPS mm affine, and notes."""
    image = _load(path)
    name = path.name
    header = image.header
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    if dtype.fields is not None or dtype.kind not in "iuf":
        kind = "complex numbers" if dtype.kind == "c" else "colours"
        raise UnsupportedStudyError(f"{name}: {kind} instead of grey values; not supported yet.")
    if len(shape) < 2 or min(shape) < 1:
        raise UnsupportedStudyError(f"{name}: no image inside (its size is {shape}). Not opened.")
    extra = int(np.prod(shape[3:], dtype=object)) if len(shape) > 3 else 1
    if extra > 1:
        raise UnsupportedStudyError(f"{name}: {extra} images in one file (4D); not supported yet.")
    spatial = (shape[0], shape[1], shape[2] if len(shape) > 2 else 1)
    _refuse_impossible_size(path, spatial, dtype)
    affine = _affine(image, name)
    notes: tuple[str, ...] = ()
    if int(header["qform_code"]) == 0 and int(header["sform_code"]) == 0:
        notes = (f"{name}: no orientation stored; left and right are unverified.",)
    return image, spatial, affine, notes


def _load(path: Path) -> Any:
    import nibabel
    from nibabel.imageglobals import LoggingOutputSuppressor

    try:
        with LoggingOutputSuppressor():
            image = nibabel.load(path)
    except FileNotFoundError as error:
        raise UnsupportedStudyError(f"{path.name}: there is no such file or folder.") from error
    except PermissionError as error:
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.") from error
    except Exception as error:  # nibabel's errors have no common base
        raise UnsupportedStudyError(
            f"{path.name}: not a readable NIfTI file; its header is damaged or incomplete."
        ) from error
    if not isinstance(image, nibabel.Nifti1Pair):
        raise UnsupportedStudyError(f"{path.name}: not a NIfTI file, in spite of its name.")
    return image


def _refuse_impossible_size(path: Path, shape: tuple[int, int, int], dtype: Any) -> None:
    refuse_if_too_large(shape, 4, path.name)
    claimed = int(np.prod(shape, dtype=object)) * dtype.itemsize
    ratio = _GZIP_BEST_RATIO if path.name.lower().endswith(".gz") else 1
    if claimed > path.stat().st_size * ratio:
        raise UnsupportedStudyError(_damaged(path))


def _affine(image: Any, name: str) -> Affine:
    """Index → LPS mm."""
    affine = LPS_TO_RAS @ np.asarray(image.affine, dtype=float)
    affine[:3] *= unit_in_mm(image.header)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    valid = bool(np.isfinite(affine).all()) and float(lengths.min()) > 0
    if not valid or abs(np.linalg.det(affine[:3, :3] / lengths)) < _SINGULAR:
        raise UnsupportedStudyError(f"{name}: the orientation matrix is invalid. Not opened.")
    directions = affine[:3, :3] / lengths
    cosines = np.abs(directions.T @ directions - np.eye(3))
    if cosines.max() > _SHEAR:
        raise UnsupportedStudyError(
            f"{name}: the axes are not at right angles (sheared); not supported yet."
        )
    return affine


def _values(
    path: Path,
    image: Any,
    shape: tuple[int, int, int],
    progress: Progress | None,
    stop: Stop | None,
) -> NDArray[Any]:
    try:
        stored = np.asanyarray(image.dataobj.get_unscaled()).reshape(shape)
    except PermissionError as error:
        raise UnsupportedStudyError(f"{path.name}: no permission to read it.") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UnsupportedStudyError(_damaged(path)) from error
    slope, inter = float(image.dataobj.slope), float(image.dataobj.inter)
    dtype = np.int16 if slope == 1 and inter == 0 and _fits_int16(stored) else np.float32
    values = np.empty(shape, dtype, order="F")
    for z in range(shape[2]):
        if stop is not None and stop():
            raise Cancelled("Reading was stopped.")
        if slope == 1 and inter == 0:
            values[..., z] = stored[..., z]
        else:
            values[..., z] = stored[..., z] * np.float64(slope) + np.float64(inter)
        if progress is not None:
            progress(z + 1, shape[2])
    return values


def _fits_int16(stored: NDArray[Any]) -> bool:
    if stored.dtype.kind == "f":
        return False
    if np.can_cast(stored.dtype, np.int16):
        return True
    return int(stored.min()) >= _INT16.min and int(stored.max()) <= _INT16.max


def _without_extensions(header: Any) -> Any:
    """What an export needs of a header; extensions may hold a whole DICOM header, with names."""
    kept = header.copy()
    kept.extensions.clear()
    return kept


def _windows(header: Any) -> tuple[Window, ...]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return ()
    return (Window((low + high) / 2, high - low),)


def _damaged(path: Path) -> str:
    return f"{path.name}: image data incomplete or damaged; not opened."
