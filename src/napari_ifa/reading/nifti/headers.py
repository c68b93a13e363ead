"""Headers of NIfTI-1, NIfTI-2, Analyze and FreeSurfer files; no voxel is read.

Only the fixed block of a header is read: NIfTI extensions hold nothing that an image needs, and
may hold a whole DICOM header with names. What cannot be opened is an UnsupportedStudyError with one
sentence; a damaged header raises an error of nibabel's.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.gzipped import open_unpacked
from napari_ifa.reading.nifti.names import data_of, suffix_of
from napari_ifa.reading.nifti.orientation import (
    checked_affine,
    doubt_of_lengths,
    doubt_of_sides,
    nifti_affine,
    no_orientation,
    refuse_unknown_lengths,
)
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.reading.nifti.stored import StoredImages, proxied
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.volumes.volume import LPS_TO_RAS, Window

_NIFTI1_BYTES = 348
_NIFTI2_BYTES = 540
_NIFTI2_STARTS = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")
#: They follow the header, and say whether extensions follow them.
_EXTENSION_FLAG_BYTES = 4
#: Intent codes of CIFTI files, whose axes are no axes of space.
_CIFTI = range(3000, 3100)
#: nibabel reports what it mends in a header; notes tell the person what matters.
_SILENT = logging.getLogger("napari_ifa.nibabel.silent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
#: A fault of a header from this level on is not mended.
_FAULT = 40
_MGH_BYTES = 284
_MGH_GOOD_RAS = slice(28, 30)


def nifti_images(path: Path) -> StoredImages:
    """The images of a NIfTI or Analyze file (``.nii``, ``.hdr``), by its header."""
    import nibabel

    with open_unpacked(path) as file:
        block = file.read(_NIFTI1_BYTES)
        if block[:4] in _NIFTI2_STARTS:
            block += file.read(_NIFTI2_BYTES - _NIFTI1_BYTES)
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
    moved = _voxels_behind_header(header, path) if is_single else ()
    _check(header, name)
    if int(header["intent_code"]) in _CIFTI:
        raise UnsupportedStudyError(NiftiProblem.CIFTI, name=name)
    stored = proxied(path, (path,) if is_single else (path, data_of(path)), header)
    shape = stored.shape
    affine, mended = nifti_affine(header, name)
    if int(header["sform_code"]) <= 0:
        refuse_unknown_lengths(voxel_size, shape, name)
    doubt = doubt_of_sides(header, affine, voxel_size, name)
    return replace(
        stored,
        affine=affine,
        header=header,
        windows=_windows(header),
        unverified=bool(doubt),
        notes=(*moved, *mended, *doubt, *doubt_of_lengths(header, voxel_size, shape, name)),
    )


def mgh_images(path: Path) -> StoredImages:
    """The images of a FreeSurfer file (``.mgh``, ``.mgz``), by its header."""
    from nibabel.freesurfer.mghformat import MGHHeader

    with open_unpacked(path) as file:
        block = file.read(_MGH_BYTES)
    header = MGHHeader(block, check=False)
    _check(header, path.name)
    placed = any(block[_MGH_GOOD_RAS])
    return replace(
        proxied(path, (path,), header),
        affine=checked_affine(LPS_TO_RAS @ header.get_affine(), path.name),
        unverified=not placed,
        notes=() if placed else (no_orientation(path.name),),
    )


def _analyze_images(path: Path, block: bytes) -> StoredImages:
    # The SPM kind of header differs in fields that plain Analyze leaves unused.
    from nibabel.spm2analyze import Spm2AnalyzeHeader

    header = Spm2AnalyzeHeader(block, check=False)
    voxel_size = np.array(header["pixdim"][1:4], dtype=float)
    name = path.name
    _check(header, name)
    stored = proxied(path, (path, data_of(path)), header)
    refuse_unknown_lengths(voxel_size, stored.shape, name)
    affine = checked_affine(LPS_TO_RAS @ header.get_best_affine(), name)
    return replace(stored, affine=affine, unverified=True, notes=(no_orientation(name),))


def _check(header: Any, name: str) -> None:
    """Mend a header as nibabel does; what cannot be mended raises an error of nibabel's."""
    try:
        known = header.get_data_dtype().itemsize > 0
    except KeyError:
        known = False
    if not known:
        raise UnsupportedStudyError(NiftiProblem.VALUE_TYPE, file=name)
    header.check_fix(_SILENT, _FAULT)


def _voxels_behind_header(header: Any, path: Path) -> tuple[str, ...]:
    """Put right where the voxels of a single file begin, and say so.

    Nothing but the header lies before byte 352 (NIfTI-2: 544), so a smaller ``vox_offset`` cannot
    be meant; the reference library (niftilib's nifti1_io) reads from there, too.
    """
    stated, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if not stated < least:
        return ()
    with open_unpacked(path) as file:
        file.seek(least - _EXTENSION_FLAG_BYTES)
        has_extensions = file.read(1) not in (b"", b"\0")
    if has_extensions:
        raise UnsupportedStudyError(NiftiProblem.PLACE_OF_VOXELS, vox_offset=stated, file=path.name)
    header["vox_offset"] = least
    return (Note(NiftiNote.VOXELS_MOVED, file=path.name, vox_offset=stated, read_from=least),)


def _windows(header: Any) -> tuple[Window, ...]:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (np.isfinite(low) and np.isfinite(high) and high > low):
        return ()
    return (Window((low + high) / 2, high - low),)
