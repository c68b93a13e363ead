"""Files and folders that appear whole or not at all, and never over something else."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from napari_ifa.disk import Kind, WorkFolder, check_not_read, whole_file, whole_folder
from napari_ifa.disk.problems import PlaceProblem as Problem
from napari_ifa.errors import ExistingOutputError, IfaError
from tests.problems import refused


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAPARI_IFA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "napari-ifa"


def write(target: Path, kind: Kind = "table", overwrite: bool = False, text: str = "new") -> None:
    with whole_file(target, kind, overwrite=overwrite) as part:
        part.write_text(text)


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", text="old")
    with pytest.raises(ExistingOutputError) as caught:
        write(tmp_path / "a.csv")
    assert caught.value.path == tmp_path / "a.csv"
    assert (tmp_path / "a.csv").read_text() == "old"
    write(tmp_path / "a.csv", overwrite=True)
    assert (tmp_path / "a.csv").read_text() == "new"


THESIS = b"PK\x03\x04thesis\0"


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("analysis", THESIS),
        ("analysis", b"CDF\x01other"),
        ("NIfTI", THESIS),
        ("DICOM", THESIS + bytes(200)),
        ("PNG", b"GIF89a"),
        ("HTML", b"<html>my own page</html>"),
        ("table", THESIS),
    ],
)
def test_a_file_of_another_kind_is_never_replaced(kind, content, tmp_path: Path) -> None:
    target = tmp_path / "thesis.docx"
    target.write_bytes(content)
    with refused(IfaError, Problem.ANOTHER_FILE, kind_of_file=kind):
        write(target, kind, overwrite=True)
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir() if path.name != "cache"] == ["thesis.docx"]


def test_an_hdf5_file_of_something_else_is_no_analysis(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "image.nc", "w") as file:
        file["minc-2.0/image"] = [1, 2, 3]
    before = (tmp_path / "image.nc").read_bytes()
    with refused(IfaError, Problem.ANOTHER_FILE, kind_of_file="analysis"):
        write(tmp_path / "image.nc", "analysis", overwrite=True)
    assert (tmp_path / "image.nc").read_bytes() == before


def test_a_damaged_analysis_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))
    write(tmp_path / "a.nc", "analysis", overwrite=True)
    (tmp_path / "b.nc").touch()
    write(tmp_path / "b.nc", "analysis", overwrite=True)


def test_folders_and_devices_are_no_files_to_replace(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with refused(IfaError, Problem.A_FOLDER):
        write(tmp_path / "folder", overwrite=True)
    with refused(IfaError, Problem.NOT_A_FILE):
        write(Path(os.devnull), overwrite=True)
    assert not Path(os.devnull).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_the_file_that_a_link_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "disk" / "real.csv")
    write(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "disk" / "real.csv").read_text() == "new"
    with pytest.raises(ExistingOutputError):
        write(tmp_path / "link.csv")


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def overtaken() -> None:
        with whole_file(tmp_path / "a.csv", "table") as part:
            part.write_text("new")
            (tmp_path / "a.csv").write_text("came")

    with pytest.raises(ExistingOutputError):
        overtaken()
    assert (tmp_path / "a.csv").read_text() == "came"


def test_others_may_read_what_is_written_but_not_what_is_begun(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("rights are other things there")
    mask = os.umask(0o022)
    try:
        with whole_file(tmp_path / "DOE_JANE.csv", "table") as part:
            part.write_text("new")
            assert stat.S_IMODE(part.parent.stat().st_mode) == 0o700
            assert "DOE" not in str(part)
            assert tmp_path / "cache" in part.parents
        assert stat.S_IMODE((tmp_path / "DOE_JANE.csv").stat().st_mode) == 0o644
    finally:
        os.umask(mask)


def test_in_a_folder_of_a_group_results_belong_to_it(tmp_path: Path) -> None:
    if sys.platform == "win32" or os.getuid() != 0:
        pytest.skip("only root may choose any group")
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, -1, 4321)
    shared.chmod(0o2775)
    write(shared / "a.csv")
    with whole_folder(shared / "maps") as place:
        (place / "b.csv").write_text("b")
    for path in (shared / "a.csv", shared / "maps", shared / "maps" / "b.csv"):
        assert path.stat().st_gid == 4321, path


def test_a_disk_that_only_looks_the_same_is_written_by_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one file system that is mounted in two parts, which no table tells."""
    original = os.replace

    def across(source, target) -> None:
        if ("cache" in str(source)) != ("cache" in str(target)):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        original(source, target)

    monkeypatch.setattr(os, "replace", across)
    write(tmp_path / "a.csv")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.csv").write_text("old")
    with whole_folder(tmp_path / "out", overwrite=True) as place:
        (place / "b.csv").write_text("new")
        (place / "c.csv").write_text("new")
    with whole_folder(tmp_path / "fresh") as place:
        (place / "b.csv").write_text("new")
    assert (tmp_path / "a.csv").read_text() == "new"
    assert {path.name: path.read_text() for path in (tmp_path / "out").iterdir()} == {
        "b.csv": "new",
        "c.csv": "new",
    }
    assert [path.name for path in (tmp_path / "fresh").iterdir()] == ["b.csv"]


