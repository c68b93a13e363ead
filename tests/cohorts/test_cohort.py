from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ifa import samples
from napari_ifa.cohorts import Case, Cohort, read_cohort
from napari_ifa.cohorts.problems import CohortProblem, ListProblem
from napari_ifa.errors import CohortError, UnsupportedStudyError
from napari_ifa.volumes.problems import ImageProblem
from tests.problems import refused
from tests.tiny import write_image


def write(folder: Path, content: object) -> Path:
    path = folder / "datalist.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_splits_labels_and_masks_of_a_datalist(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        {
            "name": "heads",
            "training": [{"image": "a.nii", "label": 1, "mask": "m.nii"}],
            "test": [{"image": ["b.nii"], "label": "healthy"}, {"image": "c.nii"}],
        },
    )

    cohort = read_cohort(path)

    assert cohort.name == "heads"
    assert [case.id for case in cohort.cases] == ["a.nii", "b.nii", "c.nii"]
    assert [case.label for case in cohort.cases] == [1, "healthy", None]
    assert cohort.cases[0].path == tmp_path.resolve() / "a.nii"
    assert cohort.cases[0].mask == tmp_path.resolve() / "m.nii"
    assert len(read_cohort(path, "test")) == 2


def test_the_manifest_depends_on_cases_and_labels_but_not_on_their_order(tmp_path: Path) -> None:
    entries = [{"image": "a.nii", "label": 0}, {"image": "b.nii", "label": 1}]
    one = read_cohort(write(tmp_path, {"training": entries})).manifest_sha256()
    turned = read_cohort(write(tmp_path, {"training": entries[::-1]})).manifest_sha256()
    entries[0]["label"] = 1
    other = read_cohort(write(tmp_path, {"training": entries})).manifest_sha256()

    assert one == turned
    assert one != other


@pytest.mark.parametrize(
    ("content", "kind", "facts"),
    [
        ("{", ListProblem.NOT_JSON, {}),
        ([1], ListProblem.NO_SPLITS, {}),
        ("[" * 100_000, ListProblem.NOT_JSON, {}),
        ([], ListProblem.NO_CASE, {}),
        ({"name": "x"}, ListProblem.NO_CASE, {}),
        ({"training": []}, ListProblem.NO_CASE, {}),
        ({"training": [{"image": ["a", "b"]}]}, ListProblem.NOT_ONE_IMAGE, {}),
        (
            {"training": [{"image": "a", "label": [0, 1]}]},
            ListProblem.LIST_OF_LABELS,
            {"labels": 2},
        ),
        ({"training": [{"image": "a", "label": []}]}, ListProblem.LIST_OF_LABELS, {"labels": 0}),
        ({"training": [{"image": "a", "label": True}]}, ListProblem.LABEL_TYPE, {}),
        ({"training": [{"image": "a", "label": {"a": 1}}]}, ListProblem.LABEL_TYPE, {}),
        ({"training": [{"image": "a", "label": 10**400}]}, ListProblem.LABEL_SIZE, {}),
        ('{"training": [{"image": "a", "label": 1e999}]}', ListProblem.LABEL_SIZE, {}),
        (
            {"training": [{"image": "a"}, {"label": 1}]},
            ListProblem.NOT_ONE_IMAGE,
            {"where": "datalist.json, training 1"},
        ),
        (
            {"training": [{"image": "a"}, 5]},
            ListProblem.NOT_ONE_IMAGE,
            {"where": "datalist.json, training 1"},
        ),
        (
            [{"image": "a"}, {"image": ""}],
            ListProblem.NOT_ONE_IMAGE,
            {"where": "datalist.json, entry 1"},
        ),
        ({"training": [{"image": "../a.nii"}]}, ListProblem.LEADS_OUT, {}),
        ({"training": [{"image": "b/../../a.nii"}]}, ListProblem.LEADS_OUT, {}),
        ({"training": [{"image": "a", "mask": ".."}]}, ListProblem.LEADS_OUT, {}),
        ({"training": [{"image": "a" * 5000}]}, ListProblem.NOT_A_PATH, {}),
        ({"training": [{"image": "a\0"}]}, ListProblem.NOT_A_PATH, {}),
        ({"training": [{"image": "/etc/passwd"}]}, ListProblem.LEADS_OUT, {}),
    ],
)
def test_what_is_wrong_with_a_datalist_is_said(content, kind, facts, tmp_path: Path) -> None:
    with refused(CohortError, kind, **facts):
        read_cohort(write(tmp_path, content))


