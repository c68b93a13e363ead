"""From a file's header to its rows of the frame table."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom.datadict import keyword_for_tag
from pydicom.uid import UID

from napari_ifa.reading.dicom.header import tags
from napari_ifa.reading.dicom.header.bounded_file import BoundedFile
from napari_ifa.reading.dicom.header.compression import located_pixels
from napari_ifa.reading.dicom.header.deflated import read_deflated_header
from napari_ifa.reading.dicom.header.fields import Fields, Oddities
from napari_ifa.reading.dicom.header.frames import LABEL_MAP, PALETTE, Frame, StoredImage, Traits
from napari_ifa.reading.dicom.header.functional_groups import frames_of_groups
from napari_ifa.reading.dicom.header.identity import Claims, Patient, words_of_name
from napari_ifa.reading.dicom.header.jpeg_header import as_the_stream_says
from napari_ifa.reading.dicom.header.modality_table import (
    DamagedTableError,
    is_applied,
    modality_table,
)
from napari_ifa.reading.dicom.header.nuclear import nuclear_frames
from napari_ifa.reading.dicom.header.placement import has_unusable_place
from napari_ifa.reading.dicom.header.remarks import remarks_on
from napari_ifa.reading.dicom.header.tiles import is_tiled, tiles
from napari_ifa.reading.dicom.header.values import (
    dose_offsets,
    padding,
    positive,
    positive_number,
    rescale,
    stated_distance,
)
from napari_ifa.reading.dicom.header.voi import voi_windows

_PREAMBLE = 128
#: Bytes read at once, and those that an element needs before its value.
_HEAD, _ELEMENT_START = 1 << 16, 12
_VALUE_REPRESENTATIONS = {b"UI", b"UL", b"CS", b"SH", b"LO", b"DA", b"TM", b"OB", b"UN"}
_RT_DOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
#: The second is retired.
_NUCLEAR = ("1.2.840.10008.5.1.4.1.1.20", "1.2.840.10008.5.1.4.1.1.5")
_STANDARD_CLASSES = "1.2.840.10008."
_WORDS_OF_IMAGES = ("Image", "Segmentation", "Parametric Map", "Dose Storage")
#: More frames than any study has; each costs a row.
_MOST_FRAMES = 200_000
#: Images that are whole without a place in the patient, and of which the standard asks for none:
#: equipment, and tools that take names out, fill what they do not know with zeros.
_PROJECTIONS = (
    *("CR", "DX", "MG", "IO", "PX", "RG", "RF", "XA"),
    *("US", "IVUS", "ES", "XC", "GM", "OP", "OPT", "RTIMAGE", "SC", "OT"),
)
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
    image = as_the_stream_says(_stored_image(path, file, dataset, fields), file)
    if image.pixels.offset is None and not _is_of_images(image.sop_class_uid):
        # Raw data, spectra and the like state rows and columns, too.
        return NotAnImage.OTHER_OBJECT
    frame = _whole_frame(image, fields)
    if image.number_of_frames > _MOST_FRAMES:
        refused = f"the header claims {image.number_of_frames} frames in one file. Not opened."
        return [replace(frame, image=replace(image, refused=refused))]
    return _with_oddities(_rows(frame, fields), fields.oddities)


def _rows(frame: Frame, fields: Fields) -> list[Frame]:
    image = frame.image
    if is_tiled(fields):
        return tiles(frame, fields)
    if image.modality in _PROJECTIONS and has_unusable_place(frame):
        frame = _without_place(frame, fields)
    if fields.has(tags.FRAME_GROUPS) or fields.has(tags.SHARED_GROUPS):
        return frames_of_groups(frame, fields)
    if image.sop_class_uid == _RT_DOSE:
        return _dose_frames(frame, fields)
    if image.sop_class_uid in _NUCLEAR or image.modality == "NM":
        return nuclear_frames(frame, fields)
    if image.number_of_frames > 1:
        # The position at the top of such a file is the first frame's, if that.
        plain = replace(frame, image_position_patient=None)
        return [replace(plain, index=index) for index in range(image.number_of_frames)]
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


def _without_place(frame: Frame, fields: Fields) -> Frame:
    remark = "what its header says of its position in the patient is invalid or incomplete."
    image = replace(frame.image, remarks=(*frame.image.remarks, remark))
    return replace(
        frame,
        image=image,
        image_position_patient=None,
        pixel_spacing=frame.pixel_spacing or _aspect(fields),
    )


def _stored_image(path: Path, file: BinaryIO, dataset: Any, fields: Fields) -> StoredImage:
    meta = Fields(dataset.file_meta)
    pixels, transfer_syntax, remark, refused = located_pixels(
        file, dataset, fields, meta.ascii(0x00020010)
    )
    bits_allocated = fields.short(tags.BITS_ALLOCATED) or 16
    bits_stored = fields.short(tags.BITS_STORED) or bits_allocated
    high_bit = fields.short(tags.HIGH_BIT)
    sop_class = fields.ascii(tags.SOP_CLASS) or meta.ascii(0x00020002)
    signed = fields.short(tags.SIGNED) == 1
    table = None
    if sop_class == _WHOLE_SLIDE:
        refused = "whole-slide microscopy; not opened."
    try:
        table = modality_table(fields) if is_applied(fields, sop_class) else None
    except DamagedTableError:
        refused = "its modality look-up table is damaged, so its values are unknown. Not opened."
    return StoredImage(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=fields.ascii(tags.SOP_UID) or meta.ascii(0x00020003),
        series_instance_uid=fields.ascii(tags.SERIES_UID),
        modality=fields.ascii(tags.MODALITY),
        series_description=fields.text(tags.DESCRIPTION),
        instance_number=fields.integer(tags.INSTANCE),
        rows=fields.short(tags.ROWS) or 0,
        columns=fields.short(tags.COLUMNS) or 0,
        samples_per_pixel=fields.short(tags.SAMPLES) or 1,
        planar_configuration=fields.short(tags.PLANAR) or 0,
        photometric_interpretation=_photometric(fields, sop_class),
        number_of_frames=max(fields.integer(tags.FRAME_COUNT) or 1, 1),
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if high_bit is None else high_bit,
        signed=signed,
        transfer_syntax_uid=transfer_syntax,
        pixels=pixels,
        lookup_table=table,
        claims=claims_of(fields),
        stamp=file_stamp(file),
        padding=padding(fields, signed, pixels.is_float),
        remarks=(*remark, *remarks_on(fields, sop_class, transfer_syntax, pixels)),
        refused=refused,
    )


def _photometric(fields: Fields, sop_class: str) -> str:
    """The colours of a map of labels are for display: its numbers are what it holds."""
    photometric = fields.ascii(tags.PHOTOMETRIC)
    is_painted = sop_class == LABEL_MAP and photometric == PALETTE
    return "MONOCHROME2" if is_painted else photometric


def file_stamp(file: BinaryIO) -> tuple[int, int]:
    """Size in bytes and time of the last change, in ns: the same while nobody writes to it."""
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns


def claims_of(fields: Fields) -> Claims:
    """What a file says of where it belongs."""
    sex, age = fields.ascii(tags.PATIENT_SEX), fields.ascii(tags.PATIENT_AGE)
    return Claims(
        Patient(
            id=fields.text(tags.PATIENT_ID),
            issuer=fields.text(tags.PATIENT_ID_ISSUER),
            name=words_of_name(fields.text(tags.PATIENT_NAME)),
            birth_date=_date(fields.ascii(tags.BIRTH_DATE)),
            sex=sex if sex in ("M", "F") else "",
            age=age if re.fullmatch(r"\d{3}[DWMY]", age) else "",
        ),
        study_uid=fields.ascii(tags.STUDY_UID),
        study_date=_date(fields.ascii(tags.STUDY_DATE)),
        accession=fields.text(tags.ACCESSION),
        frame_of_reference=fields.ascii(tags.FRAME_OF_REFERENCE),
        series_number=fields.integer(tags.SERIES_NUMBER),
    )


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
        image_position_patient=position,
        image_orientation_patient=fields.numbers(tags.ORIENTATION, 6),
        pixel_spacing=positive(spacing) or (None if position else _aspect(fields)),
        slice_distance=_slice_distance(fields),
        spacing_between_slices=stated_distance(fields),
        rescale_slope=slope,
        rescale_intercept=intercept,
        slice_location=fields.number(tags.SLICE_LOCATION),
        windows=voi_windows(fields, _may_be_negative(fields, slope, intercept)),
        traits=Traits(
            image_type=fields.codes(tags.IMAGE_TYPE),
            complex_image_component=_component(fields),
            echo_time=fields.number(tags.ECHO_TIME),
            echo_number=fields.integer(tags.ECHO_NUMBER),
            inversion_time=fields.number(tags.INVERSION_TIME),
            flip_angle=fields.number(tags.FLIP_ANGLE),
            kvp=fields.number(tags.TUBE_VOLTAGE),
            convolution_kernel="/".join(fields.codes(tags.KERNEL)),
            slice_thickness=fields.number(tags.THICKNESS),
            contrast_bolus_agent=fields.text(tags.CONTRAST_AGENT),
            patient_position=fields.ascii(tags.PATIENT_POSITION),
            diffusion_b_value=_b_value(fields),
            diffusion_gradient_orientation=_direction(fields),
            temporal_position_identifier=fields.integer(tags.TEMPORAL_POSITION),
            nominal_percentage_of_cardiac_phase=fields.single(tags.CARDIAC_PHASE),
            nominal_percentage_of_respiratory_phase=fields.single(tags.RESPIRATORY_PHASE),
            trigger_time=_trigger_time(fields),
            frame_reference_time=fields.number(tags.FRAME_REFERENCE_TIME),
            acquisition_number=fields.integer(tags.ACQUISITION),
            acquisition_date=fields.ascii(tags.ACQUISITION_DATE),
            acquisition_time=fields.ascii(tags.ACQUISITION_TIME)
            or fields.ascii(tags.ACQUISITION_MOMENT),
            content_date=fields.ascii(tags.CONTENT_DATE),
            content_time=fields.ascii(tags.CONTENT_TIME),
        ),
    )


def _trigger_time(fields: Fields) -> float | None:
    time = fields.number(tags.TRIGGER_TIME)
    return fields.double(tags.CARDIAC_DELAY) if time is None else time


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


def _dose_frames(frame: Frame, fields: Fields) -> list[Frame]:
    """Planes of an RT dose, whose heights stand in a field of their own."""
    count = frame.image.number_of_frames
    scaling = fields.number(tags.DOSE_SCALING)
    frame = replace(frame, rescale_slope=scaling if scaling else frame.rescale_slope)
    if count == 1:
        return [frame]
    positions = dose_offsets(frame, fields.numbers(tags.DOSE_OFFSETS, count))
    return [
        replace(frame, index=index, image_position_patient=positions[index])
        for index in range(count)
    ]
