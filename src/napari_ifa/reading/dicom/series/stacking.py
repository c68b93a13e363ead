"""From the frames of one image to a stack: their order, and the grid they form.

Frames that cannot be shown correctly raise an UnsupportedStudyError with one sentence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.header.stored_frames import frame_is_complete
from napari_ifa.reading.dicom.series.refusals import (
    damaged,
    label,
    refusal,
    remarks,
    unplaced,
)
from napari_ifa.reading.dicom.series.segmentation import slots as slots_of_segmentation
from napari_ifa.reading.dicom.series.stack import Resampling, Stack
from napari_ifa.reading.problems import DicomProblem, refused
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.volume import Affine
from napari_ifa.wording import counted

#: A gap is regular within 1 % of the commonest, or 0.02 mm; that is much for the finest of them.
_GAP_RELATIVE, _GAP_ABSOLUTE, _GAP_AT_MOST = 0.01, 0.02, 0.25
#: Small differences of the gaps add up: no slice is shown farther from its place, in steps.
_PLACE_RELATIVE = 0.1
#: A gap is a whole number of steps, within this part of a step: slices are missing.
_MISSING_RELATIVE = 0.05
#: In-plane drift over the stack above this many pixels is gantry tilt, if it grows with the height;
#: else the slices are shifted against one another.
_DRIFT_PIXELS = 0.5
#: A shift by less than this part of a pixel is a rounding, and is not interpolated.
_ROUNDED_PIXEL = 1e-3
#: Slices fewer than this are no run of their own.
_SHORTEST_RUN = 3
#: A grid of so many times the slices, or the pixels of a slice, comes of a damaged header.
_MOST_GROWTH = 4
#: Pixels of a slice that are no matter in any case.
_SMALL_AREA = 512 * 512
_NOT_STATED = "not stated (1 mm assumed)"
#: Places named in one sentence.
_MOST_NAMED = 6


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Sort the frames of one image, one at each position, and find the grid they form."""
    frames, notes = _whole(frames)
    line = _Line.of(frames)
    name = label(frames)
    notes += _inverted(frames)
    if len(frames) == 1:
        thickness = frames[0].slice_distance
        stated = f"taken from the header ({thickness:g} mm)" if thickness else _NOT_STATED
        notes.append(f"{name}: a single slice; its thickness is {stated}.")
        step = np.cross(line.row, line.column) * (thickness or 1.0)
        affine = line.affine(step, line.positions[0])
        return Stack(line.frames, affine, report=GeometryReport(notes=tuple(notes)))
    missing: list[int] = []
    unequal = False
    if frames[0].image.is_segmentation:
        slots, step_mm, doubts = slots_of_segmentation(line.frames, line.heights)
        notes += doubts
    else:
        step_mm, regular = commonest_step(line.gaps)
        is_even = _are_in_place(line.heights, step_mm)
        missing = [] if regular.all() or not is_even else _missing(line.gaps, step_mm)
        unequal = not is_even or not (regular.all() or missing)
        slots = [int(k) for k in np.concatenate([[0], np.cumsum(np.round(line.gaps / step_mm))])]
    if line.shift or unequal:
        return _resampled(line, step_mm, unequal, missing, notes)
    if missing:
        notes.append(_missing_note(name, line, step_mm, missing))
    placed = dict(zip(slots, line.frames, strict=True))
    ordered = tuple(map(placed.get, range(slots[-1] + 1)))
    step = (line.positions[-1] - line.positions[0]) / (len(ordered) - 1)
    report = GeometryReport(missing=tuple(missing), notes=tuple(notes))
    return Stack(ordered, line.affine(step, line.positions[0]), report=report)


def stack_without_place(frames: Sequence[Frame]) -> Stack:
    """Frames of which nothing says where they lie: one picture, or several as they are given."""
    frames, notes = _whole(frames)
    notes += [unplaced(frames), *_inverted(frames)]
    height, width = frames[0].pixel_spacing or (1.0, 1.0)
    # As pictures have it: columns to the left, rows to the back, the first image on top.
    affine = np.diag([1.0, height / width, -1.0, 1.0])
    return Stack(tuple(frames), affine, placed=False, report=GeometryReport(notes=tuple(notes)))


