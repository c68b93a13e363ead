"""One stored frame as an array: the bits in use, in rows and columns, colours last."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLSTransferSyntaxes, RLELossless

from napari_ifa.reading.dicom.header.codestream import (
    DamagedStreamError,
    StreamSize,
    check_stream,
)
from napari_ifa.reading.dicom.header.compression import decoder_of
from napari_ifa.reading.dicom.header.frames import StoredImage
from napari_ifa.reading.dicom.header.stored_frames import frame_bits, read_native

#: Marks of a JPEG stream, and bytes that could be more of its data: none of them is a mark.
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_MORE_DATA = bytes((89 * k + 41) % 255 for k in range(4096))


def stored_dtype(image: StoredImage) -> np.dtype[Any]:
    """Of the samples as they stand in the file, in its own byte order."""
    order = "<" if image.pixels.little_endian else ">"
    if image.pixels.is_float:
        return np.dtype(f"{order}f{image.bits_allocated // 8}")
    if image.bits_allocated == 1:
        return np.dtype(np.uint8)
    kind = "i" if image.signed else "u"
    return np.dtype(f"{order}{kind}{image.bits_allocated // 8}")


def native_frame(image: StoredImage, index: int, stream: BinaryIO | None = None) -> NDArray[Any]:
    """An uncompressed frame, ``[row, column]`` or ``[row, column, sample]``, in native order.

    ``stream`` as for ``read_native``. Colours that share values (YBR_FULL_422) are spread out.

    Raises
    ------
    ValueError
        Where the file ends before the frame does.
    """
    bits = frame_bits(image)
    first, last = index * bits // 8, -(-(index + 1) * bits // 8)
    if image.pixels.words and image.bits_allocated <= 8:
        # Bytes were swapped in pairs, across the border of two frames where a frame is odd.
        even = first - first % 2
        data = read_native(image, even, last + last % 2, stream)
        data = np.frombuffer(data, np.uint16).byteswap().tobytes()[first - even : last - even]
    else:
        data = read_native(image, first, last, stream)
    if len(data) < last - first:
        raise ValueError("the file ends before the frame does")
    if image.bits_allocated == 1:
        start = index * bits % 8
        unpacked = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return _shaped(unpacked[start : start + bits], image, image.planar_configuration)
    dtype = stored_dtype(image)
    if 8 * len(data) < image.rows * image.columns * image.samples_per_pixel * image.bits_allocated:
        from pydicom.pixels.utils import expand_ybr422

        data = expand_ybr422(data, image.bits_allocated)
        return _shaped(np.frombuffer(data, dtype), image, planar=0)
    pixels = _shaped(np.frombuffer(data, dtype), image, image.planar_configuration)
    return used_bits(pixels.astype(dtype.newbyteorder("="), copy=False), image)


def compressed_frame(data: bytes, image: StoredImage) -> tuple[NDArray[Any], str]:
    """A compressed frame, as ``native_frame``, and its photometric interpretation as decoded.

    Raises
    ------
    DamagedStreamError
        Where the stream is not of the size that the header says, or was cut off.
    Exception
        Of any kind, where the decoder cannot read it; a panic of one that is written in Rust is
        only a BaseException.
    """
    header = StreamSize(image.rows, image.columns, image.samples_per_pixel, image.bits_allocated)
    stated = check_stream(data, image.transfer_syntax_uid, header)
    plugin, _ = decoder_of(image) or ("", "")
    if plugin == "imagecodecs":
        pixels = _decoded_by_imagecodecs(data, image, stated.precision)
        return pixels, image.photometric_interpretation
    return _decoded_by_pydicom(data, image, plugin)


def _decoded_by_imagecodecs(data: bytes, image: StoredImage, precision: int) -> NDArray[Any]:
    """JPEG-LS and the kinds of JPEG that have no decoder in pydicom's plugins."""
    import imagecodecs

    if image.transfer_syntax_uid in JPEGLSTransferSyntaxes:
        pixels = imagecodecs.jpegls_decode(data)
    else:
        pixels = _whole_jpeg(data, "RGB" if image.samples_per_pixel > 1 else "GRAYSCALE")
    samples = image.samples_per_pixel
    if samples > 1 and pixels.shape == (samples, image.rows, image.columns):
        pixels = pixels.transpose(1, 2, 0)
    bits = image.bits_stored
    if image.signed:
        pixels = pixels.view(f"i{pixels.itemsize}")
        if image.transfer_syntax_uid in JPEGLSTransferSyntaxes:
            # The stream knows no sign: it is in the highest of its own bits.
            bits = min(bits, precision)
    unused = max(8 * pixels.itemsize - bits, 0)
    return np.right_shift(np.left_shift(pixels, unused), unused) if unused else pixels


