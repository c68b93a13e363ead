"""Several images at the same positions: echoes, phases, times and b-values told apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from napari_ifa.volumes.dicom.frames import Frame, Traits
from napari_ifa.volumes.dicom.numbering import Key, keys_by_number
from napari_ifa.volumes.dicom.stacking import is_even

#: Slices nearer than this (mm) lie at one position.
SAME_POSITION = 0.01
#: Slices fewer than this are not taken for a stack of their own.
_SHORTEST_STACK = 3
#: Bytes read at a time.
_BLOCK = 1 << 20


def _frame_of_reference(frame: Frame) -> Hashable:
    """Positions in two of them have nothing to do with one another."""
    return frame.image.frame_of_reference


def _segment_of_file(frame: Frame) -> Hashable:
    """Segments are images apart wherever they lie: empty slices may have been left out of each."""
    image = frame.image
    return (str(image.path), frame.traits.segment) if image.is_segmentation else None


#: Different kinds of image: wherever one of these differs at a position, they are apart.
_KINDS: tuple[Key, ...] = (
    lambda f: f.traits.image_type,
    lambda f: f.traits.component,
    lambda f: f.traits.segment,
    lambda f: f.traits.echo_time,
    lambda f: f.traits.inversion_time,
    lambda f: f.traits.flip_angle,
    lambda f: f.traits.tube_voltage,
    lambda f: f.traits.kernel,
    lambda f: f.traits.thickness,
    lambda f: f.traits.stack,
)
#: One image again and again: of use only where each position has each value once at most.
_TIMES: tuple[Key, ...] = (
    _frame_of_reference,
    lambda f: f.traits.b_value,
    lambda f: (f.traits.b_value, f.traits.direction),
    lambda f: f.traits.temporal_position,
    lambda f: f.traits.trigger_time,
    lambda f: f.traits.acquisition,
    lambda f: f.traits.acquisition_time,
    lambda f: f.traits.content_time,
    lambda f: f.traits.dimensions,
)
_IN_WORDS = {
    "M": "magnitude",
    "P": "phase",
    "R": "real",
    "I": "imaginary",
    "IR": "real",
    "PHASE MAP": "phase",
    "FIELD_MAP": "field map",
}


@dataclass(frozen=True)
class Part:
    """Frames of one image, and what tells it apart from the others of its group.

    ``separated`` is False where several frames lie at one position and nothing tells them apart.
    ``cut_off`` counts positions beyond the ends of this image that other times of it have.
    """

    frames: tuple[Frame, ...]
    label: str = ""
    separated: bool = True
    cut_off: int = 0


def split_frames(frames: Sequence[Frame]) -> list[Part]:
    """The images that frames of one geometry form, each with one frame at a position.

    All frames have a position and an orientation.
    """
    parts = _split(list(frames))
    if len(parts) == 1:
        return parts
    labels = _labels([part.frames for part in parts])
    return [replace(part, label=label) for part, label in zip(parts, labels, strict=True)]


def places(frames: Sequence[Frame]) -> NDArray[np.intp]:
    """``[n]``: a number for each position along the stack, the same for frames that share it.

    Each image that holds its slices as tiles is a whole stack, and its tiles share their places
    with those of the others, wherever the patient or the scanner moved them in between.
    """
    if frames[0].tile is not None:
        _, tiles = np.unique([frame.tile for frame in frames], axis=0, return_inverse=True)
        return tiles.astype(np.intp).ravel()
    heights = np.array([frame.position for frame in frames], dtype=float) @ _normal(frames[0])
    order = np.argsort(heights, kind="stable")
    numbers = np.zeros(len(frames), dtype=np.intp)
    numbers[order[1:]] = np.cumsum(np.diff(heights[order]) > SAME_POSITION)
    return numbers


def _split(frames: list[Frame]) -> list[Part]:
    segments = _by(_segment_of_file, frames)
    if len(segments) > 1:
        return [part for group in segments for part in _split(group)]
    place = places(frames)
    counts = np.bincount(place)
    repeats = int(counts.max())
    if repeats <= 1:
        return [Part(tuple(group)) for group in _interwoven(frames) or (frames,)]
    for key in _KINDS:
        if _differs_at_a_position(frames, place, key):
            return [part for group in _by(key, frames) for part in _split(group)]
    by_time = _by_first_of(_TIMES, frames, place, repeats)
    if by_time is not None:
        return _times(by_time, frames, place)
    uneven = bool((counts != repeats).any())
    # Some images were sent twice: before their numbers let them pass for another image. Where
    # every position has equally many, their pixels are looked at only when nothing else is left.
    if uneven and len(kept := _without_equal_pixels(frames, place)) < len(frames):
        return _split(kept)
    by_number = _by_first_of(keys_by_number(frames, place), frames, place, repeats)
    if by_number is not None:
        return _times(by_number, frames, place)
    if not uneven and len(kept := _without_equal_pixels(frames, place)) < len(frames):
        return _split(kept)
    return [Part(tuple(frames), separated=False)]


def _times(
    groups: Sequence[list[Frame]], frames: Sequence[Frame], place: NDArray[np.intp]
) -> list[Part]:
    where = {id(frame): int(number) for frame, number in zip(frames, place, strict=True)}
    parts = []
    for group in groups:
        own = [where[id(frame)] for frame in group]
        parts.append(Part(tuple(group), cut_off=min(own) + int(place.max()) - max(own)))
    return parts


def _interwoven(frames: list[Frame]) -> list[list[Frame]] | None:
    """Even stacks, one among the slices of another, that are images apart: of different kinds, or
    of different times that together form no even stack, as of a patient who was moved in between.
    None where there are no such."""
    # An even stack may be taken in turns, every other slice first.
    keys = (*_KINDS, _frame_of_reference) if is_even(frames) else (*_KINDS, *_TIMES)
    for key in keys:
        groups = _by(key, frames)
        stacks = len(groups) > 1 and min(map(len, groups)) >= _SHORTEST_STACK
        if stacks and all(map(is_even, groups)) and _overlap(groups):
            return groups
    return None


def _overlap(groups: Sequence[Sequence[Frame]]) -> bool:
    """Whether a good part of one stack lies within another: not only its end, as of two slabs."""
    normal = _normal(groups[0][0])
    heights = [np.array([frame.position for frame in group]) @ normal for group in groups]
    return any(
        2 * np.count_nonzero((one > other.min()) & (one < other.max())) >= len(one)
        for one, other in permutations(heights, 2)
    )


def _normal(frame: Frame) -> NDArray[np.float64]:
    row, column = np.reshape(np.array(frame.orientation, dtype=float), (2, 3))
    return np.cross(row, column)


def _by_first_of(
    keys: Iterable[Key], frames: Sequence[Frame], place: NDArray[np.intp], repeats: int
) -> list[list[Frame]] | None:
    """Groups by the first key that has each value once at a position, and no more values."""
    for key in keys:
        groups = _by(key, frames)
        if len(groups) == repeats and _once_at_a_position(frames, place, key):
            return groups
    return None


def _by(key: Key, frames: Sequence[Frame]) -> list[list[Frame]]:
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


def _differs_at_a_position(frames: Sequence[Frame], place: NDArray[np.intp], key: Key) -> bool:
    seen: dict[int, Hashable] = {}
    return any(
        seen.setdefault(int(where), key(frame)) != key(frame)
        for frame, where in zip(frames, place, strict=True)
    )


def _once_at_a_position(frames: Sequence[Frame], place: NDArray[np.intp], key: Key) -> bool:
    pairs = Counter((int(where), key(frame)) for frame, where in zip(frames, place, strict=True))
    return max(pairs.values()) == 1


def _without_equal_pixels(frames: Sequence[Frame], place: NDArray[np.intp]) -> list[Frame]:
    """Drop images that lie at the position of another and hold the same pixels."""
    counts = np.bincount(place)
    kept: list[Frame] = []
    seen: set[tuple[int, bytes]] = set()
    for frame, where in zip(frames, place, strict=True):
        if counts[where] > 1 and frame.image.frame_count == 1 and frame.tile is None:
            mark = (int(where), _digest(frame))
            if mark in seen:
                continue
            seen.add(mark)
        kept.append(frame)
    return kept


def _digest(frame: Frame) -> bytes:
    """Of the pixel data as they are stored."""
    pixels = frame.image.pixels
    digest = sha256()
    with frame.image.path.open("rb") as file:
        file.seek(pixels.offset or 0)
        left = pixels.length if pixels.offset is not None else -1
        while left and (block := file.read(_BLOCK if left < 0 else min(left, _BLOCK))):
            digest.update(block)
            left -= len(block) if left > 0 else 0
    return digest.digest()


def _labels(parts: Sequence[tuple[Frame, ...]]) -> list[str]:
    """What tells each part apart, in words; numbered where that is not enough."""
    traits = [[frame.traits for frame in part] for part in parts]
    words: list[list[str]] = [[] for _ in parts]
    for describe in _DESCRIPTIONS:
        if len({tuple(word) for word in words}) == len(parts):
            break
        described = [{describe(trait) for trait in part} for part in traits]
        if all(len(texts) == 1 for texts in described):
            texts = [next(iter(texts)) for texts in described]
            if len(set(texts)) > 1:
                for word, text in zip(words, texts, strict=True):
                    word += [text] if text and text not in word else []
    kinds = _different_words([part[0].traits.image_type for part in parts])
    if len(set(kinds)) > 1 and len({tuple(word) for word in words}) < len(set(kinds)):
        words = [[kind, *word] if kind else word for kind, word in zip(kinds, words, strict=True)]
    joined = [", ".join(word) for word in words]
    total = Counter(joined)
    number: Counter[str] = Counter()
    labels = []
    for text in joined:
        number[text] += 1
        count = f"{number[text]} of {total[text]}" if total[text] > 1 else ""
        labels.append(", ".join(filter(None, (text, f"image {count}" if count else ""))))
    return labels


def _different_words(types: Sequence[tuple[str, ...]]) -> list[str]:
    common = set(types[0]).intersection(*map(set, types[1:]))
    return [" ".join(word.lower() for word in kind if word not in common) for kind in types]


def _kind(traits: Traits) -> str:
    """The complex component that an image type names, in words."""
    return next((_IN_WORDS[word] for word in traits.image_type if word in _IN_WORDS), "")


def _component(traits: Traits) -> str:
    return traits.component.lower() if traits.component not in ("", "MIXED") else ""


def _segment(traits: Traits) -> str:
    return "" if traits.segment is None else f"segment {traits.segment}"


def _echo(traits: Traits) -> str:
    return f"echo {traits.echo_time:g} ms" if traits.echo_time else ""


def _inversion(traits: Traits) -> str:
    return f"inversion {traits.inversion_time:g} ms" if traits.inversion_time else ""


def _b_value(traits: Traits) -> str:
    return "" if traits.b_value is None else f"b {traits.b_value:g}"


def _flip(traits: Traits) -> str:
    return f"flip angle {traits.flip_angle:g}°" if traits.flip_angle else ""


def _voltage(traits: Traits) -> str:
    return f"{traits.tube_voltage:g} kV" if traits.tube_voltage else ""


def _kernel(traits: Traits) -> str:
    return f"kernel {traits.kernel}" if traits.kernel else ""


def _thickness(traits: Traits) -> str:
    return f"{traits.thickness:g} mm thick" if traits.thickness else ""


_DESCRIPTIONS = (
    _kind,
    _component,
    _segment,
    _echo,
    _inversion,
    _flip,
    _voltage,
    _kernel,
    _thickness,
    _b_value,
)
