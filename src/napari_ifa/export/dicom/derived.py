"""What an exported DICOM object says of itself and of where it comes from."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from napari_ifa.disk import PRODUCT
from napari_ifa.export.dicom.source import DicomSource
from napari_ifa.export.provenance import PURPOSE, Provenance
from napari_ifa.volumes.volume import Affine

#: The standard's longest LO and ST values.
_LONG, _TEXT = 64, 1024
#: UTF-8: class and model names may be in any script.
_CHARACTER_SET = "ISO_IR 192"
_LARGEST_SERIES_NUMBER = 1_000_000


def series_number(source: DicomSource, offset: int) -> int:
    """Beside the source's own number, so that a list by number keeps them in order."""
    number = next((f.image.series_number or 0 for f in source.frames if f is not None), 0)
    return number + offset if 0 <= number < _LARGEST_SERIES_NUMBER else offset


def equipment(provenance: Provenance) -> dict[str, Any]:
    """Keyword arguments that every highdicom object takes: who made it."""
    return {
        "manufacturer": PRODUCT,
        "manufacturer_model_name": long_string(provenance.model) or PRODUCT,
        "software_versions": version(PRODUCT),
        # An object of this kind has to have one: the weights are what made it.
        "device_serial_number": long_string(provenance.weights_sha256) or "unknown",
        "series_description": long_string(f"{provenance.kind} {provenance.class_name}, {PURPOSE}"),
    }


def take_over(dataset: Dataset, source: DicomSource, provenance: Provenance) -> None:
    """Give ``dataset`` the source's patient, study and losses, its references and its origin."""
    dataset.SpecificCharacterSet = _CHARACTER_SET
    for keyword, value in {**source.patient_and_study, **source.lossy}.items():
        setattr(dataset, keyword, value)
    dataset.StudyInstanceUID = source.study_uid
    if source.frame_of_reference:
        dataset.FrameOfReferenceUID = source.frame_of_reference
        dataset.PositionReferenceIndicator = source.position_reference
    series = source.series_references()
    if series:
        dataset.ReferencedSeriesSequence = series
    elif "ReferencedSeriesSequence" in dataset:
        del dataset.ReferencedSeriesSequence
    dataset.ContributingEquipmentSequence = [_contribution(provenance)]
    dataset.ImageComments = text(provenance.sentence)


def say_derivation(dataset: Dataset, provenance: Provenance) -> None:
    """How the values were calculated, in words and as far as the standard has a code for it."""
    from highdicom.sr import CodedConcept
    from pydicom.sr.codedict import codes

    dataset.DerivationDescription = text(provenance.sentence)
    dataset.DerivationCodeSequence = [
        CodedConcept.from_code(codes.DCM.UnspecifiedMethodOfCalculation)
    ]


def planes(affine: Affine, indices: Iterable[int]) -> dict[str, Any]:
    """Keyword arguments of highdicom that say where each plane of a grid lies, for itself.

    highdicom would copy the source's own distance of slices, which may be another. ``affine`` is
    ``[4, 4]``, (column, row, slice) → LPS mm.
    """
    import highdicom as hd

    column, row, step = affine[:3, :3].T
    spacing = (np.linalg.norm(row), np.linalg.norm(column))
    across, down = column / spacing[1], row / spacing[0]
    distance = abs(float(step @ np.cross(across, down)))
    positions = [(affine @ [0, 0, index, 1])[:3].tolist() for index in indices]
    return {
        "pixel_measures": hd.PixelMeasuresSequence(spacing, distance, distance),
        "plane_orientation": hd.PlaneOrientationSequence("PATIENT", [*across, *down]),
        "plane_positions": [hd.PlanePositionSequence("PATIENT", p) for p in positions],
    }


def put_into_first(dataset: Dataset, planes: dict[str, Any]) -> None:
    """Give ``dataset`` the place of the first of these planes."""
    dataset.update(planes["pixel_measures"][0])
    dataset.update(planes["plane_orientation"][0])
    dataset.update(planes["plane_positions"][0][0])


def long_string(value: str) -> str:
    """A value of type LO."""
    return _fitted(value, _LONG)


def text(value: str) -> str:
    """A value of type ST."""
    return _fitted(value, _TEXT)


def _contribution(provenance: Provenance) -> Dataset:
    from highdicom import ContributingEquipment
    from pydicom.sr.codedict import codes

    return ContributingEquipment(
        PRODUCT,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=long_string(provenance.model) or PRODUCT,
        software_versions=version(PRODUCT),
        contribution_description=text(provenance.sentence),
    )


def _fitted(value: str, longest: int) -> str:
    """Without what the value representation forbids: control characters and backslashes.

    The standard counts letters, but many programs count the bytes of UTF-8: both fit.
    """
    allowed = "".join(c if c.isprintable() and c != "\\" else " " for c in value)
    words = " ".join(allowed.split())
    encoded = words.encode()
    if len(encoded) <= longest:
        return words
    room = longest - len("…".encode())
    return encoded[:room].decode(errors="ignore").rstrip() + "…"
