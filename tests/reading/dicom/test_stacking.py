"""The grid that slices form: regular, with slices missing, unequally spaced, tilted, nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.volumes import Volume
from tests.problems import refused

Save = Callable[..., Path]


def at(volume: Volume, lps: list[float]) -> float:
    """The value at a point of the patient that is a voxel's centre."""
    index = np.linalg.inv(volume.affine) @ [*lps, 1]
    whole = np.round(index[:3]).astype(int)
    np.testing.assert_allclose(index[:3], whole, atol=1e-6)
    return float(volume.array[tuple(whole)])


def first_pixel(k: int) -> int:
    """What the series made by hand stores in the first pixel of slice k."""
    return 100 * k


# Regular


def test_single_slice_opens_with_a_note(save_series: Save) -> None:
    volume = read_volume(save_series(0))
    assert volume.shape == (1, 2, 3)
    assert volume.spacing == (2.0, 0.5, 0.25)
    assert volume.report.notes == (
        "Series 7: a single slice; its thickness is taken from the header (2 mm).",
    )


def test_rounded_positions_are_equal_gaps(save_series: Save) -> None:
    heights = [0, 2.001, 3.999, 6]
    volume = read_volume(save_series(ImagePositionPatient=lambda k: [0, 0, heights[k]]))
    assert volume.spacing[0] == pytest.approx(2)
    assert not volume.report.resampled


def test_drift_below_half_a_pixel_is_no_tilt(save_series: Save) -> None:
    # 0.12 mm over the stack; half a pixel is 0.125 mm.
    volume = read_volume(save_series(ImagePositionPatient=lambda k: [0, 0.04 * k, 2 * k]))
    np.testing.assert_allclose(volume.affine[:3, 0], [0, -0.04, -2], atol=1e-9)
    assert volume.report.tilt_degrees == 0


# Missing


def test_missing_slices_are_blank_and_named(save_series: Save) -> None:
    # Heights 30, 32, 34, (36), 38, 40: the first pixel of the lowest slice lies at (10, 20, 30).
    volume = read_volume(save_series(0, 1, 2, 4, 5))
    sentence = "Series 7: 1 slice missing at 36.0 mm. Left blank; the model is not run on it."
    assert volume.report.notes == (sentence,)
    assert volume.shape == (6, 2, 3)
    # Index 0 is the topmost slice: the gap is the third from above.
    assert volume.report.missing == (2,)
    assert (volume.array[2] == volume.array.min()).all()
    assert volume.report.badge == "1 slice missing"
    for k in (0, 1, 2, 4, 5):
        assert at(volume, [10, 20, 30 + 2 * k]) == first_pixel(k)
    (series,) = list_series(save_series(0, 1, 2, 4, 5))
    assert series.notes == (sentence,)
    assert series.image_count == 5
    assert series.shape == (6, 2, 3)


@pytest.mark.parametrize(
    ("orientation", "up"),
    [
        ([1, 0, 0, 0, 1, 0], [0, 0, 1]),
        ([-1, 0, 0, 0, 1, 0], [0, 0, 1]),
        ([1, 0, 0, 0, 0, -1], [0, 1, 0]),
        ([0, 1, 0, 0, 0, -1], [1, 0, 0]),
    ],
    ids=["axial", "seen from above", "coronal", "sagittal"],
)
@pytest.mark.parametrize("backwards", [False, True], ids=["", "numbered backwards"])
def test_places_of_missing_slices_are_the_patients(
    save_series: Save, orientation: list[int], up: list[int], backwards: bool
) -> None:
    folder = save_series(
        0,
        1,
        3,
        ImageOrientationPatient=orientation,
        ImagePositionPatient=lambda k: [u * (30 + 2 * k) for u in up],
        InstanceNumber=lambda k: 4 - k if backwards else k + 1,
    )
    assert "1 slice missing at 34.0 mm." in read_volume(folder).report.notes[0]


def test_a_missing_slice_of_a_very_fine_stack(save_series: Save) -> None:
    # The gap is two steps of 0.02 mm: one step more than the others, not a tolerable difference.
    heights = {"ImagePositionPatient": lambda k: [0, 0, 0.02 * k]}
    assert read_volume(save_series(0, 1, 2, 4, 5, **heights)).report.missing == (2,)


