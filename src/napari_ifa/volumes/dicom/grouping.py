"""Frames that belong together: those of one series that could be slices of one image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from napari_ifa.volumes.dicom.frames import Frame
from napari_ifa.volumes.dicom.stored_frames import frame_is_complete

#: Frames of one stack agree in direction cosines and in pixel spacing (mm) within this.
_SAME_GEOMETRY = 1e-3


def group_frames(frames: Sequence[Frame], root: Path) -> dict[str, list[Frame]]:
    """Frames that belong together, by a text that is the same at every scan.

    A DICOM series is split where shape, colours, localizer flag, orientation or pixel spacing
    differ: its parts are different images. ``root`` is the folder that was scanned.
    """
    coarse: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        coarse[_coarse_key(frame, root)].append(frame)
    groups: dict[str, list[Frame]] = {}
    for text, members in coarse.items():
        members.sort(key=_file_order)
        parts: list[list[Frame]] = []
        for frame in members:
            part = next((p for p in parts if _same_geometry(p[0], frame)), None)
            if part is None:
                parts.append(part := [])
            part.append(frame)
        for index, part in enumerate(parts):
            groups[f"{text}|{index}"] = _without_copies(part)
    return groups


def _file_order(frame: Frame) -> tuple[int, str, str, int, tuple[int, int]]:
    image = frame.image
    return (
        image.instance or 0,
        image.sop_uid,
        image.path.name,
        frame.index,
        frame.tile or (0, 0),
    )


def _coarse_key(frame: Frame, root: Path) -> str:
    image = frame.image
    series: tuple[object, ...] = (image.series_uid,)
    if not image.series_uid:
        folder = image.path.parent
        place = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ""
        series = (place, image.number, image.description, image.frame_of_reference)
    form = (frame.rows, frame.columns, image.samples, image.photometric, frame.is_localizer)
    return repr((*series, *form, frame.position is None))


def _same_geometry(one: Frame, other: Frame) -> bool:
    if one.position is None:
        return True
    return _close(one.orientation, other.orientation) and _close(
        one.pixel_spacing, other.pixel_spacing
    )


def _close(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= _SAME_GEOMETRY for a, b in zip(one, other, strict=True))


def _without_copies(frames: list[Frame]) -> list[Frame]:
    """Drop copies of one object, damaged ones first; files that only share a UID are kept."""
    kept: dict[object, Frame] = {}
    for index, frame in enumerate(frames):
        image = frame.image
        same: object = index
        if image.sop_uid:
            same = (image.sop_uid, image.instance, frame.index, frame.tile, frame.position)
        if same not in kept or (not frame_is_complete(kept[same]) and frame_is_complete(frame)):
            kept[same] = frame
    return list(kept.values())
