"""What a header says of the patient's axes: mended where it can be, doubted where it must be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.volumes.geometry_report import Note
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine

_UNIT_IN_MM = {"meter": 1000.0, "micron": 0.001}
_QUATERNION = ("quatern_b", "quatern_c", "quatern_d")
#: The squares of the three may add up to more than 1 by this much: they were rounded, to single
#: precision or to the digits of a text.
_ROUNDING = 1e-3
_SCANNER_COORDINATES = 1
#: Relative difference of lengths that is a rounding.
_SAME_LENGTH = 0.01
#: Shortest and longest distance of voxels in mm: a nanometre, ten metres.
_LENGTHS = (1e-6, 1e4)
#: Farthest place in mm.
_FARTHEST = 1e7
#: Volume of the unit cell, relative to a right-angled one, below which the axes lie in a plane.
_SINGULAR = 1e-6


def unit_in_mm(header: Any) -> float:
    """Length of the header's spatial unit; mm where it names none."""
    try:
        return _UNIT_IN_MM.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        return 1.0


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
        raise UnsupportedStudyError(NiftiProblem.INVALID_ORIENTATION, name=name)
    return affine


def nifti_affine(header: Any, name: str) -> tuple[Affine, tuple[str, ...]]:
    """Index → LPS mm of a NIfTI header, and what was mended in the header for it.

    Raises
    ------
    UnsupportedStudyError
        Where neither sform nor qform is an orientation.
    """
    _shorten_quaternion(header)
    said: tuple[str, ...] = ()
    both = int(header["sform_code"]) > 0 and int(header["qform_code"]) > 0
    sform, qform = (
        both and _is_valid(matrix, header, name) for matrix in (header.get_sform, header.get_qform)
    )
    if qform and not sform:
        header["sform_code"] = 0
        said = (Note(NiftiNote.SHOWN_BY_QFORM, file=name),)
    return _lps(header.get_best_affine, header, name), said


def refuse_unknown_lengths(
    voxel_size: NDArray[np.float64], shape: tuple[int, int, int], name: str
) -> None:
    """Raise UnsupportedStudyError where a size is not stated: nibabel would take 1 for it."""
    sizes = voxel_size[[n > 1 for n in shape]]
    if not (np.isfinite(sizes) & (sizes != 0)).all():
        raise UnsupportedStudyError(NiftiProblem.NO_VOXEL_SIZE, name=name)


def no_orientation(name: str) -> Note:
    """Of a file that does not say where left and right are."""
    return Note(NiftiNote.NO_ORIENTATION, file=name)


def doubt_of_sides(
    header: Any, lps_affine: Affine, voxel_size: NDArray[np.float64], name: str
) -> tuple[str, ...]:
    """The sentence for a header that states no orientation, or one that can be read in two ways."""
    from nibabel.orientations import aff2axcodes

    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if sform <= 0 and qform <= 0:
        return (no_orientation(name),)
    if sform <= 0 and (voxel_size < 0).any():
        # The standard wants them positive; some readers take the sign for a flip.
        return (Note(NiftiNote.NEGATIVE_VOXEL_SIZE, file=name),)
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
    return (Note(NiftiNote.TWO_ORIENTATIONS, file=name),) if mirrored or turned else ()


def doubt_of_lengths(
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
    sform, pixdim = (" × ".join(f"{n:g}" for n in each) for each in (lengths, stated))
    return (Note(NiftiNote.TWO_VOXEL_SIZES, file=name, sform=sform, pixdim=pixdim),)


def _shorten_quaternion(header: Any) -> None:
    """Bring a quaternion that rounding made longer than 1 back to it, in ``header`` itself.

    It then means half a turn, about the axis of the three numbers, as the reference library
    takes it (niftilib, ``nifti_quatern_to_mat44``). nibabel refuses it from 4e-7 on
    (https://github.com/nipy/nibabel/issues/626). What is much longer is no rotation and stays.
    """
    numbers = np.array([float(header[name]) for name in _QUATERNION])
    square = float(numbers @ numbers)
    if not 1 < square <= 1 + _ROUNDING:
        return
    # A last digit below 1, so that the rounding to single precision does not lead above it.
    for name, number in zip(_QUATERNION, numbers / np.sqrt(square) * (1 - 1e-7), strict=True):
        header[name] = number


def _is_valid(matrix: Callable[[], Any], header: Any, name: str) -> bool:
    try:
        _lps(matrix, header, name)
    except UnsupportedStudyError:
        return False
    return True


def _lps(matrix: Callable[[], Any], header: Any, name: str) -> Affine:
    """Index → LPS mm, whatever the header's unit, of one of its matrices."""
    try:
        ras = np.array(matrix(), dtype=float)
    except Exception as error:  # a quaternion that is no rotation
        raise UnsupportedStudyError(NiftiProblem.INVALID_ORIENTATION, name=name) from error
    ras[:3] *= unit_in_mm(header)
    return checked_affine(LPS_TO_RAS @ ras, name)