def test_work_of_another_disk_lies_beside_the_folder_of_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_ifa.disk.work as work

    monkeypatch.setattr(work, "same_disk", lambda one, other: "cache" not in str(one))
    (tmp_path / "maps").mkdir()
    with WorkFolder.near(tmp_path / "maps") as place:
        assert place.parent == tmp_path
        assert place.name.startswith(".napari-ifa-")
    monkeypatch.setattr(work, "same_disk", lambda one, other: False)
    with WorkFolder.near(tmp_path / "maps") as place:
        assert place.parent == tmp_path / "maps", "there is no other place on that disk"


def fail(place: Path) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def same_name(place: Path) -> None:
    (place / "b.csv").write_text("new")


def folder_for_file(place: Path) -> None:
    (place / "b.csv").mkdir()


def stop(place: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(fail, OSError), (same_name, ExistingOutputError), (folder_for_file, IfaError),
     (stop, KeyboardInterrupt)],
)  # fmt: skip
def test_a_folder_that_cannot_be_written_whole_is_as_it_was(
    spoil: Callable[[Path], None], error: type[BaseException], tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.csv").write_text("old")

    def spoiled() -> None:
        with whole_folder(tmp_path / "out") as place:
            (place / "a.csv").write_text("new")
            spoil(place)

    with pytest.raises(error):
        spoiled()
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {"b.csv": "old"}
    with pytest.raises(OSError, match="free"), whole_folder(tmp_path / "x" / "y") as place:
        fail(place)
    assert not (tmp_path / "x").exists()
    assert not [
        path
        for path in (cache / "work").iterdir()
        if not path.name.endswith((".lock", ".lock.json"))
    ]


def test_a_folder_of_other_files_does_not_give_way_to_a_series(tmp_path: Path) -> None:
    (tmp_path / "out" / "pictures").mkdir(parents=True)
    (tmp_path / "out" / "pictures" / "slice_0007.dcm").touch()
    (tmp_path / "out" / "pictures" / "letter.txt").write_text("mine")

    def write_series() -> None:
        with whole_folder(tmp_path / "out", overwrite=True) as place:
            (place / "pictures").mkdir()
            (place / "pictures" / "slice_0001.dcm").write_text("new")

    with refused(IfaError, Problem.OTHER_CONTENT):
        write_series()
    assert (tmp_path / "out" / "pictures" / "letter.txt").read_text() == "mine"
    (tmp_path / "out" / "pictures" / "letter.txt").unlink()
    write_series()
    assert [p.name for p in (tmp_path / "out" / "pictures").iterdir()] == ["slice_0001.dcm"]


def test_nothing_is_written_over_what_is_read(tmp_path: Path) -> None:
    image = tmp_path / "image.nii"
    image.write_text("image")
    names = [image, tmp_path / "x" / ".." / "image.nii"]
    if sys.platform != "win32":
        (tmp_path / "x").mkdir()
        (tmp_path / "soft.nii").symlink_to(image)
        os.link(image, tmp_path / "hard.nii")
        names += [tmp_path / "soft.nii", tmp_path / "hard.nii"]
    for name in names:
        with refused(IfaError, Problem.READ_BY_THE_WORK):
            check_not_read(name, [None, image])
    check_not_read(tmp_path / "other.nii", [None, image, tmp_path / "missing"])


def test_a_map_of_someone_else_is_never_replaced(tmp_path: Path) -> None:
    """As the study itself, which a person may choose in the dialog of an export."""
    import nibabel
    import numpy as np

    from napari_ifa import samples
    from napari_ifa.export import write_nifti
    from napari_ifa.reading import read_volume

    cube = np.zeros((3, 4, 5), np.float32)
    for make in (nibabel.Nifti1Image, nibabel.Nifti2Image):
        for name in ("study.nii", "study.nii.gz"):
            study = tmp_path / name
            nibabel.save(make(cube, np.eye(4)), study)
            before = study.read_bytes()
            volume = read_volume(study)
            with refused(IfaError, Problem.ANOTHER_FILE, kind_of_file="NIfTI"):
                write_nifti(volume, study, overwrite=True)
            assert study.read_bytes() == before
            out = tmp_path / f"map_{name}"
            write_nifti(volume, out, overwrite=True)
            write_nifti(volume, out, overwrite=True)
    for slice_ in list(samples.dicom_series().rglob("*.dcm"))[:1]:
        copy = tmp_path / "slice_0001.dcm"
        copy.write_bytes(slice_.read_bytes())
        with refused(IfaError, Problem.ANOTHER_FILE, kind_of_file="DICOM"):
            write(copy, "DICOM", overwrite=True)
        assert copy.read_bytes() == slice_.read_bytes()