def _inverted(frames: Sequence[Frame]) -> list[str]:
    if frames[0].image.photometric_interpretation != "MONOCHROME1":
        return []
    return [f"{label(frames)}: shown inverted, as it is meant to be; values are unchanged."]


@dataclass(frozen=True)
class Run:
    """Neighbouring slices with equal gaps: where they begin in the stack, and the gap in mm."""

    first: int
    frames: tuple[Frame, ...]
    gap: float


def regular_runs(frames: Sequence[Frame]) -> list[Run]:
    """Runs of neighbouring slices with equal gaps, where the gaps of all are unequal."""
    whole, _ = _whole(frames)
    line = _Line.of(whole)
    if len(line.frames) < 2 or whole[0].image.is_segmentation:
        return []
    gaps = line.gaps
    step, regular = commonest_step(gaps)
    if regular.all() or _missing(gaps, step):
        return []
    # A gap belongs to the run before it where it equals that run's first one.
    breaks = [0]
    for k in range(1, len(gaps)):
        if abs(gaps[k] - gaps[breaks[-1]]) > _tolerance(gaps[breaks[-1]]):
            breaks.append(k)
    ends = [*breaks[1:], len(gaps)]
    return [
        Run(first, line.frames[first : end + 1], float(np.median(gaps[first:end])))
        for first, end in zip(breaks, ends, strict=True)
        if end + 1 - first >= _SHORTEST_RUN
    ]


def is_even(frames: Sequence[Frame]) -> bool:
    """Whether the slices lie at equal distances, but for some that are missing.

    All have a position and an orientation.
    """
    line = _Line.of(frames)
    if len(line.frames) < 2:
        return True
    step, regular = commonest_step(line.gaps)
    return _are_in_place(line.heights, step) and bool(regular.all() or _missing(line.gaps, step))


def is_full(frames: Sequence[Frame]) -> bool:
    """Whether three slices or more lie at equal distances, and none is missing."""
    if len(frames) < _SHORTEST_RUN:
        return False
    _, regular = commonest_step(_Line.of(frames).gaps)
    return bool(regular.all())


