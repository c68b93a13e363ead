"""Headers of NIfTI-1, NIfTI-2, Analyze and FreeSurfer files; no voxel is read.

Only the fixed block of a header is read: NIfTI extensions hold nothing that an image needs, and
may hold a whole DICOM header with names.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.nifti.names import data_of, stem_of, suffix_of
from napari_ifa.volumes.nifti.stored import (
    RawPixels,
    StoredImages,
    checked_affine,
    invalid_orientation,
    no_orientation,
    open_bytes,
    refuse_impossible_size,
    spatial_shape,
)
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Window

_UNIT_IN_MM = {"meter": 1000.0, "micron": 0.001}
_NIFTI1_BYTES = 348
_NIFTI2_BYTES = 540
#: Intent codes of CIFTI files, whose axes are no axes of space.
_CIFTI = range(3000, 3100)
#: nibabel reports what it mends in a header; the person is told of what matters in notes.
_SILENT = logging.getLogger("napari_ifa.nibabel.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
#: A fault of a header from this level on is not mended.
_FAULT = 40
_MGH_BYTES = 284
_MGH_GOOD_RAS = slice(28, 30)


def unit_in_mm(header: Any) -> float:
    """Length of the header's spatial unit; mm where it names none."""
    try:
        return _UNIT_IN_MM.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        return 1.0


def nifti_images(path: Path) -> StoredImages:
    """The images of a NIfTI or Analyze file (``.nii``, ``.hdr``), by its header.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of nibabel's.
    """
    import nibabel

    with open_bytes(path) as file:
        block = file.read(_NIFTI2_BYTES)
    if nibabel.Nifti1Header.may_contain_header(block):
        is_single = block[344:347] == b"n+1"
        kind = nibabel.Nifti1Header if is_single else nibabel.nifti1.Nifti1PairHeader
    elif nibabel.Nifti2Header.may_contain_header(block):
        is_single = block[4:7] == b"n+2"
        kind = nibabel.Nifti2Header if is_single else nibabel.nifti2.Nifti2PairHeader
    elif suffix_of(path).startswith(".hdr") and nibabel.AnalyzeHeader.may_contain_header(block):
        return _analyze_images(path, block)
    else:
        raise ValueError("neither NIfTI nor Analyze")
    header = kind(block[: kind.sizeof_hdr], check=False)
    voxel_size = np.array(header["pixdim"][1:4], dtype=float)
    name = path.name
    _check(header, name)
    if int(header["intent_code"]) in _CIFTI:
        raise UnsupportedStudyError(
            f"{name}: a CIFTI file, whose values lie on the brain's surface; not an image. Not"
            " opened."
        )
    # A header without voxels of its own has them in its partner, whatever its suffix.
    if is_single or suffix_of(path).startswith(".nii"):
        files: tuple[Path, ...] = (path,)
    else:
        files = (path, data_of(path))
    shape, count = spatial_shape(header.get_data_shape(), name)
    pixels = _raw(header, files[-1], shape, count)
    refuse_impossible_size(pixels, name)
    placed = int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
    if int(header["sform_code"]) <= 0:
        # nibabel would take 1 for a size that is not stated.
        sizes = voxel_size[[n > 1 for n in shape]]
        if not (np.isfinite(sizes) & (sizes != 0)).all():
            raise UnsupportedStudyError(
                f"{name}: no voxel size stored; lengths are unknown. Not opened."
            )
    return StoredImages(
        path=path,
        files=files,
        shape=shape,
        count=count,
        affine=checked_affine(_lps_affine(header, name), name),
        pixels=pixels,
        header=header,
        windows=_windows(header),
        unverified=not placed,
        notes=() if placed else (no_orientation(name),),
    )


def mgh_images(path: Path) -> StoredImages:
    """The images of a FreeSurfer file (``.mgh``, ``.mgz``), by its header.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of nibabel's.
    """
    from nibabel.freesurfer.mghformat import MGHHeader

    with open_bytes(path) as file:
        block = file.read(_MGH_BYTES)
    header = MGHHeader(block, check=False)
    _check(header, path.name)
    placed = any(block[_MGH_GOOD_RAS])
    shape, count = spatial_shape(header.get_data_shape(), path.name)
    pixels = _raw(header, path, shape, count)
    refuse_impossible_size(pixels, path.name)
    return StoredImages(
        path=path,
        files=(path,),
        shape=shape,
        count=count,
        affine=checked_affine(LPS_TO_RAS @ header.get_affine(), path.name),
        pixels=pixels,
        unverified=not placed,
        notes=() if placed else (no_orientation(path.name),),
    )


def _analyze_images(path: Path, block: bytes) -> StoredImages:
    # The SPM kind of header differs in fields that plain Analyze leaves unused.
    from nibabel.spm2analyze import Spm2AnalyzeHeader

    header = Spm2AnalyzeHeader(block[:_NIFTI1_BYTES], check=False)
    voxel_size = np.array(header["pixdim"][1:4], dtype=float)
    name = path.name
    _check(header, name)
    files = (path, data_of(path))
    shape, count = spatial_shape(header.get_data_shape(), name)
    pixels = _raw(header, files[1], shape, count)
    refuse_impossible_size(pixels, name)
    sizes = voxel_size[[n > 1 for n in shape]]
    if not (np.isfinite(sizes) & (sizes != 0)).all():
        raise UnsupportedStudyError(
            f"{name}: no voxel size stored; lengths are unknown. Not opened."
        )
    notes = [no_orientation(name)]
    matrix = path.with_name(f"{stem_of(path)}.mat")
    if matrix.is_file():
        notes.append(
            f"{name}: the orientation that SPM keeps in {matrix.name} is not read; save the image"
            " as NIfTI to have it."
        )
    return StoredImages(
        path=path,
        files=files,
        shape=shape,
        count=count,
        affine=checked_affine(LPS_TO_RAS @ header.get_best_affine(), name),
        pixels=pixels,
        unverified=True,
        notes=tuple(notes),
    )


def _check(header: Any, name: str) -> None:
    """Mend a header as nibabel does; what cannot be mended raises an error of nibabel's."""
    try:
        known = header.get_data_dtype().itemsize > 0
    except KeyError:
        known = False
    if not known:
        raise UnsupportedStudyError(
            f"{name}: its values are stored as a type of number that is not read. Not opened."
        )
    header.check_fix(_SILENT, _FAULT)


def _raw(header: Any, path: Path, shape: tuple[int, int, int], count: int) -> RawPixels:
    slope, intercept = header.get_slope_inter()
    return RawPixels(
        path,
        header.get_data_dtype(),
        shape,
        count,
        header.get_data_offset(),
        np.array(1.0 if slope is None else slope, dtype=np.float64),
        np.array(0.0 if intercept is None else intercept, dtype=np.float64),
    )


def _lps_affine(header: Any, name: str) -> Affine:
    """Index → LPS mm, whatever the header's unit."""
    try:
        ras = np.array(header.get_best_affine(), dtype=float)
    except Exception as error:  # a quaternion that is no rotation
        raise UnsupportedStudyError(invalid_orientation(name)) from error
    ras[:3] *= unit_in_mm(header)
    lps: Affine = LPS_TO_RAS @ ras
    return lps


def _windows(header: Any) -> tuple[Window, ...]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return ()
    return (Window((low + high) / 2, high - low),)
