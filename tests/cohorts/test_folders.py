from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_ifa import samples
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError
from tests.problems import refused


def touch(folder: Path, *places: str) -> Path:
    for place in places:
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).touch()
    return folder


def ids(cohort: Cohort) -> list[str]:
    return [case.id for case in cohort.cases]


def test_the_folder_is_the_class_and_two_comes_before_ten(tmp_path: Path) -> None:
    touch(tmp_path / "x", "b/1.png", "a/10.nii.gz", "a/2.NII", "a/B.jpg", "a/a.jpeg", "b/c.dcm")

    cohort = read_cohort(tmp_path / "x")

    assert cohort.name == "x"
    assert ids(cohort) == ["a/2.NII", "a/10.nii.gz", "a/a.jpeg", "a/B.jpg", "b/1.png", "b/c.dcm"]
    assert [case.label for case in cohort.cases] == ["a"] * 4 + ["b"] * 2
    assert cohort.cases[0].path == tmp_path.resolve() / "x/a/2.NII"


def test_the_order_does_not_come_from_the_disk(tmp_path: Path) -> None:
    places = [f"c{n % 3}/p{n % 4}/i{n}.png" for n in range(40)]
    one = read_cohort(touch(tmp_path / "one", *places))
    two = read_cohort(touch(tmp_path / "two", *places[::-1]))

    assert ids(one) == ids(two)
    assert ids(one)[:3] == ["c0/p0/i0.png", "c0/p0/i12.png", "c0/p0/i24.png"]


def test_splits_stand_above_classes(tmp_path: Path) -> None:
    touch(tmp_path, "Train/a/1.png", "Train/b/1.png", "test/a/1.png", "old/a/1.png")

    assert ids(read_cohort(tmp_path)) == ["test/a/1.png", "Train/a/1.png", "Train/b/1.png"]
    training = read_cohort(tmp_path, "training")
    assert ids(training) == ["Train/a/1.png", "Train/b/1.png"]
    assert training.split == "Train"
    assert "Folders beside the splits are not read: old." in training.notes
    assert [case.label for case in read_cohort(tmp_path / "Train").cases] == ["a", "b"]
    with refused(CohortError, ListProblem.NO_SUCH_SPLIT, splits="test (1), Train (2)"):
        read_cohort(tmp_path, "val")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    touch(tmp_path, "control/1.png", "test/1.png")

    assert [case.label for case in read_cohort(tmp_path).cases] == ["control", "test"]


