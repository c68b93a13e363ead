"""Which series of a folder stand together in the list."""

from __future__ import annotations

from pathlib import Path

from napari_ifa.reading import Series
from napari_ifa.viewer.state.series_groups import group_series


def dicom(key, **values):
    return Series(key=key, path=Path("study"), kind="dicom", **values)


def keys(groups):
    return [
        ([series.key for series in group.images], [series.key for series in group.alternatives])
        for group in groups
    ]


def test_images_of_one_series_stand_together_in_the_order_found():
    found = [
        dicom("a", number=3, description="T1"),
        dicom("b", number=801, description="B0 map", part="magnitude"),
        dicom("c", number=801, description="B0 map", part="field map"),
        dicom("d", number=802, description="B0 map", part="magnitude"),
    ]
    assert keys(group_series(found)) == [(["a"], []), (["b", "c"], []), (["d"], [])]


def test_another_view_stands_below_its_image():
    found = [
        dicom("a", number=4, description="CT"),
        dicom("b", number=4, description="CT", part="slices 1 to 12", alternative=True),
    ]
    assert keys(group_series(found)) == [(["a"], ["b"])]


def test_two_series_of_the_same_name_stay_apart():
    found = [dicom("a", number=1, description="CT"), dicom("b", number=1, description="CT")]
    assert keys(group_series(found)) == [(["a"], []), (["b"], [])]


def test_images_of_two_studies_under_one_series_uid_are_two_rows():
    found = [
        dicom("a", number=3, description="CT", part="patient 1 of 2", study=1),
        dicom("b", number=3, description="CT", part="patient 2 of 2", study=2),
    ]
    assert keys(group_series(found)) == [(["a"], []), (["b"], [])]


def test_times_of_one_file_stand_together_but_files_do_not():
    def time(name, k):
        return Series(
            f"{name}{k}", Path(name), "nifti", description="epi", part=f"time {k} of 2",
            volume_index=k - 1,
        )  # fmt: skip

    found = [time("x.nii", 1), time("x.nii", 2), time("y.nii", 1), time("y.nii", 2)]
    assert keys(group_series(found)) == [(["x.nii1", "x.nii2"], []), (["y.nii1", "y.nii2"], [])]


def test_a_view_whose_image_is_not_listed_has_a_row_of_its_own():
    assert keys(group_series([dicom("a", alternative=True)])) == [([], ["a"])]
