"""Zip archives: the same images as from the folder, and nothing that an archive asks for itself."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.archive import UnpackedArchive, unpack
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.reading.series_list import SkippedFiles
from tests.problems import refused

Save = Callable[..., Path]


@pytest.fixture(autouse=True)
def unpacked_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where archives are unpacked; nothing may be left there."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    if list(place.iterdir()):
        # A caught error may still hold on to what was read.
        gc.collect()
    assert list(place.iterdir()) == []


@pytest.fixture
def content(save_series: Save) -> bytes:
    """One DICOM file."""
    return (save_series(0, folder="one") / "slice0.dcm").read_bytes()


def packed(folder: Path, path: Path, inside: str = "DICOM") -> Path:
    """A folder as a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, f"{inside}/{file.relative_to(folder)}")
    return path


def problem(path: Path) -> StudyProblem:
    """Why ``path`` is not opened; a person reads one line, which begins with its name."""
    with pytest.raises(UnsupportedStudyError) as caught:
        list_series(path)
    assert str(caught.value).startswith(f"{path.name}: ")
    assert "\n" not in str(caught.value)
    return caught.value.kind


def unpacked_names(path: Path) -> tuple[set[str], dict[str, int]]:
    """Places of what is unpacked, and how many members were left out for each reason."""
    skipped = SkippedFiles()
    archive = unpack(path, skipped)
    files = {
        file.relative_to(archive.folder).as_posix()
        for file in archive.folder.rglob("*")
        if file.is_file()
    }
    return files, {entry.reason: entry.count for entry in skipped.entries()}


def test_an_archive_opens_as_its_folder_does(
    save_series: Save, tmp_path: Path, unpacked_here: Path
) -> None:
    folder = save_series()
    path = packed(folder, tmp_path / "study.zip")
    (series,) = list_series(path)
    expected = read_volume(folder)
    for volume in (read_volume(path), read_volume(series), read_volume(path, series.key)):
        np.testing.assert_array_equal(volume.array, expected.array)
        np.testing.assert_array_equal(volume.affine, expected.affine)
    assert series.title == "CT, made by hand, 4 images"
    if os.name == "posix":
        (private, *_) = unpacked_here.iterdir()
        assert stat.S_IMODE(private.stat().st_mode) == 0o700


def test_keys_are_the_same_at_every_scan(
    save_series: Save, save_nifti: Save, tmp_path: Path
) -> None:
    # Neither a UID nor a number: only the place in the archive tells these two apart.
    for name in "ab":
        save_series(folder=f"study/{name}", SeriesInstanceUID=None, SeriesNumber=None)
    folder = save_series(folder="study/c")
    image = save_nifti(np.zeros((2, 3, 4), np.int16))
    shutil.move(image, folder / image.name)
    path = packed(tmp_path / "study", tmp_path / "study.zip")
    first, again = list_series(path), list_series(path)
    assert [s.key for s in first] == [s.key for s in again]
    assert len({s.key for s in first}) == 4
    assert {s.description for s in first} == {"made by hand", "image"}


def test_files_last_as_long_as_a_series_or_volume_needs_them(
    save_series: Save, tmp_path: Path, unpacked_here: Path
) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    series = list_series(path)
    volume = read_volume(series[0])
    del series
    (folder,) = unpacked_here.iterdir()
    frame = volume.source.frames[0]
    assert frame is not None
    assert frame.image.path.is_relative_to(folder)
    assert frame.image.path.exists()
    derived = volume.with_array(volume.array * 2)
    del volume
    assert frame.image.path.exists()
    del derived
    assert not folder.exists()


