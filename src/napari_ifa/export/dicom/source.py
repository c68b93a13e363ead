"""What a derived DICOM object takes over of its source: patient, study, place, references.

Nothing is taken that the source does not state, and nothing that is not valid: badly anonymised
files hold dates such as ``***`` and empty UIDs, which no archive takes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID, generate_uid
from pydicom.valuerep import DA, TM, validate_value

from napari_ifa.errors import IfaError
from napari_ifa.export.problems import ExportProblem
from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frame_table import claims_of, file_stamp
from napari_ifa.reading.dicom.header.frames import Frame, StoredImage
from napari_ifa.reading.dicom.header.identity import Claims, Subject, disagreements, one_each
from napari_ifa.reading.threads import in_threads
from napari_ifa.volumes.volume import LPS_TO_RAS, Affine, Volume

#: Present in every object, if need be without a value (type 2).
_ALWAYS_THERE = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "Laterality"),
    *("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID"),
)
#: What an archive files an object by. Free text, addresses and institutions stay behind.
_PATIENT_AND_STUDY = (
    *_ALWAYS_THERE,
    *("IssuerOfPatientID", "PatientAge", "PatientIdentityRemoved"),
    *("DeidentificationMethod", "StudyDescription"),
)
_CODES = {
    "PatientSex": ("M", "F", "O"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "Laterality": ("R", "L"),
}
_DIRECTION = re.compile("[LRAPHF]{1,3}")
_TAGS: list[Any] = [
    *_PATIENT_AND_STUDY,
    *("SpecificCharacterSet", "StudyInstanceUID", "SeriesNumber", "SOPInstanceUID"),
    *("FrameOfReferenceUID", "PositionReferenceIndicator", "PatientOrientation"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
]
#: Written in several ways, or on two days, for one patient and one study: the first is taken.
_FIRST_IS_TAKEN = {"PatientName", "StudyDate"}
#: Planes nearer than this (mm) are one.
_SAME_PLACE = 1e-3
_SEVERAL = (
    (Subject.PATIENT, "several patients"),
    (Subject.STUDY, "several studies"),
    (Subject.FRAME_OF_REFERENCE, "several frames of reference"),
)


@dataclass(frozen=True, eq=False)
class DicomSource:
    """The source of one Volume, as far as an object derived from it speaks of it.

    Attributes
    ----------
    patient_and_study : elements to copy, by keyword; valid values only.
    study_uid, series_uid, frame_of_reference : the source's; where it has no valid ones, made
        from the UIDs of its images, so that all exports of one image agree. The frame of
        reference is empty where the source has no place in the patient.
    position_reference : indicator of the frame of reference.
    patient_orientation : of rows and columns, where the source states them without a place.
    lossy : elements that say how the source was compressed with losses, by keyword.
    frames : in file order, see `SourceOrder`.
    affine : ``[4, 4]``, (column, row, slice) of the Volume's grid → LPS mm.
    slices : of the grid.
    missing : slices of the grid, in file order, that the source lacks or that are damaged.
    resampled : the grid's slices are not the frames.
    """

    patient_and_study: dict[str, str]
    study_uid: str
    series_uid: str
    frame_of_reference: str
    position_reference: str
    patient_orientation: tuple[str, ...]
    lossy: dict[str, Any]
    frames: tuple[Frame | None, ...]
    affine: Affine
    slices: int
    missing: frozenset[int]
    resampled: bool

    def frames_of(self, index: int) -> list[Frame]:
        """The frames from which slice ``index`` was made: its own, or its two neighbours."""
        if index in self.missing:
            return []
        if not self.resampled:
            frame = self.frames[index]
            return [] if frame is None else [frame]
        # Along the normal: a tilted stack's frames are shifted within their planes.
        normal = np.cross(self.affine[:3, 0], self.affine[:3, 1])
        normal /= np.linalg.norm(normal)
        place = float((self.affine @ [0, 0, index, 1])[:3] @ normal)
        known = [f for f in self.frames if f is not None and f.image_position_patient is not None]
        distances = (
            np.array([np.asarray(f.image_position_patient, dtype=float) @ normal for f in known])
            - place
        )
        below = np.flatnonzero(distances <= _SAME_PLACE)
        above = np.flatnonzero(distances >= -_SAME_PLACE)
        chosen = {int(below[distances[below].argmax()])} if below.size else set()
        if above.size:
            chosen.add(int(above[distances[above].argmin()]))
        return [known[k] for k in sorted(chosen)]

    def references(self, frames: Iterable[Frame | None], same_pixels: bool = True) -> list[Dataset]:
        """Items of a Source Image Sequence, one for each object, with the numbers of its frames.

        ``same_pixels``: each pixel derived is one of the Volume's.
        """
        numbers: dict[tuple[str, str], list[int]] = {}
        preserved = same_pixels and not self.resampled
        for frame in frames:
            if frame is None or not _can_be_referred_to(frame):
                continue
            of_object = numbers.setdefault(
                (frame.image.sop_class_uid, frame.image.sop_instance_uid), []
            )
            if frame.image.number_of_frames > 1:
                of_object.append(frame.index + 1)
            # A slice that was one tile of many lies elsewhere in its frame.
            preserved &= frame.tile is None
        return [
            _reference(sop_class, uid, sorted(set(of_object)), preserved)
            for (sop_class, uid), of_object in numbers.items()
        ]

    def series_references(self) -> list[Dataset]:
        """Items of a Referenced Series Sequence: all source objects, by series."""
        objects: dict[str, dict[str, str]] = {}
        for frame in self.frames:
            if frame is None or not _can_be_referred_to(frame):
                continue
            own = frame.image.series_instance_uid
            in_series = objects.setdefault(own if is_uid(own) else self.series_uid, {})
            in_series[frame.image.sop_instance_uid] = frame.image.sop_class_uid
        items = []
        for series_uid, in_series in objects.items():
            item = Dataset()
            item.SeriesInstanceUID = series_uid
            item.ReferencedInstanceSequence = [
                _reference(sop_class, uid) for uid, sop_class in in_series.items()
            ]
            items.append(item)
        return items


def check_dicom_source(volume: Volume) -> Claims:
    """Whose image ``volume`` is, by all that the headers of its files say.

    IfaError where it cannot be exported as DICOM, before any work: where it does not come from
    DICOM, or from files of several patients, studies or frames of reference.
    """
    if volume.source.kind != "dicom" or not any(volume.source.frames):
        raise IfaError(ExportProblem.NOT_DICOM)
    stated = [
        replace(frame.image.claims, series_number=None)
        for frame in volume.source.frames
        if frame is not None
    ]
    whole = sorted(set(one_each(stated).values()), key=Claims.sort_key)
    if len(whole) == 1:
        return whole[0]
    subjects = disagreements(whole)
    what = next((words for subject, words in _SEVERAL if subject in subjects), "")
    found = f"are of {what}" if what else "do not all say of which patient and study they are"
    raise IfaError(ExportProblem.SEVERAL_SUBJECTS, what=what, found=found)


def dicom_source(volume: Volume) -> DicomSource:
    """The source of ``volume``, from the headers of its files, which are read again.

    Raises
    ------
    IfaError
        Where it does not come from DICOM, its files are not of one patient, study and frame of
        reference, or they cannot be read any more or have changed since.
    """
    whose = check_dicom_source(volume)
    frames = volume.source.frames
    shown = [frame for frame in frames if frame is not None]
    images = {frame.image.path: frame.image for frame in shown}
    headers = in_threads(_header, list(images.values()))
    first = headers[0]
    _, ras_affine = volume.in_source_order()
    slice_axis = volume.source.axes.index(2)
    slices = volume.shape[slice_axis]
    # Images of several patients may have one UID.
    made_of = [
        repr(whose.sort_key()),
        *sorted({i.sop_instance_uid for i in images.values() if i.sop_instance_uid}),
    ]
    study, series, place = (
        stated if is_uid(stated) else _made_uid(what, made_of)
        for what, stated in (
            ("study", whose.study_uid),
            ("series", shown[0].image.series_instance_uid),
            ("frame of reference", whose.frame_of_reference),
        )
    )
    return DicomSource(
        patient_and_study=_patient_and_study(headers),
        study_uid=study,
        series_uid=series,
        frame_of_reference=place if volume.source.placed else "",
        position_reference=_valid("LO", first.text("PositionReferenceIndicator")),
        patient_orientation=_letters(first.codes("PatientOrientation")),
        lossy=_lossy(headers),
        frames=frames,
        affine=LPS_TO_RAS @ ras_affine,
        slices=slices,
        missing=frozenset(
            slices - 1 - index if volume.source.flips[slice_axis] else index
            for index in volume.report.missing
        ),
        resampled=volume.report.resampled or len(frames) != slices,
    )


def is_uid(text: str) -> bool:
    """A valid UID, and not an empty one."""
    return bool(text) and UID(text).is_valid


def _can_be_referred_to(frame: Frame) -> bool:
    return is_uid(frame.image.sop_class_uid) and is_uid(frame.image.sop_instance_uid)


def _header(image: StoredImage) -> Fields:
    """Of a file that is still what it was when the image was read."""
    path = image.path
    try:
        with path.open("rb") as file:
            same = image.stamp in ((0, 0), file_stamp(file))
            dataset = pydicom.dcmread(
                file, force=True, stop_before_pixels=True, specific_tags=_TAGS
            )
    except (OSError, ValueError, KeyError, EOFError, AttributeError) as error:
        raise IfaError(ExportProblem.SOURCE_GONE, file=path.name) from error
    fields = Fields(dataset)
    uid = fields.ascii("SOPInstanceUID") or image.sop_instance_uid
    if not same or uid != image.sop_instance_uid or claims_of(fields) != image.claims:
        raise IfaError(ExportProblem.SOURCE_CHANGED, file=path.name)
    return fields


def _patient_and_study(headers: Sequence[Fields]) -> dict[str, str]:
    """What all files that say anything say alike: one element says nothing where two differ."""
    found = {}
    for keyword in _PATIENT_AND_STUDY:
        tag = Tag(keyword)
        stated = dict.fromkeys(_stated(header, tag) for header in headers)
        values = list(dict.fromkeys(filter(None, (_valid(dictionary_VR(tag), s) for s in stated))))
        agreed = values and (len(values) == 1 or keyword in _FIRST_IS_TAKEN)
        value = values[0] if agreed else ""
        if value and value not in _CODES.get(keyword, (value,)):
            value = ""
        if value or keyword in _ALWAYS_THERE:
            found[keyword] = value
    if found.get("PatientIdentityRemoved") == "YES":
        # Has to be said with it; the source may say it in codes, or in several values.
        found.setdefault("DeidentificationMethod", "see the source images")
    return found


def _stated(header: Fields, tag: int) -> str:
    """As it stands in the file: a space within a patient's ID is part of it."""
    plain = header.ascii(tag)
    return plain if plain.isascii() and plain.isprintable() else header.text(tag)


