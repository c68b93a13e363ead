from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest

from napari_ifa.errors import IfaError
from napari_ifa.export.tables import StoredSection, cell_text, pictures_of, write_table
from tests.sections import drawing, section


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def test_a_missing_number_is_empty_null_and_a_dash(tmp_path: Path) -> None:
    rows = [{"a": float("nan"), "b": None, "c": np.float32("nan")}, {"a": 1, "b": "x", "c": 0.5}]

    as_csv, as_json, as_md = write_table(rows, tmp_path / "table")

    assert read_csv(as_csv) == [["a", "b", "c"], ["", "", ""], ["1", "x", "0.5"]]
    assert json.loads(as_json.read_text())[0] == {"a": None, "b": None, "c": None}
    assert as_md.read_text("utf-8").splitlines()[2] == "| – | – | – |"


def test_json_holds_no_number_that_json_does_not_know(tmp_path: Path) -> None:
    rows = [{"a": float("inf"), "b": np.float64("-inf"), "c": np.int64(3), "d": np.bool_(True)}]

    as_csv, as_json, as_md = write_table(rows, tmp_path / "table")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(as_json.read_text(), parse_constant=refuse)
    assert found == [{"a": "inf", "b": "-inf", "c": 3, "d": True}]
    assert read_csv(as_csv)[1] == ["inf", "-inf", "3", "True"]
    assert as_md.read_text("utf-8").splitlines()[2] == "| inf | -inf | 3 | yes |"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.123456, "0.1235"),
        (123456.0, "123500"),
        (1234567.0, "1.235e+06"),
        (0.00012344, "0.0001234"),
        (1.23456e-7, "1.235e-07"),
        (-0.0, "0"),
        (99999.6, "100000"),
        (1.0, "1"),
        (123456, "123456"),
        (False, "no"),
        (None, "–"),
        ("", ""),
    ],
)
def test_people_read_four_significant_digits(value, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("p", 3.2e-171, "< 0.0001"),
        ("adjusted_p", 0.0, "< 0.0001"),
        ("p", 1e-4, "0.0001"),
        ("p", float("nan"), "–"),
        ("p_low", 1e-5, "1e-05"),
        ("bump", 1e-5, "1e-05"),
    ],
)
def test_a_very_small_p_is_told_as_less(column: str, value: float, text: str) -> None:
    assert cell_text(value, column) == text


def test_the_files_keep_the_number_of_a_very_small_p(tmp_path: Path) -> None:
    as_csv, as_json, as_md = write_table([{"p": 3e-20}], tmp_path / "t")

    assert read_csv(as_csv)[1] == ["3e-20"]
    assert json.loads(as_json.read_text()) == [{"p": 3e-20}]
    assert as_md.read_text("utf-8").splitlines()[2] == "| &lt; 0.0001 |"


def test_a_text_does_not_become_a_formula(tmp_path: Path) -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "a=1", "inf"]

    as_csv, as_json, _ = write_table([{"=id": text, "n": -1.5} for text in texts], tmp_path / "t")

    assert [row[0] for row in read_csv(as_csv)] == [
        *["'=id", "'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'＝1", "a=1", "inf"]
    ]
    assert read_csv(as_csv)[1][1] == "-1.5", "a number stays one"
    assert [row["=id"] for row in json.loads(as_json.read_text())] == texts


def test_markdown_keeps_a_text_in_its_cell(tmp_path: Path) -> None:
    rows = [{"a|b": "one|two\nthree \\ <script> [x](y) `z` & *w*", "n": 1}]

    as_md = write_table(rows, tmp_path / "table")[2]

    head, sides, row = as_md.read_text("utf-8").splitlines()
    assert head == r"| a\|b | n |"
    assert sides == "| --- | ---: |"
    assert row == r"| one\|two three \\ &lt;script> \[x\](y) \`z\` &amp; \*w\* | 1 |"


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    as_csv, as_json, as_md = write_table([], tmp_path / "t", {"a": "first", "b": "second"})

    assert read_csv(as_csv) == [["a", "b"]]
    assert json.loads(as_json.read_text()) == []
    assert as_md.read_text("utf-8") == "| a | b |\n| --- | --- |\n"
    nothing = write_table([], tmp_path / "nothing")
    assert [path.read_text() for path in nothing] == ["", "[]\n", "No rows.\n"]


def test_rows_may_lack_columns_and_names_may_hold_dots(tmp_path: Path) -> None:
    written = write_table([{"a": 1}, {"b": 2}], tmp_path / "case 1.5 mm")

    assert [p.name for p in written] == [f"case 1.5 mm.{s}" for s in ("csv", "json", "md")]
    assert read_csv(written[0]) == [["a", "b"], ["1", ""], ["", "2"]]


def test_a_name_that_is_no_text_is_written_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9\x00.nii")

    as_csv, as_json, as_md = write_table([{"case": name}], tmp_path / "t")

    assert read_csv(as_csv)[1] == ["caf\\udce9�.nii"]
    assert json.loads(as_json.read_text())[0]["case"] == "caf\\udce9�.nii"
    assert "caf\\\\udce9�.nii" in as_md.read_text("utf-8")


def test_the_same_figure_gives_the_same_bytes_with_text_as_text() -> None:
    first, again = pictures_of(section()), pictures_of(section())

    assert first == again
    assert b">a line</text>" in first["svg"]
    assert b"<dc:date>" not in first["svg"]
    width, height = np.frombuffer(first["png"][16:24], ">u4")
    assert (width, height) == (450, 300), "150 dpi"


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("title", ["$x^{$", "a $ b", "$\\frac$", "\x00\x1f<&>"])
def test_a_class_name_that_is_no_formula_is_drawn_as_it_is(title: str) -> None:
    from xml.etree import ElementTree

    pictures = pictures_of(section(draw=lambda: drawing(title)))

    ElementTree.fromstring(pictures["svg"])
    assert pictures["png"].startswith(b"\x89PNG")


def test_a_full_disk_is_one_sentence_and_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_table([{"a": 1}], tmp_path / "t")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(IfaError, match=r"^t cannot be written to .*No space left.*; make room"):
        write_table([{"a": 2}, {"a": 3}], tmp_path / "t", overwrite=True)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_section_without_a_figure_has_no_pictures() -> None:
    assert pictures_of(section(draw=None)) == {}
    stored = StoredSection("a", "A", "", "", (), pictures={"png": b"x"})
    assert pictures_of(stored) == {"png": b"x"}
