"""From the frame table to the images that can be chosen."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.identity import Claims, one_each
from napari_ifa.reading.dicom.series.copies import Decode
from napari_ifa.reading.dicom.series.grouping import Group, group_frames
from napari_ifa.reading.dicom.series.joining import join_single_slices
from napari_ifa.reading.dicom.series.refusals import cut_off, not_told_apart, refusal
from napari_ifa.reading.dicom.series.splitting import SLICED, split_frames
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.dicom.series.stacking import (
    Run,
    regular_runs,
    stack_frames,
    stack_without_place,
)
from napari_ifa.reading.series import Series
from napari_ifa.volumes.volume import SourceOrder, volume_from_file_order

#: Runs of equal distance that are offered of one stack: a person chooses from them.
_MOST_RUNS = 8


def dicom_series(frames: Sequence[Frame], root: Path, decode: Decode) -> list[Series]:
    """The series that the rows of a frame table form; ``root`` is the folder scanned.

    ``decode`` gives the values of frames that may be copies of one another.
    """
    listed: list[Series] = []
    studies: list[Claims] = []
    for group in join_single_slices(group_frames(frames, root, decode), decode):
        for choice in _choices(group.frames, decode):
            listed.append(_series(group, choice))
            studies.append(group.claims.of_the_study())
    listed = _with_keys_of_their_own(listed)
    whose = one_each(studies)
    known = sorted(set(whose.values()), key=Claims.sort_key)
    if len(known) < 2:
        return listed
    return [
        replace(
            series,
            study=known.index(whose[study]) + 1,
            study_date=series.frames[0].image.claims.study_date,
        )
        for series, study in zip(listed, studies, strict=True)
    ]


def _with_keys_of_their_own(listed: Sequence[Series]) -> list[Series]:
    """The series, of which no two have one key."""
    seen: Counter[str] = Counter()
    unique = []
    for series in listed:
        key, seen[series.key] = series.key, seen[series.key] + 1
        again = seen[key] - 1
        unique.append(replace(series, key=_key(f"{key}|{again}")) if again else series)
    return unique


def _stack_of(choice: _Choice) -> Stack:
    frames = choice.frames
    placed = choice.question is None and frames[0].image_position_patient is not None
    if placed and len(frames) > 1 and frames[0].tile is None:
        placed = len({frame.image_position_patient for frame in frames}) > 1
    return stack_frames(frames) if placed else stack_without_place(frames)


@dataclass(frozen=True)
class _Choice:
    """Frames of one image, and how it is offered."""

    frames: tuple[Frame, ...]
    part: str = ""
    question: str | None = None
    alternative: bool = False
    notes: tuple[str, ...] = ()


def _choices(group: list[Frame], decode: Decode) -> Iterator[_Choice]:
    if refusal(group) is not None:
        yield _Choice(tuple(group))
    elif group[0].image_position_patient is None:
        yield from _without_place(group)
    else:
        for part in split_frames(group, decode):
            if not part.separated:
                question = not_told_apart(part.frames, part.differing)
                yield _Choice(part.frames, part.label, question, notes=part.notes)
                continue
            notes = part.notes
            if part.cut_off:
                notes = (*notes, cut_off(part.frames, part.cut_off))
            yield _Choice(part.frames, part.label, notes=notes)
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
    if len(files) == len(group) and group[0].image.modality in SLICED:
        yield _Choice(tuple(group))
        return
    for number, frames in enumerate(files.values(), start=1):
        part = f"image {number} of {len(files)}" if len(files) > 1 else ""
        yield _Choice(tuple(frames), part)


def _key(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def _series(group: Group, choice: _Choice) -> Series:
    frames = choice.frames
    image = frames[0].image
    files = tuple(dict.fromkeys(frame.image.path for frame in frames))
    series = Series(
        key=_key(f"{group.text}|{choice.part}"),
        path=Path(os.path.commonpath([file.parent for file in files])),
        kind="dicom",
        modality=image.modality,
        description=image.series_description,
        part=", ".join(filter(None, (group.label, choice.part))),
        number=image.series_number,
        image_count=len(frames),
        question=choice.question,
        alternative=choice.alternative,
        files=files,
        frames=frames,
    )
    try:
        stack = _stack_of(choice)
    except UnsupportedStudyError as error:
        return replace(series, unsupported=str(error), notes=group.notes)
    # A view of one zero: the geometry of the Volume without its pixels.
    empty = np.broadcast_to(np.zeros((), np.int16), stack.shape)
    volume = volume_from_file_order(
        empty, stack.affine, SourceOrder(kind="dicom", placed=stack.placed), report=stack.report
    )
    return replace(
        series,
        stack=stack,
        shape=volume.shape,
        spacing=volume.report.spacing_mm,
        orientation=volume.plane,
        notes=tuple(dict.fromkeys((*volume.report.notes, *group.notes, *choice.notes))),
    )
