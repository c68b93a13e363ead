"""From rows of the frame table to stacks: grouping, sorting, and the geometry of a stack."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.refusals import label, refusal
from napari_ifa.volumes.dicom.stack import Stack
from napari_ifa.volumes.geometry_report import GeometryReport

#: Frames of one stack agree in direction cosines and in pixel spacing (mm) within this.
_SAME_GEOMETRY = 1e-3
#: Slices nearer than this (mm) lie at one position.
_SAME_POSITION = 0.01
#: A gap is regular within 1 % of the commonest, or 0.02 mm.
_GAP_RELATIVE, _GAP_ABSOLUTE = 0.01, 0.02
#: A gap is a whole number of steps, within this part of a step: slices are missing.
_MISSING_RELATIVE = 0.05
#: In-plane drift over the stack above this many pixels is gantry tilt.
_DRIFT_PIXELS = 0.5


def group_frames(frames: Sequence[Frame], root: Path) -> dict[str, list[Frame]]:
    """Frames that belong together, by a key that is the same at every scan.

    A DICOM series is split where shape, colours, localizer flag, orientation or pixel spacing
    differ: its parts are different images. ``root`` is the folder that was scanned.
    """
    coarse: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        coarse[_coarse_key(frame, root)].append(frame)
    groups: dict[str, list[Frame]] = {}
    for text, members in coarse.items():
        members.sort(key=lambda f: (f.image.instance or 0, f.image.sop_uid, f.image.path.name))
        parts: list[list[Frame]] = []
        for frame in members:
            part = next((p for p in parts if _same_geometry(p[0], frame)), None)
            if part is None:
                parts.append(part := [])
            part.append(frame)
        for index, part in enumerate(parts):
            key = hashlib.sha256(f"{text}|{index}".encode()).hexdigest()[:8]
            groups[key] = _without_duplicates(part)
    return groups


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Sort the frames of one group and find the grid they form.

    Raises
    ------
    UnsupportedStudyError
        With one sentence, where they do not form a regular grid that this reader handles.
    """
    sentence = refusal(frames)
    if sentence is not None:
        raise UnsupportedStudyError(sentence)
    name = label(frames)
    row, column = _unit_axes(frames[0])
    normal = np.cross(row, column)
    positions = np.array([frame.position for frame in frames], dtype=float)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    if _instances_run_backwards(frames, order):
        order = order[::-1]
    positions, heights = positions[order], heights[order]
    ordered = tuple(frames[k] for k in order)
    _refuse_repeats(name, heights)
    _refuse_tilt(name, positions - positions[0], normal, frames[0])
    _refuse_irregular(name, heights)

    notes = []
    if len(ordered) > 1:
        step = (positions[-1] - positions[0]) / (len(ordered) - 1)
    else:
        thickness = frames[0].slice_distance
        step = normal * (thickness or 1.0)
        notes.append(f"{name}: a single slice; its thickness is {_stated(thickness)}.")
    if frames[0].image.photometric == "MONOCHROME1":
        notes.append(f"{name}: meant to be shown inverted (MONOCHROME1); values are unchanged.")
    spacing = ordered[0].pixel_spacing
    assert spacing is not None
    affine = np.eye(4)
    affine[:3, 0] = row * spacing[1]
    affine[:3, 1] = column * spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return Stack(ordered, affine, report=GeometryReport(notes=tuple(notes)))


def _stated(thickness: float | None) -> str:
    return f"taken from the header ({thickness:g} mm)" if thickness else "not stated (1 mm assumed)"


def _coarse_key(frame: Frame, root: Path) -> str:
    series: tuple[object, ...] = (frame.image.series_uid,)
    if not frame.image.series_uid:
        folder = frame.image.path.parent
        place = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
        series = (
            place,
            frame.image.number,
            frame.image.description,
            frame.image.frame_of_reference,
        )
    form = (
        frame.rows,
        frame.columns,
        frame.image.samples,
        frame.image.photometric,
        frame.is_localizer,
    )
    return repr((*series, *form))


def _same_geometry(one: Frame, other: Frame) -> bool:
    return _close(one.orientation, other.orientation) and _close(
        one.pixel_spacing, other.pixel_spacing
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_GEOMETRY for a, b in zip(one, other, strict=True))


def _without_duplicates(frames: list[Frame]) -> list[Frame]:
    """Drop copies of one object; files that only share a UID by mistake are kept."""
    kept: dict[object, Frame] = {}
    for index, frame in enumerate(frames):
        same = (
            (frame.image.sop_uid, frame.image.instance, frame.position)
            if frame.image.sop_uid
            else index
        )
        kept.setdefault(same, frame)
    return list(kept.values())


def _unit_axes(frame: Frame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions of a growing column index and of a growing row index, in LPS."""
    row, column = np.reshape(np.array(frame.orientation, dtype=float), (2, 3))
    return row / np.linalg.norm(row), column / np.linalg.norm(column)


def _instances_run_backwards(frames: Sequence[Frame], order: NDArray[np.intp]) -> bool:
    """True where instance numbers fall along the normal: MONAI stacks by instance number."""
    first, last = frames[order[0]].image.instance, frames[order[-1]].image.instance
    return first is not None and last is not None and first > last


def _refuse_repeats(name: str, heights: NDArray[np.float64]) -> None:
    gaps = np.abs(np.diff(heights))
    places = 1 + int((gaps > _SAME_POSITION).sum())
    if places < len(heights):
        raise UnsupportedStudyError(
            f"{name}: {len(heights)} images share {places} positions (several times, echoes or "
            "contrasts); not supported yet."
        )


def _refuse_tilt(
    name: str, offsets: NDArray[np.float64], normal: NDArray[np.float64], frame: Frame
) -> None:
    along = offsets @ normal
    drift = np.linalg.norm(offsets - along[:, None] * normal, axis=1)
    assert frame.pixel_spacing is not None
    worst = int(drift.argmax())
    if drift[worst] > _DRIFT_PIXELS * min(frame.pixel_spacing):
        tilt = np.degrees(np.arctan2(drift[worst], abs(along[worst])))
        raise UnsupportedStudyError(
            f"{name}: gantry tilt {tilt:.1f}°; tilted stacks are not supported yet."
        )


def _refuse_irregular(name: str, heights: NDArray[np.float64]) -> None:
    gaps = np.abs(np.diff(heights))
    if len(gaps) < 2:
        return
    near = np.abs(gaps[:, None] - gaps[None, :]) <= _tolerance(gaps)[:, None]
    members = near[near.sum(axis=1).argmax()]
    step = float(np.median(gaps[members]))
    irregular = np.abs(gaps - step) > _tolerance(np.array([step]))
    if not irregular.any():
        return
    steps = np.round(gaps / step)
    if (steps >= 1).all() and (np.abs(gaps / step - steps) <= _MISSING_RELATIVE).all():
        direction = np.sign(heights[-1] - heights[0])
        missing = [
            heights[k] + direction * step * m
            for k in np.flatnonzero(irregular)
            for m in range(1, int(steps[k]))
        ]
        if missing:
            places = ", ".join(f"{place:.1f}" for place in missing[:6])
            places += ", …" if len(missing) > 6 else ""
            slices = "slice" if len(missing) == 1 else "slices"
            raise UnsupportedStudyError(
                f"{name}: {len(missing)} {slices} missing at {places} mm along the stack; "
                "not supported yet."
            )
    raise UnsupportedStudyError(
        f"{name}: slice distances vary ({gaps.min():.2f}–{gaps.max():.2f} mm); not supported yet."
    )


def _tolerance(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(_GAP_RELATIVE * gaps, _GAP_ABSOLUTE)
