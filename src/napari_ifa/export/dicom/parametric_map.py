"""A map as a DICOM Parametric Map: its values on the image's grid, in the patient."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from napari_ifa.disk import check_file, whole_file
from napari_ifa.errors import IfaError
from napari_ifa.export.dicom.derived import (
    equipment,
    long_string,
    planes,
    put_into_first,
    say_derivation,
    series_number,
    take_over,
)
from napari_ifa.export.dicom.source import DicomSource, dicom_source
from napari_ifa.export.problems import ExportProblem, unwritten_said
from napari_ifa.export.provenance import Provenance
from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.volumes.volume import Volume

_SERIES_OFFSET = 1000
#: Stored where there is no value, in integers; 1 to 65535 are the values.
_PADDING, _FIRST, _LAST = 0, 1, 65535


def write_parametric_map(
    volume: Volume,
    provenance: Provenance,
    path: str | os.PathLike[str],
    *,
    compressed: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Path:
    """Write the values of ``volume`` as one DICOM file, at the same places in the patient.

    Values are float32, and NaN where there is no value, as outside the network's field of view:
    the standard allows it (PS3.5, section 8), and no viewer can take it for evidence.

    Parameters
    ----------
    volume : values ``[I, P, L]`` on the grid of a DICOM image, as `Volume.with_array` makes it.
    compressed : write 16-bit integers with a mapping to real-world values, by JPEG-LS where that
        can be: a quarter of the size. They are exact to half a step, (max − min) / 65534 / 2;
        where there is no value, Pixel Padding Value 0 is stored.
    overwrite : replace a DICOM file that is there already.
    progress : called before and after the file is made.
    stop : asked before the file is written; True ends the work.

    Raises
    ------
    ExistingOutputError
        There is a file already, and ``overwrite`` was not asked for.
    IfaError
        Where the Volume does not come from DICOM, has no values or no place in the patient, or
        the file cannot be written.
    Cancelled
        When ``stop`` says so.
    """
    path = Path(path)
    check_file(path, "DICOM", overwrite)
    source = dicom_source(volume)
    if not source.frame_of_reference:
        raise IfaError(ExportProblem.NO_PLACE)
    if progress is not None:
        progress(0, 1)
    array, _ = volume.in_source_order()
    frames = np.ascontiguousarray(array.transpose(2, 1, 0), dtype=np.float32)
    low, high = float(np.fmin.reduce(frames, None)), float(np.fmax.reduce(frames, None))
    if not np.isfinite([low, high]).all():
        raise IfaError(ExportProblem.NO_VALUES)
    geometry = planes(source.affine, range(source.slices))
    dataset = _dataset(frames, (low, high), source, geometry, provenance, compressed)
    _add_sources(dataset, source, provenance, geometry)
    take_over(dataset, source, provenance)
    check_stop(stop, "Writing")
    with (
        unwritten_said(f"{path.name}: cannot be written"),
        whole_file(path, "DICOM", overwrite=overwrite) as part,
    ):
        dataset.save_as(part, enforce_file_format=True)
    if progress is not None:
        progress(1, 1)
    return path


def _dataset(
    frames: NDArray[np.float32],
    limits: tuple[float, float],
    source: DicomSource,
    geometry: dict[str, Any],
    provenance: Provenance,
    compressed: bool,
) -> Any:
    import highdicom as hd
    from pydicom.sr.codedict import codes

    low, high = limits
    on_scale = bool(provenance.scale)
    mapping: dict[str, Any] = {"slope": 1, "intercept": 0}
    # A scale's own ends, so that all patients' maps have the same; they span every S-CAM.
    ends = (min(low, -1.0), max(high, 1.0)) if on_scale else (low, high)
    shown = ends if on_scale else (-max(abs(low), abs(high)), max(abs(low), abs(high)))
    pixels: NDArray[Any] = frames
    if compressed:
        step = (ends[1] - ends[0]) / (_LAST - _FIRST) or 1.0
        pixels = _integers(frames, ends[0], step)
        mapping = {"slope": step, "intercept": ends[0] - _FIRST * step}
        shown = ((shown[0] - mapping["intercept"]) / step, (shown[1] - mapping["intercept"]) / step)
        # The padding too: some readers refuse a file with a value outside the range.
        ends = (_PADDING, _LAST)
    real_world = hd.pm.RealWorldValueMapping(
        lut_label=_label(provenance),
        lut_explanation=long_string(
            f"{provenance.kind}, scale of the cohort" if on_scale else f"{provenance.kind}, logits"
        ),
        unit=codes.UCUM.NoUnits,
        value_range=ends,
        **mapping,
    )
    window = hd.VOILUTTransformation(
        window_center=(shown[0] + shown[1]) / 2,
        window_width=(shown[1] - shown[0]) or 1.0,
        voi_lut_function="LINEAR_EXACT",
    )

    def encoded(transfer_syntax: str) -> Any:
        return hd.pm.ParametricMap(
            source_images=[_stand_in(frames.shape, source, geometry)],
            pixel_array=pixels,
            series_instance_uid=generate_uid(prefix=None),
            series_number=series_number(source, _SERIES_OFFSET),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[real_world],
            voi_lut_transformations=[window],
            transfer_syntax_uid=transfer_syntax,
            content_label="S_CAM" if on_scale else "CLASS_ACTIVATION",
            content_description=long_string(f"{provenance.kind}, {provenance.class_name}"),
            **geometry,
            **equipment(provenance),
        )

    if not compressed:
        return encoded(ExplicitVRLittleEndian)
    try:
        dataset = encoded(JPEGLSLossless)
    except RuntimeError:
        # No codec, or a frame that it cannot make smaller, as one of a few pixels.
        dataset = encoded(ExplicitVRLittleEndian)
    dataset.PixelPaddingValue = _PADDING
    return dataset


def _integers(frames: NDArray[np.float32], low: float, step: float) -> NDArray[np.uint16]:
    stored = np.full(frames.shape, _PADDING, dtype=np.uint16)
    # Frame by frame: an image of float64 values would not always fit beside the map.
    for values, target in zip(frames, stored, strict=True):
        known = np.isfinite(values)
        number = np.rint((values[known].astype(np.float64) - low) / step) + _FIRST
        target[known] = np.clip(number, _FIRST, _LAST).astype(np.uint16)
    return stored


def _label(provenance: Provenance) -> str:
    """At most 16 letters."""
    kind = provenance.kind
    return kind if len(kind) <= 16 else kind.replace("class activation", "activation")[:16]


def _stand_in(shape: tuple[int, ...], source: DicomSource, geometry: dict[str, Any]) -> Dataset:
    """A source for highdicom, without what makes real ones fail and without the patient.

    References, patient and study are set afterwards: highdicom takes multi-frame sources only one
    at a time, fails on empty UIDs, and logs a name that it does not like.
    """
    stand_in = Dataset()
    stand_in.SOPClassUID = SecondaryCaptureImageStorage
    stand_in.SOPInstanceUID = generate_uid(prefix=None)
    stand_in.StudyInstanceUID = source.study_uid
    stand_in.SeriesInstanceUID = generate_uid(prefix=None)
    stand_in.Rows, stand_in.Columns = shape[1:]
    for keyword in (
        *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
        *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
    ):
        setattr(stand_in, keyword, None)
    stand_in.FrameOfReferenceUID = source.frame_of_reference
    # highdicom prefers these to the ones it is given where the two are nearly equal.
    put_into_first(stand_in, geometry)
    return stand_in


def _add_sources(
    dataset: Any, source: DicomSource, provenance: Provenance, geometry: dict[str, Any]
) -> None:
    """Say of each frame from which frames it was derived."""
    # highdicom has sorted the frames along their normal.
    slices = {
        tuple(plane[0].ImagePositionPatient): index
        for index, plane in enumerate(geometry["plane_positions"])
    }
    for item in dataset.PerFrameFunctionalGroupsSequence:
        position = item.PlanePositionSequence[0].ImagePositionPatient
        index = slices[tuple(position)]
        derivation = Dataset()
        say_derivation(derivation, provenance)
        derivation.SourceImageSequence = source.references(source.frames_of(index))
        item.DerivationImageSequence = [derivation] if derivation.SourceImageSequence else []
    dataset.SourceImageSequence = source.references(source.frames)