def test_a_missing_split_or_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"training": [{"image": "a.nii"}]})
    with refused(CohortError, ListProblem.NO_SUCH_SPLIT, split="test", splits="training (1)"):
        read_cohort(path, "test")
    with refused(CohortError, ListProblem.NOT_FOUND, file="none.json"):
        read_cohort(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("label", "read"),
    [([2], 2), (["lesion"], "lesion"), (0.5, 0.5), (-3, -3), (float("nan"), None), (None, None)],
)
def test_labels_of_one_class_or_value_are_taken_as_they_are(label, read, tmp_path: Path) -> None:
    cohort = read_cohort(write(tmp_path, {"training": [{"image": "a", "label": label}]}))

    assert cohort.cases[0].label == read
    assert type(cohort.cases[0].label) is type(read)


def test_a_plain_list_is_a_cohort_without_splits(tmp_path: Path) -> None:
    path = write(tmp_path, [{"image": "a.nii", "label": 0}, {"image": "b.nii", "label": 1}])

    assert [case.label for case in read_cohort(path).cases] == [0, 1]
    with refused(CohortError, ListProblem.NO_SUCH_SPLIT, splits="none"):
        read_cohort(path, "test")


def test_texts_are_images_in_a_split_and_nothing_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path, {"test": ["a.nii", "b.nii"], "class_names": ["none", "lesion"]})

    assert [case.id for case in read_cohort(path).cases] == ["a.nii", "b.nii"]


def test_an_entry_without_id_is_called_by_its_image(tmp_path: Path) -> None:
    path = write(tmp_path, [{"image": "a.nii", "id": None}, {"image": "b.nii", "id": 7}])

    assert [case.id for case in read_cohort(path).cases] == ["a.nii", "7"]


def test_what_is_wrong_in_a_split_matters_to_those_who_want_it(tmp_path: Path) -> None:
    path = write(tmp_path, {"training": [{"image": "../a"}], "test": [{"image": "b"}]})

    assert len(read_cohort(path, "test")) == 1
    with refused(CohortError, ListProblem.LEADS_OUT, where="datalist.json, training 0"):
        read_cohort(path)


def test_a_split_goes_by_its_usual_names(tmp_path: Path) -> None:
    content = {"train": [{"image": "a"}], "Test": [{"image": "b"}], "fold-2": [{"image": "c"}]}
    path = write(tmp_path, content)

    assert read_cohort(path, "training").split == "train"
    assert read_cohort(path, "testing").split == "Test"
    assert read_cohort(path, "FOLD-2").split == "fold-2"
    with refused(CohortError, ListProblem.NO_SUCH_SPLIT, splits="train (1), Test (1), fold-2 (1)"):
        read_cohort(path, "val")


def test_a_split_that_may_be_two_is_not_guessed(tmp_path: Path) -> None:
    path = write(tmp_path, {"letters-train": [{"image": "a"}], "digits-train": [{"image": "b"}]})

    with refused(CohortError, ListProblem.SEVERAL_SPLITS, splits="letters-train, digits-train"):
        read_cohort(path, "training")
    assert read_cohort(path, "digits-train").cases[0].id == "b"


def test_an_empty_split_is_said_to_be_empty(tmp_path: Path) -> None:
    path = write(tmp_path, {"training": [{"image": "a"}], "test": []})

    with refused(
        CohortError, ListProblem.NO_CASE_IN_SPLIT, split="test", splits="training (1), test (0)"
    ):
        read_cohort(path, "test")


