"""Frames put into groups by what those of one image have in common."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame

#: What frames of one image have in common.
Key = Callable[[Frame], Hashable]


def by_first_of(
    keys: Iterable[Key], frames: Sequence[Frame], place: NDArray[np.intp], repeats: int
) -> list[list[Frame]] | None:
    """Groups by the first key that has each value once at a position, and no more values."""
    found = (by_key(key, frames, place, repeats) for key in keys)
    return next((groups for groups in found if groups is not None), None)


def by_key(
    key: Key, frames: Sequence[Frame], place: NDArray[np.intp], repeats: int
) -> list[list[Frame]] | None:
    """Groups of one value each; None unless each value is once at a position, and no more."""
    groups = by_value(key, frames)
    right = len(groups) == repeats and _once_at_a_position(frames, place, key)
    return groups if right else None


def by_value(key: Key, frames: Sequence[Frame]) -> list[list[Frame]]:
    """Groups of one value each, in the order of the values."""
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[key(frame)].append(frame)
    return [groups[value] for value in sorted(groups, key=_sortable)]


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


def differs_at_a_position(frames: Sequence[Frame], place: NDArray[np.intp], key: Key) -> bool:
    """Whether frames at one position have different values."""
    seen: dict[int, Hashable] = {}
    return any(
        seen.setdefault(int(where), key(frame)) != key(frame)
        for frame, where in zip(frames, place, strict=True)
    )


def _once_at_a_position(frames: Sequence[Frame], place: NDArray[np.intp], key: Key) -> bool:
    pairs = Counter((int(where), key(frame)) for frame, where in zip(frames, place, strict=True))
    return max(pairs.values()) == 1
