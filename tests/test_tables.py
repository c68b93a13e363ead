from __future__ import annotations

import csv
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_ifa import tables
from napari_ifa.analysis.section import Section
from napari_ifa.errors import IfaError
from napari_ifa.tables import (
    StoredSection,
    cell_text,
    pictures_of,
    read_sections,
    write_sections,
    write_table,
)


def drawing(title: str = "a line") -> Figure:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([0, 1], [1, 3])
    axes.set_title(title)
    return figure


def section(key: str = "one", **changes) -> Section:
    content = {
        "title": "First",
        "meaning": "It is 1.",
        "limits": "It is not 2.",
        "rows": ({"case": "a", "value": 1.0}, {"case": "b", "value": float("nan")}),
        "columns": {"case": "the case", "value": "a number (logit)"},
        "draw": drawing,
    }
    return Section(key=key, **(content | changes))


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


def test_sections_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = write_sections([section(), section("two", draw=None, rows=())], tmp_path / "new")

    names = [path.name for path in written]
    assert names == [
        *["one.csv", "one.json", "one.md", "one.png", "one.svg"],
        *["two.csv", "two.json", "two.md", "summary.md", "sections.json"],
    ]
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(names)
    one, two = read_sections(tmp_path / "new")
    assert (one.key, one.title, one.meaning, one.limits) == (
        *("one", "First", "It is 1.", "It is not 2."),
    )
    assert one.rows == ({"case": "a", "value": 1.0}, {"case": "b", "value": None})
    assert dict(one.columns) == {"case": "the case", "value": "a number (logit)"}
    assert one.pictures["png"] == (tmp_path / "new" / "one.png").read_bytes()
    assert (two.rows, two.pictures) == ((), {})
    summary = (tmp_path / "new" / "summary.md").read_text("utf-8")
    assert "**What this says:** It is 1." in summary
    assert "**What it does not say:** It is not 2." in summary
    assert "![First](one.png)" in summary
    assert "apostrophe" in summary
    write_sections([one], tmp_path / "again")
    assert (tmp_path / "again" / "one.svg").read_bytes() == one.pictures["svg"]


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


@pytest.mark.parametrize("keys", [["../x"], ["a/b"], [""], ["a", "A"], ["summary"], [".a"]])
def test_a_key_that_is_no_file_name_of_its_own_is_refused(keys, tmp_path: Path) -> None:
    with pytest.raises(IfaError, match="cannot be written"):
        write_sections([section(key) for key in keys], tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
    with pytest.raises(
        IfaError, match=r"^t\.csv cannot be written to .*No space left.*; make room"
    ):
        write_table([{"a": 2}, {"a": 3}], tmp_path / "t")
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_where_the_folder_should_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with pytest.raises(IfaError, match=r"one\.csv cannot be written"):
        write_sections([section()], tmp_path / "taken")


def test_a_folder_without_sections_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(IfaError, match=r"no sections\.json"):
        read_sections(tmp_path / "nowhere")


def spoiled(folder: Path, name: str, change) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(content)))


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("sections.json", lambda c: [], "is no index"),
        ("sections.json", lambda c: c | {"version": 9}, "another napari-ifa"),
        ("sections.json", lambda c: c | {"sections": 3}, "lists no sections"),
        ("sections.json", lambda c: c | {"sections": [3]}, "names a section wrongly"),
        ("sections.json", lambda c: c | {"sections": [{"key": "../x"}]}, "names a section wrongly"),
        ("sections.json", lambda c: c | {"sections": [{"key": "one"}]}, "'one' .* is damaged"),
        ("sections.json", lambda c: c | {"sections": [{"key": "none"}]}, r"no none\.json"),
        ("one.json", lambda c: {"rows": c}, "'one' .* is damaged"),
        ("one.json", lambda c: [3], "'one' .* is damaged"),
        ("one.json", lambda c: [{"a": [1]}], "'one' .* is damaged"),
    ],
)
def test_a_damaged_folder_is_said_to_be_one(name, change, reason, tmp_path: Path) -> None:
    write_sections([section()], tmp_path)
    spoiled(tmp_path, name, change)

    with pytest.raises(IfaError, match=reason):
        read_sections(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_table_that_is_no_json_is_damaged(content: bytes, tmp_path: Path) -> None:
    write_sections([section()], tmp_path)
    (tmp_path / "one.json").write_bytes(content)

    with pytest.raises(IfaError, match=r"one\.json in .* is damaged"):
        read_sections(tmp_path)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    write_sections([section()], tmp_path / "in")
    secret = tmp_path / "secret.json"
    secret.write_text('[{"a": "secret"}]')
    (tmp_path / "in" / "one.json").unlink()
    (tmp_path / "in" / "one.json").symlink_to(secret)

    with pytest.raises(IfaError, match=r"no one\.json"):
        read_sections(tmp_path / "in")


@pytest.mark.parametrize(
    "unwanted",
    [
        b"<svg><script>alert(1)</script></svg>",
        b'<!DOCTYPE svg [<!ENTITY a "b">]><svg/>',
        b'<svg><image href="http://example.org/a.png"/></svg>',
        b"<svg><use xlink:href = 'file:///etc/passwd#a'/></svg>",
        b'<svg><style>@import "a.css";</style></svg>',
        b'<svg><rect fill="url(http://example.org/#a)"/></svg>',
        b"<svg><foreignObject/></svg>",
        b"no picture",
    ],
)
def test_a_figure_with_code_or_addresses_is_not_taken(unwanted: bytes, tmp_path: Path) -> None:
    write_sections([section()], tmp_path)
    (tmp_path / "one.svg").write_bytes(unwanted)

    (found,) = read_sections(tmp_path)
    assert set(found.pictures) == {"png"}
    (tmp_path / "one.png").write_bytes(b"GIF89a")
    with pytest.raises(IfaError, match="figure of section 'one'"):
        read_sections(tmp_path)


def test_a_figure_of_ours_is_taken_with_its_images_and_marks(tmp_path: Path) -> None:
    def image() -> Figure:
        figure = drawing()
        figure.axes[0].imshow(np.eye(3), clip_on=True)
        return figure

    write_sections([section(draw=image)], tmp_path)
    content = (tmp_path / "one.svg").read_bytes()

    assert b"data:image/png" in content
    assert b"url(#" in content
    assert read_sections(tmp_path)[0].pictures["svg"] == content


def test_a_picture_too_large_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sections([section()], tmp_path)
    smaller = (tmp_path / "one.png").stat().st_size
    (tmp_path / "one.svg").write_bytes(b"<svg>" + b" " * smaller)
    monkeypatch.setattr(tables, "_LARGEST_PICTURE", smaller)

    assert set(read_sections(tmp_path)[0].pictures) == {"png"}


def test_a_section_without_a_figure_has_no_pictures() -> None:
    assert pictures_of(section(draw=None)) == {}
    stored = StoredSection("a", "A", "", "", (), pictures={"png": b"x"})
    assert pictures_of(stored) == {"png": b"x"}
