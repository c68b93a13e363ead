"""Compressions that only gdcm decodes, read through a process that may die of a damaged file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import JPEGExtended12Bit

from napari_ifa.reading.dicom.header.frames import StoredImage
from napari_ifa.reading.dicom.header.stored_frames import Pieces
from napari_ifa.reading.dicom.pixels.decoding import decoder_options, plugins

_WORKER = Path(__file__).with_name("gdcm_worker.py")
#: Bytes in front of the samples, as the worker writes them.
_HEAD = 17
#: A stream may end the process, and the rest is read by another; a series of such streams is not
#: worth one each.
_MOST_PROCESSES = 8


def needs_gdcm(image: StoredImage) -> bool:
    """True where no other decoder is installed for the compression.

    Raises
    ------
    NotImplementedError, ValueError
        Where the compression is none that pydicom knows.
    """
    return image.pixels.encapsulated and plugins(image) == ["gdcm"]


def may_ask_gdcm(image: StoredImage) -> bool:
    """True where gdcm is installed, and decodes the compression."""
    return image.pixels.encapsulated and "gdcm" in plugins(image)


def decode_with_gdcm(
    jobs: Sequence[tuple[StoredImage, Pieces]],
) -> Generator[tuple[NDArray[Any], str] | None, None, None]:
    """Samples of each frame in turn, as ``decoding.compressed_frame``; None where it is damaged."""
    begin = 0
    for _ in range(_MOST_PROCESSES):
        for answer in _one_process(jobs[begin:]):
            begin += 1
            yield answer
        if begin == len(jobs):
            return
        # It died of this one.
        begin += 1
        yield None
    for _ in jobs[begin:]:
        yield None


def _one_process(
    jobs: Sequence[tuple[StoredImage, Pieces]],
) -> Generator[tuple[NDArray[Any], str] | None, None, None]:
    """As ``decode_with_gdcm``; ends early where a stream kills the process."""
    if not jobs:
        return
    told = [
        (str(image.path), pieces, str(image.transfer_syntax), decoder_options(image))
        for image, pieces in jobs
    ]
    # -P: the folder of this package must not stand in front of the modules' names.
    process = subprocess.Popen(
        [sys.executable, "-P", str(_WORKER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(told).encode())
        process.stdin.close()
        for image, _ in jobs:
            head = process.stdout.read(8)
            if len(head) < 8:
                return
            yield _samples(process.stdout, int.from_bytes(head, "little"), image)
    except BrokenPipeError:
        return
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _samples(stream: IO[bytes], length: int, image: StoredImage) -> tuple[NDArray[Any], str] | None:
    if not length:
        return None
    data = stream.read(length)
    size = data[0]
    count = image.rows * image.columns * image.samples
    if size not in (1, 2, 4) or len(data) != _HEAD + size * count:
        return None
    dtype = np.dtype(f"{'i' if image.signed else 'u'}{size}")
    shape = (image.rows, image.columns, image.samples)
    pixels = np.frombuffer(data, dtype, offset=_HEAD).reshape(shape)
    if image.transfer_syntax == JPEGExtended12Bit:
        # pydicom has not seen these: the sign of a number of 12 bits stands in its twelfth.
        unused = image.bits_allocated - image.bits_stored
        pixels = np.right_shift(np.left_shift(pixels, unused), unused)
    photometric = data[1:_HEAD].decode("ascii", "replace").strip()
    return pixels if image.samples > 1 else pixels[..., 0], photometric or image.photometric
