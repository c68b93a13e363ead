"""DICOM: from files to a list of series, and from a series to a Volume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.dicom.header.frame_table import NotAnImage, read_frames
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.pixels.stack_values import frame_values, read_stack
from napari_ifa.reading.dicom.series import listing
from napari_ifa.reading.dicom.series.refusals import damaged
from napari_ifa.reading.series import Series
from napari_ifa.reading.threads import in_threads
from napari_ifa.volumes.volume import SourceOrder, Volume, volume_from_file_order

__all__ = ["dicom_series", "read_dicom", "scan_frames"]


def scan_frames(
    files: Sequence[Path],
    parsed: Mapping[Path, list[Frame]],
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[tuple[Path, list[Frame] | NotAnImage]]:
    """Each file with its rows of the frame table, or with the reason why it has none.

    ``parsed`` holds the rows that are known already.
    """
    return in_threads(
        lambda file: (file, parsed.get(file) or read_frames(file)), files, progress, stop
    )


def dicom_series(frames: Sequence[Frame], root: Path) -> list[Series]:
    """The series that the rows of a frame table form; ``root`` is the folder scanned."""
    return listing.dicom_series(frames, root, frame_values)


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
    """
    stack = series.stack
    if stack is None:
        raise series.refusal
    shown = [frame for frame in stack.frames if frame is not None]
    middle = shown[len(shown) // 2]
    values, broken = read_stack(stack, progress, stop)
    if stack.resampling is not None:
        # Interpolated from their neighbours, which would hide that they are missing.
        values[:, :, list(stack.report.missing)] = values.min()
    lost = [frame for k in broken if (frame := stack.frames[k]) is not None]
    report = replace(
        stack.report,
        missing=tuple(sorted({*stack.report.missing, *broken})),
        notes=(*stack.report.notes, *dict.fromkeys(map(damaged, lost))),
    )
    return volume_from_file_order(
        values,
        stack.affine,
        SourceOrder(
            kind="dicom",
            placed=stack.placed,
            frames=stack.frames,
            computed=middle.image.is_parametric_map,
        ),
        modality=series.modality,
        description=series.description,
        windows=middle.windows,
        inverted=middle.image.photometric_interpretation == "MONOCHROME1",
        report=report,
    )
