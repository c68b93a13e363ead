"""A folder of sections: written whole, read back whoever it came from."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from napari_ifa.errors import ExistingOutputError, IfaError
from napari_ifa.export.problems import ExportProblem
from napari_ifa.export.tables import read_folder, stored, write_sections
from tests.problems import refused
from tests.sections import drawing, section


def test_sections_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = write_sections([section(), section("two", draw=None, rows=())], tmp_path / "new")

    names = [path.name for path in written]
    assert names == [
        *["one.csv", "one.json", "one.md", "one.png", "one.svg"],
        *["two.csv", "two.json", "two.md", "summary.md", "sections.json"],
    ]
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(names)
    one, two = read_folder(tmp_path / "new").sections
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


def test_what_sections_were_made_from_stands_in_the_index_and_at_the_top(tmp_path: Path) -> None:
    made_from = {
        "command": "evaluate",
        "model_name": "heads <1>",
        "model_weights": "0123456789abcdef",
        "model_layer": "last",
        "method": "gradcam",
        "cohort_name": "heads",
        "cohort_split": "training",
        "evaluated_cohort_name": "heads",
        "evaluated_cohort_split": "",
        "basis": "voxels",
        "top": "5 %",
    }
    write_sections([section()], tmp_path, made_from)

    assert read_folder(tmp_path).provenance == made_from
    assert [one.key for one in read_folder(tmp_path).sections] == ["one"]
    lines = (tmp_path / "summary.md").read_text("utf-8").splitlines()
    assert lines[2] == (
        "Evaluated on heads, all splits, basis voxels, top 5 %; scale and features from the"
        " analysis of heads, split training."
    )
    assert lines[4] == (
        "Model “heads &lt;1>” (SHA-256 of its weights 0123456789ab), layer last, method gradcam."
    )
    with pytest.raises(ExistingOutputError):
        write_sections([section()], tmp_path)
    write_sections([section()], tmp_path, made_from)
    write_sections([section()], tmp_path, overwrite=True)
    assert read_folder(tmp_path).provenance == {}


@pytest.mark.parametrize(("rows", "inline"), [(15, True), (16, False)])
def test_the_page_to_begin_with_holds_short_tables(rows: int, inline: bool, tmp_path: Path) -> None:
    table = tuple({"case": f"c{n}", "value": n} for n in range(rows))
    write_sections([section(rows=table, draw=None)], tmp_path)

    page = (tmp_path / "summary.md").read_text("utf-8")

    assert ("| case | value |\n| --- | ---: |\n| c0 | 0 |\n" in page) is inline
    assert f"{rows} rows. Files:" in page


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_files_of_an_earlier_run_go_and_others_stay(tmp_path: Path) -> None:
    write_sections([section(), section("two")], tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "three.csv").write_text("mine too")

    written = write_sections([section(draw=None)], tmp_path, overwrite=True)

    assert {path.name for path in tmp_path.iterdir()} == {
        *(path.name for path in written),
        *("notes.txt", "three.csv"),
    }
    assert not (tmp_path / "one.png").exists(), "the figure that is no longer drawn"


@pytest.mark.parametrize("last", [1, 4, 6, 7])
def test_a_full_disk_leaves_the_folder_as_it_was(
    last: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sections([section(), section("old")], tmp_path / "a")
    before = contents(tmp_path)
    written = []
    original = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        written.append(self.name)
        if len(written) == last:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with refused(IfaError, ExportProblem.NOT_WRITTEN) as caught:
        write_sections([section(meaning="It is new.")], tmp_path / "a", overwrite=True)
    assert "No space left on device" in caught.value.facts["reason"]
    assert contents(tmp_path) == before
    written.clear()
    with pytest.raises(IfaError, match="No space left"):
        write_sections([section()], tmp_path / "b" / "c")
    assert [path.name for path in tmp_path.iterdir()] == ["a"], "no new folder is left"


def test_a_file_that_cannot_be_moved_in_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    write_sections([section(), section("old")], tmp_path)
    (tmp_path / "two.md").mkdir()
    (tmp_path / "two.md" / "mine.txt").write_text("kept")
    before = contents(tmp_path)

    with pytest.raises(IfaError, match=r"two\.md is there already and holds something else"):
        write_sections([section(meaning="It is new."), section("two")], tmp_path, overwrite=True)

    assert contents(tmp_path) == before
    assert [one.key for one in read_folder(tmp_path).sections] == ["one", "old"]


@pytest.mark.parametrize("keys", [["../x"], ["a/b"], [""], ["a", "A"], ["summary"], [".a"]])
def test_a_key_that_is_no_file_name_of_its_own_is_refused(keys, tmp_path: Path) -> None:
    with refused(IfaError, ExportProblem.WRONG_KEY):
        write_sections([section(key) for key in keys], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_where_the_folder_should_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    with refused(IfaError, ExportProblem.NOT_WRITTEN):
        write_sections([section()], tmp_path / "taken")


def test_a_folder_without_sections_is_said_so(tmp_path: Path) -> None:
    with refused(IfaError, ExportProblem.NO_SECTIONS, file="sections.json"):
        read_folder(tmp_path / "nowhere")


def spoiled(folder: Path, name: str, change) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(change(content)))


@pytest.mark.parametrize(
    ("name", "change", "kind"),
    [
        ("sections.json", lambda c: [], ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"version": 9}, ExportProblem.OTHER_VERSION),
        ("sections.json", lambda c: c | {"sections": 3}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"provenance": [1]}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"provenance": {"a": 1}}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"sections": [3]}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"sections": [{"key": "../x"}]}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"sections": [{"key": "one"}]}, ExportProblem.DAMAGED),
        ("sections.json", lambda c: c | {"sections": [{"key": "none"}]}, ExportProblem.NO_SECTIONS),
        ("one.json", lambda c: {"rows": c}, ExportProblem.DAMAGED),
        ("one.json", lambda c: [3], ExportProblem.DAMAGED),
        ("one.json", lambda c: [{"a": [1]}], ExportProblem.DAMAGED),
    ],
)
def test_a_damaged_folder_is_said_to_be_one(name, change, kind, tmp_path: Path) -> None:
    write_sections([section()], tmp_path)
    spoiled(tmp_path, name, change)

    with refused(IfaError, kind):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_table_that_is_no_json_is_damaged(content: bytes, tmp_path: Path) -> None:
    write_sections([section()], tmp_path)
    (tmp_path / "one.json").write_bytes(content)

    with refused(IfaError, ExportProblem.DAMAGED, file="one.json"):
        read_folder(tmp_path)


def test_no_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    write_sections([section()], tmp_path / "in")
    secret = tmp_path / "secret.json"
    secret.write_text('[{"a": "secret"}]')
    (tmp_path / "in" / "one.json").unlink()
    (tmp_path / "in" / "one.json").symlink_to(secret)

    with refused(IfaError, ExportProblem.NO_SECTIONS, file="one.json"):
        read_folder(tmp_path / "in")


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

    (found,) = read_folder(tmp_path).sections
    assert set(found.pictures) == {"png"}
    (tmp_path / "one.png").write_bytes(b"GIF89a")
    with refused(IfaError, ExportProblem.DAMAGED, section="one"):
        read_folder(tmp_path)


def test_a_figure_of_ours_is_taken_with_its_images_and_marks(tmp_path: Path) -> None:
    def image() -> Figure:
        figure = drawing()
        figure.axes[0].imshow(np.eye(3), clip_on=True)
        return figure

    write_sections([section(draw=image)], tmp_path)
    content = (tmp_path / "one.svg").read_bytes()

    assert b"data:image/png" in content
    assert b"url(#" in content
    assert read_folder(tmp_path).sections[0].pictures["svg"] == content


def test_a_picture_too_large_is_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sections([section()], tmp_path)
    smaller = (tmp_path / "one.png").stat().st_size
    (tmp_path / "one.svg").write_bytes(b"<svg>" + b" " * smaller)
    monkeypatch.setattr(stored, "_LARGEST_PICTURE", smaller)

    assert set(read_folder(tmp_path).sections[0].pictures) == {"png"}