def heights_of(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """``[n]``: where each first pixel lies along the normal of the first frame, in mm."""
    row, column = np.reshape(np.array(frames[0].image_orientation_patient, dtype=float), (2, 3))
    positions = np.array([frame.image_position_patient for frame in frames], dtype=float)
    heights: NDArray[np.float64] = positions @ np.cross(row, column)
    return heights


def beside_the_normal(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """``[n, 2]``: where each first pixel lies along the rows and columns of the first, in mm."""
    axes = np.reshape(np.array(frames[0].image_orientation_patient, dtype=float), (2, 3))
    positions = np.array([frame.image_position_patient for frame in frames], dtype=float)
    beside: NDArray[np.float64] = positions @ axes.T
    return beside


def _whole(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    """The frames whose pixels are all there, and a sentence for each file that is damaged, and for
    each thing that was read otherwise than its header says."""
    if (sentence := refusal(frames)) is not None:
        raise refused(sentence)
    whole = [frame for frame in frames if frame_is_complete(frame)]
    lost = dict.fromkeys(damaged(frame) for frame in frames if not frame_is_complete(frame))
    if not whole:
        raise refused(next(iter(lost)))
    return whole, [*remarks(frames), *lost]


@dataclass(frozen=True, eq=False)
class _Line:
    """Frames in file order along the normal of their planes.

    ``positions`` are those of the first pixels, LPS mm; ``heights`` and ``gaps`` run along the
    direction from the first frame to the last.
    """

    frames: tuple[Frame, ...]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    direction: NDArray[np.float64]
    positions: NDArray[np.float64]

    @classmethod
    def of(cls, frames: Sequence[Frame]) -> _Line:
        row, column = np.reshape(np.array(frames[0].image_orientation_patient, dtype=float), (2, 3))
        row, column = row / np.linalg.norm(row), column / np.linalg.norm(column)
        normal = np.cross(row, column)
        positions = np.array([frame.image_position_patient for frame in frames], dtype=float)
        order = np.argsort(positions @ normal, kind="stable")
        if _instances_run_backwards(frames, order):
            order, normal = order[::-1], -normal
        ordered = tuple(frames[k] for k in order)
        return cls(ordered, row, column, normal, positions[order])

    @property
    def heights(self) -> NDArray[np.float64]:
        """Along the direction of the stack, in mm from the patient's origin."""
        heights: NDArray[np.float64] = self.positions @ self.direction
        return heights

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Distances of neighbouring planes, in mm."""
        return np.diff(self.heights)

    @property
    def spacing(self) -> tuple[float, float]:
        """Height and width of a pixel."""
        spacing = self.frames[0].pixel_spacing
        assert spacing is not None
        return spacing[0], spacing[1]

    @property
    def offsets(self) -> NDArray[np.float64]:
        """``[n, 2]``: (column, row) of each first pixel, in pixels, from the first frame's."""
        beside = self.positions - self.positions[0]
        height, width = self.spacing
        return np.stack([beside @ self.row / width, beside @ self.column / height], axis=1)

    @property
    def shift(self) -> float:
        """Largest distance (mm) of a first pixel from the first one's normal; 0 for roundings."""
        drift = float(np.linalg.norm(self.offsets * self.spacing[::-1], axis=1).max())
        return drift if drift > _DRIFT_PIXELS * min(self.spacing) else 0.0

    @property
    def tilt_degrees(self) -> float:
        """Of the line through the first pixels against the normal; 0 where they are on no line, or
        on the normal."""
        if not self.shift:
            return 0.0
        drift = self.offsets * self.spacing[::-1]
        worst = int(np.linalg.norm(drift, axis=1).argmax())
        heights = self.heights - self.heights[0]
        on_the_line = np.outer(heights / heights[worst], drift[worst])
        if np.linalg.norm(drift - on_the_line, axis=1).max() > _DRIFT_PIXELS * min(self.spacing):
            return 0.0
        return float(np.degrees(np.arctan2(np.linalg.norm(drift[worst]), abs(heights[worst]))))

    def affine(self, step: NDArray[np.float64], origin: NDArray[np.float64]) -> Affine:
        """(column, row, slice) → LPS mm."""
        affine = np.eye(4)
        affine[:3, 0] = self.row * self.spacing[1]
        affine[:3, 1] = self.column * self.spacing[0]
        affine[:3, 2] = step
        affine[:3, 3] = origin
        return affine


def _instances_run_backwards(frames: Sequence[Frame], order: NDArray[np.intp]) -> bool:
    """True where the files' own order falls along the normal: MONAI stacks by instance number."""
    first, last = frames[order[0]], frames[order[-1]]
    numbers = first.image.instance_number, last.image.instance_number
    if None in numbers:
        return False
    if numbers[0] == numbers[1]:
        return (first.index, first.tile or ()) > (last.index, last.tile or ())
    return bool((numbers[0] or 0) > (numbers[1] or 0))


def commonest_step(gaps: NDArray[np.float64]) -> tuple[float, NDArray[np.bool_]]:
    """The commonest distance of two slices, and which gaps have it."""
    rising = np.sort(gaps)
    first = np.searchsorted(rising, rising - _tolerance(rising), "left")
    last = np.searchsorted(rising, rising + _tolerance(rising), "right")
    most = int((last - first).argmax())
    step = float(np.median(rising[first[most] : last[most]]))
    return step, np.abs(gaps - step) <= _tolerance(step)


def _tolerance(gap: Any) -> Any:
    """Of one gap, or of each of several."""
    return np.maximum(_GAP_RELATIVE * gap, np.minimum(_GAP_ABSOLUTE, _GAP_AT_MOST * gap))


def _are_in_place(heights: NDArray[np.float64], step: float) -> bool:
    """Whether all slices lie where an even grid from the first to the last has them."""
    steps = np.round(np.diff(heights) / step).cumsum()
    if steps[-1] < 1:
        return False
    even = heights[0] + steps * (heights[-1] - heights[0]) / steps[-1]
    return bool(np.abs(heights[1:] - even).max() <= _PLACE_RELATIVE * step)


def _missing(gaps: NDArray[np.float64], step: float) -> list[int]:
    """Slices that are missing, counted along the complete stack; none where gaps are unequal."""
    steps = np.round(gaps / step)
    if (steps < 1).any() or (np.abs(gaps / step - steps) > _MISSING_RELATIVE).any():
        return []
    total = int(steps.sum()) + 1
    if total > _MOST_GROWTH * (len(gaps) + 1):
        return []
    return np.setdiff1d(np.arange(1, total), np.cumsum(steps)).tolist()


def _missing_note(name: str, line: _Line, step: float, missing: Sequence[int]) -> str:
    # As slice positions are read: rising with the patient's own left, back or head.
    towards = np.sign(line.direction[np.abs(line.direction).argmax()])
    named = [f"{towards * (line.heights[0] + step * k) + 0.0:.1f}" for k in missing[:_MOST_NAMED]]
    places = ", ".join(named) + (", …" if len(missing) > _MOST_NAMED else "")
    count = counted(len(missing), "slice")
    return f"{name}: {count} missing at {places} mm. Left blank; the model is not run on it."


def _resampled(
    line: _Line,
    step: float,
    unequal: bool,
    missing: Sequence[int],
    notes: list[str],
) -> Stack:
    """The straightened grid: planes one step apart along the normal, each slice in its place."""
    name = label(line.frames)
    gaps = line.gaps
    places = (line.heights - line.heights[0]) / step
    slices = int(np.floor(places[-1] + _MISSING_RELATIVE)) + 1
    # The last slice ends the grid, where it is nearly there.
    places[-1] = max(places[-1], slices - 1)
    offsets = line.offsets
    lowest = offsets.min(axis=0)
    first = line.frames[0]
    grown = np.ceil(offsets.max(axis=0) - lowest - _ROUNDED_PIXEL).astype(int)
    shape = (first.columns + int(grown[0]), first.rows + int(grown[1]), slices)
    area = float(shape[0]) * shape[1]
    too_wide = area > max(_MOST_GROWTH * first.columns * first.rows, _SMALL_AREA)
    if slices > _MOST_GROWTH * len(line.frames) or too_wide:
        raise UnsupportedStudyError(
            DicomProblem.GRID,
            series=name,
            least=float(gaps.min()),
            greatest=float(gaps.max()),
        )
    tilt = line.tilt_degrees
    shift = 0.0 if tilt else line.shift
    if tilt:
        notes.append(f"{name}: gantry tilt {tilt:.1f}° corrected by resampling.")
    elif shift:
        notes.append(
            f"{name}: its slices are shifted against one another within their planes, by up to"
            f" {shift:.1f} mm; each is shown in its own place."
        )
    if unequal:
        notes.append(
            f"{name}: slice distances vary ({gaps.min():.2f}–{gaps.max():.2f} mm). Shown"
            f" interpolated at {step:.2f} mm; do not measure on it."
        )
        missing = _far_from_all(places, slices)
    if missing:
        notes.append(_missing_note(name, line, step, missing))
    height, width = line.spacing
    corner = line.row * lowest[0] * width + line.column * lowest[1] * height
    affine = line.affine(line.direction * step, line.positions[0] + corner)
    return Stack(
        line.frames,
        affine,
        report=GeometryReport(
            tilt_degrees=tilt,
            shifted_mm=shift,
            slice_distances_mm=(float(gaps.min()), float(gaps.max())) if unequal else None,
            missing=tuple(missing),
            notes=tuple(notes),
        ),
        resampling=Resampling(shape, places, offsets - lowest),
    )


def _far_from_all(places: NDArray[np.float64], slices: int) -> list[int]:
    """Slices of the grid that no slice of the source lies within a step of: nothing is known there,
    and what lies between two slices farther apart is not made up."""
    grid = np.arange(slices)
    above = np.searchsorted(places, grid).clip(1, len(places) - 1)
    distance = np.minimum(np.abs(grid - places[above - 1]), np.abs(places[above] - grid))
    return np.flatnonzero(distance > 1 + _MISSING_RELATIVE).tolist()
