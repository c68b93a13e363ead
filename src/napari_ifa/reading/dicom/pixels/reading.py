"""The array that the frames of a stack are read into, and what is known of it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame, StoredImage
from napari_ifa.reading.dicom.header.stored_frames import Pieces, frame_pieces
from napari_ifa.reading.dicom.pixels.gdcm import may_ask_gdcm
from napari_ifa.reading.dicom.pixels.rescale import is_padding


@dataclass(frozen=True)
class Job:
    """Stored frames that are read together, and the slices that are cut from each."""

    image: StoredImage
    frames: dict[int, list[tuple[int, Frame]]]

    @property
    def slices(self) -> list[int]:
        return [k for rows in self.frames.values() for k, _ in rows]


class Reading:
    """An array that is allocated when the first frame for it is there, and what is known of it.

    A header may claim anything: nothing is allocated for a claim alone. ``marks`` says whether
    pixels without a value are marked, in ``without_value``.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], marks: bool = False) -> None:
        self.shape = shape
        self.dtype = dtype
        self.marks = marks
        self.values: NDArray[Any] | None = None
        self.without_value: NDArray[np.bool_] | None = None
        self.damaged: set[int] = set()
        self.lowest = np.inf
        #: Frames that gdcm is asked for after another decoder has failed.
        self.undecoded: list[Job] = []
        #: Slices that only another decoder than the usual one could read.
        self.by_second: set[int] = set()
        self._lock = threading.Lock()
        self._pieces: dict[Path, list[Pieces]] = {}

    def target(self, k: int) -> NDArray[Any]:
        """Where slice ``k`` belongs, ``[row, column]`` or ``[row, column, 3]``."""
        with self._lock:
            if self.values is None:
                self.values = np.empty(self.shape, self.dtype)
                if self.marks:
                    self.without_value = np.zeros(self.shape, bool)
            return self.values[k]

    def mark(self, k: int, stored: NDArray[Any], frame: Frame) -> None:
        """Mark the pixels of slice ``k`` that have no value."""
        assert self.values is not None
        assert self.without_value is not None
        values, mark = self.values[k], self.without_value[k]
        if frame.image.padding is not None:
            mark[...] = is_padding(stored, frame.image.padding)
        if values.dtype.kind == "f":
            mark |= ~np.isfinite(values)

    def pieces(self, image: StoredImage, index: int) -> Pieces:
        """Where a compressed frame stands; looked up once for a file."""
        with self._lock:
            if image.path not in self._pieces:
                self._pieces[image.path] = frame_pieces(image)
            found = self._pieces[image.path]
        if index >= len(found) or not found[index]:
            raise ValueError("the data of a frame are not there")
        return found[index]

    def note(self, lowest: float) -> None:
        with self._lock:
            self.lowest = min(self.lowest, lowest)

    def note_second(self, slices: Iterable[int]) -> None:
        with self._lock:
            self.by_second.update(slices)

    def leave(self, job: Job) -> None:
        """A frame that no decoder of this process can read: to gdcm, or it is damaged."""
        if may_ask_gdcm(job.image):
            with self._lock:
                self.undecoded.append(job)
        else:
            self.drop(job.slices)

    def drop(self, slices: Sequence[int]) -> None:
        with self._lock:
            self.damaged.update(slices)
