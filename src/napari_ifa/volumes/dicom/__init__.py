"""DICOM series: from files to a list of series, and from a series to a Volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.header import NotAnImage, read_frames
from napari_ifa.volumes.dicom.pixels import read_stack
from napari_ifa.volumes.dicom.refusals import damaged
from napari_ifa.volumes.dicom.stacking import group_frames, stack_frames
from napari_ifa.volumes.series import Progress, Series, Stop
from napari_ifa.volumes.threads import in_threads
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order


def scan_frames(
    files: Sequence[Path], progress: Progress | None = None, stop: Stop | None = None
) -> tuple[list[Frame], list[NotAnImage]]:
    """The frame table of ``files`` and, for each file without an image, why it has none.

    Raises
    ------
    Cancelled
        When ``stop`` says so.
    """
    tables = in_threads(read_frames, files, progress, stop)
    frames = [row for rows in tables if not isinstance(rows, NotAnImage) for row in rows]
    return frames, [rows for rows in tables if isinstance(rows, NotAnImage)]


def dicom_series(frames: Sequence[Frame], root: Path) -> list[Series]:
    """The series that the rows of a frame table form; ``root`` is the folder scanned."""
    return [_series(key, group) for key, group in group_frames(frames, root).items()]


def read_dicom(
    series: Series, progress: Progress | None = None, stop: Stop | None = None
) -> Volume:
    """The image of one series, with its values in the modality's units (HU for CT).

    ``in_source_order()`` of the result is ``[column, row, slice]`` with slices by instance
    number, as MONAI's ``PydicomReader`` gives it.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the series cannot be opened rightly.
    Cancelled
        When ``stop`` says so.
    """
    stack = stack_frames(series.frames)
    shown = [frame for frame in stack.frames if frame is not None]
    middle = shown[len(shown) // 2]
    values, broken = read_stack(stack, progress, stop)
    if broken:
        first = stack.frames[broken[0]]
        assert first is not None
        raise UnsupportedStudyError(damaged(first))
    return volume_from_file_order(
        values,
        stack.affine,
        SourceOrder(kind="dicom", frames=stack.frames, archive=series.archive),
        modality=series.modality,
        description=series.description,
        windows=middle.windows,
        inverted=middle.image.photometric == "MONOCHROME1",
        report=stack.report,
    )


def _series(key: str, frames: list[Frame]) -> Series:
    first = frames[0]
    files = tuple(dict.fromkeys(frame.image.path for frame in frames))
    shape = spacing = unsupported = None
    orientation = ""
    try:
        stack = stack_frames(frames)
        # A view of one zero: the geometry of the Volume without its pixels.
        empty = np.broadcast_to(np.zeros((), np.int16), stack.shape)
        volume = volume_from_file_order(empty, stack.affine, SourceOrder(kind="dicom"))
        shape, spacing, orientation = volume.shape, volume.spacing, volume.plane
    except UnsupportedStudyError as error:
        unsupported = str(error)
    return Series(
        key=key,
        path=Path(os.path.commonpath([file.parent for file in files])),
        kind="dicom",
        modality=first.image.modality,
        description=first.image.description,
        number=first.image.number,
        image_count=len(frames),
        shape=shape,
        spacing=spacing,
        orientation=orientation,
        unsupported=unsupported,
        files=files,
        frames=tuple(frames),
    )
