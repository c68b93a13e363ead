"""Copies of one image: equal pixels make them, never a UID alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.dicom.frames import Frame, StoredImage
from napari_ifa.volumes.dicom.stack import Stack
from napari_ifa.volumes.dicom.stored_frames import frame_bits, frame_is_complete

#: Bytes read at a time.
_BLOCK = 1 << 20
#: Digests that are kept, so that a list shown while a scan goes on reads no file twice.
_MOST_KEPT = 1 << 16
#: Two images of one slice are nearly equal when the root mean square of their difference is below
#: this part of their range, from the 1st to the 99th percentile.
_NEARLY = 0.02


def without_copies(frames: Sequence[Frame]) -> list[Frame]:
    """Drop copies of one object: files with its UID, number, place, traits and pixels.

    A damaged file goes before a whole one that begins with the same bytes, or that can be decoded
    where it cannot. Files that only share a UID are kept.
    """
    kept: dict[Hashable, list[Frame]] = defaultdict(list)
    dropped: set[int] = set()
    for frame in sorted(frames, key=lambda f: not frame_is_complete(f)):
        image = frame.image
        if not image.sop_uid:
            continue
        claim = (
            *(image.sop_uid, image.instance, frame.index, frame.tile, frame.position),
            *(frame.traits, frame.slope, frame.intercept),
        )
        for k, other in enumerate(kept[claim]):
            copy = _copy_of_two(frame, other)
            if copy is not None:
                dropped.add(id(copy))
                kept[claim][k] = other if copy is frame else frame
                break
        else:
            kept[claim].append(frame)
    return [frame for frame in frames if id(frame) not in dropped]


def share_a_uid(frames: Sequence[Frame]) -> bool:
    """Whether several files claim to be one object."""
    files: dict[str, Path] = {}
    return any(
        files.setdefault(frame.image.sop_uid, frame.image.path) != frame.image.path
        for frame in frames
        if frame.image.sop_uid
    )


def pixel_mark(frame: Frame) -> Hashable:
    """Equal for frames whose stored pixels and whose meaning are equal."""
    return _digest(frame.image), frame.index, frame.tile, frame.slope, frame.intercept


def equal_pixels(one: Frame, other: Frame) -> bool:
    """Whether two frames hold the same values, however they are stored."""
    if pixel_mark(one) == pixel_mark(other):
        return True
    if _encoding(one.image) == _encoding(other.image) and _as_stored(one.image):
        return False
    first, second = _values(one), _values(other)
    return first is not None and second is not None and np.array_equal(first, second)


def nearly_equal_pixels(one: Frame, other: Frame) -> bool:
    """Whether two frames show one slice, but for noise and rounding."""
    if equal_pixels(one, other):
        return True
    first, second = _values(one), _values(other)
    if first is None or second is None or first.shape != second.shape:
        return False
    low, high = np.percentile([first, second], [1, 99])
    difference = float(np.sqrt(np.mean((first - second) ** 2)))
    return difference <= _NEARLY * float(high - low)


def _copy_of_two(frame: Frame, whole: Frame) -> Frame | None:
    """Which of two that claim to be one object can go; None where they are different images."""
    if frame.image.path == whole.image.path:
        return None
    try:
        if not frame_is_complete(frame):
            return frame if _begins_like(frame.image, whole.image) else None
        if equal_pixels(frame, whole):
            return frame
    except OSError:
        return None
    if frame.image.pixels.encapsulated and _values(frame) is None:
        return frame
    if whole.image.pixels.encapsulated and _values(whole) is None:
        return whole
    return None


def _begins_like(broken: StoredImage, whole: StoredImage) -> bool:
    """Whether all that is left of a file is what the other begins with."""
    if broken.pixels.offset is None or whole.pixels.offset is None:
        return broken.pixels.offset is None
    left = min(broken.pixels.length, whole.pixels.length)
    with broken.path.open("rb") as one, whole.path.open("rb") as other:
        one.seek(broken.pixels.offset)
        other.seek(whole.pixels.offset)
        while left > 0:
            count = min(left, _BLOCK)
            if one.read(count) != other.read(count):
                return False
            left -= count
    return True


def _as_stored(image: StoredImage) -> bool:
    """Whether other bytes are other values: neither compressed, nor with bits that mean nothing."""
    return not image.pixels.encapsulated and image.bits_stored == image.bits_allocated


def _encoding(image: StoredImage) -> Hashable:
    return (
        *(image.transfer_syntax, image.bits_allocated, image.bits_stored, image.high_bit),
        *(image.signed, image.planar, image.frame_count),
    )


def _digest(image: StoredImage) -> Hashable:
    pixels = image.pixels
    length = pixels.length
    if not pixels.encapsulated:
        # Without the padding that some write behind it.
        length = min(length, -(-frame_bits(image) * image.frame_count // 8))
    stored = _digest_of(image.path, image.stamp, pixels.offset, length)
    return stored, _encoding(image)


@lru_cache(maxsize=_MOST_KEPT)
def _digest_of(path: Path, stamp: tuple[int, int], offset: int | None, length: int) -> bytes:
    """Of the pixel data as they are stored; of the whole file where they have no place of their
    own. ``stamp`` keeps a file that was written anew from being taken for what it was."""
    digest = sha256()
    with path.open("rb") as file:
        file.seek(offset or 0)
        left = length if offset is not None else -1
        while left and (block := file.read(_BLOCK if left < 0 else min(left, _BLOCK))):
            digest.update(block)
            left -= len(block) if left > 0 else 0
    return digest.digest()


def _values(frame: Frame) -> NDArray[Any] | None:
    """In the modality's units; None where they cannot be decoded."""
    from napari_ifa.volumes.dicom.pixels import read_stack

    try:
        read = read_stack(Stack((frame,), np.eye(4)))
    except UnsupportedStudyError:
        return None
    return None if read.damaged else read.values.astype(np.float64)