def test_files_are_removed_when_the_program_ends(save_series: Save, tmp_path: Path) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    program = (
        "import tempfile; from napari_ifa.reading import list_series;"
        f"keep = list_series({str(path)!r}); print(keep[0].files[0])"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    file = Path(told.stdout.strip())
    assert file.name == "slice0.dcm"
    assert not file.exists()


def test_a_copy_keeps_the_files_and_another_process_does_not() -> None:
    archive = UnpackedArchive()
    assert copy.deepcopy(archive) is archive
    assert pickle.loads(pickle.dumps(archive)) is None
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            del archive
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        assert archive.folder.is_dir()


def test_only_what_may_be_an_image_is_unpacked(
    content: bytes, save_nifti: Save, tmp_path: Path
) -> None:
    path = tmp_path / "study.zip"
    nifti = save_nifti(np.zeros((2, 3, 4), np.int16)).read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("DICOM/", b"")
        archive.writestr("DICOM/IM1", content)
        archive.writestr("DICOM/IM2", content[128 + 4 :])
        archive.writestr("image.nii.gz", nifti)
        archive.writestr("viewer/icon.png", b"\x89PNG\r\n\x1a\n" + bytes(200))
        archive.writestr("viewer/viewer.exe", b"MZ" + bytes(500))
        archive.writestr("letter.txt", "Dear colleague")
        archive.writestr("inner.zip", zipped(content))
        archive.writestr("__MACOSX/DICOM/._IM1", content)
        archive.writestr("DICOM/._IM1", content)
    files, reasons = unpacked_names(path)
    assert files == {"DICOM/IM1", "DICOM/IM2", "image.nii.gz", "viewer/icon.png"}
    assert reasons == {
        "neither DICOM, NIfTI, PNG nor JPEG": 2,
        "archive, to be opened by itself": 1,
    }


def zipped(content: bytes) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("IM1", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name",
    ["../out.dcm", "a/../../out.dcm", "/etc/out.dcm", "C:\\out.dcm", "c:out.dcm", "..\\out.dcm",
     "\\\\server\\share\\out.dcm", "a/..", "..", "."],
)  # fmt: skip
def test_names_that_lead_out_are_left_out(content: bytes, tmp_path: Path, name: str) -> None:
    path = tmp_path / "deep" / "study.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
        archive.writestr("in.dcm", content)
    before = set(tmp_path.rglob("*"))
    files, reasons = unpacked_names(path)
    assert files == {"in.dcm"}
    assert reasons == {"name in the archive that leads out of it": 1}
    assert set(tmp_path.rglob("*")) == before


def test_names_are_made_ones_that_any_system_takes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    names = {
        "a/con.dcm": "a/_con.dcm",
        'b/what?<"*|>.dcm': "b/what______.dcm",
        "c /d./e.dcm": "c/d/e.dcm",
        "./f//g.dcm": "f/g.dcm",
        "h\\i.dcm": "h/i.dcm",
        "~1/j.dcm": "_~1/j.dcm",
        "Scha\u0308del.dcm": "Sch\u00e4del.dcm",
        "k\x1b[31m.dcm": "k_[31m.dcm",
        "l" * 300 + ".nii": "_" + "l" * 115 + ".nii",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    files, _ = unpacked_names(path)
    assert files == set(names.values())


def test_files_of_one_deep_folder_stay_together(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for folder in ("x", "y"):
            for name in "ab":
                archive.writestr(f"{f'{folder}/' * 100}{name}.dcm", content)
    files, _ = unpacked_names(path)
    folders = sorted(str(Path(file).parent) for file in files)
    assert len(files) == 4
    assert folders[0] == folders[1] != folders[2] == folders[3]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_clash_are_all_unpacked(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", content)
        archive.writestr("a.dcm", content)
        archive.writestr("a.dcm/b.dcm", content)
        archive.writestr("c/d.dcm", content)
        archive.writestr("c", content)
    files, _ = unpacked_names(path)
    assert files == {"a.dcm", "~1/a.dcm", "~2/b.dcm", "c/d.dcm", "~4/c"}


def test_links_and_devices_are_left_out(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "study.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", content)
        for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR):
            member = zipfile.ZipInfo(f"{kind}.dcm")
            member.create_system = 3
            member.external_attr = (kind | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
    assert unpacked_names(path) == ({"a.dcm"}, {"link or device in the archive": 3})


def changed(path: Path, offset: int, value: bytes, mark: bytes, everywhere: bool = True) -> None:
    """Overwrite ``value`` at ``offset`` from each ``mark``."""
    data = bytearray(path.read_bytes())
    at = data.find(mark)
    while at >= 0:
        data[at + offset : at + offset + len(value)] = value
        at = data.find(mark, at + 1) if everywhere else -1
    path.write_bytes(data)


_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def test_encrypted_archives(save_series: Save, tmp_path: Path) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    changed(path, 6, b"\x01\x00", _LOCAL)
    changed(path, 8, b"\x01\x00", _CENTRAL)
    assert problem(path) is StudyProblem.ENCRYPTED


@pytest.mark.parametrize("method", [9, 14, 93, 98])
def test_other_kinds_of_compression(save_series: Save, tmp_path: Path, method: int) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    changed(path, 8, method.to_bytes(2, "little"), _LOCAL)
    changed(path, 10, method.to_bytes(2, "little"), _CENTRAL)
    with refused(UnsupportedStudyError, StudyProblem.COMPRESSION, method=method):
        list_series(path)


def test_a_damaged_file_is_not_left_out_of_its_series(save_series: Save, tmp_path: Path) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    # The check sum of one slice: without it the stack would be a slice short.
    changed(path, 16, b"\0\0\0\0", _CENTRAL, everywhere=False)
    assert problem(path) is StudyProblem.DAMAGED_MEMBER


def test_incomplete_and_empty_archives(save_series: Save, tmp_path: Path) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    data = path.read_bytes()
    half = tmp_path / "half.zip"
    half.write_bytes(data[: len(data) // 2])
    assert problem(half) is StudyProblem.DAMAGED_ARCHIVE
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w"):
        pass
    assert problem(empty) is StudyProblem.EMPTY_ARCHIVE
    letters = tmp_path / "letters.zip"
    with zipfile.ZipFile(letters, "w") as archive:
        archive.writestr("a.txt", "a")
        archive.writestr("b.txt", "b")
    assert problem(letters) is StudyProblem.NO_IMAGE


def test_an_archive_that_claims_too_much_is_refused_before_unpacking(
    save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    bomb = tmp_path / "bomb.zip"
    shutil.copy(path, bomb)
    changed(bomb, 24, (2**32 - 2).to_bytes(4, "little"), _CENTRAL)
    assert problem(bomb) is StudyProblem.CLAIMS_TOO_MUCH
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2000))
    assert problem(path) is StudyProblem.NO_SPACE


def test_a_bomb_never_gives_more_than_it_claims(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", content + bytes(10 * 2**20))
    changed(path, 24, (2000).to_bytes(4, "little"), _CENTRAL)
    assert problem(path) is StudyProblem.DAMAGED_MEMBER


def test_too_many_files(save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    claims = tmp_path / "claims" / "study.zip"
    claims.parent.mkdir()
    shutil.copy(path, claims)
    changed(claims, 12, (2**31).to_bytes(4, "little"), _END)
    assert problem(claims) is StudyProblem.TOO_MANY_FILES
    monkeypatch.setattr("napari_ifa.reading.archive.MOST_MEMBERS", 3)
    assert problem(path) is StudyProblem.TOO_MANY_FILES


def test_progress_and_stop(save_series: Save, tmp_path: Path, unpacked_here: Path) -> None:
    path = packed(save_series(), tmp_path / "study.zip")
    seen: list[tuple[int, int]] = []
    list_series(path, progress=lambda done, total: seen.append((done, total)))
    # Unpacked, then looked into.
    assert seen == [(k, 4) for k in range(5)] + [(k, 4) for k in range(1, 5)]
    for patience in (0, 3, 6, 9):
        asked = iter(range(patience))
        with pytest.raises(Cancelled):
            list_series(path, stop=lambda asked=asked: next(asked, None) is None)
        gc.collect()
        assert list(unpacked_here.iterdir()) == []


def test_other_archives_are_named(tmp_path: Path) -> None:
    import tarfile

    beginnings = {
        "a.7z": b"7z\xbc\xaf\x27\x1c",
        "a.rar": b"Rar!\x1a\x07\x00",
        "a.gz": b"\x1f\x8b\x08",
        "a.bz2": b"BZh9",
        "a.xz": b"\xfd7zXZ\x00",
    }
    for name, start in beginnings.items():
        (tmp_path / name).write_bytes(start + bytes(600))
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "a.gz", "a.gz")
    for name in (*beginnings, "a.tar"):
        assert problem(tmp_path / name) is StudyProblem.OTHER_ARCHIVE


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
    kept=st.floats(0.2, 1),
)
def test_a_changed_archive_is_opened_or_refused_in_one_sentence(
    save_series: Save, tmp_path: Path, changes: list[tuple[float, int]], kept: float
) -> None:
    original = tmp_path / "original.zip"
    if not original.exists():
        packed(save_series(), original)
    data = bytearray(original.read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    path = tmp_path / "changed.zip"
    path.write_bytes(data[: int(kept * len(data))] if kept < 0.9 else data)
    try:
        found = list_series(path)
    except UnsupportedStudyError as error:
        said = str(error)
        assert said.startswith("changed.zip: ")
    else:
        assert all(file.exists() for series in found for file in series.files)
