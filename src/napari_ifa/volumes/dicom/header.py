"""From a file's header to its rows of the frame table."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import datetime
from enum import Enum
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from napari_ifa.volumes.dicom import tags
from napari_ifa.volumes.dicom.bounded_file import BoundedFile
from napari_ifa.volumes.dicom.codestream import are_alike, syntax_of
from napari_ifa.volumes.dicom.colour import PALETTE
from napari_ifa.volumes.dicom.deflated import read_deflated_header
from napari_ifa.volumes.dicom.fields import Fields, Oddities
from napari_ifa.volumes.dicom.frames import LABEL_MAP, Frame, LookupTable, StoredImage, Traits
from napari_ifa.volumes.dicom.functional_groups import frames_of_groups
from napari_ifa.volumes.dicom.nuclear import nuclear_frames
from napari_ifa.volumes.dicom.pixeldata import PixelData, locate_pixels, streams_in
from napari_ifa.volumes.dicom.tiles import is_tiled, tiles
from napari_ifa.volumes.dicom.values import (
    dose_offsets,
    padding,
    positive,
    positive_number,
    rescale,
    stated_distance,
)
from napari_ifa.volumes.dicom.voi import voi_windows

_PREAMBLE = 128
#: Bytes read at once, and those that an element needs before its value.
_HEAD, _ELEMENT_START = 1 << 16, 12
#: Of a compressed stream, what shows its kind in nearly all files.
_STREAM_HEAD = 1 << 10
_VALUE_REPRESENTATIONS = {b"UI", b"UL", b"CS", b"SH", b"LO", b"DA", b"TM", b"OB", b"UN"}
_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: The second is retired.
_NUCLEAR = ("1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.5")
_STANDARD_CLASSES = "1.2.840.10008."
_WORDS_OF_IMAGES = ("Image", "Segmentation", "Parametric Map", "Dose Storage")
#: The last is GE's own, and the empty one of files without meta information.
_NOT_COMPRESSED = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    "1.2.840.113619.5.2",
    "",
)
#: More frames than any study has; each costs a row.
_MOST_FRAMES = 200_000
_GE_COMPONENTS = {0: "MAGNITUDE", 1: "PHASE", 2: "REAL", 3: "IMAGINARY"}


class NotAnImage(Enum):
    """Why a file has no row in the table."""

    OTHER_FILE = "not DICOM"
    OTHER_OBJECT = "DICOM without an image"
    UNREADABLE = "cannot be read"


def read_frames(path: Path) -> list[Frame] | NotAnImage:
    """The rows of one file, or why there are none. Never raises."""
    try:
        with BoundedFile(path) as file:
            if not _looks_like_dicom(file):
                return NotAnImage.OTHER_FILE
            file.seek(0)
            dataset = read_deflated_header(file, tags.SCANNED)
            if dataset is None:
                file.seek(0)
                dataset = _read_header(file)
            return _frames(path, file, dataset)
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return NotAnImage.UNREADABLE


def _read_header(file: BinaryIO) -> Any:
    """The elements of the table; ``file`` then stands at the pixel data.

    Most headers fit into what is read at once. pydicom asks a file where it stands at every
    element, and threads that do so wait for each other longer than for the disk.
    """
    head = io.BytesIO(file.read(_HEAD))
    is_whole = head.getbuffer().nbytes < _HEAD
    try:
        dataset = _parse(head)
    except Exception:  # of an element that is cut short here
        if is_whole:
            raise
    else:
        if is_whole or head.tell() + _ELEMENT_START <= _HEAD:
            file.seek(head.tell())
            return dataset
    file.seek(0)
    return _parse(file)


def _parse(file: BinaryIO) -> Any:
    return pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags.SCANNED)


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
    if not fields.short(tags.ROWS) or not fields.short(tags.COLUMNS):
        return NotAnImage.OTHER_OBJECT
    image = _stored_image(path, file, dataset, fields)
    if image.pixels.offset is None and not _is_of_images(image.sop_class):
        # Raw data, spectra and the like state rows and columns, too.
        return NotAnImage.OTHER_OBJECT
    frame = _whole_frame(image, fields)
    if image.frame_count > _MOST_FRAMES:
        refused = f"the header claims {image.frame_count} frames in one file. Not opened."
        return [replace(frame, image=replace(image, refused=refused))]
    return _with_oddities(_rows(frame, fields), fields.oddities)


def _rows(frame: Frame, fields: Fields) -> list[Frame]:
    image = frame.image
    if is_tiled(fields):
        return tiles(frame, fields)
    if fields.has(tags.FRAME_GROUPS) or fields.has(tags.SHARED_GROUPS):
        return frames_of_groups(frame, fields)
    if image.sop_class == _RT_DOSE:
        return _dose_frames(frame, fields)
    if image.sop_class in _NUCLEAR or image.modality == "NM":
        return nuclear_frames(frame, fields)
    if image.frame_count > 1:
        # The position at the top of such a file is the first frame's, if that.
        plain = replace(frame, position=None)
        return [replace(plain, index=index) for index in range(image.frame_count)]
    return [frame]


def _is_of_images(sop_class: str) -> bool:
    """Whether objects of the class are images; True where that is not known.

    Classes of a vendor are of images only where they hold one.
    """
    if not sop_class.startswith(_STANDARD_CLASSES):
        return not sop_class
    name = UID(sop_class).name
    return name == sop_class or any(word in name for word in _WORDS_OF_IMAGES)


def _with_oddities(rows: list[Frame], oddities: Oddities) -> list[Frame]:
    """The rows with what was odd about the numbers of their file."""
    commas = sorted(keyword_for_tag(tag) for tag in oddities.decimal_commas)
    unreadable = tuple(sorted(keyword_for_tag(tag) for tag in oddities.unreadable))
    if not commas and not unreadable:
        return rows
    images: dict[int, StoredImage] = {}
    changed = []
    for row in rows:
        image = images.get(id(row.image))
        if image is None:
            remarks = row.image.remarks
            if commas:
                remarks += (f"a comma in {', '.join(commas)} was read as a decimal point.",)
            image = replace(row.image, remarks=remarks, unreadable=unreadable)
            images[id(row.image)] = image
        changed.append(replace(row, image=image))
    return changed


def _stored_image(path: Path, file: BinaryIO, dataset: Any, fields: Fields) -> StoredImage:
    meta = Fields(dataset.file_meta)
    pixels, transfer_syntax, remark, refused = _located(
        file, dataset, fields, meta.ascii(0x00020010)
    )
    bits_allocated = fields.short(tags.BITS_ALLOCATED) or 16
    bits_stored = fields.short(tags.BITS_STORED) or bits_allocated
    high_bit = fields.short(tags.HIGH_BIT)
    sop_class = fields.ascii(tags.SOP_CLASS) or meta.ascii(0x00020002)
    signed = fields.short(tags.SIGNED) == 1
    return StoredImage(
        path=path,
        sop_class=sop_class,
        sop_uid=fields.ascii(tags.SOP_UID) or meta.ascii(0x00020003),
        study_uid=fields.ascii(tags.STUDY_UID),
        study_date=_date(fields.ascii(tags.STUDY_DATE)),
        series_uid=fields.ascii(tags.SERIES_UID),
        frame_of_reference=fields.ascii(tags.FRAME_OF_REFERENCE),
        modality=fields.ascii(tags.MODALITY),
        description=fields.text(tags.DESCRIPTION),
        number=fields.integer(tags.SERIES_NUMBER),
        instance=fields.integer(tags.INSTANCE),
        rows=fields.short(tags.ROWS) or 0,
        columns=fields.short(tags.COLUMNS) or 0,
        samples=fields.short(tags.SAMPLES) or 1,
        planar=fields.short(tags.PLANAR) or 0,
        photometric=_photometric(fields, sop_class),
        frame_count=max(fields.integer(tags.FRAME_COUNT) or 1, 1),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=signed,
        transfer_syntax=transfer_syntax,
        pixels=pixels,
        lookup_table=_modality_table(fields),
        padding=padding(fields, signed, pixels.is_float),
        remarks=remark,
        refused="whole-slide microscopy; not opened." if sop_class == _WHOLE_SLIDE else refused,
    )


def _located(
    file: BinaryIO, dataset: Any, fields: Fields, syntax: str
) -> tuple[PixelData, UID, tuple[str, ...], str]:
    """The pixel data and the compression they have, what is to be said of it, and a refusal.

    Some writers leave the transfer syntax of a file in its header that they have compressed or
    decompressed since. What a stream is, is seen from how it begins.
    """
    stated = UID(syntax)
    pixels = locate_pixels(file, dataset, stated)
    is_stated = are_alike(stated, stated)
    if (is_stated or stated in _NOT_COMPRESSED) and pixels.length < _plain_bytes(fields):
        pixels = streams_in(file, pixels) or pixels
    if not pixels.encapsulated:
        remarks = (
            (f"its header says that its pixels are {stated.name}; they are not compressed.",)
            if is_stated and pixels.offset is not None
            else ()
        )
        return pixels, stated, remarks, ""
    if not is_stated and stated not in _NOT_COMPRESSED:
        return pixels, stated, (), ""
    offset, length = next((piece for piece in pixels.fragments if piece[1]), (0, 0))
    file.seek(offset)
    found = syntax_of(file.read(min(length, _STREAM_HEAD if is_stated else _HEAD)))
    if is_stated and (found is None or are_alike(found, stated)):
        return pixels, stated, (), ""
    if found is None:
        refused = (
            "its pixels are compressed, but its header names no compression and they do not show"
            " which it is. Not opened."
        )
        return pixels, stated, (), refused
    named = f"are {stated.name}" if is_stated else "are not compressed"
    remark = f"its header says that its pixels {named}; they were read as {found.name}."
    return pixels, found, (remark,), ""


def _plain_bytes(fields: Fields) -> int:
    """Of the pixel data where they are not compressed."""
    sizes = (fields.short(tag) or 1 for tag in (tags.ROWS, tags.COLUMNS, tags.SAMPLES))
    frames = max(fields.integer(tags.FRAME_COUNT) or 1, 1)
    return prod(sizes) * (fields.short(tags.BITS_ALLOCATED) or 16) * frames // 8


def _photometric(fields: Fields, sop_class: str) -> str:
    """The colours of a map of labels are for display: its numbers are what it holds."""
    photometric = fields.ascii(tags.PHOTOMETRIC)
    is_painted = sop_class == LABEL_MAP and photometric == PALETTE
    return "MONOCHROME2" if is_painted else photometric


def _date(text: str) -> str:
    """``"2018-05-26"`` of ``"20180526"``; empty for what real files have in its place."""
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _whole_frame(image: StoredImage, fields: Fields) -> Frame:
    """The row of a file with one frame, from the fields at the top of its header."""
    spacing = fields.numbers(tags.PIXEL_SPACING, 2)
    position = fields.numbers(tags.POSITION, 3)
    slope, intercept = rescale(fields)
    return Frame(
        image=image,
        rows=image.rows,
        columns=image.columns,
        position=position,
        orientation=fields.numbers(tags.ORIENTATION, 6),
        pixel_spacing=positive(spacing) if position else positive(spacing or _aspect(fields)),
        slice_distance=_slice_distance(fields),
        stated_distance=stated_distance(fields),
        slope=slope,
        intercept=intercept,
        windows=voi_windows(fields, _may_be_negative(fields, slope, intercept)),
        traits=Traits(
            image_type=fields.codes(tags.IMAGE_TYPE),
            component=_component(fields),
            echo_time=fields.number(tags.ECHO_TIME),
            inversion_time=fields.number(tags.INVERSION_TIME),
            flip_angle=fields.number(tags.FLIP_ANGLE),
            tube_voltage=fields.number(tags.TUBE_VOLTAGE),
            kernel="/".join(fields.codes(tags.KERNEL)),
            thickness=fields.number(tags.THICKNESS),
            b_value=_b_value(fields),
            direction=_direction(fields),
            temporal_position=fields.integer(tags.TEMPORAL_POSITION),
            trigger_time=fields.number(tags.TRIGGER_TIME),
            acquisition=fields.integer(tags.ACQUISITION),
            acquisition_time=fields.ascii(tags.ACQUISITION_TIME),
            content_time=fields.ascii(tags.CONTENT_TIME),
        ),
    )


def _may_be_negative(fields: Fields, slope: float | None, intercept: float | None) -> bool:
    """Whether values of the modality can be below zero, so that tables may begin there."""
    return fields.short(tags.SIGNED) == 1 or (slope or 0) < 0 or (intercept or 0) < 0


def _slice_distance(fields: Fields) -> float | None:
    stated = positive_number(fields, tags.SLICE_DISTANCE)
    return stated or positive_number(fields, tags.THICKNESS)


def _aspect(fields: Fields) -> tuple[float, ...] | None:
    """Height and width of a pixel of an image that lies nowhere, on the detector or as a ratio."""
    for tag in (tags.IMAGER_SPACING, tags.SCANNED_SPACING, tags.PIXEL_ASPECT):
        if (spacing := positive(fields.numbers(tag, 2))) is not None:
            return spacing
    return None


def _component(fields: Fields) -> str:
    component = fields.ascii(tags.COMPONENT)
    if not component and fields.ascii(tags.GE_CREATOR).startswith("GEMS"):
        return _GE_COMPONENTS.get(fields.short(tags.GE_COMPONENT) or 0, "")
    return component


def _is_siemens(fields: Fields) -> bool:
    return fields.ascii(tags.SIEMENS_CREATOR).startswith("SIEMENS")


def _b_value(fields: Fields) -> float | None:
    value = fields.double(tags.B_VALUE)
    if value is None and _is_siemens(fields):
        return fields.number(tags.SIEMENS_B_VALUE)
    return value


def _direction(fields: Fields) -> tuple[float, ...] | None:
    value = fields.doubles(tags.DIRECTION, 3)
    if value is None and _is_siemens(fields):
        return fields.doubles(tags.SIEMENS_DIRECTION, 3)
    return value


def _modality_table(fields: Fields) -> LookupTable | None:
    item = fields.first(tags.MODALITY_LUT)
    if item is None:
        return None
    descriptor = item.shorts(tags.LUT_DESCRIPTOR)
    data = item.shorts(tags.LUT_DATA)
    if len(descriptor) != 3 or not data:
        return None
    first = descriptor[1]
    if fields.short(tags.SIGNED) == 1 and first > 0x7FFF:
        first -= 0x10000
    return LookupTable(first, tuple(float(v) for v in data[: descriptor[0] or 0x10000]))


def _dose_frames(frame: Frame, fields: Fields) -> list[Frame]:
    """Planes of an RT dose, whose heights stand in a field of their own."""
    count = frame.image.frame_count
    scaling = fields.number(tags.DOSE_SCALING)
    frame = replace(frame, slope=scaling if scaling else frame.slope)
    if count == 1:
        return [frame]
    positions = dose_offsets(frame, fields.numbers(tags.DOSE_OFFSETS, count))
    return [replace(frame, index=index, position=positions[index]) for index in range(count)]
