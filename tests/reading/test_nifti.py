"""NIfTI files made by hand: values, units, two dimensions, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import read_volume
from napari_ifa.reading.nifti.problems import NiftiProblem
from napari_ifa.reading.problems import StudyProblem
from napari_ifa.volumes import Window, default_window
from napari_ifa.volumes.problems import ImageProblem
from tests.refusals import refused

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz", "IMAGE.NII.GZ"])
def test_ras_image_by_hand(save_nifti: Save, name: str) -> None:
    affine = [[2, 0, 0, 5], [0, 3, 0, -7], [0, 0, 4, 1], [0, 0, 0, 1]]
    volume = read_volume(save_nifti(CUBE, affine, name))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, CUBE.transpose(2, 1, 0)[::-1, ::-1, ::-1])
    assert volume.spacing == (4, 3, 2)
    # The topmost, foremost, rightmost voxel is the file's last: RAS (7, -1, 13).
    np.testing.assert_allclose(volume.affine[:3, 3], [-7, 1, 13])
    assert volume.description.lower() == "image"
    assert volume.report.notes == ()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("u1", "i2"), ("i1", "i2"), ("<i2", "i2"), (">i2", "i2"), ("u2", "i2"), ("i4", "i2"),
        ("f4", "f4"), (">f4", "f4"), ("f8", "f4"),
    ],
)  # fmt: skip
def test_types(save_nifti: Save, dtype: str, expected: str) -> None:
    data = CUBE.astype(dtype)
    path = save_nifti(data)
    header = nibabel.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    nibabel.Nifti1Image(data, np.eye(4), header).to_filename(path)
    array = read_volume(path).array
    assert array.dtype == expected
    assert array.dtype.isnative
    assert array.max() == 23


def test_integers_beyond_int16_become_float32(save_nifti: Save) -> None:
    array = read_volume(save_nifti(CUBE.astype(np.int32) + 40000)).array
    assert array.dtype == np.float32
    assert (array.min(), array.max()) == (40000, 40023)


def test_scaled_integers(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii")
    with path.open("r+b") as file:
        # scl_slope and scl_inter stand at byte 112.
        file.seek(112)
        file.write(np.array([0.5, -3], "<f4").tobytes())
    array = read_volume(path).array
    assert array.dtype == np.float32
    assert (array.min(), array.max()) == (-3, 8.5)


@pytest.mark.parametrize(("units", "factor"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0)])
def test_lengths_become_mm(save_nifti: Save, units: str, factor: float) -> None:
    volume = read_volume(save_nifti(CUBE, np.diag([2, 3, 4, 1]), units=units))
    np.testing.assert_allclose(volume.spacing, np.multiply((4, 3, 2), factor))


def test_display_range_of_the_header_is_a_window(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE, cal_min=4, cal_max=12))
    assert volume.windows == (Window(8, 8),)
    assert default_window(volume).limits == (4, 12)


def test_trailing_axis_of_one_is_dropped(save_nifti: Save) -> None:
    assert read_volume(save_nifti(CUBE[..., None])).shape == (4, 3, 2)


def test_two_dimensions_are_one_slice(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE[:, :, 0]))
    assert volume.shape == (1, 3, 2)


@pytest.mark.parametrize("dtype", ["i8", "u8", "f8"])
def test_wide_numbers_become_float32(save_nifti: Save, tmp_path: Path, dtype: str) -> None:
    data = CUBE.astype(dtype) + np.array(2**40, dtype)
    image = nibabel.Nifti1Image(data, np.eye(4), dtype=data.dtype)
    image.to_filename(tmp_path / "wide.nii")
    array = read_volume(tmp_path / "wide.nii").array
    assert array.dtype == np.float32
    assert array.max() == np.float32(2**40 + 23)


def test_infinities_and_nan_are_kept(save_nifti: Save) -> None:
    data = CUBE.astype(np.float64)
    data[0, 0] = [np.inf, -np.inf, np.nan, 1e300]
    array, _ = read_volume(save_nifti(data)).in_source_order()
    np.testing.assert_array_equal(array[0, 0], [np.inf, -np.inf, np.nan, np.inf])


def test_later_plane_that_does_not_fit_int16_leaves_the_earlier_ones(save_nifti: Save) -> None:
    data = CUBE.astype(np.int32)
    data[:, :, 3] = 100_000
    array, _ = read_volume(save_nifti(data)).in_source_order()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, data)


# Single bits, quadruple precision, and a code of no type.
@pytest.mark.parametrize(("code", "bits"), [(1, 1), (1536, 128), (999, 16)])
def test_other_types_are_refused(save_nifti: Save, code: int, bits: int) -> None:
    path = save_nifti(CUBE, name="image.nii")
    with path.open("r+b") as file:
        # datatype and bitpix stand at byte 70.
        file.seek(70)
        file.write(np.array([code, bits], "<i2").tobytes())
    assert refused(path).kind is NiftiProblem.VALUE_TYPE


def test_extensions_do_not_reach_the_volume(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(CUBE, np.eye(4))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"Doe^Jane"))
    image.to_filename(tmp_path / "image.nii.gz")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.in_source_order()[0], CUBE)
    assert len(volume.source.header.extensions) == 0
    assert b"Jane" not in volume.source.header.binaryblock


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
def test_truncated_file_is_one_sentence(save_nifti: Save, name: str) -> None:
    noise = np.random.default_rng(0).integers(-9999, 9999, (20, 20, 20)).astype(np.int16)
    path = save_nifti(noise, name=name)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    assert caught.value.kind is StudyProblem.DAMAGED


@pytest.mark.parametrize("content", [b"", b"not an image at all", bytes(400)])
def test_damaged_header_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    for name, data in (
        ("a.nii", content),
        ("a.nii.gz", gzip.compress(content)),
        ("b.nii.gz", content),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        assert refused(path).kind is NiftiProblem.HEADER_DAMAGED


def test_impossible_size_is_refused_before_it_is_allocated(
    save_nifti: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("image.nii", "image.nii.gz"):
        path = save_nifti(CUBE, name=name)
        opener = gzip.open if name.endswith(".gz") else open
        with opener(path, "rb") as file:
            content = bytearray(file.read())
        # dim stands at byte 40.
        content[40:48] = np.array([3, 30000, 30000, 30000], "<i2").tobytes()
        with opener(path, "wb") as file:
            file.write(content)
        assert refused(path).kind is ImageProblem.TOO_LARGE
        content[40:48] = np.array([3, 300, 300, 300], "<i2").tobytes()
        with opener(path, "wb") as file:
            file.write(content)
        monkeypatch.setattr(np, "empty", None)
        assert refused(path).kind is StudyProblem.DAMAGED
        monkeypatch.undo()
