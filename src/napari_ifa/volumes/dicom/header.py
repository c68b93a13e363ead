"""From a file's header to its rows of the frame table."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom.tag import BaseTag
from pydicom.uid import UID

from napari_ifa.volumes.dicom.fields import Fields
from napari_ifa.volumes.dicom.frames import Frame, StoredImage, Traits
from napari_ifa.volumes.dicom.pixeldata import locate_pixels
from napari_ifa.volumes.volume import Window

_PREAMBLE = 128
_VALUE_REPRESENTATIONS = {b"UI", b"UL", b"CS", b"SH", b"LO", b"DA", b"TM", b"OB", b"UN"}
#: CSA header of Siemens; its mosaics name the number of tiles here.
_SIEMENS_MOSAIC_TILES = 0x0019100A
_SIEMENS_CREATOR = 0x00190010
#: United Imaging: one item for each tile.
_VENDOR_TILES = (0x00651050, 0x00651051)

_TAGS = {
    "image_type": 0x00080008,
    "sop_class": 0x00080016,
    "sop_uid": 0x00080018,
    "modality": 0x00080060,
    "description": 0x0008103E,
    "thickness": 0x00180050,
    "slice_distance": 0x00180088,
    "series_uid": 0x0020000E,
    "series_number": 0x00200011,
    "instance": 0x00200013,
    "position": 0x00200032,
    "orientation": 0x00200037,
    "frame_of_reference": 0x00200052,
    "samples": 0x00280002,
    "photometric": 0x00280004,
    "planar": 0x00280006,
    "frame_count": 0x00280008,
    "rows": 0x00280010,
    "columns": 0x00280011,
    "pixel_spacing": 0x00280030,
    "bits_allocated": 0x00280100,
    "bits_stored": 0x00280101,
    "high_bit": 0x00280102,
    "signed": 0x00280103,
    "window_center": 0x00281050,
    "window_width": 0x00281051,
    "window_name": 0x00281055,
    "intercept": 0x00281052,
    "slope": 0x00281053,
    "modality_lut": 0x00283000,
}
_SPECIFIC_TAGS: list[BaseTag | int] = [
    BaseTag(tag)
    for tag in (*_TAGS.values(), _SIEMENS_MOSAIC_TILES, _SIEMENS_CREATOR, *_VENDOR_TILES)
]


class NotAnImage(Enum):
    """Why a file has no row in the table."""

    OTHER_FILE = "not DICOM"
    OTHER_OBJECT = "DICOM without an image"
    UNREADABLE = "cannot be read"


def read_frames(path: Path) -> list[Frame] | NotAnImage:
    """The rows of one file, or why there are none. Never raises."""
    try:
        with path.open("rb") as file:
            if not _looks_like_dicom(file):
                return NotAnImage.OTHER_FILE
            file.seek(0)
            dataset = pydicom.dcmread(
                file, force=True, stop_before_pixels=True, specific_tags=_SPECIFIC_TAGS
            )
            return _frames(path, file, dataset)
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return NotAnImage.UNREADABLE


def _looks_like_dicom(file: BinaryIO) -> bool:
    """``DICM`` at byte 128, or a plausible element of group 0002 or 0008 at byte 0."""
    start = file.read(_PREAMBLE + 4)
    if start[_PREAMBLE:] == b"DICM":
        return True
    if len(start) < 16:
        return False
    order: Literal["little", "big"] = "little" if start[0] else "big"
    group = int.from_bytes(start[0:2], order)
    element = int.from_bytes(start[2:4], order)
    if group not in (0x0002, 0x0008) or element > 0x0070:
        return False
    implicit_length = int.from_bytes(start[4:8], order)
    return start[4:6] in _VALUE_REPRESENTATIONS or implicit_length <= 256


def _frames(path: Path, file: BinaryIO, dataset: Any) -> list[Frame] | NotAnImage:
    fields = Fields(dataset)
    rows, columns = fields.short(_TAGS["rows"]), fields.short(_TAGS["columns"])
    if not rows or not columns:
        return NotAnImage.OTHER_OBJECT
    meta = Fields(dataset.file_meta)
    transfer_syntax = UID(meta.ascii(0x00020010))
    bits_allocated = fields.short(_TAGS["bits_allocated"]) or 16
    bits_stored = fields.short(_TAGS["bits_stored"]) or bits_allocated
    high_bit = fields.short(_TAGS["high_bit"])
    spacing = fields.numbers(_TAGS["pixel_spacing"], 2)
    image = StoredImage(
        path=path,
        sop_class=fields.ascii(_TAGS["sop_class"]) or meta.ascii(0x00020002),
        sop_uid=fields.ascii(_TAGS["sop_uid"]) or meta.ascii(0x00020003),
        series_uid=fields.ascii(_TAGS["series_uid"]),
        frame_of_reference=fields.ascii(_TAGS["frame_of_reference"]),
        modality=fields.ascii(_TAGS["modality"]),
        description=fields.text(_TAGS["description"]),
        number=fields.integer(_TAGS["series_number"]),
        instance=fields.integer(_TAGS["instance"]),
        rows=rows,
        columns=columns,
        samples=fields.short(_TAGS["samples"]) or 1,
        planar=fields.short(_TAGS["planar"]) or 0,
        photometric=fields.ascii(_TAGS["photometric"]),
        frame_count=fields.integer(_TAGS["frame_count"]) or 1,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=fields.short(_TAGS["signed"]) == 1,
        transfer_syntax=transfer_syntax,
        pixels=locate_pixels(file, dataset, transfer_syntax),
        refused=_refused(fields),
    )
    frame = Frame(
        image=image,
        rows=rows,
        columns=columns,
        position=fields.numbers(_TAGS["position"], 3),
        orientation=fields.numbers(_TAGS["orientation"], 6),
        pixel_spacing=spacing if spacing and min(spacing) > 0 else None,
        slice_distance=_positive(fields, "slice_distance") or _positive(fields, "thickness"),
        slope=_rescale(fields, "slope", 1.0),
        intercept=_rescale(fields, "intercept", 0.0),
        windows=_windows(fields),
        traits=Traits(image_type=fields.codes(_TAGS["image_type"])),
    )
    return [frame]


def _refused(fields: Fields) -> str:
    tiled = _tiled(fields)
    if tiled:
        return f"several slices tiled into one image ({tiled}); not supported yet."
    if fields.has(_TAGS["modality_lut"]):
        return "values go through a modality look-up table, which is not supported yet."
    return ""


def _positive(fields: Fields, name: str) -> float | None:
    value = fields.number(_TAGS[name])
    return value if value is not None and value > 0 else None


def _rescale(fields: Fields, name: str, default: float) -> float | None:
    if not fields.ascii(_TAGS[name]):
        return default
    value = fields.number(_TAGS[name])
    # A slope of zero would show an empty image.
    return None if name == "slope" and value == 0 else value


def _windows(fields: Fields) -> tuple[Window, ...]:
    centers = fields.numbers(_TAGS["window_center"]) or ()
    widths = fields.numbers(_TAGS["window_width"]) or ()
    joined = fields.text(_TAGS["window_name"])
    names = [name.strip() for name in joined.split("\\")] if joined else []
    names += [""] * len(centers)
    # A file may offer the same window twice.
    unique: dict[tuple[float, float], Window] = {}
    for center, width, name in zip(centers, widths, names, strict=False):
        if width > 0:
            unique.setdefault((center, width), Window(center, width, name))
    return tuple(unique.values())


def _tiled(fields: Fields) -> str:
    if "MOSAIC" in fields.codes(_TAGS["image_type"]):
        return "Siemens mosaic"
    tiles = fields.short(_SIEMENS_MOSAIC_TILES)
    if tiles and tiles > 1 and fields.ascii(_SIEMENS_CREATOR).startswith("SIEMENS"):
        return "Siemens mosaic"
    if "VFRAME" in fields.codes(_TAGS["image_type"]) or any(map(fields.has, _VENDOR_TILES)):
        return "United Imaging tiles"
    return ""
