"""Which cases belong together, from the list to the analysis file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from napari_ifa import samples
from napari_ifa.analysis import analyze, load_analysis
from napari_ifa.cohorts import Case, read_cohort
from napari_ifa.cohorts.groups import group_numbers, group_of, pseudonym
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume
from tests.known_analysis import known_analysis
from tests.tiny import tiny_classifier, write_image

GROUPS = ["Smith^Ann", "Smith^Ann", 7, None, "7", 7.0, "x", ""]


@pytest.fixture(scope="module")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grouped")
    rng = np.random.default_rng(1)
    entries = []
    for n, group in enumerate(GROUPS):
        write_image(folder / f"{n}.nii", rng.normal(size=8).tolist())
        entries.append({"image": f"{n}.nii", "label": n % 2, "patient": group})
    path = folder / "datalist.json"
    path.write_text(json.dumps({"training": entries}))
    return path


def test_cases_of_one_patient_have_one_number_in_the_file(datalist: Path, tmp_path: Path) -> None:
    analysis = analyze(tiny_classifier(), read_cohort(datalist), shard_size=3)
    analysis.save(tmp_path / "a.nc")

    again = load_analysis(tmp_path / "a.nc")

    expected = [0, 0, 1, -1, 1, 1, 2, -1]
    for found in (analysis.groups, again.groups):
        assert found is not None
        assert len(set(found)) == 5
        for n, one in enumerate(expected):
            for m, other in enumerate(expected):
                assert (found[n] == found[m]) == (n == m or one == other != -1)
    stored = again.dataset["group"].values
    assert stored.dtype == np.uint64
    assert (stored == 0).tolist() == [one == -1 for one in expected]


def test_the_file_holds_no_id_of_a_patient(datalist: Path, tmp_path: Path) -> None:
    resume = tmp_path / "parts"
    analyze(tiny_classifier(), read_cohort(datalist), resume_dir=resume).save(tmp_path / "a.nc")

    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 2
    assert not any(b"Smith" in path.read_bytes() for path in written)


def test_the_order_of_shards_and_a_resumed_analysis_change_no_group(
    datalist: Path, tmp_path: Path
) -> None:
    cohort = read_cohort(datalist)
    whole = analyze(tiny_classifier(), cohort).dataset["group"].values

    analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=tmp_path)
    (tmp_path / "shard_000001.npz").unlink()
    resumed = analyze(tiny_classifier(), cohort, shard_size=2, resume_dir=tmp_path)

    np.testing.assert_array_equal(resumed.dataset["group"].values, whole)


def test_two_analyses_by_one_model_agree_on_a_patient_and_those_of_two_models_do_not() -> None:
    assert pseudonym("p1", "weights") == pseudonym("p1", "weights") != pseudonym("p2", "weights")
    assert pseudonym("p1", "weights") != pseudonym("p1", "other weights")


def test_numbers_of_groups_by_hand() -> None:
    assert group_numbers(np.array([9, 0, 4, 9, 0], np.uint64)).tolist() == [1, 2, 0, 1, 3]
    assert group_numbers(np.array([0, 0], np.uint64)) is None
    # Everybody is "patient 1": nothing is told apart.
    assert group_numbers(np.array([5, 5, 5], np.uint64)) is None
    assert group_numbers(np.array([5, 5, 0], np.uint64)).tolist() == [0, 0, 1]


def test_an_analysis_without_groups_has_none() -> None:
    assert known_analysis(np.ones((3, 2, 2)), [0, 1, 1]).groups is None
    grouped = known_analysis(np.ones((2, 2, 2)), [0, 1], groups=[4, 3]).groups
    assert grouped.tolist() == [1, 0]


@pytest.fixture
def dicom(tmp_path: Path):
    """Writes the sample series with this PatientID and returns its volume."""

    def write(patient: str | None, issuer: str = ""):
        for n, file in enumerate(sorted(Path(samples.dicom_series()).rglob("*"))):
            if file.is_file():
                data = pydicom.dcmread(file)
                del data.PatientID
                if patient is not None:
                    data.PatientID = patient
                if issuer:
                    data.IssuerOfPatientID = issuer
                data.save_as(tmp_path / f"{n}.dcm")
        return read_volume(tmp_path)

    return write


def patient_of(volume: Volume) -> str | None:
    return volume.source.frames[0].image.claims.patient.identifier


def test_a_dicom_image_is_of_the_patient_in_its_header(dicom) -> None:
    volume = dicom(" 0815 ")
    case = Case("a", Path("a"))

    assert patient_of(volume) == "0815"
    assert group_of(case, volume, "k") == pseudonym("0815", "k")
    # What the list says comes first.
    assert group_of(replace(case, group="p1"), volume, "k") == pseudonym("p1", "k")


def test_equal_ids_of_two_hospitals_are_two_patients(dicom) -> None:
    assert patient_of(dicom("17", "St. Mary")) != patient_of(dicom("17", "St. John"))


@pytest.mark.parametrize(
    "patient", [None, "", "ANONYMOUS", "anonymized", "000000", "N/A", "Anon", "xxxx", "*****", "?"]
)
def test_a_placeholder_is_no_patient(patient, dicom) -> None:
    volume = dicom(patient)

    assert patient_of(volume) is None
    assert group_of(Case("a", Path("a")), volume, "k") == 0


@pytest.mark.parametrize("patient", ["ANON-0017", "anonymous_3", "1", "00100", "PHANTOM", "x17"])
def test_an_id_that_an_anonymiser_numbers_is_one(patient, dicom) -> None:
    assert patient_of(dicom(patient)) == patient