def test_many_missing_slices_are_named_in_part(save_series: Save) -> None:
    volume = read_volume(save_series(*range(10), 18, 19))
    assert volume.report.notes[0] == (
        "Series 7: 8 slices missing at 50.0, 52.0, 54.0, 56.0, 58.0, 60.0, … mm. Left blank; the"
        " model is not run on it."
    )
    assert len(volume.report.missing) == 8


def test_missing_slices_are_where_the_source_order_has_them(save_series: Save) -> None:
    volume = read_volume(save_series(0, 1, 2, 4, 5))
    array, _ = volume.in_source_order()
    assert (array[:, :, 3] == array.min()).all()
    assert [frame is None for frame in volume.source.frames] == [False] * 3 + [True] + [False] * 2


def test_a_damaged_file_leaves_a_blank_slice(save_series: Save) -> None:
    folder = save_series(*range(5))
    path = folder / "slice3.dcm"
    path.write_bytes(path.read_bytes()[:-4])
    volume = read_volume(folder)
    assert volume.report.notes == (
        "slice3.dcm: image data incomplete or damaged; skipped.",
        "Series 7: 1 slice missing at 36.0 mm. Left blank; the model is not run on it.",
    )
    assert volume.report.missing == (1,)


# Unequal gaps


def test_unequal_gaps_are_interpolated_at_the_commonest(save_series: Save) -> None:
    heights = [0, 2, 4, 5.3, 7]
    folder = save_series(*range(5), ImagePositionPatient=lambda k: [0, 0, heights[k]])
    volume = read_volume(folder)
    assert volume.report.notes == (
        "Series 7: slice distances vary (1.30–2.00 mm). Shown interpolated at 2.00 mm; do not"
        " measure on it.",
    )
    assert volume.report.slice_distances_mm == pytest.approx((1.3, 2.0))
    assert volume.report.resampled
    assert volume.spacing[0] == pytest.approx(2)
    assert [at(volume, [0, 0, z]) for z in (0, 2, 4)] == [0, 100, 200]
    # 6 mm lies 0.7 of 1.7 mm from slice 3 to slice 4: 300 + 41.
    assert at(volume, [0, 0, 6]) == pytest.approx(341, abs=1)


def test_small_differences_that_add_up_are_interpolated(save_series: Save) -> None:
    # Each gap is within 1 % of the others. On an even grid of 200.8 / 100 = 2.008 mm, slice 60
    # would lie at 120.48 instead of 120 mm, a quarter of a slice away.
    heights = [2.0 * k if k <= 60 else 120 + 2.02 * (k - 60) for k in range(101)]
    folder = save_series(
        *range(101),
        ImagePositionPatient=lambda k: [0, 0, heights[k]],
        BitsStored=16,
        HighBit=15,
    )
    volume = read_volume(folder)
    assert volume.report.slice_distances_mm == pytest.approx((2.0, 2.02))
    for k in (0, 20, 60):
        assert at(volume, [0, 0, heights[k]]) == 100 * k


def test_a_last_slice_a_little_too_near_is_not_lost(save_series: Save) -> None:
    heights = [0, 2, 4, 5.92]
    volume = read_volume(save_series(ImagePositionPatient=lambda k: [0, 0, heights[k]]))
    assert volume.report.slice_distances_mm is not None
    assert [at(volume, [0, 0, z]) for z in (0, 2, 4, 6)] == [0, 100, 200, 300]


def test_what_lies_in_a_wide_gap_is_not_made_up(save_series: Save) -> None:
    # 5.3 steps between the third slice and the fourth: 5 mm, 7, 9, … lie in between.
    heights = [0, 2, 4, 14.6, 16.6, 18.6]
    folder = save_series(*range(6), ImagePositionPatient=lambda k: [0, 0, heights[k]])
    volume = read_volume(folder)
    assert volume.report.notes == (
        "Series 7: slice distances vary (2.00–10.60 mm). Shown interpolated at 2.00 mm; do not"
        " measure on it.",
        "Series 7: 3 slices missing at 8.0, 10.0, 12.0 mm. Left blank; the model is not run on it.",
    )
    # The grid runs from 18 mm down to 0.
    assert volume.report.missing == (3, 4, 5)
    assert (volume.array[3:6] == volume.array.min()).all()
    assert at(volume, [0, 0, 4]) == 200


def test_more_slices_missing_than_there_are_is_still_missing(save_series: Save) -> None:
    heights = [0, 2, 4, 6, 20, 22]
    folder = save_series(*range(6), ImagePositionPatient=lambda k: [0, 0, heights[k]])
    volume = read_volume(folder)
    assert len(volume.report.missing) == 6
    assert not volume.report.resampled


