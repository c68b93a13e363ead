"""What exports take over of their source: all that files them, nothing invalid, nothing more."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_ifa.errors import IfaError
from napari_ifa.export import check_dicom_source, write_parametric_map, write_secondary_capture
from napari_ifa.export.dicom.source import dicom_source
from napari_ifa.export.problems import ExportProblem
from napari_ifa.reading import list_series, read_volume
from napari_ifa.volumes import GeometryReport
from tests.places import COLOURING, PROVENANCE, map_of_places
from tests.problems import refused

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

    heights = [[f.image_position_patient[2] for f in source.frames_of(k)] for k in range(4)]
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


def identity(data: Dataset) -> tuple[str, ...]:
    return str(data.PatientID), data.StudyInstanceUID, data.get("FrameOfReferenceUID", "")


def test_case_of_two_patients_is_exported_as_two(shared_cases: Path, tmp_path: Path) -> None:
    case = shared_cases / "studies/s01e_two_patients_one_series_uid_different_FoR_above"
    for number, series in enumerate(list_series(case), start=1):
        volume = read_volume(series)
        one = write_parametric_map(map_of_places(volume), PROVENANCE, tmp_path / f"{number}.dcm")
        expected = (f"P{number}", f"1.2.826.0.1.1.{number}", f"1.2.3.{number}")
        assert identity(pydicom.dcmread(one)) == expected


def test_each_of_two_patients_under_one_uid_keeps_its_own(
    save_series: Save, tmp_path: Path
) -> None:
    folder = save_series(
        *range(8),
        PatientID=lambda n: ["A7", "B8"][n // 4],
        PatientName=lambda n: ["Case^One", "Case^Two"][n // 4],
        SOPInstanceUID=lambda n: f"1.5.9.{n % 4}",
        InstanceNumber=lambda n: n % 4 + 1,
        ImagePositionPatient=lambda n: [0, 0, 3 * (n % 4) + 1.5 * (n // 4)],
    )
    made = set()
    for series, patient, name in zip(
        list_series(folder), ("A7", "B8"), ("Case^One", "Case^Two"), strict=True
    ):
        source = dicom_source(read_volume(series))
        assert source.patient_and_study["PatientID"] == patient
        assert source.patient_and_study["PatientName"] == name
        made.add(source.study_uid)
        made.add(source.frame_of_reference)
    # Their images have the same UIDs, what is made of them has not.
    assert len(made) == 4


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PatientID": lambda n: ["A7", "B8"][n // 4]}, "several patients"),
        ({"StudyInstanceUID": lambda n: f"1.5.{n // 4}"}, "several studies"),
        ({"FrameOfReferenceUID": lambda n: f"1.7.{n // 4}"}, "several frames of reference"),
    ],
)
def test_frames_of_several_are_refused_before_any_work(
    save_series: Save, elements: dict[str, Any], words: str
) -> None:
    one, two = (read_volume(s) for s in list_series(save_series(*range(8), **elements)))
    mixed = replace(
        one, source=replace(one.source, frames=(*one.source.frames[:3], *two.source.frames[:1]))
    )
    for export in (check_dicom_source, dicom_source):
        with refused(IfaError, ExportProblem.SEVERAL_SUBJECTS, what=words) as caught:
            export(mixed)
        assert "A7" not in str(caught.value)


def test_elements_that_differ_between_the_files_stay_empty(save_series: Save) -> None:
    folder = save_series(
        StudyInstanceUID="1.5",
        StudyTime=lambda n: f"10000{n}",
        StudyDescription=lambda n: ["thorax", "abdomen"][n // 2],
        StudyDate=lambda n: ["20200101", "20200102"][n // 2],
        PatientID=lambda n: "" if n == 0 else "4711",
        StudyID="S1",
    )
    stated = dicom_source(read_volume(folder)).patient_and_study
    assert (stated["PatientID"], stated["StudyID"], stated["StudyDate"]) == (
        "4711",
        "S1",
        "20200101",
    )
    assert stated["StudyTime"] == ""
    assert "StudyDescription" not in stated


def rewrite(path: Path, **elements: Any) -> None:
    data = pydicom.dcmread(path)
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    state = path.stat()
    data.save_as(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": "4712"},
        {"StudyInstanceUID": "1.6"},
        {"SOPInstanceUID": "1.5.99"},
        {"FrameOfReferenceUID": "1.8"},
        {"PatientName": "Roe^Rose"},
    ],
)
def test_files_that_were_written_anew_are_refused(
    save_series: Save, tmp_path: Path, elements: dict[str, Any]
) -> None:
    folder = save_series(StudyInstanceUID="1.5", FrameOfReferenceUID="1.7")
    volume = read_volume(folder)
    rewrite(folder / "slice2.dcm", **elements)
    with pytest.raises(IfaError) as caught:
        write_parametric_map(map_of_places(volume), PROVENANCE, tmp_path / "map.dcm")
    assert str(caught.value) == (
        "slice2.dcm: the source file has changed since it was read; open the study again."
    )
    assert not (tmp_path / "map.dcm").exists()


def test_pixels_that_were_written_anew_are_refused(save_series: Save) -> None:
    folder = save_series()
    volume = read_volume(folder)
    data = pydicom.dcmread(folder / "slice1.dcm")
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(folder / "slice1.dcm")
    with refused(IfaError, ExportProblem.SOURCE_CHANGED):
        dicom_source(volume)
