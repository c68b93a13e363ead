from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_ifa.analysis import read_cohort
from napari_ifa.errors import CohortError


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
    ("content", "reason"),
    [
        ("{", "is not JSON"),
        ([1], "holds no splits"),
        ({"name": "x"}, "lists no case"),
        ({"training": []}, "lists no case"),
        ({"training": [{"image": ["a", "b"]}]}, "'image' is not one path"),
        ({"training": [{"image": "a", "label": [0, 1]}]}, "neither a class number nor a name"),
        ({"training": [{"image": "../a.nii"}]}, "leads out of the cohort's folder"),
        ({"training": [{"image": "a\0"}]}, "cannot be a file's"),
        ({"training": [{"image": "/etc/passwd"}]}, "leads out of the cohort's folder"),
    ],
)
def test_what_is_wrong_with_a_datalist_is_said(content, reason: str, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=reason):
        read_cohort(write(tmp_path, content))


def test_a_missing_split_or_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"training": [{"image": "a.nii"}]})
    with pytest.raises(CohortError, match="no split 'test'; it has training"):
        read_cohort(path, "test")
    with pytest.raises(CohortError, match=r"none\.json: no such file"):
        read_cohort(tmp_path / "none.json")
