"""What a person reads where an image cannot be opened, or should be looked at twice.

The one place that holds the words: all other tests go by kinds and facts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, picture_volume, read_volume

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def said_of(place: Any) -> str:
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(place)
    return str(caught.value)


def test_places(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    (tmp_path / "empty").mkdir()
    assert said_of(tmp_path / "letter.txt") == (
        "letter.txt: neither a DICOM, NIfTI, PNG nor JPEG file."
    )
    assert said_of(tmp_path / "empty") == "The folder is empty."
    assert said_of(tmp_path) == "No DICOM, NIfTI, PNG or JPEG image among 1 file."
    assert said_of(tmp_path / "nowhere") == (
        "There is no such file or folder; check the path of the study."
    )


def test_choices(save_nifti: Save) -> None:
    path = save_nifti(np.zeros((2, 3, 4, 2), np.int16))
    first, second = (series.key for series in list_series(path))
    assert said_of(path) == (
        f"2 series found; choose one of them: {first} (image, image 1 of 2, 4 images);"
        f" {second} (image, image 2 of 2, 4 images)."
    )


def test_nifti(save_nifti: Save) -> None:
    path = save_nifti(CUBE, sform_code=0)
    assert read_volume(path).report.notes == (
        "image.nii.gz: no orientation stored; left and right are unverified.",
    )
    path.write_bytes(path.read_bytes()[:-9])
    assert said_of(path) == "image.nii.gz: image data incomplete or damaged; not opened."
    path.write_bytes(b"")
    assert said_of(path) == (
        "image.nii.gz: not a readable NIfTI file; its header is damaged, incomplete or of a kind"
        " that is not supported."
    )


def test_relatives_of_nifti() -> None:
    data = Path(nibabel.__file__).parent / "tests" / "data"
    assert read_volume(data / "tiny.mnc").report.notes == (
        "tiny.mnc: read by nibabel; the orientation is as the file states it, unchecked.",
    )
    assert said_of(data / "T1.PAR") == (
        "T1.PAR: its image data T1.REC is missing; put both files into one folder."
    )


def test_pictures() -> None:
    assert picture_volume(CUBE[0]).report.notes == (
        "The patient's position and the size of a pixel are not known; a pixel is shown as 1 mm.",
    )
