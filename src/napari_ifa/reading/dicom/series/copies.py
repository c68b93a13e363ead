"""Copies of one image: equal pixels make them, never a UID alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame, StoredImage
from napari_ifa.reading.dicom.header.stored_frames import frame_bits, frame_is_complete
from napari_ifa.reading.dicom.series.keys import Places, as_met
from napari_ifa.reading.threads import in_threads

#: The values of a frame in the modality's units; None where they cannot be decoded. It is handed
#: in, for a series is found before its pixels are read.
Decode = Callable[[Frame], NDArray[Any] | None]

#: Bytes read at a time.
_BLOCK = 1 << 20
#: Under what a file's digest of its stored pixels is kept.
_AS_STORED = "as stored"
#: Two images of one slice are nearly equal when the root mean square of their difference is below
#: this part of their range, from the 1st to the 99th percentile.
_NEARLY = 0.02


def without_copies(frames: Sequence[Frame], decode: Decode) -> list[Frame]:
    """Drop copies of one object: files with its UID, number, place, traits and pixels.

    A damaged file goes before a whole one that begins with the same bytes, or that can be decoded
    where it cannot. Files that only share a UID are kept.
    """
    claiming: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in sorted(frames, key=lambda f: not frame_is_complete(f)):
        image = frame.image
        if not image.sop_instance_uid:
            continue
        claim = (image.sop_instance_uid, image.instance_number, frame.image_position_patient)
        claiming[claim, frame.traits, _part(frame)].append(frame)
    in_doubt = [frame for group in claiming.values() for frame in _in_doubt(group)]
    in_threads(lambda frame: _value_mark(frame, decode), in_doubt)
    dropped: set[int] = set()
    for group in claiming.values():
        kept: list[Frame] = []
        for frame in group:
            for k, other in enumerate(kept):
                copy = _copy_of_two(frame, other, decode)
                if copy is not None:
                    dropped.add(id(copy))
                    kept[k] = other if copy is frame else frame
                    break
            else:
                kept.append(frame)
    return [frame for frame in frames if id(frame) not in dropped]


def without_equal_pixels(frames: Sequence[Frame], place: Places, decode: Decode) -> list[Frame]:
    """Drop images that lie at the position of another and hold the same values."""
    alone = (f for f in frames if f.image.number_of_frames == 1 and f.tile is None)
    at = as_met(lambda frame: place[id(frame)], alone)
    in_several_ways = {
        where for where, group in at.items() if len({_encoding(f.image) for f in group}) > 1
    }
    in_doubt = [frame for where in in_several_ways for frame in at[where]]
    in_threads(lambda frame: _value_mark(frame, decode), in_doubt)
    dropped: set[int] = set()
    for where, group in at.items():
        seen: set[Hashable] = set()
        for frame in group if len(group) > 1 else ():
            marks = {pixel_mark(frame)}
            if where in in_several_ways and (values := _value_mark(frame, decode)) is not None:
                marks.add(values)
            if marks & seen:
                dropped.add(id(frame))
            seen |= marks
    return [frame for frame in frames if id(frame) not in dropped]


def share_a_uid(frames: Sequence[Frame]) -> bool:
    """Whether several files claim to be one object."""
    files: dict[str, Path] = {}
    return any(
        files.setdefault(frame.image.sop_instance_uid, frame.image.path) != frame.image.path
        for frame in frames
        if frame.image.sop_instance_uid
    )


def pixel_mark(frame: Frame) -> Hashable:
    """Equal for frames whose stored pixels and whose meaning are equal."""
    return _digest(frame.image), _part(frame)


def _part(frame: Frame) -> Hashable:
    """Which pixels of its file a frame is, and what they mean."""
    return frame.index, frame.tile, frame.rescale_slope, frame.rescale_intercept


def equal_pixels(one: Frame, other: Frame, decode: Decode) -> bool:
    """Whether two frames hold the same values, however they are stored."""
    if pixel_mark(one) == pixel_mark(other):
        return True
    if _encoding(one.image) == _encoding(other.image) and _as_stored(one.image):
        return False
    mark = _value_mark(one, decode)
    return mark is not None and mark == _value_mark(other, decode)


def nearly_equal_pixels(one: Frame, other: Frame, decode: Decode) -> bool:
    """Whether two frames show one slice, but for noise and rounding."""
    if equal_pixels(one, other, decode):
        return True
    first, second = decode(one), decode(other)
    if first is None or second is None or first.shape != second.shape:
        return False
    first, second = first.astype(np.float64), second.astype(np.float64)
    low, high = np.percentile([first, second], [1, 99])
    difference = float(np.sqrt(np.mean((first - second) ** 2)))
    return difference <= _NEARLY * float(high - low)


def _copy_of_two(frame: Frame, whole: Frame, decode: Decode) -> Frame | None:
    """Which of two that claim to be one object can go; None where they are different images."""
    if frame.image.path == whole.image.path:
        return None
    try:
        if not frame_is_complete(frame):
            return frame if _begins_like(frame.image, whole.image) else None
        if equal_pixels(frame, whole, decode):
            return frame
    except OSError:
        return None
    if frame.image.pixels.encapsulated and _value_mark(frame, decode) is None:
        return frame
    if whole.image.pixels.encapsulated and _value_mark(whole, decode) is None:
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
        *(image.transfer_syntax_uid, image.bits_allocated, image.bits_stored, image.high_bit),
        *(image.signed, image.planar_configuration, image.number_of_frames),
    )


def _digest(image: StoredImage) -> Hashable:
    pixels = image.pixels
    length = pixels.length
    if not pixels.encapsulated:
        # Without the padding that some write behind it.
        length = min(length, -(-frame_bits(image) * image.number_of_frames // 8))
    if _AS_STORED not in image.digests:
        image.digests[_AS_STORED] = _digest_of(image.path, pixels.offset, length)
    return image.digests[_AS_STORED], _encoding(image)


def _digest_of(path: Path, offset: int | None, length: int) -> bytes:
    """Of the pixel data as they are stored; of the whole file where they have no place of their
    own."""
    digest = sha256()
    with path.open("rb") as file:
        file.seek(offset or 0)
        left = length if offset is not None else -1
        while left and (block := file.read(_BLOCK if left < 0 else min(left, _BLOCK))):
            digest.update(block)
            left -= len(block) if left > 0 else 0
    return digest.digest()


def _in_doubt(group: Sequence[Frame]) -> Sequence[Frame]:
    """Those that claim to be one object, where their bytes do not say whether they are."""
    whole = [frame for frame in group if frame_is_complete(frame)]
    if len({frame.image.path for frame in whole}) < 2:
        return ()
    images = [frame.image for frame in whole]
    if len(set(map(_encoding, images))) == 1 and _as_stored(images[0]):
        return ()
    try:
        return whole if len(set(map(pixel_mark, whole))) > 1 else ()
    except OSError:
        return ()


def _value_mark(frame: Frame, decode: Decode) -> bytes | None:
    """Equal for frames of equal values; None where they cannot be decoded."""
    digests, part = frame.image.digests, _part(frame)
    if part not in digests:
        digests[part] = _digest_of_values(decode(frame))
    return digests[part]


def _digest_of_values(values: NDArray[Any] | None) -> bytes | None:
    if values is None:
        return None
    # Adding 0 turns -0 into 0, which is equal to it.
    exact = np.ascontiguousarray(values, dtype=np.float64) + 0.0
    return sha256(repr(exact.shape).encode() + exact.tobytes()).digest()
