"""Slices that a vendor tiled into one image: Siemens mosaics and United Imaging's volumes."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header import tags
from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.problems import DicomProblem

#: Slices of one image side by side; real ones have at most some hundred.
_MOST_TILES = 4096
_DIRECTION_TOLERANCE = 1e-2


def is_tiled(fields: Fields) -> bool:
    """Whether the image holds several slices side by side."""
    return _is_mosaic(fields) or _is_united(fields)


def tiles(frame: Frame, fields: Fields) -> list[Frame]:
    """A row for each slice; or one row that says why the image is not opened."""
    return _mosaic(frame, fields) if _is_mosaic(fields) else _united(frame, fields)


def _is_mosaic(fields: Fields) -> bool:
    if "MOSAIC" in fields.codes("ImageType"):
        return True
    count = fields.short(tags.SIEMENS_MOSAIC_TILES)
    return bool(count and count > 1) and fields.ascii(tags.SIEMENS_CREATOR).startswith("SIEMENS")


def _is_united(fields: Fields) -> bool:
    return "VFRAME" in fields.codes("ImageType") or fields.has(tags.UNITED_TILES)


def _mosaic(frame: Frame, fields: Fields) -> list[Frame]:
    csa_normal, csa_count = _csa_header(fields)
    count = fields.short(tags.SIEMENS_MOSAIC_TILES) or csa_count
    plane = (frame.image_position_patient, frame.image_orientation_patient, frame.pixel_spacing)
    if csa_normal is None or not count or None in plane:
        return [_refused(frame, DicomProblem.MOSAIC_WITHOUT_HEADER)]
    step = fields.number("SpacingBetweenSlices") or 0.0
    if step <= 0:
        # The thickness is no distance: most functional images have gaps between their slices.
        return [_refused(frame, DicomProblem.MOSAIC_WITHOUT_DISTANCE)]
    side = math.ceil(math.sqrt(count))
    if not _fits(frame, side, side, count):
        return [_refused(frame, DicomProblem.MOSAIC_WITHOUT_HEADER)]
    rows, columns = frame.rows // side, frame.columns // side
    assert frame.image_position_patient is not None
    assert frame.pixel_spacing is not None
    right, down = np.reshape(np.array(frame.image_orientation_patient), (2, 3))
    normal = np.cross(right, down)
    if abs(abs(normal @ csa_normal) - 1) > _DIRECTION_TOLERANCE:
        return [_refused(frame, DicomProblem.MOSAIC_WITHOUT_HEADER)]
    # The header places the mosaic as if it were one large slice with the same middle.
    origin = (
        np.array(frame.image_position_patient)
        + right * frame.pixel_spacing[1] * (frame.columns - columns) / 2
        + down * frame.pixel_spacing[0] * (frame.rows - rows) / 2
    )
    direction = normal * np.sign(normal @ csa_normal)
    return [
        replace(
            frame,
            rows=rows,
            columns=columns,
            tile=(k // side * rows, k % side * columns),
            image_position_patient=tuple(float(x) for x in origin + direction * step * k),
        )
        for k in range(count)
    ]


def _united(frame: Frame, fields: Fields) -> list[Frame]:
    items = fields.items(tags.UNITED_TILES)
    across = math.ceil(math.sqrt(len(items))) if items else 0
    down = math.ceil(len(items) / across) if items else 0
    positions = [item.numbers("ImagePositionPatient", 3) for item in items]
    if not items or None in positions or not _fits(frame, down, across, len(items)):
        return [_refused(frame, DicomProblem.TILES_WITHOUT_POSITIONS)]
    rows, columns = frame.rows // down, frame.columns // across
    return [
        replace(
            frame,
            rows=rows,
            columns=columns,
            tile=(k // across * rows, k % across * columns),
            image_position_patient=position,
            image_orientation_patient=items[k].numbers("ImageOrientationPatient", 6)
            or frame.image_orientation_patient,
            # Times differ from tile to tile, and say nothing about the image as a whole.
            traits=replace(frame.traits, acquisition_time="", content_time=""),
        )
        for k, position in enumerate(positions)
    ]


def _fits(frame: Frame, down: int, across: int, count: int) -> bool:
    """Whether the image divides into so many tiles."""
    return (
        0 < count <= _MOST_TILES
        and frame.image.number_of_frames == 1
        and frame.rows % down == 0
        and frame.columns % across == 0
    )


def _refused(frame: Frame, kind: DicomProblem) -> Frame:
    return replace(frame, image=replace(frame.image, refused=kind))


def _csa_header(fields: Fields) -> tuple[NDArray[np.float64] | None, int]:
    """Of Siemens' private header: the slices' direction, and their number."""
    for creator, header in zip(tags.CSA_CREATORS, tags.CSA_HEADERS, strict=True):
        if fields.ascii(creator).startswith("SIEMENS CSA HEADER") and fields.raw(header):
            return _parsed(fields.raw(header))
    return None, 0


@cache
def _csareader() -> Any:
    """nibabel's module, which warns at its first import that it is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module("nibabel.nicom.csareader")


def _parsed(header: bytes) -> tuple[NDArray[np.float64] | None, int]:
    try:
        csareader = _csareader()
        csa = csareader.read(header)
        normal = csareader.get_slice_normal(csa)
        count = int(csareader.get_n_mosaic(csa) or 0)
    except Exception:  # the header is private and may hold anything
        return None, 0
    if normal is None or not np.isfinite(normal).all():
        return None, count
    length = float(np.linalg.norm(normal))
    return np.asarray(normal, dtype=float) / length if length else None, count
