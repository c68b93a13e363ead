"""Whether the bytes of a frame are there is known from the header scan, without decoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, itemize_fragment
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from napari_ifa.reading.dicom.header.frames import StoredImage
from napari_ifa.reading.dicom.header.stored_frames import (
    frame_bits,
    frame_is_complete,
    frame_pieces,
    read_pieces,
)

Call = Callable[..., Any]

#: Three frames of 3 × 4 pixels of two bytes: 24 bytes each.
FRAMES = np.arange(36, dtype="<u2").reshape(3, 3, 4) + 1


def complete(frames: tuple[Any, ...]) -> list[bool]:
    return [frame_is_complete(frame) for frame in frames]


def test_bits_of_a_frame(save_frames: Call, frames_of: Call) -> None:
    image = frames_of(save_frames(FRAMES))[0].image
    assert frame_bits(image) == 12 * 16
    assert frame_bits(replace(image, bits_allocated=1)) == 12
    assert frame_bits(replace(image, samples_per_pixel=3, bits_allocated=8)) == 12 * 24
    # Two brightnesses share their colours; a decoder spreads them out.
    shared = replace(
        image, samples_per_pixel=3, bits_allocated=8, photometric_interpretation="YBR_FULL_422"
    )
    assert frame_bits(shared) == 12 * 16
    inside = replace(shared, pixels=replace(image.pixels, encapsulated=True))
    assert frame_bits(inside) == 12 * 24


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        (0, [True, True, True]),
        (1, [True, True, False]),
        (24, [True, True, False]),
        (25, [True, False, False]),
        (72, [False, False, False]),
    ],
)
def test_uncompressed_frames_up_to_the_end_of_the_file(
    save_frames: Call, frames_of: Call, cut: int, expected: list[bool]
) -> None:
    path = save_frames(FRAMES)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    frames = frames_of(path)
    assert complete(frames) == expected


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (b"", True),
        # Padding of less than a row (8 bytes), of whatever; a row of zeros.
        (b"\x07\x07", True),
        (b"\0" * 8, True),
        (b"\0" * 7 + b"\x07", False),
        (b"\0" * 10, False),
        # A header of fewer columns or rows than were written.
        (b"\x07" * 24, False),
    ],
)
def test_left_over_data_may_only_be_padding(
    save_frames: Call, frames_of: Call, more: bytes, expected: bool
) -> None:
    frames = frames_of(save_frames(FRAMES, PixelData=FRAMES.tobytes() + more))
    assert complete(frames) == [expected] * 3


def test_fewer_columns_than_were_written_are_not_shown_sheared(
    save_frames: Call, frames_of: Call
) -> None:
    frames = frames_of(save_frames(FRAMES, Columns=3))
    assert complete(frames) == [False] * 3


def test_frame_beyond_those_of_the_file(save_frames: Call, frames_of: Call) -> None:
    (first, *_) = frames_of(save_frames(FRAMES))
    assert not frame_is_complete(replace(first, index=3))
    assert not frame_is_complete(replace(first, index=-1))


def test_billions_of_frames_that_a_header_claims(save_frames: Call, frames_of: Call) -> None:
    (first, *_) = frames_of(save_frames(FRAMES))
    image = replace(first.image, number_of_frames=2**31 - 1)
    assert frame_is_complete(replace(first, image=image, index=2))
    assert not frame_is_complete(replace(first, image=image, index=2**31 - 2))


# Compressed


def streams(*lengths: int) -> list[bytes]:
    """Made-up streams, told apart by their bytes, each ended by its mark."""
    return [bytes([k + 1]) * (n - 2) + b"\xff\xd9" for k, n in enumerate(lengths)]


def compressed(
    path: Path, frames_of: Call, value: bytes, count: int, syntax: str = JPEG2000Lossless
) -> StoredImage:
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = syntax
    data.NumberOfFrames = count
    data.PixelData = value
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    image: StoredImage = frames_of(path)[0].image
    return image


def found(image: StoredImage) -> list[bytes]:
    return [read_pieces(image.path, pieces) for pieces in frame_pieces(image)]


def table(*offsets: int) -> bytes:
    raw = b"".join(offset.to_bytes(4, "little") for offset in offsets)
    return b"\xfe\xff\x00\xe0" + len(raw).to_bytes(4, "little") + raw


@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_offset_table_says_which_fragments_form_a_frame(
    save_frames: Call, frames_of: Call, pieces: int
) -> None:
    frames = streams(40, 60, 50)
    value = encapsulate(frames, fragments_per_frame=pieces)
    image = compressed(save_frames(FRAMES), frames_of, value, 3)
    assert found(image) == frames


def test_fragments_without_a_table(save_frames: Call, frames_of: Call) -> None:
    frames = streams(40, 60, 50)
    path = save_frames(FRAMES)
    image = compressed(path, frames_of, encapsulate(frames, has_bot=False), 3)
    assert found(image) == frames
    # One frame in three.
    image = compressed(path, frames_of, encapsulate(frames, has_bot=False), 1)
    assert found(image) == [b"".join(frames)]
    # Two frames: each ends where its stream does, also before a byte of padding.
    parts = [frames[0][:20], frames[0][20:], frames[1] + b"\0\0"]
    value = table() + b"".join(map(itemize_fragment, parts))
    image = compressed(path, frames_of, value, 2)
    assert found(image) == [frames[0], frames[1] + b"\0\0"]


@pytest.mark.parametrize(
    "offsets",
    [(0, 13, 90), (4, 48, 116), (0, 48), (0, 48, 48), (0, 116, 48)],
    ids=["between fragments", "not from the first", "too few", "twice", "falling"],
)
def test_offset_table_that_is_wrong_is_not_followed(
    save_frames: Call, frames_of: Call, offsets: tuple[int, ...]
) -> None:
    frames = streams(40, 60, 50)
    value = table(*offsets) + b"".join(map(itemize_fragment, frames))
    image = compressed(save_frames(FRAMES), frames_of, value, 3)
    assert found(image) == frames


def test_table_of_more_frames_than_the_header_says(save_frames: Call, frames_of: Call) -> None:
    frames = streams(40, 60, 50)
    image = compressed(save_frames(FRAMES), frames_of, encapsulate(frames), 2)
    assert found(image) == frames[:2]


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, RLELossless], ids=["jpeg", "rle"])
@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize(("cut", "whole"), [(0, 3), (9, 2), (30, 2), (70, 1), (140, 0)])
def test_compressed_frames_up_to_the_end_of_the_file(
    save_frames: Call, frames_of: Call, syntax: str, has_table: bool, cut: int, whole: int
) -> None:
    """Fragments of 40, 60 and 50 bytes, each after 8, and 8 at the end."""
    path = save_frames(FRAMES)
    value = encapsulate(streams(40, 60, 50), has_bot=has_table)
    compressed(path, frames_of, value, 3, syntax)
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])
    frames = frames_of(path)
    assert complete(frames) == [True] * whole + [False] * (3 - whole)


def test_walk_over_fragments_ends_somewhere(
    save_frames: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ifa.reading.dicom.header.pixeldata.MOST_FRAGMENTS", 100)
    value = table() + itemize_fragment(b"") * 1000
    image = compressed(save_frames(FRAMES), frames_of, value, 1)
    assert len(image.pixels.fragments) <= 101
    assert not image.pixels.complete
