"""From the frame table to the images that can be chosen."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.grouping import group_frames
from napari_ifa.volumes.dicom.refusals import cut_off, not_told_apart, refusal
from napari_ifa.volumes.dicom.splitting import split_frames
from napari_ifa.volumes.dicom.stack import Stack
from napari_ifa.volumes.dicom.stacking import (
    Run,
    regular_runs,
    stack_frames,
    stack_without_place,
)
from napari_ifa.volumes.series import Series
from napari_ifa.volumes.volume import SourceOrder, volume_from_file_order

#: Where images of one series are slices of one thing, even without their positions.
_SLICED = ("CT", "MR", "PT", "NM")
#: Runs of equal distance that are offered of one stack: a person chooses from them.
_MOST_RUNS = 8


def dicom_series(frames: Sequence[Frame], root: Path) -> list[Series]:
    """The series that the rows of a frame table form; ``root`` is the folder scanned."""
    listed = [
        _series(text, choice)
        for text, group in group_frames(frames, root).items()
        for choice in _choices(group)
    ]
    studies = sorted({_study(series) for series in listed})
    if len(studies) < 2:
        return listed
    place = {study: number for number, study in enumerate(studies, start=1)}
    return [
        replace(series, study=place[_study(series)], study_date=_study(series)[0])
        for series in listed
    ]


def _study(series: Series) -> tuple[str, str]:
    """Date and UID of the study that a series is of."""
    image = series.frames[0].image
    return image.study_date, image.study_uid


def stack_of(series: Series) -> Stack:
    """The stack that a listed series forms.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where it cannot be shown rightly.
    """
    placed = series.question is None and series.frames[0].position is not None
    return stack_frames(series.frames) if placed else stack_without_place(series.frames)


@dataclass(frozen=True)
class _Choice:
    """Frames of one image, and how it is offered."""

    frames: tuple[Frame, ...]
    part: str = ""
    question: str | None = None
    alternative: bool = False
    note: str = ""


def _choices(group: list[Frame]) -> Iterator[_Choice]:
    if refusal(group) is not None:
        yield _Choice(tuple(group))
    elif group[0].position is None:
        yield from _without_place(group)
    else:
        for part in split_frames(group):
            if not part.separated:
                yield _Choice(part.frames, part.label, not_told_apart(part.frames))
                continue
            note = cut_off(part.frames, part.cut_off) if part.cut_off else ""
            yield _Choice(part.frames, part.label, note=note)
            for run in _runs(part.frames):
                last = run.first + len(run.frames)
                name = f"slices {run.first + 1}–{last}, {run.gap:.2f} mm apart"
                label = ", ".join(filter(None, (part.label, name)))
                yield _Choice(run.frames, label, alternative=True)


def _runs(frames: tuple[Frame, ...]) -> list[Run]:
    """The longest runs of equal distance, in their order along the stack."""
    try:
        runs = regular_runs(frames)
    except UnsupportedStudyError:
        return []
    longest = sorted(runs, key=lambda run: len(run.frames), reverse=True)[:_MOST_RUNS]
    return [run for run in runs if run in longest]


def _without_place(group: list[Frame]) -> Iterator[_Choice]:
    """One image for each file, but for slices of a scanner whose positions have been lost."""
    files: dict[Path, list[Frame]] = {}
    for frame in group:
        files.setdefault(frame.image.path, []).append(frame)
    if len(files) == len(group) and group[0].image.modality in _SLICED:
        yield _Choice(tuple(group))
        return
    for number, frames in enumerate(files.values(), start=1):
        part = f"image {number} of {len(files)}" if len(files) > 1 else ""
        yield _Choice(tuple(frames), part)


def _series(text: str, choice: _Choice) -> Series:
    frames = choice.frames
    image = frames[0].image
    files = tuple(dict.fromkeys(frame.image.path for frame in frames))
    series = Series(
        key=hashlib.sha256(os.fsencode(f"{text}|{choice.part}")).hexdigest()[:8],
        path=Path(os.path.commonpath([file.parent for file in files])),
        kind="dicom",
        modality=image.modality,
        description=image.description,
        part=choice.part,
        number=image.number,
        image_count=len(frames),
        question=choice.question,
        alternative=choice.alternative,
        files=files,
        frames=frames,
    )
    try:
        stack = stack_of(series)
    except UnsupportedStudyError as error:
        return replace(series, unsupported=str(error))
    # A view of one zero: the geometry of the Volume without its pixels.
    empty = np.broadcast_to(np.zeros((), np.int16), stack.shape)
    volume = volume_from_file_order(
        empty, stack.affine, SourceOrder(kind="dicom", placed=stack.placed), report=stack.report
    )
    return replace(
        series,
        shape=volume.shape,
        spacing=volume.report.spacing_mm,
        orientation=volume.plane,
        notes=(*volume.report.notes, *filter(None, (choice.note,))),
    )
