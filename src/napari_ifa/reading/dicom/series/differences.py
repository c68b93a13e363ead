"""What else the headers of files say that tells images at the same positions apart.

The frame table holds what usually does. Before a person is asked, whole headers are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from napari_ifa.reading.dicom.header.frames import Frame

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
#: Forms whose values can be shown: numbers and codes, which name nobody.
_SHOWN_FORMS = {"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "CS"}
_NUMBERS = {"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL"}


@dataclass(frozen=True)
class Told:
    """Images told apart by one element: the frames of each, what it is called, and its value.

    ``values`` are empty where they are not to be shown.
    """

    groups: list[list[Frame]]
    name: str
    values: tuple[str, ...]


def told_by_header(frames: Sequence[Frame], place: Mapping[int, int], repeats: int) -> Told | None:
    """The images by an element that has each value once at a position, and no more values.

    None where there is no such element, or where two of them contradict each other.

    Parameters
    ----------
    place : number of the position of a frame, by its ``id``.
    repeats : images at one position.
    """
    files = {frame.image.path for frame in frames}
    if len(files) != len(frames) or len(files) > _MOST_FILES or len(set(place.values())) < 2:
        return None
    headers = [_header(frame) for frame in frames]
    tags = sorted({tag for header in headers for tag in header})
    found: Told | None = None
    partition: frozenset[frozenset[int]] = frozenset()
    for tag in tags:
        groups: dict[Any, list[Frame]] = {}
        for frame, header in zip(frames, headers, strict=True):
            groups.setdefault(header.get(tag), []).append(frame)
        if len(groups) != repeats or not all(_once(group, place) for group in groups.values()):
            continue
        own = frozenset(frozenset(map(id, group)) for group in groups.values())
        if found is not None and own != partition:
            return None
        if found is None:
            partition = own
            found = _told(tag, [groups[value] for value in sorted(groups, key=_number_first)])
    return found


def _once(group: Sequence[Frame], place: Mapping[int, int]) -> bool:
    return len({place[id(frame)] for frame in group}) == len(group)


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


def _number_first(value: str | None) -> tuple[bool, float, str]:
    try:
        return value is not None, float(value or ""), ""
    except ValueError:
        return value is not None, 0.0, value or ""


def _told(tag: int, groups: list[list[Frame]]) -> Told:
    from pydicom.datadict import dictionary_description, dictionary_has_tag, dictionary_VR

    if not dictionary_has_tag(tag):
        return Told(groups, "a private element", ())
    name = dictionary_description(tag)
    if dictionary_VR(tag) not in _SHOWN_FORMS or tag >> 16 == 0x0010:
        return Told(groups, name, ())
    values: list[str] = [_header(group[0]).get(tag, "none") for group in groups]
    return Told(groups, name, tuple(values))


DescribeFrame = Callable[[Frame], object]
#: What the frame table holds beside the position, as a person calls it.
_NAMES: tuple[tuple[str, DescribeFrame], ...] = (
    ("b-values", lambda f: f.traits.diffusion_b_value),
    ("diffusion directions", lambda f: f.traits.diffusion_gradient_orientation),
    ("temporal positions", lambda f: f.traits.temporal_position_identifier),
    ("cardiac phases", lambda f: f.traits.nominal_percentage_of_cardiac_phase),
    ("respiratory phases", lambda f: f.traits.nominal_percentage_of_respiratory_phase),
    ("trigger times", lambda f: f.traits.trigger_time),
    ("frame reference times", lambda f: f.traits.frame_reference_time),
    ("acquisition numbers", lambda f: f.traits.acquisition_number),
    ("acquisition times", lambda f: (f.traits.acquisition_date, f.traits.acquisition_time)),
    ("content times", lambda f: (f.traits.content_date, f.traits.content_time)),
    ("dimension indices", lambda f: f.traits.dimension_index_values),
    ("instance numbers", lambda f: f.image.instance_number),
    ("folders", lambda f: f.image.path.parent),
)


def differing(frames: Sequence[Frame], place: Mapping[int, int]) -> tuple[str, ...]:
    """What differs between images at one position though it sorts them into no whole images."""
    names = []
    for name, describe in _NAMES:
        seen: dict[int, object] = {}
        if any(
            seen.setdefault(place[id(frame)], describe(frame)) != describe(frame)
            for frame in frames
        ):
            names.append(name)
    return tuple(names)
