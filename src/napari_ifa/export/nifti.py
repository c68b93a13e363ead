"""Write a Volume, as an explanation on its grid is, as a NIfTI file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from napari_ifa.disk import PRODUCT, whole_file
from napari_ifa.errors import IfaError
from napari_ifa.export.problems import ExportProblem, unwritten_said
from napari_ifa.reading.nifti import is_nifti_name, unit_in_mm
from napari_ifa.volumes.volume import Affine, Volume

#: Affines that differ less than this (mm) are the same grid.
_SAME_GRID = 1e-4
_SCANNER_COORDINATES = 1
#: Bytes of a description; the last one ends it.
_DESCRIPTION = 79


def write_nifti(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    description: str = "",
    overwrite: bool = False,
) -> Path:
    """Write the values as float32 on the grid of the file that the Volume came from.

    The axes stand in the source's own order. A NIfTI source's affine, form codes and units are
    kept; its display range, intent and extensions, which speak of other values, are not. Where the
    source states no orientation, as a picture, the file states none either (form codes 0).

    Parameters
    ----------
    description : of the values; the header has room for some 70 letters of it.
    overwrite : replace a NIfTI file that is there already.

    Returns
    -------
    Path
        The file written. It appears whole or not at all; missing folders are made.

    Raises
    ------
    ExistingOutputError
        There is one already, and ``overwrite`` was not asked for.
    IfaError
        Where the name does not end in ``.nii`` or ``.nii.gz``, or the file cannot be written.
    """
    import nibabel

    path = Path(path)
    if not is_nifti_name(path):
        raise IfaError(ExportProblem.NO_NIFTI_NAME, file=path.name)
    array, ras_affine = volume.in_source_order()
    values = np.ascontiguousarray(array, dtype=np.float32)
    header, affine = _header(volume, ras_affine)
    header.set_data_dtype(np.float32)
    header["cal_min"] = header["cal_max"] = 0
    header["intent_code"] = 0
    header["intent_name"] = b""
    header["descrip"] = _fitting(f"{PRODUCT}: {description}" if description else PRODUCT)
    header["aux_file"] = b""
    is_nifti2 = isinstance(header, nibabel.Nifti2Header)
    if not is_nifti2:
        # Fields of an older format in which some scanners leave a name.
        header["db_name"] = header["data_type"] = b""
    image = (nibabel.Nifti2Image if is_nifti2 else nibabel.Nifti1Image)(values, affine, header)
    needed = None if path.name.lower().endswith(".gz") else values.nbytes
    with (
        unwritten_said(f"{path.name}: cannot be written"),
        whole_file(path, "NIfTI", overwrite=overwrite, needed=needed) as part,
    ):
        image.to_filename(part)
    return path


def _fitting(text: str) -> bytes:
    """As much of a text as the header has room for, without half a letter at its end."""
    return text.encode()[:_DESCRIPTION].decode("utf-8", "ignore").encode()


def _header(volume: Volume, ras_affine: Affine) -> tuple[Any, Affine]:
    """A header for the grid, and the affine in the header's own unit."""
    import nibabel

    source = volume.source.header
    if source is None:
        header = nibabel.Nifti1Header()
        header.set_xyzt_units("mm")
        if not volume.source.placed or volume.report.unverified:
            # Left and right are not known, and no code says that but 0: voxel sizes are left.
            _set_size(header, volume, 1.0)
            return header, header.get_best_affine()
        header.set_sform(ras_affine, _SCANNER_COORDINATES)
        header.set_qform(ras_affine, _SCANNER_COORDINATES, strip_shears=True)
        return header, ras_affine
    is_nifti2 = isinstance(source, nibabel.Nifti2Header)
    # Rebuilt as a single file, without the extensions: they may hold a whole DICOM header.
    header = (nibabel.Nifti2Header if is_nifti2 else nibabel.Nifti1Header).from_header(source)
    header.extensions.clear()
    unit = unit_in_mm(source)
    if not (int(source["sform_code"]) or int(source["qform_code"])):
        # A header of two dimensions may hold a third size: nibabel would see another orientation.
        _set_size(header, volume, unit)
    stated = np.asarray(header.get_best_affine(), dtype=float)
    in_mm = stated.copy()
    in_mm[:3] *= unit
    if np.abs(in_mm - ras_affine).max() <= _SAME_GRID:
        # As stated, so that not a digit changes.
        return header, stated
    # On another grid, as of an image that was sheared, but in the same space.
    affine = np.diag([1 / unit] * 3 + [1.0]) @ ras_affine
    space = int(source["sform_code"]) or int(source["qform_code"])
    header.set_sform(affine, space)
    header.set_qform(affine, space, strip_shears=True)
    return header, affine


def _set_size(header: Any, volume: Volume, unit: float) -> None:
    """Voxels and their size along the file's three axes; ``unit`` is the header's, in mm."""
    to_file = np.argsort(volume.source.axes)
    header.set_data_shape([volume.shape[axis] for axis in to_file])
    header.set_zooms([volume.spacing[axis] / unit for axis in to_file])
