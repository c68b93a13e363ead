"""Colours as RGB: from the other colour spaces, and from palettes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.bounded_file import BoundedFile
from napari_ifa.reading.dicom.header.frame_table import read_header
from napari_ifa.reading.dicom.header.frames import PALETTE, YBR, StoredImage

_DESCRIPTORS = (0x00281101, 0x00281102, 0x00281103)
_SEGMENTED = (0x00281221, 0x00281222, 0x00281223)
_TABLES = (0x00281201, 0x00281202, 0x00281203)
_PALETTE_TAGS = (*_DESCRIPTORS, *_TABLES, *_SEGMENTED)
_MOST_ENTRIES = 2**16
#: Pixels that are converted at a time.
BLOCK = 2**18


def colour_dtype(image: StoredImage) -> np.dtype[Any]:
    """uint8, or uint16 where colours are stored in more than 8 bits.

    Raises
    ------
    Exception
        Of any kind, where a palette cannot be read.
    """
    bits = image.bits_stored
    if image.photometric_interpretation == PALETTE:
        bits = int(_palette(image)[_DESCRIPTORS[0]].value[2])
    return np.dtype(np.uint8 if bits <= 8 else np.uint16)


def to_rgb(
    pixels: NDArray[Any], photometric: str, image: StoredImage, target: NDArray[Any]
) -> None:
    """Write stored colours ``[row, column, 3]``, or numbers of a palette ``[row, column]``, as RGB
    into ``target``, ``[row, column, 3]`` of ``colour_dtype``.

    Colours that use fewer bits than the type has, or more, are scaled to its range.

    Raises
    ------
    Exception
        Of any kind, where the colours are of no known kind or their palette is damaged.
    """
    palette = _palette(image) if photometric == PALETTE else None
    # What is computed in between takes many times the memory of the colours.
    step = max(BLOCK // pixels.shape[1], 1)
    for first in range(0, len(pixels), step):
        rows = slice(first, first + step)
        colours, bits = _rgb(pixels[rows], photometric, palette, image.bits_stored)
        if colours.shape[2:] != (3,):
            raise ValueError("not three colours")
        shift = 8 * target.itemsize - bits
        if shift >= 0:
            target[rows] = np.left_shift(colours.astype(target.dtype, copy=False), shift)
        else:
            target[rows] = np.right_shift(colours, -shift)


def _rgb(
    pixels: NDArray[Any], photometric: str, palette: pydicom.Dataset | None, bits: int
) -> tuple[NDArray[Any], int]:
    """``[row, column, 3]``, and the bits in use."""
    from pydicom.pixels import apply_color_lut, convert_color_space

    if palette is not None:
        entries, first, bits = (int(number) for number in palette[_DESCRIPTORS[0]].value)
        # pydicom counts entries in the type of the colours: what is outside must not wrap.
        inside = np.clip(pixels, first, first + (entries or 65536) - 1)
        return apply_color_lut(inside, palette), bits
    if photometric in YBR:
        if pixels.dtype.itemsize > 1:
            raise ValueError("the conversion is defined for 8 bits")
        return convert_color_space(pixels, "YBR_FULL", "RGB"), bits
    if photometric == "RGB":
        return pixels, bits
    raise ValueError("colours of an unknown kind")


def _palette(image: StoredImage) -> pydicom.Dataset:
    with BoundedFile(image.path) as file:
        palette: pydicom.Dataset = read_header(file, _PALETTE_TAGS)
    entries, _, bits = (int(number) for number in palette[_DESCRIPTORS[0]].value)
    for tag in _SEGMENTED:
        if tag in palette:
            _check_segments(palette[tag].value, bits // 8)
    for tag in _TABLES:
        if tag in palette and len(palette[tag].value) == (entries or 65536) > 256:
            wide = np.frombuffer(palette[tag].value, np.uint8).astype(np.uint16)
            palette[tag].value = wide.tobytes()
    return palette


def _check_segments(data: bytes, width: int) -> None:
    """A segmented palette of a few bytes could expand to any size (DICOM PS3.3, C.7.9.2)."""
    entries = 0
    words = np.frombuffer(data[: len(data) // width * width], f"<u{width}").tolist()
    at = 0
    while at + 1 < len(words):
        kind, length = words[at], words[at + 1]
        entries += length
        # Segments that repeat others could repeat themselves: files of today have none.
        if kind > 1 or entries > _MOST_ENTRIES:
            raise ValueError("a palette that expands beyond its entries")
        at += 2 + (length if kind == 0 else 1)
