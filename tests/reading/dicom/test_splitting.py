"""Images at the same positions are told apart by kind, time and number; or a person is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.header.frame_table import read_frames
from napari_ifa.reading.dicom.pixels.stack_values import frame_values
from napari_ifa.reading.dicom.series.splitting import split_frames
from napari_ifa.reading.problems import StudyProblem
from tests.problems import refused

Save = Callable[..., Path]
POSITIONS = 3


def position(n: int) -> list[float]:
    """Of the n-th of several images of three slices, one image after the other."""
    return [0, 0, 2 * (n % POSITIONS)]


def images_of(folder: Path) -> dict[str, list[float]]:
    """Part → the first pixel of each slice from the feet up; 100 n for the n-th file made."""
    series = list_series(folder)
    assert all(s.unsupported is None for s in series)
    assert all(s.question is None for s in series)
    assert len({s.key for s in series}) == len(series)
    return {s.part: read_volume(s).array[::-1, 0, 0].tolist() for s in series}


@pytest.fixture
def save_images(save_series: Save) -> Save:
    """Write images of three slices each; keywords may ask for the number of the file."""

    def save(count: int, **elements: Any) -> Path:
        elements.setdefault("ImagePositionPatient", position)
        return save_series(*range(count * POSITIONS), **elements)

    return save


@pytest.mark.parametrize(
    ("elements", "parts"),
    [
        ({"EchoTime": lambda n: [4.9, 9.8][n // 3]}, ["echo 4.9 ms", "echo 9.8 ms"]),
        (
            {"InversionTime": lambda n: [900, 2500][n // 3]},
            ["inversion 900 ms", "inversion 2500 ms"],
        ),
        (
            {"ImageType": lambda n: ["ORIGINAL", "PRIMARY", "MP"[n // 3]]},
            ["magnitude", "phase"],
        ),
        (
            {"ComplexImageComponent": lambda n: ["MAGNITUDE", "PHASE"][n // 3]},
            ["magnitude", "phase"],
        ),
        (
            {"ImageType": lambda n: ["DERIVED", "SECONDARY", ["IN_PHASE", "WATER"][n // 3]]},
            ["in_phase", "water"],
        ),
        ({"FlipAngle": lambda n: [5, 15][n // 3]}, ["flip angle 5°", "flip angle 15°"]),
        ({"KVP": lambda n: [80, 140][n // 3]}, ["80 kV", "140 kV"]),
        ({"ConvolutionKernel": lambda n: ["B30f", "B70f"][n // 3]}, ["kernel B30f", "kernel B70f"]),
        ({"SliceThickness": lambda n: [1.25, 5][n // 3]}, ["1.25 mm thick", "5 mm thick"]),
        ({"DiffusionBValue": lambda n: [0.0, 1000.0][n // 3]}, ["b 0", "b 1000"]),
    ],
    ids=[
        "echo",
        "inversion",
        "image type",
        "component",
        "dixon",
        "flip angle",
        "voltage",
        "kernel",
        "thickness",
        "b-value",
    ],
)
def test_kinds_are_told_apart(
    save_images: Save, elements: dict[str, Any], parts: list[str]
) -> None:
    images = images_of(save_images(2, **elements))
    assert images == {parts[0]: [0, 100, 200], parts[1]: [300, 400, 500]}


@pytest.mark.parametrize(
    "elements",
    [
        {"TemporalPositionIdentifier": lambda n: n // 3 + 1},
        {"TriggerTime": lambda n: 40 * (n // 3)},
        {"AcquisitionNumber": lambda n: n // 3 + 1},
        {"AcquisitionTime": lambda n: f"10000{n // 3}.5"},
        {"ContentTime": lambda n: f"10000{n // 3}"},
        {},
    ],
    ids=["temporal", "trigger", "acquisition", "time", "content", "number alone"],
)
def test_times_are_told_apart(save_images: Save, elements: dict[str, Any]) -> None:
    images = images_of(save_images(4, **elements))
    assert images == {
        f"image {t + 1} of 4": [300 * t, 300 * t + 100, 300 * t + 200] for t in range(4)
    }


def test_times_are_in_their_order_whatever_the_numbers(save_images: Save) -> None:
    images = images_of(save_images(2, TemporalPositionIdentifier=lambda n: 2 - n // 3))
    assert images == {"image 1 of 2": [300, 400, 500], "image 2 of 2": [0, 100, 200]}


def test_echoes_and_components_together(save_images: Save) -> None:
    images = images_of(
        save_images(
            4,
            EchoTime=lambda n: [5, 10][n // 3 % 2],
            ImageType=lambda n: ["ORIGINAL", "PRIMARY", "MP"[n // 6]],
        )
    )
    assert list(images) == [
        "magnitude, echo 5 ms",
        "magnitude, echo 10 ms",
        "phase, echo 5 ms",
        "phase, echo 10 ms",
    ]
    assert images["phase, echo 5 ms"] == [600, 700, 800]


def test_directions_of_diffusion(save_images: Save) -> None:
    directions = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    images = images_of(
        save_images(
            3,
            InstanceNumber=None,
            DiffusionBValue=lambda n: [0.0, 1000.0, 1000.0][n // 3],
            DiffusionGradientOrientation=lambda n: directions[n // 3],
        )
    )
    assert sorted(images.values()) == [[0, 100, 200], [300, 400, 500], [600, 700, 800]]
    assert set(images) == {"b 0", "b 1000, image 1 of 2", "b 1000, image 2 of 2"}


def test_times_that_differ_from_slice_to_slice_do_not_tear_an_image_apart(
    save_images: Save,
) -> None:
    images = images_of(save_images(2, AcquisitionTime=lambda n: f"1000{n:02}"))
    assert images == {"image 1 of 2": [0, 100, 200], "image 2 of 2": [300, 400, 500]}


def test_one_missing_file_moves_no_other_slice(save_series: Save) -> None:
    # Two times of four slices; the second slice of the first time is gone.
    numbers = [n for n in range(8) if n != 1]
    folder = save_series(*numbers, ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)])
    first, second = list_series(folder)
    assert read_volume(first).array[::-1, 0, 0].tolist() == [0, 0, 200, 300]
    assert read_volume(first).report.missing == (2,)
    assert read_volume(second).array[::-1, 0, 0].tolist() == [400, 500, 600, 700]
    assert read_volume(second).report.missing == ()


def test_all_times_of_a_slice_after_one_another(save_series: Save) -> None:
    # Numbers run through the two times first, then to the next slice.
    folder = save_series(*range(6), ImagePositionPatient=lambda n: [0, 0, 2 * (n // 2)])
    assert images_of(folder) == {"image 1 of 2": [0, 200, 400], "image 2 of 2": [100, 300, 500]}


def test_a_last_time_that_was_broken_off(save_series: Save) -> None:
    folder = save_series(*range(5), ImagePositionPatient=position)
    assert images_of(folder) == {"image 1 of 2": [0, 100, 200], "image 2 of 2": [300, 400]}
    whole, broken_off = list_series(folder)
    assert whole.notes == ()
    sentence = "Series 7: 1 slice missing at the end, which other images of the series have."
    assert broken_off.notes == read_volume(broken_off).report.notes == (sentence,)


@pytest.mark.parametrize("moved", [0.02, 0.3])
def test_times_between_which_the_patient_was_moved_are_not_woven_together(
    save_images: Save, moved: float
) -> None:
    folder = save_images(
        2,
        AcquisitionNumber=lambda n: n // 3,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n % 3) + moved * (n // 3)],
    )
    assert images_of(folder) == {"image 1 of 2": [0, 100, 200], "image 2 of 2": [300, 400, 500]}


def test_kinds_that_lie_between_one_another_stay_apart(save_series: Save) -> None:
    # Every other slice of an even stack is sharper: two reconstructions in one series.
    folder = save_series(*range(6), ConvolutionKernel=lambda n: ["B30f", "B70f"][n % 2])
    assert images_of(folder) == {"kernel B30f": [0, 200, 400], "kernel B70f": [100, 300, 500]}


@pytest.mark.parametrize("step", [2, 1], ids=["at one place", "in between"])
def test_frames_of_reference_are_not_mixed(save_series: Save, step: int) -> None:
    # The patient came back later: equal positions are other places now.
    folder = save_series(
        *range(6),
        FrameOfReferenceUID=lambda n: f"1.2.{n % 2}",
        InstanceNumber=None,
        ImagePositionPatient=lambda n: [0, 0, 2 * (n // 2) + (2 - step) * (n % 2)],
    )
    assert images_of(folder) == {
        "frame of reference 1 of 2": [0, 200, 400],
        "frame of reference 2 of 2": [100, 300, 500],
    }


def test_a_kind_that_changes_within_a_stack_does_not_tear_it_apart(save_series: Save) -> None:
    folder = save_series(*range(6), ConvolutionKernel=lambda n: ["B30f", "B70f"][n // 3])
    assert images_of(folder) == {"": [0, 100, 200, 300, 400, 500]}


def test_slices_taken_alternately_are_one_image(save_series: Save) -> None:
    # Two packages, every other slice each, fill an even stack; even with one of them missing.
    folder = save_series(0, 1, 2, 4, 5, 6, 7, AcquisitionNumber=lambda n: n % 2)
    (series,) = list_series(folder)
    assert series.shape == (8, 2, 3)
    assert read_volume(series).report.missing == (4,)


def test_slabs_one_above_the_other_are_one_image(save_series: Save) -> None:
    # Three slices 2 mm apart, and three slices 5 mm apart that begin just above their end.
    heights = [0, 2, 4, 5.1, 10.1, 15.1]
    folder = save_series(
        *range(6),
        ImagePositionPatient=lambda n: [0, 0, heights[n]],
        AcquisitionNumber=lambda n: n // 3,
    )
    whole, *runs = list_series(folder)
    assert whole.image_count == 6
    assert all(run.alternative for run in runs)


def test_a_missing_first_file_moves_no_slice_to_another_time(save_series: Save) -> None:
    folder = save_series(*range(1, 12), ImagePositionPatient=lambda n: [0, 0, 2 * (n % 4)])
    assert images_of(folder) == {
        "image 1 of 3": [100, 200, 300],
        "image 2 of 3": [400, 500, 600, 700],
        "image 3 of 3": [800, 900, 1000, 1100],
    }


def test_a_missing_first_file_of_images_numbered_downwards(save_series: Save) -> None:
    folder = save_series(*range(1, 8), ImagePositionPatient=lambda n: [0, 0, 6 - 2 * (n % 4)])
    assert images_of(folder) == {
        "image 1 of 2": [300, 200, 100],
        "image 2 of 2": [700, 600, 500, 400],
    }


def test_a_missing_first_file_of_a_slice_after_the_other(save_series: Save) -> None:
    folder = save_series(*range(1, 6), ImagePositionPatient=lambda n: [0, 0, 2 * (n // 2)])
    assert sorted(images_of(folder).values()) == [[100, 300, 500], [200, 400]]


def test_numbers_with_a_gap_between_the_times(save_images: Save) -> None:
    # 1 to 3, then 101 to 103: odd and even numbers alone would mix the two.
    folder = save_images(2, InstanceNumber=lambda n: 1 + n % 3 + 100 * (n // 3))
    assert images_of(folder) == {"image 1 of 2": [0, 100, 200], "image 2 of 2": [300, 400, 500]}


def test_a_missing_file_that_could_be_the_first_or_the_last_is_asked_about(
    save_series: Save,
) -> None:
    # Of two slices each, numbered 3 to 5: downwards with the last file lost, or upwards.
    folder = save_series(*range(2, 5), ImagePositionPatient=lambda n: [0, 0, 2 * ((n + 1) % 2)])
    (series,) = list_series(folder)
    assert series.question is not None


def test_interleaved_numbers_with_a_file_missing_are_asked_about(save_series: Save) -> None:
    # The first file could be the first slice of the first time, or the second of it.
    folder = save_series(*range(5), ImagePositionPatient=lambda n: [0, 0, [0, 4, 2][n % 3]])
    (series,) = list_series(folder)
    assert series.question is not None


def test_images_sent_twice_under_other_names_are_one(save_images: Save) -> None:
    pixels = {"PixelData": lambda n: np.full(6, 100 * (n % 3), "<u2").tobytes()}
    # All of them, with the same numbers.
    folder = save_images(2, InstanceNumber=lambda n: n % 3 + 1, **pixels)
    assert images_of(folder) == {"": [0, 100, 200]}


def test_images_sent_twice_in_part_are_one(save_series: Save) -> None:
    pixels = {"PixelData": lambda n: np.full(6, 100 * (n % 3), "<u2").tobytes()}
    folder = save_series(*range(4), ImagePositionPatient=position, **pixels)
    assert images_of(folder) == {"": [0, 100, 200]}


def test_what_nothing_tells_apart_is_asked_about(save_images: Save) -> None:
    folder = save_images(2, InstanceNumber=1)
    (series,) = list_series(folder)
    sentence = (
        "Series 7: 6 images share positions and nothing tells them apart. Open as a 2D stack?"
    )
    assert series.question == sentence
    assert series.unsupported is None
    volume = read_volume(series)
    assert volume.shape == (6, 2, 3)
    assert volume.plane == "2D stack"
    assert not volume.source.placed


def test_stacks_side_by_side_are_one_image_each(save_series: Save, dicom_slice: Any) -> None:
    # A second stack higher up in the same series: one image with a gap, not two on one another.
    folder = save_series(*range(3), *range(5, 8))
    (series,) = list_series(folder)
    assert series.shape == (8, 2, 3)
    assert "2 slices missing" in series.notes[0]


def test_unknown_words_of_a_damaged_header_do_not_stop_the_list(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Save
) -> None:
    for n in range(2):
        data = dicom_slice(0, EchoTime="", AcquisitionTime="", SOPInstanceUID=f"1.2.{n}")
        save_dicom(tmp_path / str(n), data)
    # Equal pixels at one position.
    (series,) = list_series(tmp_path)
    assert series.image_count == 1


def test_4d_series_asks_for_a_choice(save_images: Save) -> None:
    folder = save_images(2)
    with refused(UnsupportedStudyError, StudyProblem.SEVERAL_SERIES):
        read_volume(folder)


def test_studies_in_one_folder_are_listed_one_after_the_other(save_series: Save) -> None:
    for study, day in (("1.9", "20200302"), ("1.5", "20190101"), ("1.7", "***")):
        for number in (3, 2):
            folder = save_series(
                folder=f"study/{study}/{number}",
                StudyInstanceUID=study,
                StudyDate=day,
                SeriesInstanceUID=f"{study}.{number}",
                SeriesNumber=number,
            )
    series = list_series(folder.parents[1])
    assert [(s.study, s.study_date, s.number) for s in series] == [
        (1, "", 2),
        (1, "", 3),
        (2, "2019-01-01", 2),
        (2, "2019-01-01", 3),
        (3, "2020-03-02", 2),
        (3, "2020-03-02", 3),
    ]
    assert series[4].title == "study 3, 2020-03-02, CT, made by hand, 4 images"
    # Where all is of one study, nothing is said of it.
    (alone,) = list_series(folder)
    assert (alone.study, alone.study_date) == (0, "")
    assert alone.title == "CT, made by hand, 4 images"


def test_a_far_slice_of_a_segmentation_is_a_part_of_it(save_series: Save) -> None:
    heights = [0, 2, 4, 6, 90]
    rows = [
        read_frames(file)
        for file in sorted(
            save_series(*range(5), ImagePositionPatient=lambda n: [0, 0, heights[n]]).iterdir()
        )
    ]
    frames = [row[0] for row in rows if isinstance(row, list)]
    assert [len(part.frames) for part in split_frames(frames, frame_values)] == [4, 1]
    labelled = [
        replace(
            frame, image=replace(frame.image, sop_class_uid=SegmentationStorage, path=Path("s"))
        )
        for frame in frames
    ]
    (whole,) = split_frames(labelled, frame_values)
    assert len(whole.frames) == 5


def test_stacks_beside_one_another_are_no_gantry_tilt(save_series: Save) -> None:
    """Two stacks taken in turns, 40 mm beside one another: no slice lies among the other's."""
    folder = save_series(
        *range(10),
        ImagePositionPatient=lambda k: [40.0 * (k % 2), 0.0, 2.5 * k],
        PixelData=lambda k: np.full(6, k, "<u2").tobytes(),
    )
    one, other = list_series(folder)
    assert [one.image_count, other.image_count] == [5, 5]
    assert one.spacing is not None
    assert one.spacing[0] == pytest.approx(5)
    assert np.unique(read_volume(folder, one.key).array % 2).size == 1
    assert any("40.0 mm" in note for note in one.notes)


def test_a_stray_among_the_slices_of_others_is_told(save_series: Save) -> None:
    heights = [0, 5, 10, 15, 20, 25, 30, 35, 17.3]
    folder = save_series(
        *range(9), ImagePositionPatient=lambda k: [0.0, 0.0, heights[k]], SliceThickness=5
    )
    stack, stray = list_series(folder)
    assert (stack.image_count, stray.image_count) == (8, 1)
    (told,) = stack.notes
    assert "2 different grids" in told
    assert told in stray.notes
