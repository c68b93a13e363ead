"""Frames that belong together: those of one series that could be slices of one image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.identity import Claims, Subject, disagreements, one_each
from napari_ifa.reading.dicom.series.copies import Decode, share_a_uid, without_copies
from napari_ifa.reading.dicom.series.keys import as_met
from napari_ifa.reading.dicom.series.refusals import label

Item = TypeVar("Item")
#: Frames of one stack agree in direction cosines and in pixel spacing (mm) within this.
_SAME_GEOMETRY = 1e-3


@dataclass(frozen=True)
class Group:
    """Frames that could be slices of one image.

    Attributes
    ----------
    text : the same at every scan, and of no other group; not to be shown, for it holds what the
        files say of the patient.
    frames : in the order of their numbers.
    claims : whose they are, by all that their files say.
    label : what tells them apart from other frames under their series UID, as ``"patient 1 of 2"``.
    notes : what was told apart against its UID, one sentence each.
    """

    text: str
    frames: list[Frame]
    claims: Claims
    label: str = ""
    notes: tuple[str, ...] = ()


def group_frames(frames: Sequence[Frame], root: Path, decode: Decode) -> list[Group]:
    """Frames that belong together.

    A DICOM series is split where patient, study, frame of reference or series number contradict
    each other, whatever its UID, and where shape, colours, localizer flag, orientation or pixel
    spacing differ: its parts are different images. ``root`` is the folder that was scanned;
    ``decode`` gives the values of frames that may be copies.
    """
    series = as_met(lambda frame: _series_key(frame, root), frames)
    return [
        group
        for key, members in series.items()
        for group in _groups_of_series(key, members, decode)
    ]


def _groups_of_series(key: Hashable, members: list[Frame], decode: Decode) -> list[Group]:
    whose = one_each(frame.image.claims for frame in members)
    wholes = sorted(set(whose.values()), key=Claims.sort_key)
    labels = _labels(wholes)
    subjects = disagreements(wholes)
    coarse: dict[tuple[Claims, tuple[Hashable, ...]], list[Frame]] = defaultdict(list)
    for frame in members:
        alike = frame.image.modality, *form(frame), frame.image_position_patient is None
        coarse[whose[frame.image.claims], alike].append(frame)
    groups = []
    for (claims, alike), of_form in coarse.items():
        of_form.sort(key=_file_order)
        for index, part in enumerate(of_one_geometry(of_form, lambda frame: frame)):
            kept = without_copies(part, decode)
            text = repr((key, claims.sort_key(), alike, index))
            notes = _notes(kept, wholes, subjects)
            groups.append(Group(text, kept, claims, labels[claims], notes))
    return groups


def _file_order(frame: Frame) -> tuple[object, ...]:
    image = frame.image
    return (
        image.instance_number or 0,
        image.sop_instance_uid,
        image.claims.sort_key(),
        frame.image_position_patient or (),
        image.path.name,
        str(image.path),
        frame.index,
        frame.tile or (0, 0),
    )


def _series_key(frame: Frame, root: Path) -> Hashable:
    image = frame.image
    if image.series_instance_uid:
        return (image.series_instance_uid,)
    folder = image.path.parent
    place = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
    return place, image.series_number, image.series_description


def form(frame: Frame) -> tuple[Hashable, ...]:
    """Shape and kind of the pixels, which the slices of one image have in common."""
    pixels = frame.image.samples_per_pixel, frame.image.photometric_interpretation
    # A localizer is a scout image, taken to plan the others.
    return frame.rows, frame.columns, *pixels, "LOCALIZER" in frame.traits.image_type


def of_one_geometry(items: Iterable[Item], frame_of: Callable[[Item], Frame]) -> list[list[Item]]:
    """The items, in their order, apart where orientation or pixel spacing differ from the first."""
    parts: list[list[Item]] = []
    for item in items:
        alike = (p for p in parts if _same_geometry(frame_of(p[0]), frame_of(item)))
        part = next(alike, None)
        if part is None:
            parts.append(part := [])
        part.append(item)
    return parts


def _same_geometry(one: Frame, other: Frame) -> bool:
    """Whether two frames have one orientation and one pixel spacing, or no position at all."""
    if one.image_position_patient is None:
        return True
    return _close(one.image_orientation_patient, other.image_orientation_patient) and _close(
        one.pixel_spacing, other.pixel_spacing
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_GEOMETRY for a, b in zip(one, other, strict=True))


def _labels(wholes: Sequence[Claims]) -> Mapping[Claims, str]:
    """What each is called in a list; studies are numbered there anyway."""
    patients = list(dict.fromkeys(claims.patient for claims in wholes))
    labels = {}
    for claims in wholes:
        alike = [other for other in wholes if other.of_the_study() == claims.of_the_study()]
        numbers = {other.series_number for other in alike}
        same_number = [c for c in alike if c.series_number == claims.series_number]
        words = []
        if len(patients) > 1:
            words.append(f"patient {patients.index(claims.patient) + 1} of {len(patients)}")
        if len(numbers) > 1:
            number = claims.series_number
            words.append("no series number" if number is None else f"series number {number}")
        if len(same_number) > 1:
            which = same_number.index(claims) + 1
            words.append(f"frame of reference {which} of {len(same_number)}")
        labels[claims] = ", ".join(words)
    return labels


def _notes(
    frames: Sequence[Frame], wholes: Sequence[Claims], subjects: set[Subject]
) -> tuple[str, ...]:
    name = label(frames)
    notes = []
    if len(wholes) > 1:
        what = _different(wholes, subjects)
        notes.append(f"{name}: {what} under one series UID; each image is listed by itself.")
    if share_a_uid(frames):
        notes.append(f"{name}: different images have one instance UID; none is left out.")
    return tuple(notes)


def _different(wholes: Sequence[Claims], subjects: set[Subject]) -> str:
    """``"files name 2 patients"``: what there is several of, the most important first."""
    for subject, name, words in (
        (Subject.PATIENT, "patient", "patients"),
        (Subject.STUDY, "study", "studies"),
        (Subject.FRAME_OF_REFERENCE, "frame_of_reference", "frames of reference"),
        (Subject.SERIES_NUMBER, "series_number", "series numbers"),
    ):
        if subject in subjects:
            return f"files name {len({getattr(claims, name) for claims in wholes})} {words}"
    return "files do not all say which patient and study they are of"
