"""Slices whose every file has a series UID of its own, put together again.

Some scanners and anonymisers write a new series UID for each image. What the files say besides
tells that they are one series.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.identity import Claims, one_each
from napari_ifa.reading.dicom.series.copies import Decode
from napari_ifa.reading.dicom.series.grouping import Group, form, of_one_geometry
from napari_ifa.reading.dicom.series.passes import SHORTEST_STACK
from napari_ifa.reading.dicom.series.refusals import label, refusal
from napari_ifa.reading.dicom.series.splitting import split_frames
from napari_ifa.reading.dicom.series.stacking import commonest_step, heights_of, is_even

#: So many times its slices' length a stack with missing slices may have.
_MOST_GAPS = 1.5


def join_single_slices(groups: Sequence[Group], decode: Decode) -> list[Group]:
    """The groups, with those of one slice each joined where together they form even stacks.

    They have to agree in study, patient, frame of reference, series number, description, kind and
    geometry, and no two may have one series UID.
    """
    whose = one_each(group.claims for group in groups)
    alike: dict[Hashable, list[Group]] = defaultdict(list)
    for group in groups:
        if (key := _key(group, whose[group.claims])) is not None:
            alike[key].append(group)
    joined: dict[int, Group] = {}
    gone: set[int] = set()
    for key, members in alike.items():
        for together in of_one_geometry(members, _first):
            whole = _joined(key, together, decode)
            if whole is not None:
                joined[id(together[0])] = whole
                gone.update(map(id, together))
    left = [
        joined.get(id(group), group)
        for group in groups
        if id(group) in joined or id(group) not in gone
    ]
    return _with_notes(left)


def _with_notes(groups: Sequence[Group]) -> list[Group]:
    """The groups; single slices kept apart by their studies or frames of reference alone say so."""
    alike: dict[Hashable, list[Group]] = defaultdict(list)
    for group in groups:
        of_patient = Claims(group.claims.patient, "any", series_number=group.claims.series_number)
        if group.claims.patient.id and (key := _key(group, of_patient)) is not None:
            alike[key].append(group)
    notes: dict[int, str] = {}
    for members in (part for some in alike.values() for part in of_one_geometry(some, _first)):
        heights = {group.frames[0].image_position_patient for group in members}
        if len(members) < SHORTEST_STACK or len(heights) < len(members):
            continue
        for what, values in (
            ("studies", {group.claims.study_uid for group in members}),
            ("frames of reference", {group.claims.frame_of_reference for group in members}),
        ):
            if len(values) == len(members):
                note = (
                    f"{label(members[0].frames)}: {len(members)} single images of one patient,"
                    f" number and description name {len(members)} {what}; they are not joined."
                )
                notes.update((id(group), note) for group in members if id(group) not in notes)
    return [
        replace(group, notes=(*group.notes, notes[id(group)])) if id(group) in notes else group
        for group in groups
    ]


def _first(group: Group) -> Frame:
    return group.frames[0]


def _key(group: Group, claims: Claims) -> Hashable:
    """What slices of one series have in common; None where the group is no single slice."""
    first = group.frames[0]
    image = first.image
    alone = (
        len({frame.image_position_patient for frame in group.frames}) == 1
        and first.image_position_patient is not None
        and all(frame.image.number_of_frames == 1 and frame.tile is None for frame in group.frames)
    )
    known = claims.study_uid or (claims.patient.id and claims.study_date)
    named = image.series_number is not None or image.series_description
    if not (alone and known and named and image.series_instance_uid):
        return None
    said = image.modality, image.sop_class_uid, image.series_description
    return claims.sort_key(), *said, *form(first)


def _joined(key: Hashable, groups: Sequence[Group], decode: Decode) -> Group | None:
    uids = {group.frames[0].image.series_instance_uid for group in groups}
    if len(groups) < SHORTEST_STACK or len(uids) < len(groups):
        return None
    frames = sorted((frame for group in groups for frame in group.frames), key=_by_number)
    if refusal(frames) is not None or not _form_stacks(frames, decode):
        return None
    note = (
        f"{label(frames)}: each of its images has a series UID of its own; {len(frames)} images of"
        " one study, number, description and geometry are joined."
    )
    notes = tuple(dict.fromkeys(note for group in groups for note in group.notes))
    first = groups[0]
    return Group(repr(("joined", key)), frames, first.claims, first.label, (*notes, note))


def _by_number(frame: Frame) -> tuple[int, str]:
    return frame.image.instance_number or 0, frame.image.sop_instance_uid


def _form_stacks(frames: Sequence[Frame], decode: Decode) -> bool:
    """Whether the frames are one or several even stacks with all their numbers different."""
    for part in split_frames(frames, decode):
        numbers = {frame.image.instance_number for frame in part.frames}
        numbered = len(numbers) == len(part.frames) or numbers == {None}
        enough = len(part.frames) >= SHORTEST_STACK
        apart = len({frame.image_position_patient for frame in part.frames}) == len(part.frames)
        if not (part.question is None and numbered and enough and apart and is_even(part.frames)):
            return False
        heights = np.sort(heights_of(part.frames))
        step, _ = commonest_step(np.diff(heights))
        if heights[-1] - heights[0] > _MOST_GAPS * step * len(part.frames):
            return False
    return True
