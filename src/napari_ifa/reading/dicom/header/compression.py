"""Which compression pixel data have, whatever the header says of it."""

from __future__ import annotations

from importlib.util import find_spec
from math import prod
from typing import Any, BinaryIO

from pydicom.pixels import get_decoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from napari_ifa.reading.dicom.header.codestream import are_alike, syntax_of
from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import StoredImage
from napari_ifa.reading.dicom.header.pixeldata import (
    GE_BIG_ENDIAN_PIXELS,
    PixelData,
    locate_pixels,
    streams_in,
)
from napari_ifa.reading.problems import DicomProblem

#: The last two are GE's own, and of files without meta information.
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_NOT_COMPRESSED = (*_PLAIN, GE_BIG_ENDIAN_PIXELS, "")
#: What decodes each compression, a plugin of pydicom or imagecodecs, and the package it is in.
_JPEG, _OTHER_JPEG = ("pillow", "pillow"), ("imagecodecs", "imagecodecs")
_JPEG_2000, _RLE = ("pylibjpeg", "pylibjpeg-openjpeg"), ("pylibjpeg", "pylibjpeg-rle")
_HAS_IMAGECODECS = find_spec("imagecodecs") is not None
_DECODERS = {
    JPEGBaseline8Bit: _JPEG,
    **dict.fromkeys((JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1), _OTHER_JPEG),
    **dict.fromkeys(JPEGLSTransferSyntaxes, _OTHER_JPEG),
    **dict.fromkeys(JPEG2000TransferSyntaxes, _JPEG_2000),
    RLELossless: _RLE,
}
#: Of a compressed stream, what shows its kind in nearly all files.
_STREAM_HEAD = 1 << 10
#: Where the header does not tell, its kind has to be found, wherever a writer's remarks end.
_WHOLE_HEAD = 1 << 16


def located_pixels(
    file: BinaryIO, dataset: Any, fields: Fields, syntax: str
) -> tuple[PixelData, UID, tuple[str, ...], DicomProblem | None]:
    """The pixel data and the compression they have, what is to be said of it, and a refusal.

    Some writers leave the transfer syntax of a file in its header that they have compressed or
    decompressed since. What a stream is, is seen from how it begins.
    """
    stated = UID(syntax)
    pixels = locate_pixels(file, dataset, stated)
    is_stated = are_alike(stated, stated)
    if (is_stated or stated in _NOT_COMPRESSED) and pixels.length < _plain_bytes(fields):
        pixels = streams_in(file, pixels) or pixels
    if not pixels.encapsulated:
        remark = f"its header says that its pixels are {stated.name}; they are not compressed."
        return pixels, stated, (remark,) if is_stated and pixels.offset is not None else (), None
    if not is_stated and stated not in _NOT_COMPRESSED:
        return pixels, stated, (), None
    offset, length = next((piece for piece in pixels.fragments if piece[1]), (0, 0))
    file.seek(offset)
    found = syntax_of(file.read(min(length, _STREAM_HEAD if is_stated else _WHOLE_HEAD)))
    if is_stated and (found is None or are_alike(found, stated)):
        return pixels, stated, (), None
    if found is None:
        return pixels, stated, (), DicomProblem.UNNAMED_COMPRESSION
    named = f"are {stated.name}" if is_stated else "are not compressed"
    remark = f"its header says that its pixels {named}; they were read as {found.name}."
    return pixels, found, (remark,), None


def _plain_bytes(fields: Fields) -> int:
    """Of the pixel data where they are not compressed."""
    sizes = (fields.short(tag) or 1 for tag in ("Rows", "Columns", "SamplesPerPixel"))
    frames = max(fields.integer("NumberOfFrames") or 1, 1)
    return prod(sizes) * (fields.short("BitsAllocated") or 16) * frames // 8


def decoder_of(image: StoredImage) -> tuple[str, str] | None:
    """What decodes the compression of an image, a plugin of pydicom or ``"imagecodecs"``, and the
    package that it is in; None for a compression that is not supported."""
    if image.transfer_syntax_uid == JPEGExtended12Bit and image.bits_stored == 8:
        return _JPEG
    return _DECODERS.get(image.transfer_syntax_uid)


def is_installed(plugin: str, syntax: UID) -> bool:
    """Whether what ``decoder_of`` names is there for a compression."""
    if plugin == "imagecodecs":
        return _HAS_IMAGECODECS
    return plugin in get_decoder(syntax).available_plugins
