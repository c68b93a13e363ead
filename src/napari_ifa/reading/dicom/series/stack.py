"""A stack: the slices of one image, the grid they form, and how they are brought to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.volume import Affine


@dataclass(frozen=True, eq=False)
class Resampling:
    """How slices that form no regular grid are brought to one by linear interpolation.

    Attributes
    ----------
    shape : (columns, rows, slices) of the grid.
    places : ``[n]``, where each frame of the stack lies along the grid's third axis, in slices of
        the grid; rising.
    offsets : ``[n, 2]``, the (column, row) of the grid at which each frame's first pixel lies;
        fractions of a pixel, never negative.
    """

    shape: tuple[int, int, int]
    places: NDArray[np.float64]
    offsets: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices in file order, the grid they form, and what was remarkable.

    Attributes
    ----------
    frames : from the first to the last instance, as MONAI's readers stack them; None stands for a
        slice that is missing, and is never first or last.
    affine : (column, row, slice) → LPS mm.
    placed : whether the files say where the slices lie in the patient.
    report : notes, tilt, distances, and missing slices as indices along the third axis.
    resampling : None where the frames are the slices of the grid.
    """

    frames: tuple[Frame | None, ...]
    affine: Affine
    placed: bool = True
    report: GeometryReport = field(default_factory=GeometryReport)
    resampling: Resampling | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(columns, rows, slices) of the grid."""
        if self.resampling is not None:
            return self.resampling.shape
        first = self.frames[0]
        assert first is not None
        return first.columns, first.rows, len(self.frames)
