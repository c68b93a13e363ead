"""Decode frames with gdcm, in a process of its own: run by ``gdcm``, never imported.

gdcm ends its process on a damaged stream (``std::terminate``); this one may die.

Standard input: a JSON list of [path, pieces of the stream as [offset, length], transfer syntax,
options of the decoder]. Standard output: for each, the bytes that follow (8, little endian; 0: it
cannot be decoded): the samples in native order, colours last, and in front of them a head of
``HEAD`` bytes, the bytes of a sample and the photometric interpretation as decoded.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGExtended12Bit

HEAD = 17


def main() -> None:
    """Work off the list."""
    jobs = json.loads(sys.stdin.buffer.read())
    out = os.fdopen(os.dup(1), "wb")
    # What the library prints must not fall between the pixels.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for path, pieces, syntax, options in jobs:
        try:
            answer = _decoded(path, pieces, syntax, options)
        except Exception:  # anything may be in a stream; the reader says that it is damaged
            answer = b""
        out.write(len(answer).to_bytes(8, "little") + answer)
        out.flush()


def _decoded(path: str, pieces: list[list[int]], syntax: str, options: dict[str, Any]) -> bytes:
    stream = b""
    with open(path, "rb") as file:
        for offset, length in pieces:
            file.seek(offset)
            stream += file.read(length)
    if syntax == JPEGExtended12Bit and options["samples_per_pixel"] == 1:
        return _answer(options["bits_allocated"] // 8, "", _grey_12_bit(stream, syntax, options))
    pixels, properties = get_decoder(syntax).as_array(
        encapsulate([stream]), index=0, raw=True, decoding_plugin="gdcm", **options
    )
    photometric = str(properties["photometric_interpretation"])
    return _answer(pixels.itemsize, photometric, pixels.tobytes())


def _answer(size: int, photometric: str, data: bytes) -> bytes:
    return bytes([size]) + photometric.encode("ascii").ljust(HEAD - 1)[: HEAD - 1] + data


def _grey_12_bit(stream: bytes, syntax: str, options: dict[str, Any]) -> bytes:
    """As pydicom's plugin does it, which refuses 12 bits although gdcm reads them."""
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((options["columns"], options["rows"], 1))
    image.SetDataElement(element)
    kind = gdcm.PhotometricInterpretation.GetPIType("MONOCHROME2")
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(syntax)))
    bits, stored = options["bits_allocated"], options["bits_stored"]
    signed = options["pixel_representation"]
    image.SetPixelFormat(gdcm.PixelFormat(1, bits, stored, stored - 1, signed))
    data: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return data


if __name__ == "__main__":
    main()
