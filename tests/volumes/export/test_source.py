"""What exports take over of their source: all that files them, nothing invalid, nothing more."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from places import COLOURING, PROVENANCE, map_of_places
from pydicom.dataset import Dataset

from napari_ifa.errors import IfaError
from napari_ifa.volumes import (
    GeometryReport,
    read_volume,
    write_parametric_map,
    write_secondary_capture,
)
from napari_ifa.volumes.export.source import dicom_source

Save = Callable[..., Path]
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")


def exports(folder: Path, out: Path) -> list[Dataset]:
    """Both kinds of DICOM export of a study, read with pydicom."""
    volume = read_volume(folder)
    values = map_of_places(volume)
    one = write_parametric_map(values, PROVENANCE, out / "map.dcm")
    other = write_secondary_capture(volume, values, PROVENANCE, COLOURING, out / "sc")[0]
    return [pydicom.dcmread(one), pydicom.dcmread(other)]


def test_patient_and_study_are_those_of_the_source(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(
        StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.9", PatientBirthDate="19700203",
        PatientSex="F", PatientAge="044Y", StudyDate="20140506", StudyTime="070809",
        AccessionNumber="A1", StudyID="S1", PatientID="47  11", Laterality="L",
        StudyDescription="thorax", ReferringPhysicianName="Roe^Richard",
        PatientComments="afraid of needles", InstitutionName="Hospital", OtherPatientIDs="12",
    )  # fmt: skip

    for data in exports(folder, tmp_path):
        assert str(data.PatientName) == "Doe^Jane"
        assert (data.PatientID, data.PatientBirthDate, data.PatientSex) == (
            "47  11",
            "19700203",
            "F",
        )
        assert (data.StudyInstanceUID, data.FrameOfReferenceUID) == ("1.2.3", "1.2.9")
        assert (data.StudyDate, data.StudyTime, data.AccessionNumber) == (
            "20140506",
            "070809",
            "A1",
        )
        assert (data.StudyID, data.StudyDescription, data.Laterality) == ("S1", "thorax", "L")
        assert data.ReferringPhysicianName == "Roe^Richard"
        for keyword in ("PatientComments", "InstitutionName", "OtherPatientIDs"):
            assert keyword not in data


def test_what_the_source_lacks_stays_empty(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(PatientName=None, PatientID=None)

    for data in exports(folder, tmp_path):
        for keyword in (*PATIENT, "StudyDate", "StudyID", "AccessionNumber"):
            assert keyword in data
            assert not data[keyword].value
        assert "PatientAge" not in data


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_badly_anonymised_elements_are_made_valid(
    save_series: Save, faults: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    folder = save_series(
        StudyInstanceUID="", SeriesInstanceUID="", StudyDate="***", StudyTime="noon",
        PatientBirthDate="19700239", PatientSex="X", PatientAge="old", StudyID="1" * 40,
        PatientName="Doe^Jane^a^b^c^d^e", PatientIdentityRemoved="YES", Laterality="none",
    )  # fmt: skip

    one, other = exports(folder, tmp_path)

    assert one.StudyInstanceUID == other.StudyInstanceUID
    assert one.FrameOfReferenceUID == other.FrameOfReferenceUID
    assert pydicom.uid.UID(one.StudyInstanceUID).is_valid
    for data in (one, other):
        for keyword in ("StudyDate", "StudyTime", "PatientBirthDate", "PatientSex", "Laterality"):
            assert not data[keyword].value
        assert data.DeidentificationMethod == "see the source images"
        assert data.PatientName == "Doe^Jane^a^b^c d e"
    assert faults(tmp_path / "map.dcm") == []
    assert faults(tmp_path / "sc" / "slice_0001.dcm") == []


def test_a_name_in_another_character_set_is_the_same_name(
    save_series: Save, tmp_path: Path
) -> None:
    folder = save_series(SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")

    for data in exports(folder, tmp_path):
        assert data.SpecificCharacterSet == "ISO_IR 192"
        assert str(data.PatientName) == "Müller^Jürgen"


def test_no_patient_data_in_logs_warnings_or_file_names(
    save_series: Save, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_series(PatientName="Doe^Jane^too^many^parts^in^this", PatientBirthDate="1.2.70")
    caplog.set_level(logging.DEBUG)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        volume = read_volume(folder)
        warned.clear()
        caplog.clear()
        values = map_of_places(volume)
        write_parametric_map(values, PROVENANCE, tmp_path / "map.dcm")
        write_secondary_capture(volume, values, PROVENANCE, COLOURING, tmp_path / "sc")

    said = caplog.text + "".join(str(w.message) for w in warned)
    for secret in ("Doe", "Jane", "4711", "1.2.70"):
        assert secret not in said
    assert {p.name for p in tmp_path.rglob("*.dcm") if "study" not in p.parts} == {
        "map.dcm",
        *(f"slice_000{k}.dcm" for k in range(1, 5)),
    }


def test_losses_are_carried_over(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(
        LossyImageCompression=lambda k: "01" if k == 2 else "00",
        LossyImageCompressionRatio=8.5,
        LossyImageCompressionMethod="ISO_10918_1",
    )

    for data in exports(folder, tmp_path):
        assert data.LossyImageCompression == "01"
        assert data.LossyImageCompressionRatio == 8.5
        assert data.LossyImageCompressionMethod == "ISO_10918_1"


def test_a_resampled_slice_refers_to_its_neighbours(save_series: Save) -> None:
    """Slices at 30, 32, 36 mm brought to 30, 32, 34, 36 mm: the third lies between the two."""
    image = read_volume(save_series())
    frames = tuple(f for k, f in enumerate(image.source.frames) if k != 2)
    resampled = replace(
        image,
        source=replace(image.source, frames=frames),
        report=GeometryReport(slice_distances_mm=(2.0, 4.0)),
    )

    source = dicom_source(resampled)

    heights = [[f.position[2] for f in source.frames_of(k)] for k in range(4)]
    assert heights == [[30], [32], [32, 36], [36]]
    assert source.missing == frozenset()
    (first, _) = source.references(source.frames_of(2))
    assert first.SpatialLocationsPreserved == "NO"


def test_a_source_file_that_is_gone_is_said(save_series: Save, tmp_path: Path) -> None:
    folder = save_series()
    volume = read_volume(folder)
    (folder / "slice2.dcm").unlink()

    with pytest.raises(IfaError) as caught:
        write_parametric_map(map_of_places(volume), PROVENANCE, tmp_path / "map.dcm")
    assert (
        str(caught.value)
        == "slice2.dcm: the source file cannot be read any more; open the study again."
    )


def test_made_uids_are_the_same_at_every_export(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(StudyInstanceUID="", SOPInstanceUID=lambda k: f"1.2.3.{k + 1}")
    volume = read_volume(folder)

    first, again = dicom_source(volume), dicom_source(volume)

    assert first.study_uid == again.study_uid
    assert first.study_uid != first.frame_of_reference
    np.testing.assert_array_equal(first.affine, again.affine)
