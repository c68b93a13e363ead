"""What else the headers of files say that tells images at the same positions apart.

The frame table holds what usually does. Before a person is asked, whole headers are looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.series.keys import (
    Groups,
    Key,
    Places,
    as_met,
    differs_at_a_position,
    once_each,
    traits,
)
from napari_ifa.reading.dicom.series.times import acquisition_clock, content_clock

#: More files than this are not read once more.
_MOST_FILES = 3000
#: Longer values (bytes) are no marks.
_LONGEST = 256
#: Of the object itself, which are different in every file, or made of its pixels.
_OF_THE_OBJECT = {
    *(0x00080018, 0x00080014, 0x00080012, 0x00080013, 0x00080033, 0x00080023, 0x00200013),
    *(0x00200032, 0x00201041, 0x00200037, 0x0008002A, 0x00080032),
}
_GROUPS_LEFT_OUT = {0x0002, 0x0028, 0x0040, 0x7FE0}
_NUMBERS = {"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL"}
#: Forms whose values can be shown: numbers and codes, which name nobody.
_SHOWN_FORMS = {*_NUMBERS, "CS"}


@dataclass(frozen=True)
class Told:
    """Images told apart by one element: the frames of each, what it is called, and its value.

    ``values`` are empty where they are not to be shown.
    """

    groups: Groups
    name: str
    values: tuple[str, ...]


def told_by_header(frames: Sequence[Frame], place: Places, repeats: int) -> Told | None:
    """The images by an element that has each value once at a position, and no more values.

    None where there is no such element, or where two of them contradict each other.

    ``repeats`` counts the images at one position.
    """
    files = {frame.image.path for frame in frames}
    if len(files) != len(frames) or len(files) > _MOST_FILES or len(set(place.values())) < 2:
        return None
    headers = {id(frame): _header(frame) for frame in frames}
    tags = sorted({tag for header in headers.values() for tag in header})
    found: Told | None = None
    partition: frozenset[frozenset[int]] = frozenset()
    for tag in tags:
        groups = as_met(lambda frame, tag=tag: headers[id(frame)].get(tag), frames)  # type: ignore[misc]
        if len(groups) != repeats or not once_each(groups.values(), place):
            continue
        own = frozenset(frozenset(map(id, group)) for group in groups.values())
        if found is not None and own != partition:
            return None
        if found is None:
            partition = own
            values = sorted(groups, key=_number_first)
            found = _told(tag, values, [groups[value] for value in values])
    return found


def _header(frame: Frame) -> dict[int, str]:
    """Tag → value as text, of the elements that could be a mark."""
    import pydicom

    try:
        dataset = pydicom.dcmread(frame.image.path, force=True, stop_before_pixels=True)
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return {}
    values = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating a data set converts its elements
        if int(tag) in _OF_THE_OBJECT or tag.group in _GROUPS_LEFT_OUT:
            continue
        raw: Any = dataset.get_item(tag)
        value = getattr(raw, "value", None)
        if isinstance(value, bytes) and len(value) <= _LONGEST:
            values[int(tag)] = _text(dataset, tag, value)
    return values


def _text(dataset: Any, tag: Any, raw: bytes) -> str:
    try:
        element = dataset[tag]
        if element.VR in _NUMBERS and element.VM == 1:
            return f"{float(element.value):g}"
        return str(element.value)
    except Exception:  # the value may be anything
        return raw.hex()


def _number_first(value: Any) -> tuple[bool, float, str]:
    try:
        return value is not None, float(value or ""), ""
    except ValueError:
        return value is not None, 0.0, value or ""


def _told(tag: int, values: Sequence[Any], groups: Groups) -> Told:
    from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR

    if not dictionary_has_tag(tag):
        return Told(groups, "a private element", ())
    name = dictionary_description(tag)
    if dictionary_VR(tag) not in _SHOWN_FORMS or tag >> 16 == 0x0010:
        return Told(groups, name, ())
    return Told(groups, name, tuple("none" if value is None else value for value in values))


#: What the frame table holds beside the position, as a person calls it.
_NAMES: dict[str, Key] = {
    "b-values": traits("diffusion_b_value"),
    "diffusion directions": traits("diffusion_gradient_orientation"),
    "temporal positions": traits("temporal_position_identifier"),
    "cardiac phases": traits("nominal_percentage_of_cardiac_phase"),
    "respiratory phases": traits("nominal_percentage_of_respiratory_phase"),
    "trigger times": traits("trigger_time"),
    "frame reference times": traits("frame_reference_time"),
    "acquisition numbers": traits("acquisition_number"),
    "acquisition times": acquisition_clock,
    "content times": content_clock,
    "dimension indices": traits("dimension_index_values"),
    "instance numbers": lambda f: f.image.instance_number,
    "folders": lambda f: f.image.path.parent,
}


def differing(frames: Sequence[Frame], place: Places) -> tuple[str, ...]:
    """What differs between images at one position though it sorts them into no whole images."""
    return tuple(name for name, key in _NAMES.items() if differs_at_a_position(frames, place, key))
