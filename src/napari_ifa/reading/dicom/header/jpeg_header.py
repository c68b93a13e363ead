"""What a JPEG stream says of its own pixels, where the file's header says another thing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from napari_ifa.reading.dicom.header.frames import StoredImage

#: Bytes of a stream in which its frame header stands, behind its tables and whatever a maker adds.
_HEAD = 1 << 16
_JFIF, _ADOBE = 0xE0, 0xEE
#: Baseline, extended and progressive: the processes that lose detail.
_LOSSY_FRAMES = (0xC0, 0xC1, 0xC2)
_START_OF_SCAN = 0xDA
#: The numbers that JFIF gives to brightness and the two colour differences.
_JFIF_COMPONENTS = (1, 2, 3)


def as_the_stream_says(image: StoredImage, file: BinaryIO) -> StoredImage:
    """``image`` with the bits and the colours that its first JPEG stream has.

    Baseline JPEG has 8 bits a sample (ITU T.81, 4.11), however many the header allocates.

    JPEG turns colours into brightness and colour differences before it compresses them, but older
    equipment left RGB in the header (DICOM CP 156). Where neither a JFIF nor an Adobe marker says
    which of the two it is, the components do: differences alone are stored in fewer pixels, and a
    lossy stream that numbers its components as JFIF does is taken for JFIF, as libjpeg takes it.
    """
    remarks = list(image.remarks)
    if image.transfer_syntax_uid == JPEGBaseline8Bit and image.bits_allocated > 8:
        if image.bits_stored > 8:
            remarks.append(
                f"the header says {image.bits_stored} bits a pixel, its JPEG data hold 8."
            )
        bits = min(image.bits_stored, 8)
        image = replace(image, bits_allocated=8, bits_stored=bits, high_bit=bits - 1)
    if _may_lie_about_colours(image) and _holds_differences(_start(image, file)):
        remarks.append("the header says RGB, its JPEG data hold brightness and colour differences.")
        image = replace(image, photometric_interpretation="YBR_FULL")
    return replace(image, remarks=tuple(remarks))


def _may_lie_about_colours(image: StoredImage) -> bool:
    is_jpeg = image.transfer_syntax_uid in (JPEGBaseline8Bit, JPEGExtended12Bit)
    has_stream = image.pixels.encapsulated and bool(image.pixels.fragments)
    return (
        is_jpeg
        and has_stream
        and image.samples_per_pixel == 3
        and image.photometric_interpretation == "RGB"
    )


def _start(image: StoredImage, file: BinaryIO) -> bytes:
    offset, length = image.pixels.fragments[0]
    file.seek(offset)
    return file.read(min(length, _HEAD))


def _holds_differences(stream: bytes) -> bool:
    """Whether three components without a marker of their colours are not RGB."""
    for mark, segment in _segments(stream):
        if (mark == _JFIF and segment.startswith(b"JFIF")) or (
            mark == _ADOBE and segment.startswith(b"Adobe")
        ):
            # The decoders go by these.
            return False
        if mark in _LOSSY_FRAMES:
            components = [segment[at : at + 3] for at in range(6, len(segment) - 2, 3)]
            if len(components) != 3:
                return False
            numbers = tuple(component[0] for component in components)
            sampling = {component[1] for component in components}
            return len(sampling) > 1 or numbers == _JFIF_COMPONENTS
    return False


def _segments(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Mark and content of each segment before the first scan (ITU T.81, B.1.1)."""
    at = 2
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        mark = stream[at + 1]
        if mark == 0xFF:  # a fill byte
            at += 1
            continue
        if mark == _START_OF_SCAN:
            return
        length = int.from_bytes(stream[at + 2 : at + 4], "big")
        yield mark, stream[at + 4 : at + 2 + length]
        at += 2 + max(length, 2)
