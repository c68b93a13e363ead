"""Which files of a tree of folders are looked into."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from napari_ifa.errors import Cancelled
from napari_ifa.reading.folder import files_below, files_beside
from napari_ifa.reading.series_list import SkippedFiles


def below(root: Path) -> tuple[list[str], dict[str, tuple[str, ...]]]:
    skipped = SkippedFiles()
    files = [file.relative_to(root).as_posix() for file in files_below(root, skipped)]
    return files, {entry.reason: entry.names for entry in skipped.entries()}


def write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_files_of_a_folder_come_before_those_below_it_and_by_name(tmp_path: Path) -> None:
    write(tmp_path, "b/2", "b/1", "a/x/1", "a/2", "z", "c")
    assert below(tmp_path) == (["c", "z", "a/2", "a/x/1", "b/1", "b/2"], {})


def test_what_systems_and_tools_leave_is_passed_over(tmp_path: Path) -> None:
    write(
        tmp_path, "IM1", "._IM1", "Thumbs.db", ".DS_Store", "desktop.ini", "__MACOSX/IM1",
        ".git/objects/IM1", "@eaDir/IM1", ".hidden.dcm",
    )  # fmt: skip
    assert below(tmp_path) == ([".hidden.dcm", "IM1"], {})


def test_links(tmp_path: Path) -> None:
    write(tmp_path, "study/IM1", "elsewhere/IM2")
    study = tmp_path / "study"
    (study / "circle").symlink_to(study, target_is_directory=True)
    (study / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (study / "IM2").symlink_to(tmp_path / "elsewhere" / "IM2")
    (study / "nowhere").symlink_to(tmp_path / "nowhere")
    (study / "self").symlink_to(study / "self")
    files, skipped = below(study)
    assert files == ["IM1", "IM2"]
    # Folders are counted, and not named: they are often called by the patient.
    assert skipped["link to another folder, not followed"] == ()
    assert sorted(skipped["neither a file nor a folder"]) == ["nowhere", "self"]


@pytest.mark.skipif(os.name != "posix", reason="pipes and sockets in folders are of Unix")
def test_pipes_and_sockets_are_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "IM1")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("socket")
        files, skipped = below(tmp_path)
    assert files == ["IM1"]
    assert sorted(skipped["neither a file nor a folder"]) == ["pipe", "socket"]


def test_folders_that_may_not_be_read_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "IM1", "locked/IM2")
    real = os.scandir

    def guarded(folder: str) -> object:
        if os.path.basename(folder) == "locked":
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    assert below(tmp_path) == (["IM1"], {"folder that may not be read": ()})


def test_a_tree_deeper_than_functions_may_call_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    depth = sys.getrecursionlimit() + 100
    for _ in range(depth):
        os.mkdir("a")
        os.chdir("a")
    write(Path(), "IM1")
    try:
        assert below(tmp_path) == ([f"{'a/' * depth}IM1"], {})
    finally:
        # What clears the folders of tests away does not go that deep.
        os.remove("IM1")
        for _ in range(depth):
            os.chdir("..")
            os.rmdir("a")


def test_stop_and_progress_in_a_wide_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ifa.reading.folder.OFTEN", 10)
    write(tmp_path, *map(str, range(25)))
    seen: list[tuple[int, int]] = []
    files_below(tmp_path, SkippedFiles(), lambda done, total: seen.append((done, total)))
    assert seen == [(0, 11), (0, 21)]
    asked = iter(range(2))
    with pytest.raises(Cancelled):
        files_below(tmp_path, SkippedFiles(), stop=lambda: next(asked, None) is None)
    with pytest.raises(Cancelled):
        files_beside(tmp_path / "7", SkippedFiles(), stop=lambda: True)


def test_files_beside_one_are_those_of_its_folder_alone(tmp_path: Path) -> None:
    write(tmp_path, "b", "._b", "a", "below/c")
    assert [file.name for file in files_beside(tmp_path / "b", SkippedFiles())] == ["a", "b"]
    assert [file.name for file in files_beside(tmp_path / "._b", SkippedFiles())] == [
        "._b",
        "a",
        "b",
    ]
