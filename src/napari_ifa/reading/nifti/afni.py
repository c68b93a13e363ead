"""AFNI files: a header in text (``.HEAD``) and a data file (``.BRIK``)."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.nifti.names import data_of
from napari_ifa.reading.nifti.stored import (
    RawPixels,
    StoredImages,
    checked_affine,
    read_header_text,
    refuse_impossible_size,
    spatial_shape,
)
from napari_ifa.volumes.volume import LPS_TO_RAS


def afni_images(path: Path) -> StoredImages:
    """The images (sub-bricks) of an AFNI file, by its header.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of nibabel's.
    """
    from nibabel.brikhead import AFNIHeader, parse_AFNI_header

    name = path.name
    info = parse_AFNI_header(StringIO(read_header_text(path)))
    kinds = {int(kind) for kind in np.atleast_1d(info["BRICK_TYPES"])}
    if len(kinds) > 1:
        raise UnsupportedStudyError(
            f"{name}: its images are stored as different types of numbers, which is not read."
            " Not opened."
        )
    if "IJK_TO_DICOM_REAL" not in info:
        raise UnsupportedStudyError(
            f"{name}: no orientation matrix (IJK_TO_DICOM_REAL); save it again with a current"
            " AFNI. Not opened."
        )
    header = AFNIHeader(info)
    shape, count = spatial_shape(header.get_data_shape(), name)
    dtype = header.get_data_dtype()
    if dtype.kind == "c":
        # Stored with half the bytes that nibabel expects.
        raise UnsupportedStudyError(
            f"{name}: complex numbers in an AFNI file are not read. Not opened."
        )
    files = (path, data_of(path))
    # The scale factors have as many entries as the header claims images: looked at afterwards.
    refuse_impossible_size(RawPixels(files[1], dtype, shape, count), name)
    scale = header.get_data_scaling()
    pixels = RawPixels(
        files[1],
        dtype,
        shape,
        count,
        slope=None if scale is None else np.asarray(scale, dtype=float).reshape(count, 1),
        intercept=None if scale is None else np.zeros((1, 1)),
    )
    return StoredImages(
        path=path,
        files=files,
        shape=shape,
        count=count,
        affine=checked_affine(LPS_TO_RAS @ header.get_affine(), name),
        pixels=pixels,
    )
