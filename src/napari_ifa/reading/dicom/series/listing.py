"""From the frame table to the images that can be chosen."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.identity import Claims, one_each
from napari_ifa.reading.dicom.series.copies import Decode
from napari_ifa.reading.dicom.series.grouping import Group, group_frames
from napari_ifa.reading.dicom.series.joining import join_single_slices
from napari_ifa.reading.dicom.series.keys import as_met
from napari_ifa.reading.dicom.series.refusals import cut_off, refusal
from napari_ifa.reading.dicom.series.splitting import SLICED, Part, split_frames
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.dicom.series.stacking import (
    Run,
    regular_runs,
    stack_frames,
    stack_without_place,
)
from napari_ifa.reading.series import Series, series_key
from napari_ifa.volumes.geometry_report import Note
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
    seen = Counter[str]()
    unique = []
    for series in listed:
        again = seen[series.key]
        seen[series.key] += 1
        key = series_key(f"{series.key}|{again}") if again else series.key
        unique.append(replace(series, key=key))
    return unique


def _stack_of(part: Part) -> Stack:
    frames = part.frames
    placed = part.question is None and frames[0].image_position_patient is not None
    if placed and len(frames) > 1 and frames[0].tile is None:
        placed = len({frame.image_position_patient for frame in frames}) > 1
    return stack_frames(frames) if placed else stack_without_place(frames)


def _choices(group: list[Frame], decode: Decode) -> Iterator[Part]:
    if refusal(group) is not None:
        yield Part(tuple(group))
    elif group[0].image_position_patient is None:
        yield from _without_place(group)
    else:
        for part in split_frames(group, decode):
            missing = (cut_off(part.frames, part.cut_off),) if part.cut_off else ()
            yield replace(part, notes=(*part.notes, *missing))
            for run in _runs(part.frames) if part.question is None else ():
                last = run.first + len(run.frames)
                name = f"slices {run.first + 1}–{last}, {run.gap:.2f} mm apart"
                label = ", ".join(filter(None, (part.label, name)))
                yield Part(run.frames, label, alternative=True)


def _runs(frames: tuple[Frame, ...]) -> list[Run]:
    """The longest runs of equal distance, in their order along the stack."""
    try:
        runs = regular_runs(frames)
    except UnsupportedStudyError:
        return []
    longest = sorted(runs, key=lambda run: len(run.frames), reverse=True)[:_MOST_RUNS]
    return [run for run in runs if run in longest]


def _without_place(group: list[Frame]) -> Iterator[Part]:
    """One image for each file, but for slices of a scanner whose positions have been lost."""
    files = as_met(lambda frame: frame.image.path, group)
    if len(files) == len(group) and group[0].image.modality in SLICED:
        yield Part(tuple(group))
        return
    for number, frames in enumerate(files.values(), start=1):
        label = f"image {number} of {len(files)}" if len(files) > 1 else ""
        yield Part(tuple(frames), label)


def _series(group: Group, part: Part) -> Series:
    frames = part.frames
    image = frames[0].image
    files = tuple(dict.fromkeys(frame.image.path for frame in frames))
    series = Series(
        key=series_key(f"{group.text}|{part.label}"),
        path=Path(os.path.commonpath([file.parent for file in files])),
        kind="dicom",
        modality=image.modality,
        description=image.series_description,
        part=", ".join(filter(None, (group.label, part.label))),
        number=image.series_number,
        image_count=len(frames),
        question=part.question,
        alternative=part.alternative,
        files=files,
        frames=frames,
    )
    try:
        stack = _stack_of(part)
    except UnsupportedStudyError as error:
        return replace(series, unsupported=Note.of(error), notes=group.notes)
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
        notes=tuple(dict.fromkeys((*volume.report.notes, *group.notes, *part.notes))),
    )
