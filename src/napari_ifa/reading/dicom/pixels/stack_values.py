"""Pixel values of a stack, read on threads into one array."""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading.dicom.header.deflated import inflated
from napari_ifa.reading.dicom.header.frames import Frame, StoredImage
from napari_ifa.reading.dicom.header.stored_frames import (
    Pieces,
    frame_is_complete,
    frame_pieces,
    read_pieces,
)
from napari_ifa.reading.dicom.pixels.colour import colour_dtype, to_rgb
from napari_ifa.reading.dicom.pixels.decoding import compressed_frame, native_frame
from napari_ifa.reading.dicom.pixels.resampling import resample
from napari_ifa.reading.dicom.pixels.rescale import (
    BeyondInt16Error,
    is_padding,
    may_fit_int16,
    place,
    place_in_place,
)
from napari_ifa.reading.dicom.series.refusals import damaged, label
from napari_ifa.reading.dicom.series.segmentation import empty_label
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.problems import refused
from napari_ifa.reading.threads import in_threads
from napari_ifa.volumes.memory import refuse_if_too_large

#: While one frame is decoded a decoder holds its samples as integers of 4 bytes, and as a copy.
_DECODER_BYTES = 8


class StackValues(NamedTuple):
    """What the files of a stack hold.

    Attributes
    ----------
    values : in the modality's units, ``[column, row, slice]``, int16 or float32; colours
        ``[column, row, slice, 3]``, uint8 or, where stored in more bits, uint16.
    damaged : slices of its grid that are damaged and therefore blank.
    """

    values: NDArray[Any]
    damaged: tuple[int, ...]


def read_stack(
    stack: Stack, progress: Progress | None = None, stop: Stop | None = None
) -> StackValues:
    """The values of a stack.

    Missing and damaged slices hold the lowest value of the stack, or black; those that were left
    out of a segmentation are empty. Where slices are interpolated, padding is no value: it is
    blended with nothing. The lowest value of the stack stands for it, as beyond the slices: of CT
    that is the padding itself where scanners pad, so that a network sees what it sees in a stack
    that is not interpolated.

    Raises
    ------
    UnsupportedStudyError
        Where the stack is too large for this computer; where pixel data are damaged and the image
        is a single one, or all of it is damaged, or its slices had to be interpolated.
    """
    frames = [frame for frame in stack.frames if frame is not None]
    name = label(frames)
    first = frames[0]
    is_colour = first.image.is_colour
    channels = (3,) if is_colour else ()
    shape = (len(stack.frames), first.rows, first.columns, *channels)
    dtypes = _dtypes(frames)
    columns, rows, slices = stack.shape
    refuse_if_too_large((slices, rows, columns, *channels), dtypes[0].itemsize, name)
    jobs = _jobs(stack.frames)
    for size in {(job.image.rows, job.image.columns, job.image.samples_per_pixel) for job in jobs}:
        refuse_if_too_large(size, _DECODER_BYTES, name)
    # Only what is interpolated has to know what is padding; else it stays as it is stored.
    marks = (
        stack.resampling is not None
        and not is_colour
        and any(frame.image.padding is not None or frame.image.pixels.is_float for frame in frames)
    )
    read = _read_as(_Reading(shape, dtypes[0], marks), jobs, progress, stop)
    if read is None:
        refuse_if_too_large(shape, dtypes[1].itemsize, name)
        read = _read_as(_Reading(shape, dtypes[1], marks), jobs, progress, stop)
    assert read is not None
    none_is_whole = read.values is None or len(read.damaged) == len(frames)
    if none_is_whole or (read.damaged and stack.resampling is not None):
        broken = stack.frames[min(read.damaged)]
        assert broken is not None
        raise refused(damaged(broken))
    assert read.values is not None
    outside = 0.0 if is_colour or not isfinite(read.lowest) else read.lowest
    if first.image.is_segmentation:
        outside = empty_label(first.image)
    for k, frame in enumerate(stack.frames):
        if frame is None or k in read.damaged:
            read.values[k] = outside
    values = read.values
    if stack.resampling is not None:
        values = resample(
            values,
            stack.resampling,
            np.nan if marks and first.image.is_parametric_map else outside,
            name,
            stop=stop,
            without_value=read.without_value,
            labels=first.image.is_segmentation,
        )
    return StackValues(values.swapaxes(0, 2), tuple(sorted(read.damaged)))


def frame_values(frame: Frame) -> NDArray[Any] | None:
    """The values of one frame, ``[column, row]``; None where they cannot be decoded."""
    try:
        read = read_stack(Stack((frame,), np.eye(4)))
    except UnsupportedStudyError:
        return None
    return None if read.damaged else read.values[:, :, 0]


def _jobs(frames: Sequence[Frame | None]) -> list[_Job]:
    """One for each stored frame; in a deflated file, which is read from its start, for all."""
    jobs: dict[tuple[Path, int], _Job] = {}
    for k, frame in enumerate(frames):
        if frame is not None:
            part = -1 if frame.image.pixels.deflated else frame.index
            job = jobs.setdefault((frame.image.path, part), _Job(frame.image, {}))
            job.frames.setdefault(frame.index, []).append((k, frame))
    return list(jobs.values())


