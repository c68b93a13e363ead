"""DICOMDIR: the series of the files it names, wherever and however a disc was copied."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicomdir import is_dicomdir, referenced_files
from napari_ifa.reading.problems import DiscNote, StudyProblem
from napari_ifa.reading.series_list import SkippedFiles

Save = Callable[..., Path]
#: Discs are written with lower-case names and full stops too, which pydicom warns about.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def write_dicomdir(path: Path, *names: list[str] | str) -> Path:
    """A DICOMDIR of image records alone, which is all that is looked at."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.DirectoryRecordSequence = []
    for name in names:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name
        data.DirectoryRecordSequence.append(record)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def left_out(found: object) -> dict[str, tuple[str, ...]]:
    return {entry.reason: entry.names for entry in found.skipped}  # type: ignore[attr-defined]


@pytest.fixture
def disc(save_series: Save) -> Path:
    """A folder with files of which the DICOMDIR names all but one."""
    folder = save_series(folder="disc/IMAGES")
    save_series(0, folder="disc/OTHER", SeriesInstanceUID="1.2.9", SeriesNumber=9)
    names = [["IMAGES", file.name] for file in sorted(folder.iterdir())]
    return write_dicomdir(folder.parent / "DICOMDIR", *names)


def test_the_series_of_the_files_named(disc: Path) -> None:
    (series,) = list_series(disc)
    assert (series.number, series.image_count, series.notes) == (7, 4, ())
    np.testing.assert_array_equal(
        read_volume(disc).array, read_volume(disc.parent / "IMAGES").array
    )
    assert [s.number for s in list_series(disc.parent)] == [7, 9]


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase, lambda n: f"{n};1"])
def test_discs_copied_with_names_in_another_case(disc: Path, change: Callable[[str], str]) -> None:
    for file in sorted((disc.parent / "IMAGES").iterdir()):
        file.rename(file.with_name(change(file.name)))
    (disc.parent / "IMAGES").rename(disc.parent / change("IMAGES"))
    (series,) = list_series(disc)
    assert series.image_count == 4


def test_missing_files_are_said(disc: Path) -> None:
    (disc.parent / "IMAGES" / "slice3.dcm").unlink()
    found = list_series(disc)
    (note,) = found[0].notes
    assert (note.kind, note.facts["count"]) == (DiscNote.FILES_MISSING, 1)
    assert left_out(found) == {"named by the DICOMDIR, but not there": ("slice3.dcm",)}
    # A stack that lost its last slice looks whole; the image says that it may not be.
    assert note in read_volume(disc).report.notes


def test_where_it_names_nothing_usable_its_folder_is_looked_into(disc: Path) -> None:
    write_dicomdir(disc, ["NOWHERE", "IM1"])
    assert [s.number for s in list_series(disc)] == [7, 9]
    disc.write_bytes(disc.read_bytes()[:400])
    assert [s.number for s in list_series(disc)] == [7, 9]
    disc.write_text("no DICOM at all")
    assert [s.number for s in list_series(disc)] == [7, 9]


def test_an_empty_disc(tmp_path: Path) -> None:
    path = write_dicomdir(tmp_path / "DICOMDIR", ["IMAGES", "IM1"])
    with pytest.raises(UnsupportedStudyError) as caught:
        list_series(path)
    assert caught.value.kind is StudyProblem.NO_IMAGE
    assert [caught.value.facts[name] for name in ("files", "without_image", "unreadable")] == [
        1,
        1,
        0,
    ]


@pytest.mark.parametrize(
    "name",
    [["..", "secret.dcm"], "../secret.dcm", ["IMAGES", "..", "..", "secret.dcm"], ["LINK"],
     ["LINKED", "secret.dcm"], ["C:", "secret.dcm"]],
)  # fmt: skip
def test_files_outside_its_folder_are_never_read(
    disc: Path, save_series: Save, name: list[str] | str
) -> None:
    secret = save_series(0, folder="secret", SeriesNumber=66, SeriesInstanceUID="1.2.66")
    shutil.move(secret / "slice0.dcm", disc.parent.parent / "secret.dcm")
    (disc.parent / "LINK").symlink_to(disc.parent.parent / "secret.dcm")
    (disc.parent / "LINKED").symlink_to(disc.parent.parent, target_is_directory=True)
    write_dicomdir(disc, name, ["IMAGES", "slice0.dcm"])
    found = list_series(disc)
    assert [s.number for s in found] == [7]
    assert list(left_out(found)) == ["named by the DICOMDIR, but outside its folder"]


def test_an_absolute_path_counts_from_its_folder(disc: Path) -> None:
    write_dicomdir(disc, "/IMAGES/slice0.dcm", "IMAGES/slice1.dcm")
    assert list_series(disc)[0].image_count == 2


def test_it_is_known_by_name_or_content(disc: Path, save_series: Save) -> None:
    renamed = disc.with_name("index.dcm")
    shutil.copy(disc, renamed)
    assert is_dicomdir(disc)
    assert is_dicomdir(renamed)
    assert not is_dicomdir(save_series(0, folder="x") / "slice0.dcm")
    assert [s.number for s in list_series(renamed)] == [7]


def test_stop(disc: Path) -> None:
    with pytest.raises(Cancelled):
        referenced_files(disc, SkippedFiles(), lambda: True)


@pytest.mark.parametrize(
    "name",
    [f"DICOMDIR{kind}" for kind in ("", "-bigEnd", "-implicit", "-nooffset", "-reordered")],
)
def test_those_of_pydicom_name_the_files_that_pydicom_finds(name: str) -> None:
    path = get_testdata_file(f"dicomdirtests/{name}", download=False) or get_testdata_file(name)
    assert path is not None
    folder = Path(path).parent
    skipped = SkippedFiles()
    files = referenced_files(folder / name, skipped)
    expected = {Path(item.path) for item in FileSet(folder / "DICOMDIR")}
    assert len(files) == len(set(files)) == 31
    assert {file.resolve() for file in files} == {file.resolve() for file in expected}
    assert skipped.entries() == ()


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    kept=st.floats(0.3, 1),
)
def test_a_changed_dicomdir_names_only_files_that_are_there(
    disc: Path, changes: list[tuple[float, int]], kept: float
) -> None:
    original = disc.with_name("original")
    if not original.exists():
        shutil.copy(disc, original)
    data = bytearray(original.read_bytes())
    for place, value in changes:
        data[int(place * len(data))] = value
    disc.write_bytes(data[: int(kept * len(data))])
    files = referenced_files(disc, SkippedFiles())
    assert all(file.is_file() and file.is_relative_to(disc.parent) for file in files)
    assert [s.number for s in list_series(disc)] in ([7], [7, 9])
