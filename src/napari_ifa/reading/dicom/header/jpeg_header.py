"""What a JPEG stream says of its own pixels, where the file's header says another thing."""

from __future__ import annotations

from dataclasses import replace
from typing import BinaryIO

from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

from napari_ifa.reading.dicom.header.codestream import DamagedStreamError, segments
from napari_ifa.reading.dicom.header.frames import StoredImage

#: Bytes of a stream in which its frame header stands, behind its tables and whatever a maker adds.
_HEAD = 1 << 16
_MARKERS = ((0xE0, b"JFIF"), (0xEE, b"Adobe"))
#: Baseline, extended and progressive: the processes that lose detail.
_LOSSY_FRAMES = (0xC0, 0xC1, 0xC2)
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
    said = (image.samples_per_pixel, image.photometric_interpretation)
    is_jpeg = image.transfer_syntax_uid in (JPEGBaseline8Bit, JPEGExtended12Bit)
    streams = image.pixels.fragments if image.pixels.encapsulated and is_jpeg else ()
    if said == (3, "RGB") and streams and _holds_differences(file, *streams[0]):
        remarks.append("the header says RGB, its JPEG data hold brightness and colour differences.")
        image = replace(image, photometric_interpretation="YBR_FULL")
    return replace(image, remarks=tuple(remarks))


def _holds_differences(file: BinaryIO, offset: int, length: int) -> bool:
    """Whether three components without a marker of their colours are not RGB."""
    file.seek(offset)
    try:
        for mark, segment in segments(file.read(min(length, _HEAD))):
            if any(mark == known and segment.startswith(name) for known, name in _MARKERS):
                # The decoders go by these.
                return False
            if mark in _LOSSY_FRAMES:
                components = [segment[at : at + 3] for at in range(6, len(segment) - 2, 3)]
                numbers = tuple(component[0] for component in components)
                sampling = {component[1] for component in components}
                return len(numbers) == 3 and (len(sampling) > 1 or numbers == _JFIF_COMPONENTS)
    except DamagedStreamError:
        pass
    return False