def _valid(vr: str, value: str) -> str:
    """The value, or nothing where the standard forbids it."""
    if vr == "PN":
        value = _five_parts(value)
    try:
        validate_value(vr, value, pydicom.config.RAISE)
        if value and vr in ("DA", "TM"):
            # The form alone lets the 39th day of a month pass.
            (DA if vr == "DA" else TM)(value)
    except (ValueError, OverflowError):
        return ""
    return value


def _letters(orientation: tuple[str, ...]) -> tuple[str, ...]:
    """Two directions such as L and FP; nothing where they are no such."""
    valid = len(orientation) == 2 and all(_DIRECTION.fullmatch(o) for o in orientation)
    return orientation if valid else ()


def _five_parts(name: str) -> str:
    """A person's name with no more parts than the standard has; none of its words is lost."""
    written = []
    for group in name.split("="):
        parts = group.split("^")
        written.append("^".join([*parts[:4], *filter(None, [" ".join(parts[4:])])]))
    return "=".join(written)


def _lossy(headers: Sequence[Fields]) -> dict[str, Any]:
    """What the first image says that was compressed with losses: it stays so for ever."""
    lossy = next((h for h in headers if h.ascii("LossyImageCompression") == "01"), None)
    if lossy is None:
        return {"LossyImageCompression": "00"}
    elements: dict[str, Any] = {"LossyImageCompression": "01"}
    ratios = lossy.numbers("LossyImageCompressionRatio")
    methods = lossy.codes("LossyImageCompressionMethod")
    if ratios:
        elements["LossyImageCompressionRatio"] = [f"{ratio:.10g}" for ratio in ratios]
    if methods and all(_valid("CS", method) for method in methods):
        elements["LossyImageCompressionMethod"] = list(methods)
    return elements


def _made_uid(purpose: str, image_uids: Sequence[str]) -> str:
    """A UID that is the same whenever the same images are exported."""
    if not image_uids:
        return str(generate_uid(prefix=None))
    digest = hashlib.sha256("\n".join((purpose, *image_uids)).encode()).hexdigest()
    return str(generate_uid(entropy_srcs=[digest]))


def _reference(
    sop_class: str, uid: str, numbers: Sequence[int] = (), preserved: bool | None = None
) -> Dataset:
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = uid
    if preserved is not None:
        if numbers:
            item.ReferencedFrameNumber = list(numbers)
        item.PurposeOfReferenceCodeSequence = [
            CodedConcept.from_code(codes.DCM.SourceImageForImageProcessingOperation)
        ]
        item.SpatialLocationsPreserved = "YES" if preserved else "NO"
    return item