def _dtypes(frames: Sequence[Frame]) -> tuple[np.dtype[Any], ...]:
    """What the values may be read as; the second where the first cannot hold them."""
    if frames[0].image.is_colour:
        try:
            return (max(map(colour_dtype, {f.image.path: f.image for f in frames}.values())),)
        except Exception as error:  # a palette may be damaged in any way
            raise refused(damaged(frames[0])) from error
    if all(map(may_fit_int16, frames)):
        return np.dtype(np.int16), np.dtype(np.float32)
    return (np.dtype(np.float32),)


def _read_as(
    reading: _Reading,
    jobs: Sequence[_Job],
    progress: Progress | None,
    stop: Stop | None,
) -> _Reading | None:
    """All frames as the type of ``reading``; None where they need the next one."""
    try:
        # pydicom warns of colours that header and stream name differently, and handles them.
        noisy = jobs[0].image.is_colour and jobs[0].image.pixels.encapsulated
        with warnings.catch_warnings(action="ignore") if noisy else nullcontext():
            in_threads(lambda job: _read_job(job, reading), jobs, progress, stop)
    except BeyondInt16Error:
        # The error keeps what was read alive until it is collected.
        reading.values = None
        return None
    return reading


def _read_job(job: _Job, reading: _Reading) -> None:
    slices = [k for rows in job.frames.values() for k, _ in rows]
    with reading.dropping(slices), ExitStack() as opened:
        stream = None
        if job.image.pixels.deflated:
            stream = inflated(opened.enter_context(job.image.path.open("rb")))
        for index, rows in sorted(job.frames.items()):
            with reading.dropping([k for k, _ in rows]):
                _read_frame(job.image, index, rows, reading, stream)


def _read_frame(
    image: StoredImage,
    index: int,
    rows: list[tuple[int, Frame]],
    reading: _Reading,
    stream: BinaryIO | None,
) -> None:
    """Into its place; ``stream`` is what a deflated file inflates to."""
    (k, frame), *_ = rows
    if image.pixels.encapsulated and stream is None:
        data = read_pieces(image.path, reading.pieces(image, index))
        _place_slices(*compressed_frame(data, image), rows, reading)
        return
    if not frame_is_complete(frame):
        raise ValueError("the data of a frame are not there")
    if stream is None and _is_plain(image, rows, reading):
        reading.note(read_plain(frame, reading.target(k)))
    else:
        pixels = native_frame(image, index, stream)
        _place_slices(pixels, image.photometric_interpretation, rows, reading)


def _place_slices(
    pixels: NDArray[Any], photometric: str, rows: list[tuple[int, Frame]], reading: _Reading
) -> None:
    image = rows[0][1].image
    if pixels.shape[:2] != (image.rows, image.columns):
        raise ValueError(f"decoded to {pixels.shape}")
    for k, frame in rows:
        row, column = frame.tile or (0, 0)
        tile = pixels[row : row + frame.rows, column : column + frame.columns]
        if min(row, column) < 0 or tile.shape[:2] != reading.shape[1:3]:
            # It lies outside of its frame.
            reading.drop([k])
        elif image.is_colour:
            to_rgb(tile, photometric, image, reading.target(k))
        else:
            least = place(tile, frame, reading.target(k))
            reading.note(least)
            if reading.marks:
                reading.mark(k, tile, frame)


def _is_plain(image: StoredImage, rows: list[tuple[int, Frame]], reading: _Reading) -> bool:
    """Whether the bytes of the frame are those of its slice, as in most of CT and MR."""
    return (
        reading.dtype == np.int16
        and not reading.marks
        and image.bits_allocated == 16
        and not image.pixels.encapsulated
        and not image.pixels.is_float
        and image.lookup_table is None
        and len(rows) == 1
        and rows[0][1].tile is None
        and reading.shape[1:] == (image.rows, image.columns)
    )


def read_plain(frame: Frame, target: NDArray[Any]) -> float:
    """Read a frame into its place, without a copy in between; its lowest value is returned."""
    pixels = frame.image.pixels
    assert pixels.offset is not None
    with frame.image.path.open("rb") as file:
        file.seek(pixels.offset + frame.index * target.nbytes)
        # The whole is there: a file that ends now was changed meanwhile.
        if file.readinto(target.data.cast("B")) != target.nbytes:
            raise ValueError("the file ends before the frame does")
    if pixels.little_endian != (sys.byteorder == "little"):
        target.byteswap(inplace=True)
    return place_in_place(frame, target)


@dataclass(frozen=True)
class _Job:
    """Stored frames that are read together, and the slices that are cut from each."""

    image: StoredImage
    frames: dict[int, list[tuple[int, Frame]]]


class _Reading:
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

    def drop(self, slices: Sequence[int]) -> None:
        with self._lock:
            self.damaged.update(slices)

    @contextmanager
    def dropping(self, slices: Sequence[int]) -> Iterator[None]:
        """Whatever the block finds in a file, these slices are damaged and no more."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit, BeyondInt16Error):
            raise
        except BaseException:  # a panic of a decoder written in Rust is no Exception
            self.drop(slices)