def test_what_is_no_image_is_no_case(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.png", "a/.hidden.png", "a/._1.png", "a/Thumbs.db", "a/.DS_Store")
    touch(tmp_path, "__MACOSX/a/1.png", ".git/a/1.png", "a/list.txt", "a/2.tif", "README.md")
    touch(tmp_path, "empty/x.txt")

    cohort = read_cohort(tmp_path)

    assert ids(cohort) == ["a/1.png"]
    assert cohort.notes[:2] == (
        "Classes without an image: empty.",
        "Files that are no image of a kind that is read: .txt (2), .tif (1).",
    )


def test_a_dicom_series_in_a_folder_of_its_own_is_one_case(tmp_path: Path) -> None:
    series = samples.sample_data() / "dicom" / "head_mr"
    shutil.copytree(series, tmp_path / "x/bright/patient 1/head")
    bare = tmp_path / "x/dark/1.2.840.7"
    bare.mkdir(parents=True)
    for number, file in enumerate(sorted(f for f in series.rglob("*") if f.is_file())):
        shutil.copy(file, bare / f"1.2.840.7.{number}")

    cohort = read_cohort(tmp_path / "x")

    assert ids(cohort) == ["bright/patient 1/head", "dark/1.2.840.7"]
    one, two = (case.read() for case in cohort.cases)
    np.testing.assert_array_equal(one.array, two.array)


def test_a_mask_beside_an_image_is_no_case(tmp_path: Path) -> None:
    touch(tmp_path, "a/b (1).png", "a/b (1)_mask.png", "a/b (1)_mask_1.png", "a/c_mask.png")

    cohort = read_cohort(tmp_path)

    assert ids(cohort) == ["a/b (1).png", "a/c_mask.png"]
    assert cohort.cases[0].mask == tmp_path.resolve() / "a/b (1)_mask.png"
    assert cohort.cases[1].mask is None
    assert "1 cases have more than one mask; only the first is used." in cohort.notes


def test_links_are_followed_inside_and_refused_outside(tmp_path: Path) -> None:
    folder = touch(tmp_path / "x", "a/1.png", "b/2.png")
    (folder / "a/self").symlink_to("self")
    (folder / "a/up").symlink_to("..")
    (folder / "a/round").symlink_to(".")
    (folder / "b/3.png").symlink_to("../a/1.png")

    cohort = read_cohort(folder)
    assert ids(cohort) == ["a/1.png", "b/2.png", "b/3.png"]
    assert cohort.cases[2].path == cohort.cases[0].path
    touch(tmp_path, "out/4.png")
    (folder / "b/4.png").symlink_to("../../out/4.png")
    with refused(CohortError, ListProblem.LEADS_OUT, where="4.png"):
        read_cohort(folder)
    assert "b/4.png" in ids(read_cohort(folder, root=tmp_path))
    (folder / "b/4.png").unlink()
    (folder / "c").symlink_to("../out")
    with refused(CohortError, ListProblem.LEADS_OUT, where="c"):
        read_cohort(folder)


@pytest.mark.parametrize("places", [(), ("1.png", "2.png"), ("a/list.txt",), ("a/b/c/",)])
def test_a_folder_without_classes_of_images_lists_no_case(places, tmp_path: Path) -> None:
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        if not place.endswith("/"):
            (tmp_path / place).touch()

    with refused(CohortError, ListProblem.NO_CASE):
        read_cohort(tmp_path)


def test_folders_of_images_and_masks_are_not_taken_for_classes(tmp_path: Path) -> None:
    touch(tmp_path, "images/1.png", "masks/1.png")

    with refused(CohortError, ListProblem.IMAGES_AND_MASKS, folder=tmp_path.name):
        read_cohort(tmp_path)


def test_a_picture_of_the_cohort_opens(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).save(tmp_path / "a/1.png")

    volume = read_cohort(tmp_path).cases[0].read()

    np.testing.assert_array_equal(volume.array, [[[0, 1, 2], [3, 4, 5]]])


def test_a_relative_folder_is_read_from_where_one_stands(tmp_path: Path, monkeypatch) -> None:
    touch(tmp_path / "x", "a/1.png")
    monkeypatch.chdir(tmp_path / "x")

    assert read_cohort(".").cases[0].path == tmp_path.resolve() / "x/a/1.png"
    assert read_cohort(".").name == "x"


def test_inner_folders_are_patients_where_every_image_lies_in_one(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/p1/1.png", "train/a/p1/x/2.png", "train/b/p2/1.png", "test/a/p1/3.png")

    cohort = read_cohort(tmp_path, "train")

    assert [case.group for case in cohort.cases] == ["p1", "p1", "p2"]
    assert any("lies in one of 2 folders inside its class's" in note for note in cohort.notes)
    assert any(
        "1 of 2 patients or groups of split 'train', with 2 of its 3 cases, also stands in split"
        " 'test'" in note
        for note in cohort.notes
    )


@pytest.mark.parametrize(
    "places",
    [
        ("a/p1/1.png", "a/p2/1.png", "b/1.png"),
        ("a/images/1.png", "a/images/2.png", "b/images/1.png"),
        ("a/1.png", "b/2.png"),
        ("a/p1/1.dcm", "b/p2/1.png"),
    ],
)
def test_inner_folders_are_no_patients_elsewhere(places, tmp_path: Path) -> None:
    touch(tmp_path, *places)

    cohort = read_cohort(tmp_path)

    assert {case.group for case in cohort.cases} == {None}
    assert not any("inside its class" in note for note in cohort.notes)
