from __future__ import annotations

from pathlib import Path

import pytest

from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.errors import CohortError
from tests.problems import refused


def read(folder: Path, text: str | bytes, split: str | None = None, name="cases.csv") -> Cohort:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_cohort(path, split)


def labels(cohort: Cohort) -> list[object]:
    return [case.label for case in cohort.cases]


def test_every_column_of_a_table(tmp_path: Path) -> None:
    text = "split,Image,ID,mask,Label,age\ntest,a/1.nii,first,m.nii,healthy,70\ntrain,2.nii,,,,\n"

    one, two = read(tmp_path, text).cases

    assert (one.id, one.label) == ("first", "healthy")
    assert (one.path, one.mask) == (tmp_path.resolve() / "a/1.nii", tmp_path.resolve() / "m.nii")
    assert (two.id, two.label, two.mask) == ("2.nii", None, None)
    assert [case.id for case in read(tmp_path, text, "training").cases] == ["2.nii"]


@pytest.mark.parametrize("name", ["cases.csv", "cases.TSV", "cases.txt"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_a_table_as_any_program_writes_it(name, delimiter, end, start, tmp_path: Path) -> None:
    rows = ["image,label", '"b, c; d.nii",2', "", " a.nii , 1 "]
    text = start + end.join(row.replace(",", delimiter) for row in rows)
    # The comma inside the quotation marks was replaced too.
    quoted = "b, c; d.nii".replace(",", delimiter)

    cohort = read(tmp_path, text, name=name)

    assert [case.id for case in cohort.cases] == [quoted, "a.nii"]
    assert labels(cohort) == [2, 1]


def test_a_table_in_utf_16_is_read(tmp_path: Path) -> None:
    assert labels(read(tmp_path, "image\tlabel\nä.nii\tgroß\n".encode("utf-16"))) == ["groß"]


@pytest.mark.parametrize(
    ("column", "read_as"),
    [
        (["0", "+1", "", "007"], [0, 1, None, 7]),
        (["0.0", "1.", ""], [0, 1, None]),
        (["1", "nan", "3.0"], [1, None, 3]),
        (["1", "2.5", "-1e-3"], [1.0, 2.5, -0.001]),
        (["none", "1", "1_000", "1 mm"], ["none", 1, "1_000", "1 mm"]),
    ],
)
def test_numbers_are_classes_where_all_are_whole_else_values(column, read_as, tmp_path) -> None:
    text = "image,label\n" + "".join(f"{n}.nii,{label}\n" for n, label in enumerate(column))

    found = labels(read(tmp_path, text))

    assert found == read_as
    assert [type(label) for label in found] == [type(label) for label in read_as]


def test_a_decimal_comma_is_one_where_it_parts_no_cells(tmp_path: Path) -> None:
    assert labels(read(tmp_path, "image;target\na;1,5\nb;2\n")) == [1.5, 2.0]


@pytest.mark.parametrize("image", ["image", "Path", "FILE", "filename"])
@pytest.mark.parametrize("label", ["LABEL", "class", "Target"])
def test_columns_go_by_their_usual_names(image: str, label: str, tmp_path: Path) -> None:
    assert labels(read(tmp_path, f"{label},{image}\nlesion,a.nii\n")) == ["lesion"]


@pytest.mark.parametrize(
    ("text", "kind", "facts"),
    [
        ("", ListProblem.NO_CASE, {}),
        ("\n\n", ListProblem.NO_CASE, {}),
        ("image,label\n", ListProblem.NO_CASE, {}),
        ("a.nii,0\nb.nii,1\n", ListProblem.NO_IMAGE_COLUMN, {}),
        (
            "image,File,label\na,b,0\n",
            ListProblem.COLUMNS_ALIKE,
            {"columns": "'image' and 'File'", "meaning": "image"},
        ),
        (
            "image,label,label\na,0,1\n",
            ListProblem.COLUMNS_ALIKE,
            {"columns": "'label' and 'label'", "meaning": "label"},
        ),
        ("image,label\na,0\n\n,1\n", ListProblem.NO_IMAGE_NAMED, {"where": "cases.csv, row 4"}),
        (
            "image,label\na,0\nb\n",
            ListProblem.ROW_LENGTH,
            {"where": "cases.csv, row 3", "cells": 1, "titles": 2},
        ),
        (
            "image,label\na,0\nb,c,1\n",
            ListProblem.ROW_LENGTH,
            {"where": "cases.csv, row 3", "cells": 3, "titles": 2},
        ),
        ("image,label\n../a,0\n", ListProblem.LEADS_OUT, {"where": "cases.csv, row 2"}),
        ("image,label\na\0b,0\n", ListProblem.NOT_A_PATH, {"where": "cases.csv, row 2"}),
        ("image,label\na,inf\n", ListProblem.LABEL_SIZE, {"where": "cases.csv, row 2"}),
        (
            "image,label\na," + "9" * 5000 + "\n",
            ListProblem.LABEL_SIZE,
            {"where": "cases.csv, row 2"},
        ),
        ('image,label\n"a,0\n', ListProblem.NOT_CSV, {"line": 2}),
        ("image,label\n" + "a" * 200_000 + ",0\n", ListProblem.NOT_CSV, {"line": 2}),
        (b"image,label\n\xff\xfe.nii,0\n", ListProblem.NOT_UTF8, {"file": "cases.csv"}),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_row(text, kind, facts, tmp_path: Path) -> None:
    with refused(CohortError, kind, **facts):
        read(tmp_path, text)


def test_empty_cells_behind_the_last_column_are_no_cells(tmp_path: Path) -> None:
    assert labels(read(tmp_path, "image,label\na,0,,\n")) == [0]


def test_a_table_without_labels_says_which_columns_it_leaves(tmp_path: Path) -> None:
    cohort = read(tmp_path, "Filename,malignancy,texture\na,3,5\n")

    assert labels(cohort) == [None]
    assert cohort.notes[0].startswith(
        "The table has no column 'label' ('class', 'target'); 'malignancy', 'texture' are not used"
    )


def test_the_column_that_names_the_patient_is_taken_before_a_mere_group(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text("image,Group,Patient_ID,label\na.png,arm 1,7.0,0\nb.png,arm 1,7,1\nc.png,,,1\n")

    cohort = read_cohort(file)

    assert [case.group for case in cohort.cases] == ["7", "7", None]
    assert "Cases belong together by the column 'Patient_ID'." in cohort.notes
    assert "1 patient or group, of 2 cases each; 1 of 3 cases belong to none." in cohort.notes
