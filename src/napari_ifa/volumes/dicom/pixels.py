"""Pixel values of a stack, read on threads into one array."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRBigEndian

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.gdcm import decode_with_gdcm, decoder_options, needs_gdcm
from napari_ifa.volumes.dicom.refusals import damaged, label
from napari_ifa.volumes.dicom.stack import Stack
from napari_ifa.volumes.memory import refuse_if_too_large
from napari_ifa.volumes.series import Progress, Stop
from napari_ifa.volumes.threads import in_threads

#: By default pydicom tries all plugins in turn, and gdcm ends the whole process on a damaged
#: stream: one is asked, and gdcm, where there is no other, in a process of its own.
_PLUGINS = ("pyjpegls", "pylibjpeg", "pillow", "pydicom", "gdcm")
_INT16 = np.iinfo(np.int16)


def read_stack(
    stack: Stack, progress: Progress | None = None, stop: Stop | None = None
) -> NDArray[Any]:
    """Values in the modality's units: ``[column, row, slice]``, int16 or float32.

    Raises
    ------
    UnsupportedStudyError
        Where pixel data are damaged, or too large for this computer.
    Cancelled
        When ``stop`` says so.
    """
    frames = tuple(frame for frame in stack.frames if frame is not None)
    columns, rows, slices = stack.shape
    dtype = np.dtype(np.int16 if all(map(_may_fit_int16, frames)) else np.float32)
    refuse_if_too_large((slices, rows, columns), dtype.itemsize, label(frames))
    read = _read_with_gdcm if any(map(needs_gdcm, frames)) else _read_on_threads
    try:
        values = read(frames, dtype, progress, stop)
    except _BeyondInt16Error:
        refuse_if_too_large((slices, rows, columns), 4, label(frames))
        values = read(frames, np.dtype(np.float32), progress, stop)
    return values.transpose(2, 1, 0)


def stored_pixels(frame: Frame) -> NDArray[Any]:
    """Stored integers ``[row, column]`` of one frame, without the bits that are not in use.

    Raises
    ------
    UnsupportedStudyError
        Where they are damaged or incomplete.
    """
    try:
        pixels = _decode(frame) if _needs_decoder(frame) else _native(frame)
        if pixels.shape != (frame.rows, frame.columns):
            raise ValueError(f"decoded to {pixels.shape}")
        return _used_bits(pixels, frame)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of a decoder written in Rust is no Exception
        raise UnsupportedStudyError(damaged(frame)) from error


class _BeyondInt16Error(Exception):
    """A value that the header allowed to be, and that is, outside the range of int16."""


def _read_on_threads(
    frames: tuple[Frame, ...], dtype: np.dtype[Any], progress: Progress | None, stop: Stop | None
) -> NDArray[Any]:
    # A header may claim anything: nothing is allocated before one slice has been decoded.
    stored_pixels(frames[0])
    values = _empty(frames, dtype)

    def read(index: int) -> None:
        _place(stored_pixels(frames[index]), frames[index], values[index])

    in_threads(read, range(len(frames)), progress, stop)
    return values


def _read_with_gdcm(
    frames: tuple[Frame, ...], dtype: np.dtype[Any], progress: Progress | None, stop: Stop | None
) -> NDArray[Any]:
    values = None
    with closing(decode_with_gdcm([f for f in frames if needs_gdcm(f)])) as decoded:
        for index, frame in enumerate(frames):
            if stop is not None and stop():
                raise Cancelled("Reading was stopped.")
            if needs_gdcm(frame):
                pixels = next(decoded, None)
                if pixels is None:
                    raise UnsupportedStudyError(damaged(frame))
                pixels = _used_bits(pixels, frame)
            else:
                pixels = stored_pixels(frame)
            values = _empty(frames, dtype) if values is None else values
            _place(pixels, frame, values[index])
            if progress is not None:
                progress(index + 1, len(frames))
    assert values is not None
    return values


def _empty(frames: tuple[Frame, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty((len(frames), frames[0].rows, frames[0].columns), dtype)


def _place(stored: NDArray[Any], frame: Frame, target: NDArray[Any]) -> None:
    """Rescale stored values into their place."""
    slope, intercept = frame.slope, frame.intercept
    assert slope is not None
    assert intercept is not None
    if target.dtype == np.int16:
        low, high = int(stored.min()) + int(intercept), int(stored.max()) + int(intercept)
        if low < _INT16.min or high > _INT16.max:
            raise _BeyondInt16Error
        # The stored value alone may wrap; the sum, checked above, comes out right.
        target[...] = stored.astype(np.int16, copy=False)
        target += np.int16(intercept)
    elif frame.image.bits_allocated == 32:
        target[...] = stored.astype(np.float64) * slope + intercept
    else:
        np.multiply(stored, np.float32(slope), out=target, dtype=np.float32)
        target += np.float32(intercept)


def _may_fit_int16(frame: Frame) -> bool:
    """Integers stay integers; whether their range allows int16 is seen when they are read."""
    slope, intercept = frame.slope, frame.intercept
    if slope != 1 or intercept is None or intercept != int(intercept):
        return False
    return frame.image.bits_allocated <= 16 and _INT16.min <= intercept <= _INT16.max


def _needs_decoder(frame: Frame) -> bool:
    return frame.image.pixels.encapsulated or (
        frame.image.bits_allocated == 8 and not frame.image.pixels.little_endian
    )


def _native(frame: Frame) -> NDArray[Any]:
    count = frame.rows * frame.columns
    order = "<" if frame.image.pixels.little_endian else ">"
    dtype = np.dtype(
        f"{order}{'i' if frame.image.signed else 'u'}{frame.image.bits_allocated // 8}"
    )
    if frame.image.pixels.offset is None:
        # Deflated: nothing in the file can be addressed before the whole is inflated.
        data = pydicom.dcmread(frame.image.path, force=True).PixelData
        pixels = np.frombuffer(data, dtype, count)
    else:
        pixels = np.fromfile(frame.image.path, dtype, count, offset=frame.image.pixels.offset)
    return pixels.reshape(frame.rows, frame.columns).astype(dtype.newbyteorder("="), copy=False)


def _decode(frame: Frame) -> NDArray[Any]:
    assert frame.image.pixels.offset is not None
    with frame.image.path.open("rb") as file:
        file.seek(frame.image.pixels.offset)
        data = file.read(frame.image.pixels.length)
    encapsulated = frame.image.pixels.encapsulated
    decoder = get_decoder(frame.image.transfer_syntax if encapsulated else ExplicitVRBigEndian)
    plugins = decoder.available_plugins
    pixels, _ = decoder.as_array(
        data,
        raw=True,
        decoding_plugin=min(plugins, key=_PLUGINS.index) if encapsulated else "",
        **decoder_options(frame),
        **({} if encapsulated else {"pixel_vr": "OW"}),
    )
    return pixels


def _used_bits(pixels: NDArray[Any], frame: Frame) -> NDArray[Any]:
    """Clear what stands beside the stored bits, keeping the sign (DICOM PS3.5, 8.1.1)."""
    if (
        frame.image.bits_stored == frame.image.bits_allocated
        or pixels.itemsize * 8 != frame.image.bits_allocated
    ):
        return pixels
    shift = frame.image.bits_allocated - frame.image.high_bit - 1
    unused = frame.image.bits_allocated - frame.image.bits_stored
    # A shift up and down again with the sign of the type.
    return np.right_shift(np.left_shift(pixels, shift), unused)
