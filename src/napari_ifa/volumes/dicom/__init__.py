"""DICOM: from files to a list of series, and from a series to a Volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.header import NotAnImage, read_frames
from napari_ifa.volumes.dicom.listing import dicom_series, stack_of
from napari_ifa.volumes.dicom.pixels import read_stack
from napari_ifa.volumes.series import Progress, Series, Stop
from napari_ifa.volumes.threads import in_threads
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order

__all__ = ["dicom_series", "read_dicom", "scan_frames"]


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


def read_dicom(
    series: Series, progress: Progress | None = None, stop: Stop | None = None
) -> Volume:
    """The image of one series, with its values in the modality's units (HU for CT).

    ``in_source_order()`` of the result is ``[column, row, slice]`` with slices by instance
    number, as MONAI's ``PydicomReader`` gives it. Missing and damaged slices are blank: they have
    the lowest value of all.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where the series cannot be opened rightly.
    Cancelled
        When ``stop`` says so.
    """
    stack = stack_of(series)
    shown = [frame for frame in stack.frames if frame is not None]
    middle = shown[len(shown) // 2]
    return volume_from_file_order(
        read_stack(stack, progress, stop),
        stack.affine,
        SourceOrder(kind="dicom", placed=stack.placed, frames=stack.frames, archive=series.archive),
        modality=series.modality,
        description=series.description,
        windows=middle.windows,
        inverted=middle.image.photometric == "MONOCHROME1",
        report=replace(stack.report),
    )
