"""The header of a file is parsed once, by the scan; the reading takes what that found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

from napari_ifa.reading import list_series, read_volume

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
DATA = Path(nibabel.__file__).parent / "tests" / "data"


@pytest.fixture
def headers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The class of each header that nibabel makes from the bytes or the text of a file."""
    made: list[str] = []

    def count(kind: Any) -> None:
        original = kind.__init__

        def init(self: Any, *args: Any, **options: Any) -> None:
            # A header with nothing given is an empty one, made inside nibabel.
            if type(self) is kind and args and args[0] is not None:
                made.append(kind.__name__)
            original(self, *args, **options)

        monkeypatch.setattr(kind, "__init__", init)

    for kind in (
        nibabel.Nifti1Header, nibabel.Nifti2Header, nibabel.nifti1.Nifti1PairHeader,
        nibabel.freesurfer.mghformat.MGHHeader, nibabel.brikhead.AFNIHeader,
        nibabel.parrec.PARRECHeader, nibabel.minc1.Minc1File,
    ):  # fmt: skip
        count(kind)
    return made


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_nifti(save_nifti: Save, headers: list[str], name: str) -> None:
    path = save_nifti(CUBE, name=name)
    headers.clear()
    np.testing.assert_array_equal(read_volume(path).in_source_order()[0], CUBE)
    assert headers == ["Nifti1Header"]


def test_each_file_of_a_folder_and_none_for_its_images(
    save_nifti: Save, headers: list[str]
) -> None:
    save_nifti(np.stack([CUBE, CUBE + 1], axis=-1), name="two.nii")
    folder = save_nifti(CUBE, name="one.nii").parent
    headers.clear()
    for series in list_series(folder):
        read_volume(series)
    assert headers == ["Nifti1Header", "Nifti1Header"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (("test.mgz",), "MGHHeader"),
        (("scaled+tlrc.HEAD", "scaled+tlrc.BRIK"), "AFNIHeader"),
        (("phantom_varscale.PAR", "phantom_varscale.REC"), "PARRECHeader"),
    ],
)
def test_other_formats(
    tmp_path: Path, headers: list[str], names: tuple[str, ...], kind: str
) -> None:
    for name in names:
        shutil.copy(DATA / name, tmp_path)
    (*_, series) = list_series(tmp_path / names[0])
    read_volume(series)
    assert headers == [kind]


def test_a_file_that_has_changed_since_is_parsed_again(save_nifti: Save) -> None:
    (series,) = list_series(save_nifti(CUBE, np.diag([2, 2, 2, 1]), name="image.nii"))
    save_nifti(np.zeros((5, 5, 5), np.int16), np.diag([3, 3, 3, 1]), name="image.nii")
    assert read_volume(series).spacing == (3, 3, 3)


@pytest.mark.parametrize("named", ["", "slice1.dcm"])
def test_dicom(save_series: Save, monkeypatch: pytest.MonkeyPatch, named: str) -> None:
    """Whether the folder is named or one of its files."""
    folder = save_series()
    parsed: list[bool] = []
    original = pydicom.dcmread

    def counted(*args: Any, **options: Any) -> Any:
        parsed.append(True)
        return original(*args, **options)

    monkeypatch.setattr(pydicom, "dcmread", counted)
    read_volume(folder / named)
    assert len(parsed) == len(list(folder.iterdir()))
