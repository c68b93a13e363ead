"""The one way in: files, folders, choices, progress and stopping."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import generate_uid

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading import Series, list_series, read_volume
from napari_ifa.reading.problems import StudyProblem

Save = Callable[..., Path]


def sentence(path: Path | str, series: str | int | None = None) -> str:
    """What a person reads when ``path`` cannot be opened."""
    text = str(refusal(path, series))
    assert "\n" not in text
    return text


def refusal(path: Path | str, series: str | int | None = None) -> UnsupportedStudyError:
    """What is raised when ``path`` cannot be opened."""
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path, series)
    return caught.value


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
        f"2 series found; choose one of them: {first.key} (CT, made by hand, 4 images); "
        f"{second.key} (MR, made by hand, 2 images)."
    )
    asked = refusal(two_series)
    assert (asked.kind, asked.facts["choices"]) == (
        StudyProblem.SEVERAL_SERIES,
        (first, second),
    )
    assert read_volume(two_series, 8).shape == (2, 2, 3)
    assert read_volume(two_series, first.key).modality == "CT"
    unknown = refusal(two_series, "nonsense")
    assert unknown.kind is StudyProblem.NO_SUCH_SERIES
    assert unknown.facts["choices"] == (first, second)


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
    assert refusal(folder, 7).kind is StudyProblem.SEVERAL_SERIES


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
        tmp_path / "nowhere": StudyProblem.NO_SUCH_PLACE,
        text: StudyProblem.OTHER_FILE,
        empty: StudyProblem.EMPTY,
        letters / "b.dcm": StudyProblem.DICOM_WITHOUT_IMAGE,
        report: StudyProblem.DICOM_WITHOUT_IMAGE,
        report.parent: StudyProblem.NO_IMAGE,
        archive: StudyProblem.NO_IMAGE,
        tmp_path / ("x" * 300): StudyProblem.NO_SUCH_PLACE,
    }
    for path, kind in expected.items():
        assert refusal(path).kind is kind
        with pytest.raises(UnsupportedStudyError):
            list_series(path)


def test_studies_are_told_apart_only_where_several_are_shown(
    tmp_path: Path, save_series: Save
) -> None:
    for study, number in (("1.2.1", 1), ("1.2.2", 2)):
        for k in range(4):
            name = f"{number}{k}"
            save_series(
                k, folder=name, StudyInstanceUID=study, SeriesInstanceUID=f"{study}.5",
                SeriesNumber=number,
            )  # fmt: skip
            (tmp_path / name / f"slice{k}.dcm").rename(tmp_path / f"{name}.dcm")
    assert [s.study for s in list_series(tmp_path)] == [1, 2]
    (alone,) = list_series(tmp_path / "20.dcm")
    assert (alone.number, alone.image_count, alone.study_words) == (2, 4, "")


def test_no_permission(save_series: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_series()
    monkeypatch.setattr(os, "access", lambda *_: False)
    kinds = {
        folder: StudyProblem.CLOSED_FOLDER,
        folder / "slice0.dcm": StudyProblem.NO_PERMISSION,
    }
    for path, kind in kinds.items():
        assert refusal(path).kind is kind
        # A folder may be called by the patient.
        assert folder.name not in str(refusal(path))
    monkeypatch.undo()
    # A single file that may not be read does not end the scan; here it leaves a gap.
    real_open = Path.open

    def guarded(path: Path, *args: object, **kwargs: object) -> object:
        if path.name == "slice1.dcm":
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "open", guarded)
    assert list_series(folder)[0].image_count == 3
    assert refusal(folder / "slice1.dcm").kind is StudyProblem.DAMAGED_DICOM


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


# What was no image


def test_what_was_left_out_is_counted_and_named(save_series: Save, save_nifti: Save) -> None:
    folder = save_series()
    save_series(0, folder="study/report", Rows=None)
    (folder / "notes.txt").write_text("no image")
    (folder / "list.csv").write_text("a,b")
    (folder / "more.zip").write_bytes(b"PK\3\4" + bytes(600))
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    found = list_series(folder)
    assert [s.kind for s in found] == ["dicom", "image"]
    assert {entry.reason: (entry.count, entry.names) for entry in found.skipped} == {
        "DICOM without an image": (1, ("slice0.dcm",)),
        "neither DICOM, NIfTI, PNG nor JPEG": (2, ("list.csv", "notes.txt")),
        "archive, to be opened by itself": (1, ("more.zip",)),
    }
    assert list_series(save_nifti(np.zeros((2, 3, 4), np.int16))).skipped == ()


def test_a_dicom_file_may_be_named_like_any_other(save_series: Save) -> None:
    folder = save_series()
    for k, suffix in enumerate((".nii", ".nii.gz", ".png", "")):
        (folder / f"slice{k}.dcm").rename(folder / f"IM{k}{suffix}")
    (series,) = list_series(folder)
    assert series.image_count == 4
    assert read_volume(folder / "IM0.nii").shape == (4, 2, 3)
    assert read_volume(folder / "IM2.png").shape == (4, 2, 3)


@pytest.mark.skipif(os.name != "posix", reason="pipes in folders are of Unix")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe").kind is StudyProblem.SPECIAL_FILE


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such names")
def test_names_in_no_encoding(save_series: Save, save_nifti: Save) -> None:
    nifti, folder = save_nifti(np.zeros((2, 3, 4), np.int16)), save_series()
    nifti.rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.nii.gz"))
    (folder / "slice1.dcm").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.dcm"))
    picture = os.fsencode(folder) + b"/caf\xe9.png"
    Image.fromarray(np.zeros((2, 3), np.uint8)).save(os.fsdecode(picture))
    assert [s.kind for s in list_series(folder)] == ["dicom", "nifti", "image"]


# Several at once


def test_several_files_and_folders(two_series: Path, save_nifti: Save, tmp_path: Path) -> None:
    nifti = save_nifti(np.zeros((2, 3, 4), np.int16))
    text = tmp_path / "letter.txt"
    text.write_text("Dear colleague")
    found = list_series([two_series / "one", two_series / "two" / "slice0.dcm", nifti, text])
    assert [(s.kind, s.number, s.image_count) for s in found] == [
        ("dicom", 7, 4),
        ("dicom", 8, 2),
        ("nifti", None, 4),
    ]
    assert [(entry.count, entry.names) for entry in found.skipped] == [(1, ("letter.txt",))]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UnsupportedStudyError) as caught:
        list_series([text, empty])
    assert caught.value.kind is StudyProblem.NO_IMAGE
    assert [caught.value.facts[name] for name in ("files", "without_image", "unreadable")] == [
        1,
        0,
        0,
    ]


def test_some_slices_of_a_series_stand_for_all_of_it(save_series: Save) -> None:
    folder = save_series()
    save_series(9, SeriesInstanceUID=generate_uid(), SeriesNumber=8)
    (folder / "letter.txt").write_text("Dear colleague")
    found = list_series([folder / "slice1.dcm", folder / "slice2.dcm"])
    assert [(s.number, s.image_count) for s in found] == [(7, 4)]
    assert found.skipped == ()


def test_only_dicom_files_stand_for_others(save_series: Save, save_nifti: Save) -> None:
    folder = save_series()
    nifti = save_nifti(np.zeros((2, 3, 4), np.int16))
    first, second = (nifti.rename(folder / nifti.name), folder / "b.nii.gz")
    second.write_bytes(first.read_bytes())
    assert [s.description for s in list_series(first)] == ["image"]
    assert [s.kind for s in list_series(folder / "slice0.dcm")] == ["dicom"]
    assert [s.kind for s in list_series([folder / "slice0.dcm", second])] == ["dicom", "nifti"]


def test_a_series_in_two_folders_is_one(save_series: Save) -> None:
    first = save_series(0, 1, folder="disc/A")
    second = save_series(2, 3, folder="disc/B")
    (series,) = list_series([first, second])
    assert series.image_count == 4
    # A file among the files of a folder counts once.
    assert list_series([first, first / "slice0.dcm", first])[0].image_count == 2


def test_archives_beside_folders(two_series: Path, tmp_path: Path) -> None:
    archive = tmp_path / "study.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for part in (two_series / "two").iterdir():
            file.write(part, part.name)
    found = list_series([two_series / "one", archive])
    assert [(s.number, s.image_count, s.archive is None) for s in found] == [
        (7, 4, True),
        (8, 2, False),
    ]


def test_nothing_given() -> None:
    with pytest.raises(UnsupportedStudyError) as caught:
        list_series([])
    assert caught.value.kind is StudyProblem.NOTHING_GIVEN


# While the scan goes on


def test_what_is_found_so_far_is_told(save_series: Save, save_nifti: Save) -> None:
    for number in range(12):
        save_series(
            *range(10),
            folder=f"study/{number:02d}",
            SeriesInstanceUID=f"1.2.{number}",
            SeriesNumber=number,
        )
    root = save_series(0).parent / "study"
    told: list[list[Series]] = []
    final = list_series(root, found=lambda series: told.append(series))
    assert told
    assert 0 < len(told[0]) < len(final)
    order = [s.key for s in final]
    for series in told:
        keys = [s.key for s in series]
        assert keys == sorted(keys, key=order.index)
    counts = [sum(s.image_count for s in series) for series in told]
    assert counts == sorted(set(counts))


# Choosing


def choices(save_series: Save, *changes: dict[str, object]) -> list[Series]:
    """The series of one folder, several times with something changed."""
    (series,) = list_series(save_series())
    return [
        replace(series, **{"key": f"{k:08x}", "number": k, **change})  # type: ignore[arg-type]
        for k, change in enumerate(changes)
    ]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Series]], None]:
    """Let a scan find these series."""

    def find(series: list[Series]) -> None:
        monkeypatch.setattr("napari_ifa.reading.reader.list_series", lambda *_, **__: series)

    return find


def test_a_question_is_agreed_to_by_choosing(
    save_series: Save, listed: Callable[[list[Series]], None]
) -> None:
    question = (
        "Series 0: 12 images share positions and nothing tells them apart. Open as a 2D stack?"
    )
    (asking,) = choices(save_series, {"question": question})
    listed([asking])
    assert question in sentence("folder")
    for wanted in (None, 0):
        asked = refusal("folder", wanted)
        assert (asked.kind, asked.facts["choices"]) == (StudyProblem.ASKS_FIRST, (asking,))
    assert read_volume("folder", "00000000").shape == (4, 2, 3)
    assert read_volume(asking).shape == (4, 2, 3)
    assert read_volume("folder", asking).shape == (4, 2, 3)


def test_alternatives_and_questions_are_never_chosen_by_themselves(
    save_series: Save, listed: Callable[[list[Series]], None]
) -> None:
    plain, asking, other = choices(
        save_series,
        {"description": "plain"},
        {"question": "Series 0: really?", "number": 0},
        {"alternative": True, "number": 0, "part": "regular run"},
    )
    listed([asking, other, plain])
    assert read_volume("folder").description == "plain"
    assert read_volume("folder", 0).description == "plain"
    assert read_volume("folder", other.key).shape == (4, 2, 3)
    listed([asking, other])
    for wanted in (None, 0):
        asked = refusal("folder", wanted)
        assert (asked.kind, asked.facts["choices"]) == (StudyProblem.ASKS_FIRST, (asking,))


def test_what_the_list_said_of_a_series_is_said_of_its_image(save_series: Save) -> None:
    (series,) = choices(save_series, {"notes": ("Series 7: something is missing.",)})
    assert read_volume(series).report.notes == ("Series 7: something is missing.",)


def test_a_refused_image_is_not_replaced_by_another_way_to_see_it(
    save_series: Save, listed: Callable[[list[Series]], None]
) -> None:
    refused, other = choices(
        save_series, {"unsupported": "Series 0: refused."}, {"alternative": True, "number": 0}
    )
    listed([refused, other])
    assert sentence("folder") == "Series 0: refused."
    listed([other])
    asked = refusal("folder")
    assert (asked.kind, asked.facts["choices"]) == (StudyProblem.SEVERAL_SERIES, (other,))