def test_regular_runs_are_offered_too(save_series: Save) -> None:
    heights = [0, 2, 4, 6, 7.1, 12.1, 17.1]
    folder = save_series(*range(7), ImagePositionPatient=lambda k: [0, 0, heights[k]])
    whole, *runs = list_series(folder)
    assert not whole.alternative
    assert [run.part for run in runs] == [
        "slices 1–4, 2.00 mm apart",
        "slices 5–7, 5.00 mm apart",
    ]
    assert all(run.alternative for run in runs)
    assert len({whole.key, *(run.key for run in runs)}) == 3
    assert read_volume(runs[1]).spacing[0] == pytest.approx(5)
    assert read_volume(runs[1]).report.notes == ()
    # Without a choice it is the whole.
    assert read_volume(folder).shape == whole.shape


def test_no_more_runs_are_offered_than_a_person_reads(save_series: Save) -> None:
    # Twelve pairs of gaps, each pair of its own size.
    gaps = [2 + 0.1 * (k // 2) for k in range(24)]
    heights = [0.0, *np.cumsum(gaps)]
    folder = save_series(
        *range(25), ImagePositionPatient=lambda k: [0, 0, round(float(heights[k]), 3)]
    )
    assert sum(series.alternative for series in list_series(folder)) == 8


def test_gaps_too_unequal_for_one_grid_are_refused(save_series: Save) -> None:
    heights = [0, 2, 1000]
    folder = save_series(*range(3), ImagePositionPatient=lambda k: [0, 0, heights[k]])
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(folder)
    assert str(caught.value) == (
        "Series 7: slice distances vary (2.00–998.00 mm) or positions drift too far to be brought"
        " to one grid. Not opened."
    )


# Gantry tilt


def tilted(k: int) -> list[float]:
    # 1 mm towards the back for 2 mm up: 26.6 degrees. A pixel is 0.5 mm high.
    return [0, k, 2 * k]


def test_gantry_tilt_is_straightened(save_series: Save) -> None:
    volume = read_volume(save_series(ImagePositionPatient=tilted))
    assert volume.report.notes == ("Series 7: gantry tilt 26.6° corrected by resampling.",)
    assert volume.report.tilt_degrees == pytest.approx(26.565, abs=1e-3)
    assert volume.report.badge == "tilt 26.6° corrected"
    # Three slices of drift by two pixels each make the grid six rows higher.
    assert volume.shape == (4, 2 + 6, 3)
    assert volume.spacing == pytest.approx((2, 0.5, 0.25))
    np.testing.assert_allclose(
        volume.affine[:3, :3], [[0, 0, 0.25], [0, 0.5, 0], [-2, 0, 0]], atol=1e-12
    )
    for k in range(4):
        for row in range(2):
            for column in range(3):
                point = [0.25 * column, k + 0.5 * row, 2 * k]
                assert at(volume, point) == 100 * k + 10 * row + column
    # Where no slice reaches there is air.
    assert at(volume, [0, 0, 6]) == 0


def test_tilt_grows_the_grid_only_where_it_leads(save_series: Save) -> None:
    # Across the tilt, positions differ by a rounding: 0.0001 mm, of pixels 0.25 mm wide.
    folder = save_series(ImagePositionPatient=lambda k: [0.0001 * (k % 2), k, 2 * k])
    # Three slices 2 pixels farther back each: 2 + 3 · 2 rows.
    assert read_volume(folder).shape == (4, 8, 3)


def test_tilt_towards_the_front_grows_the_grid_on_the_other_side(save_series: Save) -> None:
    volume = read_volume(save_series(ImagePositionPatient=lambda k: [0, -k, 2 * k]))
    assert volume.shape == (4, 8, 3)
    for k in range(4):
        assert at(volume, [0, -k, 2 * k]) == first_pixel(k)


def test_tilt_of_a_stack_numbered_downwards(save_series: Save) -> None:
    folder = save_series(ImagePositionPatient=lambda k: [0, k, -2 * k])
    volume = read_volume(folder)
    for k in range(4):
        assert at(volume, [0, k, -2 * k]) == first_pixel(k)


def test_tilted_stack_with_a_missing_slice(save_series: Save) -> None:
    volume = read_volume(save_series(0, 1, 2, 4, 5, ImagePositionPatient=tilted))
    assert len(volume.report.notes) == 2
    assert volume.report.missing == (2,)
    assert (volume.array[2] == volume.array.min()).all()
    assert at(volume, [0, 5, 10]) == first_pixel(5)


# Nowhere


def test_image_without_a_position_is_a_picture(save_series: Save) -> None:
    folder = save_series(0, Modality="DX", ImagePositionPatient=None)
    volume = read_volume(folder)
    assert volume.report.notes == ("Series 7: no patient position; opened as 2D, without mm.",)
    assert volume.is_picture
    assert volume.plane == "picture"
    assert volume.report.spacing_mm is None
    np.testing.assert_array_equal(volume.array, [[[0, 1, 2], [10, 11, 12]]])
    # A pixel is 0.5 mm high and 0.25 mm wide: the ratio is kept, not the size.
    assert volume.spacing == (1.0, 2.0, 1.0)
    (series,) = list_series(folder)
    assert (series.shape, series.spacing) == ((1, 2, 3), None)


def test_pixels_on_the_detector_give_the_ratio(save_series: Save) -> None:
    volume = read_volume(
        save_series(
            0,
            Modality="DX",
            ImagePositionPatient=None,
            PixelSpacing=None,
            PixelAspectRatio=["3", "1"],
        )
    )
    assert volume.spacing == (1.0, 3.0, 1.0)


def test_two_views_of_an_x_ray_are_two_pictures(save_series: Save) -> None:
    folder = save_series(0, 1, Modality="CR", ImagePositionPatient=None)
    first, second = list_series(folder)
    assert [first.part, second.part] == ["image 1 of 2", "image 2 of 2"]
    assert read_volume(second).array[0, 0, 0] == 100
    with refused(UnsupportedStudyError, StudyProblem.SEVERAL_SERIES):
        read_volume(folder)


def test_slices_that_lost_their_positions_are_one_stack(save_series: Save) -> None:
    volume = read_volume(save_series(ImagePositionPatient=None, InstanceNumber=lambda k: 9 - k))
    assert volume.plane == "2D stack"
    assert not volume.source.placed
    assert not volume.is_picture
    # In the order of their numbers, the first on top.
    assert volume.array[:, 0, 0].tolist() == [300, 200, 100, 0]
    assert volume.report.notes == ("Series 7: no patient position; opened as 2D, without mm.",)


def test_frames_of_a_file_without_positions_are_one_stack(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Save
) -> None:
    data: Any = dicom_slice(0, Modality="US", NumberOfFrames=3, ImagePositionPatient=None)
    data.PixelData = np.arange(18, dtype="<u2").tobytes()
    save_dicom(tmp_path / "cine", data)
    volume = read_volume(tmp_path / "cine")
    assert volume.shape == (3, 2, 3)
    np.testing.assert_array_equal(volume.array.ravel(), np.arange(18))
    assert volume.plane == "2D stack"


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        (
            {"ImagePositionPatient": [0, 0, 1e9]},
            "the patient position or spacing is not a possible length. Not opened.",
        ),
        (
            {"PixelSpacing": [1e9, 1]},
            "the patient position or spacing is not a possible length. Not opened.",
        ),
    ],
)
def test_impossible_lengths_are_refused(
    save_series: Save, elements: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(save_series(0, **elements))
    assert str(caught.value) == f"Series 7: {reason}"


def test_a_table_moved_aside_is_no_gantry_tilt(save_series: Save) -> None:
    """Four slices, and four above them 5 mm aside: each in its place, and no angle is stated."""
    folder = save_series(
        *range(8),
        ImagePositionPatient=lambda k: [5.0 * (k // 4), 0.0, 3.0 * k],
        PixelSpacing=[1.0, 1.0],
        PixelData=lambda k: np.full(6, 100 + k, "<u2").tobytes(),
    )
    volume = read_volume(folder)
    assert volume.report.tilt_degrees == 0
    assert volume.report.shifted_mm == pytest.approx(5)
    assert volume.report.resampled
    assert volume.shape == (8, 2, 8)
    # The lowest value of the stack, 100, stands around the slices.
    for k, plane in list(enumerate(volume.array[::-1]))[1:]:
        inside = np.argwhere(plane == 100 + k)
        assert len(inside) == 6
        assert inside[:, 1].min() == (5 if k > 3 else 0)
