"""Frames put into groups by what those of one image have in common."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from operator import attrgetter

from napari_ifa.reading.dicom.header.frames import Frame

#: What frames of one image have in common.
Key = Callable[[Frame], Hashable]
#: Number of the position of each frame, by its ``id``.
Places = Mapping[int, int]
Groups = list[list[Frame]]


def traits(*names: str) -> Key:
    """These fields of a frame's traits; one alone is the value itself."""
    key: Key = attrgetter(*(f"traits.{name}" for name in names))
    return key


def by_key(key: Key, frames: Sequence[Frame], place: Places, repeats: int) -> Groups | None:
    """Groups of one value each; None unless each value is once at a position, and no more."""
    groups = by_value(key, frames)
    return groups if len(groups) == repeats and once_each(groups, place) else None


def by_value(key: Key, frames: Sequence[Frame]) -> Groups:
    """Groups of one value each, in the order of the values."""
    groups = as_met(key, frames)
    return [groups[value] for value in sorted(groups, key=_sortable)]


def as_met(key: Key, frames: Iterable[Frame]) -> dict[Hashable, list[Frame]]:
    """The frames of each value, in the order met."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return groups


def once_each(groups: Iterable[Sequence[Frame]], place: Places) -> bool:
    """Whether each of the groups has each position once at most."""
    return all(len({place[id(frame)] for frame in group}) == len(group) for group in groups)


def differs_at_a_position(frames: Sequence[Frame], place: Places, key: Key) -> bool:
    """Whether frames at one position have different values."""
    seen: dict[int, Hashable] = {}
    return any(seen.setdefault(place[id(frame)], key(frame)) != key(frame) for frame in frames)


def _sortable(value: Hashable) -> tuple[tuple[bool, float, str], ...]:
    parts = value if isinstance(value, tuple) else (value,)
    flat: list[object] = []
    for part in parts:
        flat += part if isinstance(part, tuple) else (part,)
    return tuple(
        (part is not None, float(part), "")
        if isinstance(part, int | float)
        else (part is not None, 0.0, str(part))
        for part in flat
    )