def _whole_jpeg(data: bytes, colours: str) -> NDArray[Any]:
    """The samples of a JPEG stream as they were compressed.

    libjpeg fills in what is missing, and says nothing. A stream is whole if nothing that could
    follow its data changes its image.

    Parameters
    ----------
    colours : libjpeg's name for what is compressed. It is given for both sides, which keeps the
        decoder from turning colours into others.

    Raises
    ------
    DamagedStreamError
        Where the data end before the image does.
    """
    from imagecodecs import jpeg8_decode

    pixels: NDArray[Any] = jpeg8_decode(data, colorspace=colours, outcolorspace=colours)
    end = data.rfind(_END_OF_IMAGE)
    if end > data.rfind(_START_OF_SCAN):
        scans = data[:end]
    else:
        # Without its end, many zeros are more likely to fill up a file than to be pixels.
        scans = data.rstrip(b"\0") if data.endswith(bytes(4)) else data
    longer = jpeg8_decode(scans + _MORE_DATA, colorspace=colours, outcolorspace=colours)
    if not np.array_equal(pixels, longer):
        raise DamagedStreamError("the stream ends before the image does")
    return pixels


def _decoded_by_pydicom(data: bytes, image: StoredImage, plugin: str) -> tuple[NDArray[Any], str]:
    options: dict[str, Any] = {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples_per_pixel,
        "planar_configuration": image.planar_configuration,
        "photometric_interpretation": image.photometric_interpretation,
        "pixel_representation": int(image.signed),
        "bits_allocated": image.bits_allocated,
        "bits_stored": image.bits_stored,
        "pixel_keyword": "PixelData",
        # Cells of RLE are stored as they are: the bits in use need not be the lowest.
        "correct_unused_bits": image.transfer_syntax_uid != RLELossless,
    }
    pixels, properties = get_decoder(image.transfer_syntax_uid).as_array(
        encapsulate([data]), index=0, raw=True, decoding_plugin=plugin, **options
    )
    if image.transfer_syntax_uid == RLELossless:
        pixels = used_bits(pixels, image)
    return pixels, str(properties["photometric_interpretation"])


def used_bits(pixels: NDArray[Any], image: StoredImage) -> NDArray[Any]:
    """Clear what stands beside the stored bits, keeping the sign (DICOM PS3.5, 8.1.1).

    ``pixels`` itself where nothing stands there.

    Raises
    ------
    ValueError
        Where the header contradicts itself about the bits.
    """
    if image.pixels.is_float:
        return pixels
    if not 0 < image.bits_stored <= image.high_bit + 1 <= image.bits_allocated:
        raise ValueError("bits that do not fit a pixel")
    unused = image.bits_allocated - image.bits_stored
    if not unused:
        return pixels
    shift = image.bits_allocated - image.high_bit - 1
    span = 1 << image.bits_stored
    least = -(span >> 1) if image.signed else 0
    if shift == unused and least <= int(pixels.min()) <= int(pixels.max()) < least + span:
        return pixels
    # A shift up and down again with the sign of the type.
    return np.right_shift(np.left_shift(pixels, shift), unused)


def _shaped(flat: NDArray[Any], image: StoredImage, planar: int) -> NDArray[Any]:
    rows, columns, samples = image.rows, image.columns, image.samples_per_pixel
    flat = flat[: rows * columns * samples]
    if samples > 1 and planar:
        return flat.reshape(samples, rows, columns).transpose(1, 2, 0)
    return flat.reshape(rows, columns, *[samples] * (samples > 1))
