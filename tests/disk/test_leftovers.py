"""What ended processes leave is removed, and nothing else is."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from napari_ifa.disk import WorkFolder, clear_leftovers, whole_file
from napari_ifa.disk.cache import cache_folder
from napari_ifa.disk.leftovers import MARK

if sys.platform == "win32":
    pytest.skip("children are forked", allow_module_level=True)

OWNER, TOKEN = "a" * 32, "b" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_IFA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "napari-ifa"


def left_by_a_child(place: Path) -> Path:
    """A folder of work of a process that ended without a word."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        work = WorkFolder(place)
        (work.path / "patient").mkdir()
        (work.path / "patient" / "image").write_text("DOE^JANE")
        os.write(writing, str(work.path).encode())
        os._exit(1)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as stream:
        return Path(stream.read())


def test_what_a_process_left_goes_and_what_is_in_use_stays(tmp_path: Path) -> None:
    mine = WorkFolder(tmp_path)
    (mine.path / "image").write_text("in use")
    left = left_by_a_child(tmp_path)
    assert (left / "patient" / "image").is_file()

    assert clear_leftovers() == 1

    assert not left.exists()
    assert (mine.path / "image").read_text() == "in use"
    mine.remove()
    assert not mine.path.exists()
    assert clear_leftovers() == 0


def test_the_first_work_of_a_process_clears_too(tmp_path: Path) -> None:
    left = left_by_a_child(tmp_path)
    child = os.fork()
    if child == 0:
        with whole_file(tmp_path / "a.csv", "table") as part:
            part.write_text("a")
        os._exit(0)
    os.waitpid(child, 0)
    assert not left.exists()


def test_work_in_use_by_another_process_stays(tmp_path: Path) -> None:
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        work = WorkFolder(tmp_path)
        os.write(ready[1], str(work.path).encode())
        os.read(done[0], 1)
        os._exit(0)
    path = Path(os.read(ready[0], 1000).decode())
    assert clear_leftovers() == 0
    assert path.is_dir()
    os.write(done[1], b"x")
    os.waitpid(child, 0)
    assert clear_leftovers() == 1


def entry(cache: Path, folder: object, token: str = TOKEN, text: str | None = None) -> Path:
    """A register entry of a process that is gone."""
    cache_folder()
    work = cache / "work"
    work.mkdir(mode=0o700, exist_ok=True)
    (work / f"{OWNER}.lock").touch()
    file = work / f"{OWNER}-{token}.json"
    content = json.dumps({"folder": folder, "token": token}) if text is None else text
    file.write_text(content)
    return file


