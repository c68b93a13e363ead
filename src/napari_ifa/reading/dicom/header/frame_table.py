"""From a file's header to its rows of the frame table."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Any, BinaryIO, Literal

import pydicom
from pydicom.uid import UID

from napari_ifa.reading.dicom.header import tags
from napari_ifa.reading.dicom.header.bounded_file import BoundedFile
from napari_ifa.reading.dicom.header.compression import located_pixels
from napari_ifa.reading.dicom.header.deflated import read_deflated_header
from napari_ifa.reading.dicom.header.fields import Fields, Oddities, name_of
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
from napari_ifa.reading.dicom.header.placement import placement_refusal
from napari_ifa.reading.dicom.header.remarks import remarks_on
from napari_ifa.reading.dicom.header.tiles import is_tiled, tiles
from napari_ifa.reading.dicom.header.values import (
    dose_offsets,
    padding,
    positive,
    rescale,
    slice_distance,
    stated_distance,
)
from napari_ifa.reading.dicom.header.voi import voi_windows
from napari_ifa.reading.problems import DicomProblem

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
            return _frames(path, file, read_header(file, tags.SCANNED))
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return NotAnImage.UNREADABLE


def read_header(file: BinaryIO, wanted: Sequence[int]) -> Any:
    """The elements wanted; ``file`` then stands at the pixel data, unless it is deflated.

    Most headers fit into what is read at once. pydicom asks a file where it stands at every
    element, and threads that do so wait for each other longer than for the disk.

    Raises
    ------
    Exception
        Of any kind, where the header is damaged.
    """
    if (dataset := read_deflated_header(file, wanted)) is not None:
        return dataset
    file.seek(0)
    head = io.BytesIO(file.read(_HEAD))
    is_whole = head.getbuffer().nbytes < _HEAD
    try:
        dataset = _parse(head, wanted)
    except Exception:  # of an element that is cut short here
        if is_whole:
            raise
    else:
        if is_whole or head.tell() + _ELEMENT_START <= _HEAD:
            file.seek(head.tell())
            return dataset
    file.seek(0)
    return _parse(file, wanted)


def _parse(file: BinaryIO, wanted: Sequence[int]) -> Any:
    return pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(wanted))


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
    if not fields.short("Rows") or not fields.short("Columns"):
        return NotAnImage.OTHER_OBJECT
    image = as_the_stream_says(_stored_image(path, file, dataset, fields), file)
    if image.pixels.offset is None and not _is_of_images(image.sop_class_uid):
        # Raw data, spectra and the like state rows and columns, too.
        return NotAnImage.OTHER_OBJECT
    frame = _whole_frame(image, fields)
    if image.number_of_frames > _MOST_FRAMES:
        return [replace(frame, image=replace(image, refused=DicomProblem.TOO_MANY_FRAMES))]
    return _with_oddities(_rows(frame, fields), fields.oddities)


def _rows(frame: Frame, fields: Fields) -> list[Frame]:
    image = frame.image
    if is_tiled(fields):
        return tiles(frame, fields)
    if image.modality in _PROJECTIONS and placement_refusal(frame) is not None:
        frame = _without_place(frame, fields)
    if fields.has("PerFrameFunctionalGroupsSequence") or fields.has(
        "SharedFunctionalGroupsSequence"
    ):
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
    if not oddities.decimal_commas and not oddities.unreadable:
        return rows
    commas = ", ".join(sorted(map(name_of, oddities.decimal_commas)))
    said = (f"a comma in {commas} was read as a decimal point.",) if commas else ()
    unreadable = tuple(sorted(map(name_of, oddities.unreadable)))
    images = {id(row.image): row.image for row in rows}
    changed = {
        key: replace(image, remarks=(*image.remarks, *said), unreadable=unreadable)
        for key, image in images.items()
    }
    return [replace(row, image=changed[id(row.image)]) for row in rows]


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
        file, dataset, fields, meta.ascii("TransferSyntaxUID")
    )
    bits_allocated = fields.short("BitsAllocated") or 16
    bits_stored = fields.short("BitsStored") or bits_allocated
    high_bit = fields.short("HighBit")
    sop_class = fields.ascii("SOPClassUID") or meta.ascii("MediaStorageSOPClassUID")
    signed = fields.short("PixelRepresentation") == 1
    photometric = fields.ascii("PhotometricInterpretation")
    if sop_class == LABEL_MAP and photometric == PALETTE:
        # The colours of a map of labels are for display: its numbers are what it holds.
        photometric = "MONOCHROME2"
    table = None
    if sop_class == _WHOLE_SLIDE:
        refused = DicomProblem.WHOLE_SLIDE
    try:
        table = modality_table(fields) if is_applied(fields, sop_class) else None
    except DamagedTableError:
        refused = DicomProblem.DAMAGED_TABLE
    return StoredImage(
        path=path,
        sop_class_uid=sop_class,
        sop_instance_uid=fields.ascii("SOPInstanceUID") or meta.ascii("MediaStorageSOPInstanceUID"),
        series_instance_uid=fields.ascii("SeriesInstanceUID"),
        modality=fields.ascii("Modality"),
        series_description=fields.text("SeriesDescription"),
        instance_number=fields.integer("InstanceNumber"),
        rows=fields.short("Rows") or 0,
        columns=fields.short("Columns") or 0,
        samples_per_pixel=fields.short("SamplesPerPixel") or 1,
        planar_configuration=fields.short("PlanarConfiguration") or 0,
        photometric_interpretation=photometric,
        number_of_frames=max(fields.integer("NumberOfFrames") or 1, 1),
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


def file_stamp(file: BinaryIO) -> tuple[int, int]:
    """Size in bytes and time of the last change, in ns: the same while nobody writes to it."""
    state = os.fstat(file.fileno())
    return state.st_size, state.st_mtime_ns


def claims_of(fields: Fields) -> Claims:
    """What a file says of where it belongs."""
    sex, age = fields.ascii("PatientSex"), fields.ascii("PatientAge")
    return Claims(
        Patient(
            id=fields.text("PatientID"),
            issuer=fields.text("IssuerOfPatientID"),
            name=words_of_name(fields.text("PatientName")),
            birth_date=_date(fields.ascii("PatientBirthDate")),
            sex=sex if sex in ("M", "F") else "",
            age=age if re.fullmatch(r"\d{3}[DWMY]", age) else "",
        ),
        study_uid=fields.ascii("StudyInstanceUID"),
        study_date=_date(fields.ascii("StudyDate")),
        accession=fields.text("AccessionNumber"),
        frame_of_reference=fields.ascii("FrameOfReferenceUID"),
        series_number=fields.integer("SeriesNumber"),
    )


def _date(text: str) -> str:
    """``"2018-05-26"`` of ``"20180526"``; empty for what real files have in its place."""
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _whole_frame(image: StoredImage, fields: Fields) -> Frame:
    """The row of a file with one frame, from the fields at the top of its header."""
    spacing = fields.numbers("PixelSpacing", 2)
    position = fields.numbers("ImagePositionPatient", 3)
    slope, intercept = rescale(fields)
    signed = fields.short("PixelRepresentation") == 1 or (slope or 0) < 0 or (intercept or 0) < 0
    b_value = fields.double("DiffusionBValue")
    direction = fields.doubles("DiffusionGradientOrientation", 3)
    if fields.ascii(tags.SIEMENS_CREATOR).startswith("SIEMENS"):
        b_value = fields.number(tags.SIEMENS_B_VALUE) if b_value is None else b_value
        direction = direction or fields.doubles(tags.SIEMENS_DIRECTION, 3)
    trigger_time = fields.number("TriggerTime")
    if trigger_time is None:
        trigger_time = fields.double("NominalCardiacTriggerDelayTime")
    return Frame(
        image=image,
        rows=image.rows,
        columns=image.columns,
        image_position_patient=position,
        image_orientation_patient=fields.numbers("ImageOrientationPatient", 6),
        pixel_spacing=positive(spacing) or (None if position else _aspect(fields)),
        slice_distance=slice_distance(fields),
        spacing_between_slices=stated_distance(fields),
        rescale_slope=slope,
        rescale_intercept=intercept,
        slice_location=fields.number("SliceLocation"),
        windows=voi_windows(fields, signed),
        traits=Traits(
            image_type=fields.codes("ImageType"),
            complex_image_component=_component(fields),
            echo_time=fields.number("EchoTime"),
            echo_number=fields.integer("EchoNumbers"),
            inversion_time=fields.number("InversionTime"),
            flip_angle=fields.number("FlipAngle"),
            kvp=fields.number("KVP"),
            convolution_kernel="/".join(fields.codes("ConvolutionKernel")),
            slice_thickness=fields.number("SliceThickness"),
            contrast_bolus_agent=fields.text("ContrastBolusAgent"),
            patient_position=fields.ascii("PatientPosition"),
            diffusion_b_value=b_value,
            diffusion_gradient_orientation=direction,
            temporal_position_identifier=fields.integer("TemporalPositionIdentifier"),
            nominal_percentage_of_cardiac_phase=fields.single("NominalPercentageOfCardiacPhase"),
            nominal_percentage_of_respiratory_phase=fields.single(
                "NominalPercentageOfRespiratoryPhase"
            ),
            trigger_time=trigger_time,
            frame_reference_time=fields.number("FrameReferenceTime"),
            acquisition_number=fields.integer("AcquisitionNumber"),
            acquisition_date=fields.ascii("AcquisitionDate"),
            acquisition_time=fields.ascii("AcquisitionTime") or fields.ascii("AcquisitionDateTime"),
            content_date=fields.ascii("ContentDate"),
            content_time=fields.ascii("ContentTime"),
        ),
    )


def _aspect(fields: Fields) -> tuple[float, ...] | None:
    """Height and width of a pixel of an image that lies nowhere, on the detector or as a ratio."""
    for tag in ("ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"):
        if (spacing := positive(fields.numbers(tag, 2))) is not None:
            return spacing
    return None


def _component(fields: Fields) -> str:
    component = fields.ascii("ComplexImageComponent")
    if not component and fields.ascii(tags.GE_CREATOR).startswith("GEMS"):
        return _GE_COMPONENTS.get(fields.short(tags.GE_COMPONENT) or 0, "")
    return component


def _dose_frames(frame: Frame, fields: Fields) -> list[Frame]:
    """Planes of an RT dose, whose heights stand in a field of their own."""
    count = frame.image.number_of_frames
    scaling = fields.number("DoseGridScaling")
    frame = replace(frame, rescale_slope=scaling if scaling else frame.rescale_slope)
    if count == 1:
        return [frame]
    positions = dose_offsets(frame, fields.numbers("GridFrameOffsetVector", count))
    return [
        replace(frame, index=index, image_position_patient=positions[index])
        for index in range(count)
    ]
