"""Philips PAR/REC: a header in text, one line for each slice, and a file of slices."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine

#: Characters of a line; nibabel's parser takes a time that grows with their third power.
_LONGEST_LINE = 2000
#: mm that a slice's own position may differ from the header's geometry; positions are rounded
#: to 0.01 mm.
_SAME_PLACE = 0.1
#: (anterior-posterior, feet-head, right-left) of the header → LPS.
_LPS_OF_PHILIPS = [2, 0, 1]
#: What all slices of one image share.
_ALIKE = (
    "echo number",
    "dynamic scan number",
    "cardiac phase number",
    "image_type_mr",
    "diffusion b value number",
    "gradient orientation number",
    "label type",
)
_IMAGE_TYPES = {0: "magnitude", 1: "real", 2: "imaginary", 3: "phase"}


def parrec_images(path: Path) -> StoredImages:
    """The images of a Philips PAR/REC pair, by its header.

    The header states the geometry twice: for the whole stack, which nibabel goes by, and for each
    slice. Where the two differ, the order or the place of the slices is not known.

    Raises
    ------
    UnsupportedStudyError
        With one sentence. A damaged header raises an error of nibabel's.
    """
    from nibabel.parrec import PARRECHeader, parse_PAR_header

    name = path.name
    text = read_header_text(path)
    if max(map(len, text.splitlines()), default=0) > _LONGEST_LINE:
        raise ValueError("a line that no PAR file has")
    info, lines = parse_PAR_header(StringIO(text))
    for field, words in (("slice orientation", "orientations"), ("recon resolution", "sizes")):
        if (lines[field] != lines[field][0]).any():
            raise UnsupportedStudyError(
                f"{name}: slices of several {words} in one file; export each stack by itself. Not"
                " opened."
            )
    if len(np.unique(lines["slice number"])) != info["max_slices"]:
        raise UnsupportedStudyError(_incomplete(name))
    # Fewer times or contrasts than were planned, as in a map that was computed, are no fault; that
    # each image is whole is looked at below.
    header = PARRECHeader(info, lines, permit_truncated=True, strict_sort=True)
    files = (path, data_of(path))
    shape, count = spatial_shape(header.get_data_shape(), name)
    sorted_lines = header.get_sorted_slice_indices()
    if not _are_whole(lines[sorted_lines].reshape(count, shape[2])) or len(sorted_lines) < len(
        lines
    ):
        raise UnsupportedStudyError(_incomplete(name))
    place = lines["index in REC file"]
    if sorted(place.tolist()) != list(range(len(place))):
        raise UnsupportedStudyError(
            f"{name}: it is not clear where in {files[1].name} each slice stands. Not opened."
        )
    pixels = RawPixels(
        files[1],
        header.get_data_dtype(),
        shape,
        count,
        slope=lines["rescale slope"][sorted_lines].reshape(count, shape[2]),
        intercept=lines["rescale intercept"][sorted_lines].reshape(count, shape[2]),
        order=place[sorted_lines].reshape(count, shape[2]),
    )
    refuse_impossible_size(pixels, name)
    affine = checked_affine(LPS_TO_RAS @ header.get_affine(), name)
    stated = lines["image offcentre"][sorted_lines].reshape(count, shape[2], 3)
    angles = lines["image angulation"] - info["angulation"]
    if not (
        np.abs(stated[..., _LPS_OF_PHILIPS] - _slice_centres(affine, shape)).max() <= _SAME_PLACE
        and np.abs(angles).max() <= _SAME_PLACE
    ):
        raise UnsupportedStudyError(
            f"{name}: the slices do not lie where the header's geometry puts them; export the"
            " recording as DICOM. Not opened."
        )
    return StoredImages(
        path=path,
        files=files,
        shape=shape,
        count=count,
        affine=affine,
        pixels=pixels,
        modality="MR",
        notes=_notes(name, len(np.unique(lines["dynamic scan number"])), info["max_dynamics"]),
        labels=_labels(lines, sorted_lines, shape[2], count),
    )


def _are_whole(images: Any) -> bool:
    """Whether the slices ``[image, z]`` of each image were taken alike, and are in order."""
    alike = all(
        (images[field] == images[field][:, :1]).all()
        for field in _ALIKE
        if field in images.dtype.names
    )
    slices = images["slice number"]
    return alike and bool((slices == np.arange(1, slices.shape[1] + 1)).all())


def _incomplete(name: str) -> str:
    return (
        f"{name}: the list of images is incomplete; export the recording again, or as DICOM. Not"
        " opened."
    )


def _notes(name: str, recorded: int, planned: int) -> tuple[str, ...]:
    if recorded == planned:
        return ()
    return (f"{name}: recorded at {recorded} of {planned} times that were planned.",)


def _slice_centres(affine: Affine, shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """``[z, 3]``, LPS mm."""
    index = np.ones((shape[2], 4))
    index[:, 0], index[:, 1] = (shape[0] - 1) / 2, (shape[1] - 1) / 2
    index[:, 2] = np.arange(shape[2])
    centres: NDArray[np.float64] = (index @ affine.T)[:, :3]
    return centres


def _labels(lines: Any, sorted_lines: NDArray[np.intp], slices: int, count: int) -> tuple[str, ...]:
    """Magnitude, phase and so on, and the echo, of each image where these differ."""
    first = sorted_lines[::slices][:count]
    kinds = lines["image_type_mr"][first].tolist()
    echoes = lines["echo number"][first].tolist()
    words = []
    for kind, echo in zip(kinds, echoes, strict=True):
        parts = [_IMAGE_TYPES.get(kind, f"image type {kind}")] if len(set(kinds)) > 1 else []
        parts += [f"echo {echo}"] if len(set(echoes)) > 1 else []
        words.append(", ".join(parts))
    return tuple(words)