def test_a_damaged_or_forged_register_removes_nothing_of_others(
    tmp_path: Path, cache: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.docx").write_text("mine")
    named = tmp_path / f".napari-ifa-{TOKEN}"
    named.mkdir()
    (named / "thesis.docx").write_text("mine")
    marked = tmp_path / "marked"
    marked.mkdir()
    (marked / MARK).write_text(TOKEN)
    (marked / "thesis.docx").write_text("mine")
    other_mark = tmp_path / f"napari-ifa-{'c' * 32}"
    other_mark.mkdir()
    (other_mark / MARK).write_text(TOKEN)
    (other_mark / "thesis.docx").write_text("mine")
    link = tmp_path / f"napari-ifa-{TOKEN}"
    link.symlink_to(marked)
    forged = [str(mine), str(named), str(marked), str(other_mark), str(link), str(tmp_path)]
    forged += ["/", "", "relative", f"{mine}/../mine", 3, None, ["x"], "a\0b", "~"]

    for folder in forged:
        entry(cache, folder)
        assert clear_leftovers() == 0
    for text in ("", "[]", "{", "[" * 10_000, '{"folder": 1}'):
        entry(cache, "", text=text)
        assert clear_leftovers() == 0

    kept = [mine, named, marked, other_mark]
    assert all((folder / "thesis.docx").read_text() == "mine" for folder in kept)
    assert link.is_symlink()
    assert not list((cache / "work").glob("*.json"))


def test_a_link_in_what_was_left_is_not_followed(tmp_path: Path, cache: Path) -> None:
    outside = tmp_path / "study"
    outside.mkdir()
    (outside / "slice.dcm").write_text("mine")
    folder = tmp_path / f"napari-ifa-{TOKEN}"
    folder.mkdir()
    (folder / MARK).write_text(TOKEN)
    (folder / "link").symlink_to(outside)
    (folder / "new").symlink_to(outside)
    listed = {"folder": str(outside), "new": {"slice.dcm": [1, 2, 3], "../x": []}, "goes": []}
    (folder / "exchange.json").write_text(json.dumps(listed))
    entry(cache, str(folder))

    assert clear_leftovers() == 1

    assert not folder.exists()
    assert (outside / "slice.dcm").read_text() == "mine"


def test_a_file_that_came_after_an_interrupted_exchange_is_kept(
    tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.csv").write_text("came since")
    folder = tmp_path / f"napari-ifa-{TOKEN}"
    for name in ("new", "before"):
        (folder / name).mkdir(parents=True)
    (folder / MARK).write_text(TOKEN)
    (folder / "before" / "a.csv").write_text("old")
    (folder / "before" / "b.csv").write_text("old")
    (folder / "new" / "b.csv").write_text("new")
    listed = {"folder": str(out), "new": {"a.csv": [1, 2, 3], "b.csv": [4, 5, 6]},
              "goes": ["a.csv", "b.csv"]}  # fmt: skip
    (folder / "exchange.json").write_text(json.dumps(listed))
    entry(cache, str(folder))

    assert clear_leftovers() == 1

    found = {path.name: path.read_text() for path in out.iterdir()}
    assert found == {"a.csv": "came since", "b.csv": "old"}


def test_work_whose_lock_was_lost_is_left_over_too(tmp_path: Path, cache: Path) -> None:
    """As a power cut may leave it."""
    folder = tmp_path / f"napari-ifa-{TOKEN}"
    folder.mkdir()
    (folder / MARK).write_text(TOKEN)
    entry(cache, str(folder))
    (cache / "work" / f"{OWNER}.lock").unlink()
    assert clear_leftovers() == 1
    assert not folder.exists()
    assert not list((cache / "work").glob(f"{OWNER}*"))


def test_a_disk_that_is_not_there_is_looked_at_another_time(tmp_path: Path, cache: Path) -> None:
    away = entry(cache, str(tmp_path / "unplugged" / f".napari-ifa-{TOKEN}"))
    assert clear_leftovers() == 0
    assert away.is_file()
    folder = tmp_path / "unplugged" / f".napari-ifa-{TOKEN}"
    folder.mkdir(parents=True)
    (folder / MARK).write_text(TOKEN)
    assert clear_leftovers() == 1
    assert not away.exists()


def test_the_cache_is_for_this_user_alone(tmp_path: Path, cache: Path, monkeypatch) -> None:
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    assert cache_folder() == cache
    assert cache.stat().st_mode & 0o777 == 0o700
    cache.rmdir()
    cache.symlink_to(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    assert cache_folder() == tmp_path / f"napari-ifa-cache-{os.getuid()}"


@pytest.mark.parametrize("broken", ["a user that is not there", "no home"])
def test_without_a_home_the_cache_lies_among_the_temporary_files(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    if broken == "no home":
        monkeypatch.delenv("NAPARI_IFA_CACHE_DIR")
        monkeypatch.setattr(
            "napari_ifa.disk.cache.user_cache_path", lambda *_: Path("~/.cache/napari-ifa")
        )
    else:
        monkeypatch.setenv("NAPARI_IFA_CACHE_DIR", "~nobody-of-this-name/cache")

    assert cache_folder() == tmp_path / f"napari-ifa-cache-{os.getuid()}"
    assert not (tmp_path / "~").exists()


def test_without_any_place_for_the_cache_it_is_said_what_to_do(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir()
    cache.write_text("a file of the user")
    (tmp_path / f"napari-ifa-cache-{os.getuid()}").write_text("another one")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)

    with pytest.raises(OSError, match="NAPARI_IFA_CACHE_DIR"):
        cache_folder()

    assert cache.read_text() == "a file of the user"
