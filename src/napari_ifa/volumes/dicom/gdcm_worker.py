"""Decode frames with gdcm, in a process of its own: run by ``dicom_gdcm``, never imported.

gdcm ends its process on a damaged stream (``std::terminate``); this one may die.

Standard input: a JSON list of [path, offset, length, transfer syntax, options of the decoder].
Standard output: for each, one byte for the bytes of a pixel (0: cannot be decoded), the number of
bytes that follow (8, little endian), and the pixels in native order.
"""

from __future__ import annotations

import json
import os
import sys

from pydicom.pixels.decoders.base import get_decoder


def main() -> None:
    """Work off the list."""
    jobs = json.loads(sys.stdin.buffer.read())
    out = os.fdopen(os.dup(1), "wb")
    # What the library prints must not fall between the pixels.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for path, offset, length, syntax, options in jobs:
        size, data = 0, b""
        try:
            with open(path, "rb") as file:
                file.seek(offset)
                encoded = file.read(length)
            decoder = get_decoder(syntax)
            pixels, _ = decoder.as_array(encoded, raw=True, decoding_plugin="gdcm", **options)
            size, data = pixels.itemsize, pixels.tobytes()
        except Exception:  # anything may be in a stream; the reader says that it is damaged
            size, data = 0, b""
        out.write(bytes([size]) + len(data).to_bytes(8, "little") + data)
        out.flush()


if __name__ == "__main__":
    main()