def test_the_root_is_what_paths_start_from_and_must_exist(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    path = write(tmp_path / "lists", [{"image": "images/a.nii"}])

    assert read_cohort(path, root=tmp_path).cases[0].path == tmp_path.resolve() / "images/a.nii"
    with refused(CohortError, ListProblem.NO_ROOT, folder="nowhere"):
        read_cohort(path, root=tmp_path / "nowhere")


def test_a_link_that_leads_out_is_refused_and_one_inside_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.nii").touch()
    folder = tmp_path / "cohort"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.nii").touch()
    (folder / "inside.nii").symlink_to("a.nii")
    (folder / "outside.nii").symlink_to("../secret.nii")
    (folder / "up").symlink_to("..")

    inside = read_cohort(write(folder, [{"image": "inside.nii"}]))
    assert inside.cases[0].path == folder.resolve() / "a.nii"
    for image in ("outside.nii", "up/secret.nii", "deep/../outside.nii"):
        with refused(CohortError, ListProblem.LEADS_OUT):
            read_cohort(write(folder, [{"image": image}]))


def test_files_of_one_folder_are_resolved_together(tmp_path: Path, monkeypatch) -> None:
    entries = [{"image": f"f{n % 3}/{n}.nii", "label": n % 2} for n in range(300)]
    path = write(tmp_path, entries)
    resolved: list[Path] = []
    resolve = Path.resolve
    monkeypatch.setattr(Path, "resolve", lambda self: resolved.append(self) or resolve(self))

    assert len(read_cohort(path)) == 300
    assert len(resolved) < 10


def test_cases_travel_to_other_processes(tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.nii", [1, 2, 3, 4, 5, 6, 7, 8])
    case = Case("a", image, 0.5)

    again = pickle.loads(pickle.dumps(case))

    assert again == case
    np.testing.assert_array_equal(again.read().array, case.read().array)


@pytest.mark.parametrize(
    ("version", "split", "digest"),
    [
        ("clean", None, "7f6915555056e258b4a056155c1bc9d0038c590a0007c9fdaad22a1c20ea618a"),
        ("clean", "test", "4776c2115b912a5d97f16552e67a5070630aa2dc6810372a0410f46b0e9e57e2"),
        ("confounded", "test", "3be60031959f383ed064dc6d3d1f6ad370707e060c42e616d4b0be9dd1355c65"),
    ],
)
def test_manifests_of_cohorts_that_were_analysed_before_stay(version, split, digest) -> None:
    assert read_cohort(samples.cohort(version), split).manifest_sha256() == digest


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([0, 1], "class"), (["a", 1, None], "class"), ([0.5, 1], "value"), ([None], "none")],
)
def test_the_kind_of_labels_is_told(labels, kind: str) -> None:
    cases = tuple(Case(str(n), Path(str(n)), label) for n, label in enumerate(labels))
    assert Cohort("x", cases).label_kind == kind


def test_values_among_class_names_are_refused(tmp_path: Path) -> None:
    entries = [{"image": "a", "label": 0.5}, {"image": "b", "label": "lesion"}]
    with refused(CohortError, CohortProblem.NAMES_AND_VALUES):
        read_cohort(write(tmp_path, entries))


@pytest.mark.parametrize("name", ["notes.docx", "image.nii.gz", "cohort"])
def test_a_file_that_lists_nothing_is_told_what_would(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x00\x01 nothing of the kind")

    with refused(CohortError, ListProblem.NOT_A_LIST, file=name):
        read_cohort(path)


def test_a_datalist_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "cohort.txt").write_text('\ufeff [{"image": "a.nii"}]', "utf-8")

    assert read_cohort(tmp_path / "cohort.txt").cases[0].id == "a.nii"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(str.encode),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["image", "label", "mask", "id", "test"]), inner)
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    name=st.sampled_from(["a.json", "a.csv", "a.npz", "a-images-idx3-ubyte", "a.bin"]),
)
def test_any_content_is_read_or_refused_in_one_sentence(content, name, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    said = ""
    try:
        cohort = read_cohort(path)
    except CohortError as error:
        said = str(error)
    assert said.endswith(".") if said else len(cohort) > 0
    assert "\n" not in said


@pytest.mark.parametrize(
    ("keys", "group"),
    [
        ({"patient": "p 1"}, "p 1"),
        ({"Patient ID": 17}, "17"),
        ({"patient_id": 17.0}, "17"),
        ({"subject": ["s1"]}, "s1"),
        ({"group": "arm A", "participant_id": "sub-01"}, "sub-01"),
        ({"group": "g"}, "g"),
        ({"patient": None}, None),
        ({"patient": float("nan")}, None),
        ({"patient": " "}, None),
        ({"patients": "p"}, None),
    ],
)
def test_the_group_of_a_listed_case(keys, group, tmp_path: Path) -> None:
    cohort = read_cohort(write(tmp_path, [{"image": "a.nii"} | keys]))

    assert cohort.cases[0].group == group


def test_a_group_that_is_neither_name_nor_number_is_said(tmp_path: Path) -> None:
    with refused(CohortError, ListProblem.GROUP_TYPE, where="datalist.json, entry 0"):
        read_cohort(write(tmp_path, [{"image": "a.nii", "patient": {"id": 1}}]))


def test_a_case_whose_slices_are_missing_is_refused(tmp_path: Path) -> None:
    folder = shutil.copytree(samples.dicom_series(), tmp_path / "series")
    next(path for path in folder.iterdir() if pydicom.dcmread(path).InstanceNumber == 5).unlink()

    with refused(UnsupportedStudyError, ImageProblem.MISSING_SLICES, count=1):
        Case("a", folder, None).read()
