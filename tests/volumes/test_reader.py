"""The one way in: files, folders, choices, progress and stopping."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import generate_uid

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.volumes import list_series, read_volume

Save = Callable[..., Path]


def sentence(path: Path | str, series: str | int | None = None) -> str:
    """What a person reads when ``path`` cannot be opened."""
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path, series)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def two_series(save_series: Save) -> Path:
    """Series 7 (axial) and 8 (two slices only) in one folder."""
    save_series(folder="study/one")
    save_series(
        0, 1, folder="study/two", SeriesInstanceUID=generate_uid(), SeriesNumber=8, Modality="MR"
    )
    return save_series(folder="study/one").parent


def test_folder_file_and_series_give_the_same_image(save_series: Save) -> None:
    folder = save_series()
    (series,) = list_series(folder)
    images = [
        read_volume(folder),
        read_volume(str(folder)),
        read_volume(folder / "slice2.dcm"),
        read_volume(folder, series),
        read_volume(series),
        read_volume(folder, series.key),
        read_volume(folder, 7),
        read_volume(folder, "7"),
    ]
    for image in images[1:]:
        np.testing.assert_array_equal(image.array, images[0].array)
        np.testing.assert_array_equal(image.affine, images[0].affine)


def test_choice_is_asked_for(two_series: Path) -> None:
    first, second = list_series(two_series)
    assert sentence(two_series) == (
        f"2 series found; choose one with --series KEY: {first.key} (CT, made by hand, 4 images); "
        f"{second.key} (MR, made by hand, 2 images)."
    )
    assert read_volume(two_series, 8).shape == (2, 2, 3)
    assert read_volume(two_series, first.key).modality == "CT"
    assert sentence(two_series, "nonsense").startswith("No series nonsense here; there are 2: ")


def test_the_only_series_that_can_be_opened_is_taken(two_series: Path, save_series: Save) -> None:
    save_series(0, 1, folder="study/two", SeriesInstanceUID=generate_uid(), PixelSpacing=None)
    assert len(list_series(two_series)) == 2
    assert read_volume(two_series).shape == (4, 2, 3)


def test_nothing_that_can_be_opened_says_why(save_series: Save) -> None:
    save_series(folder="study/a", PixelSpacing=None)
    folder = save_series(
        folder="study/b", SeriesInstanceUID=generate_uid(), SeriesNumber=9, BitsAllocated=64
    )
    assert sentence(folder.parent) == (
        "Series 7: no pixel spacing; lengths are unknown. Not opened "
        "(and 1 more series that cannot be opened)."
    )


def test_number_shared_by_two_parts_of_a_series_asks_for_the_key(save_series: Save) -> None:
    folder = save_series()
    save_series(9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    assert sentence(folder, 7).startswith("2 series found; choose one with --series KEY: ")


def test_dicom_and_nifti_in_one_folder(save_series: Save, save_nifti: Save, tmp_path: Path) -> None:
    save_series()
    save_nifti(np.zeros((2, 3, 4), np.int16))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._image.nii.gz").write_bytes(b"left by an archive tool")
    series = list_series(tmp_path)
    assert [s.kind for s in series] == ["dicom", "nifti"]
    assert series[1].shape == (4, 3, 2)
    assert series[1].title == "image, 4 images"
    assert read_volume(series[1]).shape == (4, 3, 2)


def test_paths_without_an_image(tmp_path: Path, save_series: Save) -> None:
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague")
    empty = tmp_path / "empty"
    empty.mkdir()
    letters = tmp_path / "letters"
    letters.mkdir()
    (letters / "a.txt").write_text("a")
    (letters / "b.dcm").write_bytes(bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0")
    report = save_series(0, folder="report", Rows=None) / "slice0.dcm"
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a", "b")
    expected = {
        tmp_path / "nowhere": "nowhere: there is no such file or folder.",
        text: "letter.txt: neither a DICOM, NIfTI, PNG nor JPEG file.",
        empty: "empty: the folder is empty.",
        letters / "b.dcm": "b.dcm: a DICOM object without an image; "
        "open the folder of the images instead.",
        report: "slice0.dcm: a DICOM object without an image; "
        "open the folder of the images instead.",
        report.parent: "report: no DICOM, NIfTI, PNG or JPEG image among 1 files, "
        "1 DICOM objects without an image.",
        archive: "study.zip: zip archives are not opened; unpack it first.",
        tmp_path / ("x" * 300): f"{'x' * 300}: there is no such file or folder.",
    }
    for path, text_expected in expected.items():
        assert sentence(path) == text_expected
        with pytest.raises(UnsupportedStudyError):
            list_series(path)


def test_no_permission(save_series: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_series()
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert sentence(folder) == "study: no permission to read it."
    monkeypatch.undo()
    # A single file that may not be read does not end the scan; here it leaves a gap.
    real_open = Path.open

    def guarded(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "slice1.dcm":
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", guarded)
    assert list_series(folder)[0].image_count == 3
    assert sentence(folder / "slice1.dcm") == (
        "slice1.dcm: cannot be read as DICOM; it may be damaged."
    )


def test_progress_counts_files_then_slices(save_series: Save) -> None:
    folder = save_series()
    seen: list[tuple[int, int]] = []
    read_volume(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)] * 2


def test_progress_counts_nifti_files_too(save_series: Save, save_nifti: Save) -> None:
    folder = save_series()
    path = save_nifti(np.zeros((2, 3, 4), np.int16))
    path.rename(folder / path.name)
    seen: list[tuple[int, int]] = []
    list_series(folder, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(k, 5) for k in range(1, 6)]


def test_stop_ends_scanning_and_reading(save_series: Save, save_nifti: Save) -> None:
    folder = save_series()
    (series,) = list_series(folder)
    nifti = save_nifti(np.zeros((2, 3, 4), np.int16))
    for path in (folder, folder / "slice0.dcm", series, nifti):
        with pytest.raises(Cancelled):
            read_volume(path, stop=lambda: True)
    with pytest.raises(Cancelled):
        list_series(folder, stop=lambda: True)


def test_stop_half_way_reads_no_further(save_series: Save) -> None:
    (series,) = list_series(save_series(*range(40)))
    seen: list[int] = []
    with pytest.raises(Cancelled):
        read_volume(series, progress=lambda done, _: seen.append(done), stop=lambda: len(seen) >= 3)
    assert seen == [1, 2, 3]
