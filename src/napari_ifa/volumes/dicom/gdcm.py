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
from pydicom.pixels.decoders.base import get_decoder

from napari_ifa.volumes.dicom.frames import Frame

_WORKER = Path(__file__).with_name("gdcm_worker.py")


def needs_gdcm(frame: Frame) -> bool:
    """True where no other decoder is installed for the frame's compression."""
    if not frame.image.pixels.encapsulated:
        return False
    return get_decoder(frame.image.transfer_syntax).available_plugins == ("gdcm",)


def decoder_options(frame: Frame) -> dict[str, Any]:
    """What pydicom's decoders want to know of a frame."""
    return {
        "rows": frame.rows,
        "columns": frame.columns,
        "number_of_frames": 1,
        "samples_per_pixel": 1,
        "photometric_interpretation": frame.image.photometric,
        "pixel_representation": int(frame.image.signed),
        "bits_allocated": frame.image.bits_allocated,
        "bits_stored": frame.image.bits_stored,
        "pixel_keyword": "PixelData",
    }


def decode_with_gdcm(frames: Sequence[Frame]) -> Generator[NDArray[Any] | None, None, None]:
    """Stored integers ``[row, column]`` of each frame in turn; None where it is damaged.

    A stream that kills the decoder ends the iteration early.
    """
    jobs = [
        (
            str(frame.image.path),
            frame.image.pixels.offset,
            frame.image.pixels.length,
            str(frame.image.transfer_syntax),
            decoder_options(frame),
        )
        for frame in frames
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
        process.stdin.write(json.dumps(jobs).encode())
        process.stdin.close()
        for frame in frames:
            head = process.stdout.read(9)
            if len(head) < 9:
                return
            yield _pixels(process.stdout, head, frame)
    except BrokenPipeError:
        return
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _pixels(stream: IO[bytes], head: bytes, frame: Frame) -> NDArray[Any] | None:
    size, length = head[0], int.from_bytes(head[1:], "little")
    data = stream.read(length)
    if size not in (1, 2, 4) or len(data) != size * frame.rows * frame.columns:
        return None
    dtype = np.dtype(f"{'i' if frame.image.signed else 'u'}{size}")
    return np.frombuffer(data, dtype).reshape(frame.rows, frame.columns)
