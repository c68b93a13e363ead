"""Rows of the frame table made from a file, and what they read as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from napari_ifa.reading.dicom.header.frame_table import read_frames
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Stack

MakeFrames = Callable[..., tuple[Frame, ...]]
Read = Callable[..., np.ndarray]


@pytest.fixture
def frames_of() -> MakeFrames:
    """One row for each frame of a file, without rescale; keywords replace what the file says."""

    def make(path: Path | str, **changes: Any) -> tuple[Frame, ...]:
        rows = read_frames(Path(path))
        assert isinstance(rows, list)
        first = replace(rows[0], **{"rescale_slope": 1.0, "rescale_intercept": 0.0, **changes})
        return tuple(replace(first, index=k) for k in range(first.image.number_of_frames))

    return make


@pytest.fixture
def read() -> Read:
    """Values of frames, none of them damaged, in the order of pydicom's arrays: slices first."""

    def values(*frames: Frame | None) -> np.ndarray:
        array, damaged = read_stack(Stack(frames, np.eye(4)))
        assert damaged == ()
        assert array.dtype.isnative
        return np.moveaxis(array, (0, 1, 2), (2, 1, 0))

    return values


@pytest.fixture
def pydicom_file() -> Callable[[str], Path]:
    """A file of pydicom's own test data."""

    def find(name: str) -> Path:
        path = get_testdata_file(name, download=False)
        assert path is not None
        return Path(str(path))

    return find


@pytest.fixture
def save_frames(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Callable[..., Path]
) -> Callable[..., Path]:
    """Write ``[frame, row, column]`` as one multi-frame file; keywords replace its elements.

    ``form`` is the value representation of the pixel data."""

    def save(
        array: np.ndarray,
        name: str = "frames.dcm",
        syntax: str | None = None,
        form: str | None = None,
        **elements: Any,
    ) -> Path:
        data = dicom_slice(0)
        data.NumberOfFrames, data.Rows, data.Columns = array.shape[:3]
        data.BitsAllocated = data.BitsStored = 8 * array.itemsize
        data.HighBit = data.BitsStored - 1
        data.PixelRepresentation = int(array.dtype.kind == "i")
        data.PixelData = array.tobytes()
        for keyword, value in elements.items():
            setattr(data, keyword, value)
        if form:
            data["PixelData"].VR = form
        return save_dicom(tmp_path / name, data, *([syntax] if syntax else []))

    return save
