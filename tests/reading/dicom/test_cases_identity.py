"""Studies whose UIDs, positions or times say less than they should: told apart, or put together.

Each kind is tried on the input it was found on, where that is at hand, and on one of other numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_ifa.reading import Series, list_series, read_volume

Save = Callable[..., Path]


def values_of(series: Series) -> list[float]:
    """The first pixel of each slice, from the feet up."""
    return [float(v) for v in read_volume(series).array[::-1, 0, 0]]


def images_of(folder: Path) -> dict[str, list[float]]:
    series = [s for s in list_series(folder) if not s.alternative]
    assert all(s.unsupported is None and s.question is None for s in series)
    assert len({s.key for s in series}) == len(series)
    return {s.part: values_of(s) for s in series}


def patients_of(series: Series) -> set[str]:
    return {str(pydicom.dcmread(file).PatientID) for file in series.files}


def at(*heights: float) -> Callable[[int], list[float]]:
    return lambda n: [0, 0, heights[n]]


# Patients, studies, frames of reference


@pytest.mark.parametrize(
    "case",
    [
        "s01_two_patients_one_series_uid_interleaved",
        "s01e_two_patients_one_series_uid_different_FoR_above",
        "f01_fixed_uids_two_patients_same_places",
    ],
)
def test_case_of_two_patients_under_one_uid(shared_cases: Path, case: str) -> None:
    one, two = list_series(shared_cases / "studies" / case)
    assert [patients_of(one), patients_of(two)] == [{"P1"}, {"P2"}]
    for series in (one, two):
        assert read_volume(series).shape == (6, 12, 16)
        assert series.spacing == (5, 1.5, 1.25)
        assert any("name 2 patients under one series UID" in note for note in series.notes)
        assert "P1" not in series.title + "".join(series.notes)
    assert one.title != two.title


WHO: dict[str, dict[str, list[Any]]] = {
    "id": {"PatientID": ["A7", "B8"]},
    "study": {"StudyInstanceUID": ["1.5.1", "1.5.2"]},
    "issuer": {"IssuerOfPatientID": ["North", "South"]},
    "name alone": {"PatientName": ["Case^One", "Case^Two"]},
    "birth date": {"PatientBirthDate": ["19500101", "19610202"]},
    "sex": {"PatientSex": ["F", "M"]},
    "age": {"PatientAge": ["031Y", "064Y"]},
    "study date": {"StudyDate": ["20200110", "20210223"]},
    "accession": {"AccessionNumber": ["100", "200"]},
    "frame of reference": {"FrameOfReferenceUID": ["1.5.7", "1.5.8"]},
    "series number": {"SeriesNumber": [4, 9]},
}
PLACES: dict[str, Callable[[int], list[float]]] = {
    "between one another": lambda n: [0, 0, 3 * (n % 4) + 1.5 * (n // 4)],
    "one above the other": lambda n: [0, 0, 3 * n],
    "at the same places": lambda n: [0, 0, 3 * (n % 4)],
    "overlapping": lambda n: [0, 0, 3 * (n % 4) + 6.5 * (n // 4)],
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("one_instance_uid", [False, True], ids=["own UIDs", "fixed UIDs"])
def test_whoever_differs_is_an_image_apart(
    save_series: Save, who: str, place: str, one_instance_uid: bool
) -> None:
    elements: dict[str, Any] = {"StudyInstanceUID": "1.5", "InstanceNumber": lambda n: n % 4 + 1}
    if one_instance_uid:
        elements["SOPInstanceUID"] = lambda n: f"1.5.9.{n % 4}"
    for keyword, values in WHO[who].items():
        elements[keyword] = lambda n, values=values: values[n // 4]
    folder = save_series(*range(8), ImagePositionPatient=PLACES[place], **elements)
    series = list_series(folder)
    assert [values_of(s) for s in series] == [[0, 100, 200, 300], [400, 500, 600, 700]]
    assert len({s.title for s in series}) == 2
    assert all(s.notes for s in series)
    # A part of the folder gives the same keys.
    for n in range(4, 8):
        (folder / f"slice{n}.dcm").unlink()
    (alone,) = list_series(folder)
    assert alone.key == series[0].key


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": lambda n: "" if n == 1 else "4711"},
        {"PatientName": lambda n: ["Doe^Jane", "DOE JANE", "Doe^Jane^Maria", "Doe, Jane"][n]},
        {"PatientBirthDate": lambda n: ["19500101", "", "***", "19500101"][n]},
        {"PatientSex": lambda n: ["F", "", "O", "F"][n]},
        {"FrameOfReferenceUID": lambda n: "" if n > 1 else "1.5.7"},
        {"SeriesNumber": lambda n: None if n == 3 else 7},
        {"StudyDate": lambda n: ["20200110", "20200110", "20200111", "20200111"][n]},
        {"StudyInstanceUID": lambda n: "" if n == 0 else "1.5"},
    ],
    ids=["id", "name", "birth date", "sex", "frame", "number", "midnight", "study"],
)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_what_some_files_leave_out_or_write_otherwise_tears_nothing_apart(
    save_series: Save, elements: dict[str, Any]
) -> None:
    folder = save_series(**{"StudyInstanceUID": "1.5", **elements})
    assert images_of(folder) == {"": [0, 100, 200, 300]}


def test_times_of_which_some_files_leave_the_patient_out_are_whole(save_series: Save) -> None:
    folder = save_series(
        *range(12),
        StudyInstanceUID="1.5",
        PatientID=lambda n: "" if n in (1, 2, 6, 11) else "A7",
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
    )
    assert images_of(folder) == {
        f"image {t + 1} of 3": [400 * t, 400 * t + 100, 400 * t + 200, 400 * t + 300]
        for t in range(3)
    }


def test_a_file_without_a_name_joins_neither_of_two_patients(save_series: Save) -> None:
    folder = save_series(
        *range(9),
        StudyInstanceUID="1.5",
        PatientID=lambda n: ["A7", "B8", ""][n // 3],
        ImagePositionPatient=lambda n: [0, 0, 2 * n],
    )
    assert sorted(images_of(folder).values()) == [
        [0, 100, 200],
        [300, 400, 500],
        [600, 700, 800],
    ]


@pytest.mark.parametrize("place", ["between one another", "at the same places"])
def test_a_patient_without_an_id_is_not_woven_into_one_with_it(
    save_series: Save, place: str
) -> None:
    folder = save_series(
        *range(8),
        StudyInstanceUID="1.5",
        PatientID=lambda n: ["", "A7"][n // 4],
        InstanceNumber=lambda n: n % 4 + 1,
        ImagePositionPatient=PLACES[place],
    )
    assert sorted(images_of(folder).values()) == [[0, 100, 200, 300], [400, 500, 600, 700]]


def test_two_patients_in_an_archive_and_one_of_them_pointed_at(
    save_series: Save, tmp_path: Path
) -> None:
    folder = save_series(
        *range(8),
        PatientID=lambda n: ["A7", "B8"][n // 4],
        SOPInstanceUID=lambda n: f"1.5.9.{n % 4}",
        InstanceNumber=lambda n: n % 4 + 1,
        ImagePositionPatient=PLACES["at the same places"],
    )
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", folder)
    packed = list_series(archive)
    assert [values_of(s) for s in packed] == [[0, 100, 200, 300], [400, 500, 600, 700]]
    assert [s.key for s in packed] == [s.key for s in list_series(folder)]
    (second,) = list_series(folder / "slice6.dcm")
    assert values_of(second) == [400, 500, 600, 700]


@pytest.mark.parametrize("uids", [{}, {"SOPInstanceUID": lambda n: f"1.5.{n}"}])
def test_folders_tell_apart_what_says_nothing_else(save_series: Save, uids: dict[str, Any]) -> None:
    for number, folder in enumerate(("first", "second")):
        pixels = lambda n, number=number: np.full(6, 1000 * number + n, "<u2").tobytes()  # noqa: E731
        root = save_series(
            folder=f"study/{folder}", PatientID="ANON", PatientName="", PixelData=pixels, **uids
        )
    assert sorted(images_of(root.parent).values()) == [[0, 1, 2, 3], [1000, 1001, 1002, 1003]]


# Copies


def test_case_of_one_instance_uid_for_two_echoes(shared_cases: Path) -> None:
    folder = shared_cases / "studies/s03_same_sop_uid_two_echoes_instance_restarts"
    series = list_series(folder)
    assert [s.part for s in series] == ["echo 5 ms", "echo 10 ms"]
    assert [s.shape for s in series] == [(5, 12, 16)] * 2
    for one in series:
        assert {pydicom.dcmread(f).EchoTime for f in one.files} == {float(one.part.split()[1])}
        assert any("one instance UID" in note for note in one.notes)


def test_echoes_with_blank_slices_and_one_instance_uid_are_whole(save_series: Save) -> None:
    # The slices at both ends hold air in each echo: equal pixels, and yet no copies.
    folder = save_series(
        *range(12),
        SOPInstanceUID="1.5.9",
        InstanceNumber=lambda n: n % 4 + 1,
        EchoTime=lambda n: [2.5, 7.5, 12.5][n // 4],
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
        PixelData=lambda n: np.full(6, 0 if n % 4 in (0, 3) else n, "<u2").tobytes(),
    )
    assert images_of(folder) == {
        "echo 2.5 ms": [0, 1, 2, 0],
        "echo 7.5 ms": [0, 5, 6, 0],
        "echo 12.5 ms": [0, 9, 10, 0],
    }


def test_values_that_differ_by_their_slope_are_no_copies(save_series: Save) -> None:
    folder = save_series(
        *range(6),
        SOPInstanceUID=lambda n: f"1.5.{n % 3}",
        InstanceNumber=lambda n: n % 3 + 1,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 3)],
        PixelData=lambda n: np.full(6, n % 3 + 1, "<u2").tobytes(),
        RescaleSlope=lambda n: n // 3 + 1,
        AcquisitionNumber=lambda n: n // 3 + 1,
    )
    assert images_of(folder) == {"image 1 of 2": [1, 2, 3], "image 2 of 2": [2, 4, 6]}


def test_a_copy_in_another_encoding_is_a_copy(save_series: Save, dicom_slice: Any) -> None:
    folder = save_series(SOPInstanceUID=lambda n: f"1.5.{n}")
    (folder / "packed").mkdir()
    for n in range(4):
        data = pydicom.dcmread(folder / f"slice{n}.dcm")
        data.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        data.save_as(folder / "packed" / f"{n}.dcm")
    assert images_of(folder) == {"": [0, 100, 200, 300]}


def test_a_damaged_copy_goes_before_the_whole_file(save_series: Save) -> None:
    folder = save_series(SOPInstanceUID=lambda n: f"1.5.{n}")
    whole = (folder / "slice2.dcm").read_bytes()
    (folder / "again.dcm").write_bytes(whole[:-4])
    (series,) = list_series(folder)
    assert values_of(series) == [0, 100, 200, 300]
    assert series.notes == ()


# Numbers and descriptions


def test_case_of_several_series_numbers(shared_cases: Path) -> None:
    folder = shared_cases / "studies/s04_same_series_uid_other_series_number_same_places"
    series = list_series(folder)
    assert [(s.number, s.description, s.shape) for s in series] == [
        (3, "recon 0", (5, 12, 16)),
        (4, "recon 1", (5, 12, 16)),
        (5, "recon 2", (5, 12, 16)),
    ]


@pytest.mark.parametrize("step", [0, 1], ids=["same places", "between one another"])
def test_descriptions_tell_apart_what_numbers_do_not(save_series: Save, step: float) -> None:
    folder = save_series(
        *range(10),
        SeriesDescription=lambda n: ["soft", "sharp"][n // 5],
        InstanceNumber=lambda n: n % 5 + 1,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 5) + step * (n // 5)],
    )
    images = {s.description: values_of(s) for s in list_series(folder)}
    assert images == {"soft": [0, 100, 200, 300, 400], "sharp": [500, 600, 700, 800, 900]}


# Midnight


def test_case_of_midnight(shared_cases: Path) -> None:
    series = list_series(shared_cases / "studies/m_midnight")
    first = [min(int(pydicom.dcmread(f).InstanceNumber) for f in s.files) for s in series]
    assert first == [1, 5, 9, 13]


TIMES = ["225930.5", "233000", "000010", "013000", "020000"]


@pytest.mark.parametrize(
    "elements",
    [
        {"AcquisitionTime": TIMES},
        {"ContentTime": TIMES},
        {"AcquisitionTime": TIMES, "InstanceNumber": [None] * 5},
        {
            "AcquisitionTime": TIMES,
            "AcquisitionDate": ["20200101"] * 2 + ["20200102"] * 3,
            "InstanceNumber": [None] * 5,
        },
        {
            "AcquisitionDateTime": [f"2020010{1 + (k > 1)}{t}" for k, t in enumerate(TIMES)],
            "InstanceNumber": [None] * 5,
        },
        # Three hours of pause, then midnight: the dates know, the numbers run backwards.
        {
            "AcquisitionTime": ["100000", "110000", "230000", "003000", "010000"],
            "AcquisitionDate": ["20200101"] * 3 + ["20200102"] * 2,
            "InstanceNumber": [5, 4, 3, 2, 1],
        },
    ],
    ids=["numbers", "content", "pause", "dates", "one element", "dates first"],
)
def test_times_go_on_after_midnight(save_series: Save, elements: dict[str, list[Any]]) -> None:
    # Files in another order than the times.
    order = [3, 0, 4, 2, 1]
    given = {
        keyword: (lambda n, values=values: values[order[n // 3]])
        for keyword, values in elements.items()
    }
    numbers = elements.get("InstanceNumber", [1, 2, 3, 4, 5])
    given["InstanceNumber"] = lambda n: numbers[order[n // 3]]
    folder = save_series(*range(15), ImagePositionPatient=lambda n: [0, 0, 2 * (n % 3)], **given)
    images = images_of(folder)
    first = [order.index(time) * 300 for time in range(5)]
    assert [image[0] for image in images.values()] == first


def test_each_file_with_a_time_of_its_own_and_no_number(save_series: Save) -> None:
    # Slice after slice, time after time, over midnight: no time is that of a whole image.
    times = [f"2359{50 + 2 * n}" if n < 5 else f"0000{2 * n - 10:02}" for n in range(12)]
    folder = save_series(
        *range(12),
        InstanceNumber=None,
        AcquisitionTime=lambda n: times[n],
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
    )
    assert images_of(folder) == {
        f"image {t + 1} of 3": [400 * t, 400 * t + 100, 400 * t + 200, 400 * t + 300]
        for t in range(3)
    }


# Acquisitions and passes


def test_case_of_passes_that_overlap(shared_cases: Path) -> None:
    series = list_series(shared_cases / "studies/s02_multipass_overlap_small")
    assert [(s.shape, s.spacing, s.alternative) for s in series] == [
        ((20, 12, 16), (5, 1.5, 1.25), False)
    ] * 2
    for number, one in enumerate(series, start=1):
        assert {pydicom.dcmread(f).AcquisitionNumber for f in one.files} == {number}
        assert read_volume(one).report.slice_distances_mm is None


def test_case_of_slices_taken_twice(shared_cases: Path) -> None:
    series = list_series(shared_cases / "studies/a01_three_acquisitions_border_slice_twice")
    assert [s.shape for s in series] == [(10, 12, 16)] * 3
    assert all(s.question is None and s.unsupported is None for s in series)
    for number, one in enumerate(series, start=1):
        assert {pydicom.dcmread(f).AcquisitionNumber for f in one.files} == {number}


PASSES = [0, 3, 6, 9, 12, 10.5, 13.5, 16.5, 19.5, 22.5, 25.5]
TOLD: dict[str, dict[str, Any]] = {
    "acquisition": {"AcquisitionNumber": lambda n: 1 + (n > 4)},
    "time": {"AcquisitionTime": lambda n: ["101010", "101040"][n > 4]},
    "temporal": {"TemporalPositionIdentifier": lambda n: 1 + (n > 4)},
    "numbers": {},
    "content": {"ContentTime": lambda n: f"1010{n:02}", "InstanceNumber": None},
}


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("direction", [1, -1])
def test_passes_that_overlap_are_never_woven(save_series: Save, told: str, direction: int) -> None:
    folder = save_series(
        *range(11),
        SliceThickness=3,
        ImagePositionPatient=lambda n: [0, 0, direction * PASSES[n]],
        **TOLD[told],
    )
    series = list_series(folder)
    assert {s.part for s in series} == {"acquisition 1 of 2", "acquisition 2 of 2"}
    assert [values_of(s)[::direction] for s in series] == [
        [0, 100, 200, 300, 400],
        [500, 600, 700, 800, 900, 1000],
    ]
    assert all(s.spacing is not None and s.spacing[0] == 3 for s in series)
    assert all("2 acquisitions overlap" in s.notes[-1] for s in series)


@pytest.mark.parametrize("numbers", [lambda n: n % 5 + 1, None], ids=["numbered anew", "none"])
def test_passes_that_only_their_grids_tell_apart(save_series: Save, numbers: Any) -> None:
    heights = [*(4 * k for k in range(5)), *(14.6 + 4 * k for k in range(5))]
    folder = save_series(*range(10), InstanceNumber=numbers, ImagePositionPatient=at(*heights))
    assert sorted(images_of(folder).values()) == [
        [0, 100, 200, 300, 400],
        [500, 600, 700, 800, 900],
    ]


def test_thick_passes_half_a_step_apart_are_no_one_stack(save_series: Save) -> None:
    # Together they would be even; each is a stack without gaps.
    folder = save_series(
        *range(10),
        SliceThickness=4,
        AcquisitionNumber=lambda n: n // 5 + 1,
        ImagePositionPatient=lambda n: [0, 0, 4 * (n % 5) + 2 * (n // 5)],
    )
    assert images_of(folder) == {
        "image 1 of 2": [0, 100, 200, 300, 400],
        "image 2 of 2": [500, 600, 700, 800, 900],
    }


@pytest.mark.parametrize("told", ["acquisition", "numbers"])
@pytest.mark.parametrize(
    ("off", "whole"), [(0, True), (1, True), (400, False)], ids=["equal", "nearly", "unlike"]
)
def test_a_border_slice_taken_twice(save_series: Save, told: str, off: int, whole: bool) -> None:
    # Two acquisitions of four slices that share one; values rise by 100 from slice to slice.
    def pixels(n: int) -> bytes:
        column = np.arange(6) * 100
        return (column + 100 * (n - (n > 3)) + (off if n == 4 else 0)).astype("<u2").tobytes()

    elements = TOLD["acquisition"] if told == "acquisition" else {}
    if told == "acquisition":
        elements = {"AcquisitionNumber": lambda n: 1 + (n > 3)}
    folder = save_series(
        *range(8),
        ImagePositionPatient=at(0, 2, 4, 6, 6, 8, 10, 12),
        PixelData=pixels,
        **elements,
    )
    series = list_series(folder)
    if whole:
        (one,) = series
        assert values_of(one) == [0, 100, 200, 300, 400, 500, 600]
        assert one.notes == (
            "Series 7: 1 slice was taken twice, where two acquisitions meet, and is shown once.",
        )
    else:
        assert [values_of(s) for s in series] == [[0, 100, 200, 300], [700, 400, 500, 600]]


def test_acquisitions_in_another_number_than_repeats(save_series: Save) -> None:
    # One from end to end, and two halves of it.
    heights = [0, 2, 4, 6, 8, 10, 0, 2, 4, 6, 8, 10]
    folder = save_series(
        *range(12),
        InstanceNumber=None,
        AcquisitionNumber=lambda n: [1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 3, 3][n],
        ImagePositionPatient=at(*heights),
    )
    assert sorted(images_of(folder).values()) == [
        [0, 100, 200, 300, 400, 500],
        [600, 700, 800],
        [900, 1000, 1100],
    ]


# Phases


def test_case_of_cardiac_phases(shared_cases: Path) -> None:
    series = list_series(shared_cases / "studies/c03_phase_percent_no_instance_numbers")
    assert {s.part for s in series} == {f"cardiac phase {p} %" for p in (10, 40, 70)}
    for one in series:
        assert one.shape == (6, 12, 16)
        phases = {pydicom.dcmread(f).NominalPercentageOfCardiacPhase for f in one.files}
        assert one.part == f"cardiac phase {phases.pop():g} %"
        assert not phases


@pytest.mark.parametrize(
    ("keyword", "values", "parts"),
    [
        (
            "NominalPercentageOfCardiacPhase",
            [5.0, 75.0],
            ["cardiac phase 5 %", "cardiac phase 75 %"],
        ),
        (
            "NominalPercentageOfRespiratoryPhase",
            [0.0, 50.0],
            ["respiratory phase 0 %", "respiratory phase 50 %"],
        ),
        ("FrameReferenceTime", [1500.0, 4500.0], ["image 1 of 2", "image 2 of 2"]),
        ("NominalCardiacTriggerDelayTime", [10.0, 400.0], ["image 1 of 2", "image 2 of 2"]),
        ("EchoNumbers", [1, 2], ["echo 1", "echo 2"]),
        ("ContrastBolusAgent", ["", "agent"], ["image 1 of 2", "image 2 of 2"]),
        ("PatientPosition", ["HFP", "HFS"], ["patient position HFP", "patient position HFS"]),
        (
            "ActualFrameDuration",
            [60, 300],
            ["Actual Frame Duration 60", "Actual Frame Duration 300"],
        ),
        ("Exposure", [12, 250], ["Exposure 12", "Exposure 250"]),
        ("SequenceName", ["ep_b0", "ep_b800"], ["image 1 of 2", "image 2 of 2"]),
        ("IrradiationEventUID", ["1.5.1", "1.5.2"], ["image 1 of 2", "image 2 of 2"]),
    ],
)
def test_whatever_the_header_says_tells_images_apart(
    save_series: Save, keyword: str, values: list[Any], parts: list[str]
) -> None:
    folder = save_series(
        *range(8),
        InstanceNumber=None,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
        **{keyword: lambda n: values[n // 4]},
    )
    assert images_of(folder) == {parts[0]: [0, 100, 200, 300], parts[1]: [400, 500, 600, 700]}


def test_two_things_that_are_crossed_tell_images_apart(save_series: Save) -> None:
    folder = save_series(
        *range(12),
        InstanceNumber=None,
        AcquisitionNumber=lambda n: n // 6,
        Exposure=lambda n: 10 + n // 3 % 2,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 3)],
    )
    assert sorted(images_of(folder).values()) == [
        [0, 100, 200],
        [300, 400, 500],
        [600, 700, 800],
        [900, 1000, 1100],
    ]


def test_elements_that_contradict_each_other_are_asked_about(save_series: Save) -> None:
    folder = save_series(
        *range(8),
        InstanceNumber=None,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
        Exposure=lambda n: n // 4,
        ExposureTime=lambda n: (n // 4 + n) % 2,
    )
    (series,) = list_series(folder)
    assert series.question is not None


def test_what_differs_is_said_where_it_does_not_help(save_series: Save) -> None:
    folder = save_series(
        *range(6),
        InstanceNumber=1,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 3)],
        TriggerTime=lambda n: [1, 2, 3, 4, 5, 5][n],
    )
    (series,) = list_series(folder)
    assert series.question == (
        "Series 7: 6 images share positions and cannot be sorted into whole images, though their"
        " trigger times differ. Open as a 2D stack?"
    )
    assert read_volume(series).report.notes == (
        "Series 7: its images share positions; opened as a 2D stack, without mm.",
    )


# Positions


def test_case_of_one_position_for_all(shared_cases: Path) -> None:
    folder = shared_cases / "studies/p01_all_ipp_equal_only_slicelocation_differs"
    (series,) = list_series(folder)
    volume = read_volume(series)
    assert volume.shape == (6, 12, 16)
    assert not volume.source.placed
    assert "all images state one patient position" in series.notes[0]
    frames = [f for f in volume.source.frames if f is not None]
    assert [f.slice_location for f in frames] == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize(
    ("elements", "order"),
    [
        ({"SliceLocation": lambda n: [4, 2, 8, 6][n]}, [1, 0, 3, 2]),
        ({"SliceLocation": lambda n: -3 * n}, [0, 1, 2, 3]),
        ({"SliceLocation": lambda n: 3 * n, "InstanceNumber": None}, [0, 1, 2, 3]),
        ({"InstanceNumber": lambda n: [4, 2, 3, 1][n]}, [3, 1, 2, 0]),
    ],
    ids=["locations", "downwards", "no numbers", "numbers alone"],
)
def test_one_position_for_all_is_a_stack_without_mm(
    save_series: Save, elements: dict[str, Any], order: list[int]
) -> None:
    folder = save_series(ImagePositionPatient=[0, 0, 0], **elements)
    (series,) = list_series(folder)
    volume = read_volume(series)
    assert not volume.source.placed
    assert volume.array[:, 0, 0].tolist() == [100 * n for n in order]
    assert "all images state one patient position" in volume.report.notes[0]


def test_echoes_at_one_position_are_a_stack_each(save_series: Save) -> None:
    folder = save_series(
        *range(8),
        ImagePositionPatient=[0, 0, 0],
        SliceLocation=lambda n: 3 * (n % 4),
        EchoTime=lambda n: [5, 10][n // 4],
    )
    series = list_series(folder)
    assert [(s.part, s.image_count) for s in series] == [("echo 5 ms", 4), ("echo 10 ms", 4)]


def test_case_of_a_stray_slice(shared_cases: Path) -> None:
    folder = shared_cases / "studies/p06_localizer_axial_same_geometry_not_flagged"
    stack, stray = [s for s in list_series(folder) if not s.alternative]
    assert (stack.shape, stack.spacing) == ((6, 12, 16), (5, 1.5, 1.25))
    assert stray.image_count == 1
    assert stray.files[0].name == "loc.dcm"
    assert all("175.0 mm from the others" in s.notes[-1] for s in (stack, stray))


DERIVED = {"ImageType": lambda n: ["DERIVED", "SECONDARY"] if n == 0 else ["ORIGINAL", "PRIMARY"]}


@pytest.mark.parametrize(
    ("height", "elements"),
    [
        (-400.0, {}),
        (131.0, {}),
        (40.5, {}),
        (40.0, DERIVED),
        (7.3, DERIVED),
        (-900.0, DERIVED),
    ],
)
def test_a_stray_slice_is_listed_apart(
    save_series: Save, height: float, elements: dict[str, Any]
) -> None:
    heights = [height, *(3 * k for k in range(8))]
    folder = save_series(*range(9), ImagePositionPatient=at(*heights), **elements)
    stack, stray = [s for s in list_series(folder) if not s.alternative]
    assert values_of(stack) == [100, 200, 300, 400, 500, 600, 700, 800]
    assert values_of(stray) == [0]
    assert stack.spacing is not None
    assert stack.spacing[0] == 3
    assert "1 image lies" in stack.notes[-1]


def test_stacks_far_from_one_another_are_one_image_each(save_series: Save) -> None:
    folder = save_series(*range(8), ImagePositionPatient=lambda n: [0, 0, 2 * n + 700 * (n // 4)])
    assert sorted(images_of(folder).values()) == [[0, 100, 200, 300], [400, 500, 600, 700]]


# A series UID for each slice


def test_case_of_a_series_uid_for_each_slice(shared_cases: Path) -> None:
    (series,) = list_series(shared_cases / "studies/d01_series_uid_per_slice")
    assert (series.shape, series.spacing) == ((6, 12, 16), (5, 1.5, 1.25))
    assert "series UID of its own" in series.notes[0]


@pytest.mark.parametrize(
    "elements",
    [{}, {"EchoTime": lambda n: [5, 10][n // 4]}, {"InstanceNumber": None, "FlipAngle": 3}],
)
def test_a_series_uid_for_each_file(save_series: Save, elements: dict[str, Any]) -> None:
    count = 8 if "EchoTime" in elements else 4
    folder = save_series(
        *range(count),
        StudyInstanceUID="1.5",
        SeriesInstanceUID=lambda n: f"1.5.{n}",
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)],
        **elements,
    )
    images = images_of(folder)
    assert list(images.values()) == [[0, 100, 200, 300], [400, 500, 600, 700]][: count // 4]


@pytest.mark.parametrize(
    "elements",
    [
        {"PatientID": lambda n: f"P{n % 2}"},
        {"StudyInstanceUID": lambda n: f"1.5.{n}"},
        {"SeriesNumber": lambda n: n},
        {"SeriesDescription": lambda n: f"series {n}"},
        {"FrameOfReferenceUID": lambda n: f"1.7.{n}"},
        {"ImagePositionPatient": lambda n: [0, 0, n * n]},
        {"InstanceNumber": 1},
        {"StudyInstanceUID": "", "StudyDate": ""},
    ],
)
def test_single_slices_that_differ_otherwise_are_not_joined(
    save_series: Save, elements: dict[str, Any]
) -> None:
    given = {"StudyInstanceUID": "1.5", "SeriesInstanceUID": lambda n: f"1.5.{n}", **elements}
    assert [s.image_count for s in list_series(save_series(**given))] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("StudyInstanceUID", "4 studies"),
        ("FrameOfReferenceUID", "4 frames of reference"),
    ],
)
def test_single_slices_that_a_uid_keeps_apart_say_so(
    save_series: Save, keyword: str, words: str
) -> None:
    given: dict[str, Any] = {"StudyInstanceUID": "1.5", keyword: lambda n: f"1.7.{n}"}
    series = list_series(save_series(SeriesInstanceUID=lambda n: f"1.5.{n}", **given))
    assert len(series) == 4
    assert all(f"name {words}; they are not joined" in s.notes[-1] for s in series)
