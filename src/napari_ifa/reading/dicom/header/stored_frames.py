"""Where the bytes of each frame of a file stand, and whether all of them are there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from pydicom.uid import RLELossless

from napari_ifa.reading.dicom.header.deflated import inflated
from napari_ifa.reading.dicom.header.frames import Frame, StoredImage

#: (offset, length) of the pieces that joined are one compressed frame.
Pieces = tuple[tuple[int, int], ...]

#: The mark that ends a JPEG, JPEG-LS or JPEG 2000 stream, padded at most to an even length.
_END_OF_STREAM = b"\xff\xd9"
_TAIL = 10


def frame_bits(image: StoredImage) -> int:
    """Bits of one uncompressed frame as it is stored."""
    samples = image.samples_per_pixel
    is_422 = image.photometric_interpretation == "YBR_FULL_422" and samples == 3
    if is_422 and not image.pixels.encapsulated:
        # Two brightnesses share their two colours.
        samples = 2
    return image.rows * image.columns * samples * image.bits_allocated


def frame_is_complete(frame: Frame) -> bool:
    """Whether the file holds the bytes of the stored frame that ``frame`` is cut from.

    Looks at the header scan's findings; at the file only where it is compressed and cut off.
    """
    image, index = frame.image, frame.index
    pixels = image.pixels
    if pixels.offset is None or not 0 <= index < max(image.number_of_frames, 1):
        return False
    if frame_bits(image) <= 0:
        return False
    if pixels.encapsulated:
        if pixels.complete and len(pixels.fragments) >= image.number_of_frames:
            return True
        pieces = frame_pieces(image)
        return index < len(pieces) and bool(pieces[index])
    if (index + 1) * frame_bits(image) > 8 * pixels.length:
        return False
    return not _is_of_another_shape(image)


def frame_pieces(image: StoredImage) -> list[Pieces]:
    """The pieces of each compressed frame, as many frames as there are; none where it is cut off.

    The basic offset table says which fragments form a frame; else each fragment is a frame, else
    a frame ends where its stream does (DICOM PS3.5, A.4). Of more fragments than there are frames,
    those that hold nothing are none.

    Raises
    ------
    OSError
        Where the file has to be looked at and cannot be.
    """
    pixels = image.pixels
    by_table = _by_offset_table(image)
    if by_table is not None:
        return by_table
    if image.number_of_frames == 1:
        return [pixels.fragments if pixels.complete else ()]
    fragments = pixels.fragments
    if len(fragments) > image.number_of_frames:
        fragments = tuple(fragment for fragment in fragments if fragment[1])
    one_each = pixels.complete and len(fragments) == image.number_of_frames
    if one_each or image.transfer_syntax_uid == RLELossless:
        return [(fragment,) for fragment in fragments[: image.number_of_frames]]
    return _by_ends(image)


def read_pieces(path: Path, pieces: Pieces) -> bytes:
    """The compressed stream of one frame; short where the file is no longer what it was."""
    with path.open("rb") as file:
        return b"".join(_at(file, offset, length) for offset, length in pieces)


def read_native(image: StoredImage, first: int, last: int, stream: BinaryIO | None = None) -> bytes:
    """Bytes ``first`` up to ``last`` of uncompressed pixel data; fewer where the file ends.

    Never more than the pixel data hold is asked of the file. ``stream`` is an ``inflated`` one that
    is read on, so that several frames inflate what is before them once.
    """
    pixels = image.pixels
    assert pixels.offset is not None
    count = min(last, pixels.length) - first
    if stream is not None:
        return _at(stream, pixels.offset + first, max(count, 0))
    with image.path.open("rb") as file:
        whole = inflated(file) if pixels.deflated else file
        return _at(whole, pixels.offset + first, max(count, 0))


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)


def _by_offset_table(image: StoredImage) -> list[Pieces] | None:
    """None where there is no table, or its frames do not begin where fragments do."""
    pixels = image.pixels
    table = pixels.frame_offsets[: max(image.number_of_frames, 1)]
    if not pixels.fragments or not table or table[0] or len(table) < image.number_of_frames:
        return None
    # The table counts from the head of the first fragment, 8 bytes before its data.
    origin = pixels.fragments[0][0]
    starts = {offset - origin: k for k, (offset, _) in enumerate(pixels.fragments)}
    starts[sum(pixels.fragments[-1]) + 8 - origin] = len(pixels.fragments)
    bounds = [starts.get(offset) for offset in pixels.frame_offsets[: len(table) + 1]]
    if pixels.complete:
        if None in bounds:
            return None
        bounds.append(len(pixels.fragments))
    frames: list[Pieces] = []
    for begin, end in pairwise(bounds[: len(table) + 1]):
        if begin is None or end is None:
            break
        if end <= begin:
            return None
        frames.append(pixels.fragments[begin:end])
    return frames


def _by_ends(image: StoredImage) -> list[Pieces]:
    frames: list[Pieces] = []
    pieces: list[tuple[int, int]] = []
    with image.path.open("rb") as file:
        for offset, length in image.pixels.fragments:
            pieces.append((offset, length))
            tail = min(_TAIL, length)
            if _END_OF_STREAM in _at(file, offset + length - tail, tail):
                frames.append(tuple(pieces))
                pieces = []
                if len(frames) == image.number_of_frames:
                    break
    return frames


def _is_of_another_shape(image: StoredImage) -> bool:
    """More data than the frames need, beyond padding.

    Fewer columns than were written would shear the picture; so what is left over must be less
    than a row, or a row of zeros.
    """
    pixels = image.pixels
    bits = frame_bits(image)
    needed = -(-bits * max(image.number_of_frames, 1) // 8)
    row = max(bits // image.rows // 8, 2)
    excess = pixels.length - needed
    # Cut off, where it is negative: the number of a frame has told whether it is whole.
    if excess < row:
        return False
    if excess > row:
        return True
    try:
        return any(read_native(image, needed, pixels.length))
    except OSError:
        return True
