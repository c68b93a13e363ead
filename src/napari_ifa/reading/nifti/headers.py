"""Headers of NIfTI-1, NIfTI-2, Analyze and FreeSurfer files; no voxel is read.

Only the fixed block of a header is read: NIfTI extensions hold nothing that an image needs, and
may hold a whole DICOM header with names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import open_unpacked
from napari_ifa.reading.nifti.names import data_of, stem_of, suffix_of
from napari_ifa.reading.nifti.quaternion import unite
from napari_ifa.reading.nifti.stored import (
    RawPixels,
    StoredImages,
    checked_affine,
    invalid_orientation,
    no_orientation,
    refuse_impossible_size,
    spatial_shape,
)
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Window

_UNIT_IN_MM = {"meter": 1000.0, "micron": 0.001}
_NIFTI1_BYTES = 348
_NIFTI2_BYTES = 540
#: They follow the header, and say whether extensions follow them.
_EXTENSION_FLAG_BYTES = 4
#: Intent codes of CIFTI files, whose axes are no axes of space.
_CIFTI = range(3000, 3100)
#: nibabel reports what it mends in a header; the person is told of what matters in notes.
_SILENT = logging.getLogger("napari_ifa.nibabel.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
#: A fault of a header from this level on is not mended.
_FAULT = 40
_SCANNER_COORDINATES = 1
#: Relative difference of lengths that is a rounding.
_SAME_LENGTH = 0.01
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

    with open_unpacked(path) as file:
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
    if not is_single and not suffix_of(path).startswith(".hdr"):
        raise ValueError("a header of a pair, in a file that is none")
    header = kind(block[: kind.sizeof_hdr], check=False)
    voxel_size = np.array(header["pixdim"][1:4], dtype=float)
    name = path.name
    mended = _mended_offset(header, path) if is_single else ()
    _check(header, name)
    if int(header["intent_code"]) in _CIFTI:
        raise UnsupportedStudyError(
            f"{name}: a CIFTI file, whose values lie on the brain's surface; not an image. Not"
            " opened."
        )
    unite(header)
    files = (path,) if is_single else (path, data_of(path))
    shape, count = spatial_shape(header.get_data_shape(), name)
    pixels = _raw(header, files[-1], shape, count)
    refuse_impossible_size(pixels, name)
    mended += _mended_orientation(header, name)
    if int(header["sform_code"]) <= 0:
        # nibabel would take 1 for a size that is not stated.
        sizes = voxel_size[[n > 1 for n in shape]]
        if not (np.isfinite(sizes) & (sizes != 0)).all():
            raise UnsupportedStudyError(
                f"{name}: no voxel size stored; lengths are unknown. Not opened."
            )
    affine = checked_affine(_lps(header.get_best_affine, header, name), name)
    doubt = _doubt_of_sides(header, affine, voxel_size, name)
    return StoredImages(
        path=path,
        files=files,
        shape=shape,
        count=count,
        affine=affine,
        pixels=pixels,
        header=header,
        windows=_windows(header),
        unverified=bool(doubt),
        notes=(*mended, *doubt, *_doubt_of_lengths(header, voxel_size, shape, name)),
    )


def mgh_images(path: Path) -> StoredImages:
    """The images of a FreeSurfer file (``.mgh``, ``.mgz``), by its header.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of nibabel's.
    """
    from nibabel.freesurfer.mghformat import MGHHeader

    with open_unpacked(path) as file:
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


def _mended_offset(header: Any, path: Path) -> tuple[str, ...]:
    """Put right where the voxels of a single file begin, and say so.

    Nothing but the header stands before byte 352 (NIfTI-2: 544), so a smaller ``vox_offset`` cannot
    be meant; the reference library (niftilib's nifti1_io) reads from there, too.
    """
    stated, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if not stated < least:
        return ()
    with open_unpacked(path) as file:
        file.seek(least - _EXTENSION_FLAG_BYTES)
        has_extensions = file.read(1) not in (b"", b"\0")
    if has_extensions:
        raise UnsupportedStudyError(
            f"{path.name}: its header says that extensions stand before the voxels, but not where"
            f" the voxels begin (vox_offset {stated:g}). Not opened."
        )
    header["vox_offset"] = least
    return (
        f"{path.name}: its header places the voxels inside of itself (vox_offset {stated:g}); read"
        f" from byte {least} on, as the format demands.",
    )


def _mended_orientation(header: Any, name: str) -> tuple[str, ...]:
    """Let a valid qform stand for an sform that is no orientation, and say so."""
    if int(header["sform_code"]) <= 0 or int(header["qform_code"]) <= 0:
        return ()
    if _is_valid(header.get_sform, header, name) or not _is_valid(header.get_qform, header, name):
        return ()
    header["sform_code"] = 0
    return (f"{name}: its sform is not a valid orientation; shown by its qform.",)


def _is_valid(matrix: Callable[[], Any], header: Any, name: str) -> bool:
    try:
        checked_affine(_lps(matrix, header, name), name)
    except UnsupportedStudyError:
        return False
    return True


def _lps(matrix: Callable[[], Any], header: Any, name: str) -> Affine:
    """Index → LPS mm, whatever the header's unit, of one of its matrices."""
    try:
        ras = np.array(matrix(), dtype=float)
    except Exception as error:  # a quaternion that is no rotation
        raise UnsupportedStudyError(invalid_orientation(name)) from error
    ras[:3] *= unit_in_mm(header)
    lps: Affine = LPS_TO_RAS @ ras
    return lps


def _doubt_of_sides(
    header: Any, lps_affine: Affine, voxel_size: NDArray[np.float64], name: str
) -> tuple[str, ...]:
    """The sentence for a header that states no orientation, or one that can be read in two ways."""
    from nibabel.orientations import aff2axcodes

    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform <= 0 and qform <= 0:
        return (no_orientation(name),)
    if sform <= 0 and (voxel_size < 0).any():
        # The standard wants them positive; some readers take the sign for a flip.
        return (f"{name}: its voxel size is negative; left and right are unverified.",)
    if sform <= 0 or qform <= 0:
        return ()
    try:
        other = LPS_TO_RAS @ np.array(header.get_qform(), dtype=float)
        # Two spaces may be turned to each other, as a scanner's and an atlas'; no mirror is between
        # them. In the same space both are the same.
        mirrored = np.linalg.det(lps_affine[:3, :3]) * np.linalg.det(other[:3, :3]) <= 0
        turned = sform == qform and aff2axcodes(lps_affine) != aff2axcodes(other)
    except Exception:  # a quaternion that is no rotation: the sform is what there is
        return ()
    if not (mirrored or turned):
        return ()
    return (
        f"{name}: its two orientations (sform and qform) contradict each other; shown by the first,"
        " left and right are unverified.",
    )


def _doubt_of_lengths(
    header: Any, voxel_size: NDArray[np.float64], shape: tuple[int, int, int], name: str
) -> tuple[str, ...]:
    """The sentence for a header whose orientation in the scanner has other voxel sizes than it."""
    if int(header["sform_code"]) != _SCANNER_COORDINATES:
        return ()
    lengths = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
    used = np.array(shape) > 1
    stated = np.abs(voxel_size)
    if np.allclose(lengths[used], stated[used], rtol=_SAME_LENGTH, atol=0):
        return ()
    sizes = [" × ".join(f"{n:g}" for n in each) for each in (lengths, stated)]
    return (
        f"{name}: its two voxel sizes (sform {sizes[0]}, pixdim {sizes[1]}) differ; shown by the"
        " first, check a length before you measure.",
    )


def _windows(header: Any) -> tuple[Window, ...]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return ()
    return (Window((low + high) / 2, high - low),)
