"""Orientations of NIfTI files made by hand: missing, contradictory, oblique, sheared, invalid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.nifti.problems import NiftiNote, NiftiProblem
from napari_ifa.volumes.problems import ImageProblem
from tests.refusals import refused

Save = Callable[..., Path]
CUBE = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_no_orientation_opens_with_a_warning(save_nifti: Save) -> None:
    volume = read_volume(save_nifti(CUBE, sform_code=0))
    assert volume.report.kinds == (NiftiNote.NO_ORIENTATION,)


def two_forms(path: Path, sform: Any, qform: Any, codes: tuple[int, int]) -> Path:
    image = nibabel.Nifti1Image(CUBE, None)
    image.header.set_qform(np.diag([*qform, 1.0]), codes[1])
    image.header.set_sform(np.diag([*sform, 1.0]), codes[0])
    nibabel.Nifti1Image(CUBE, None, image.header).to_filename(path / "image.nii")
    return path / "image.nii"


@pytest.mark.parametrize(
    ("qform", "codes"),
    [
        ((-2, 3, 4), (1, 1)),  # a mirror between the two
        ((-2, 3, 4), (4, 1)),  # in whatever space
        ((-2, -3, 4), (1, 1)),  # half a turn, although the space is the same
    ],
)
def test_orientations_that_contradict_each_other_are_unverified(
    tmp_path: Path, qform: tuple[int, ...], codes: tuple[int, int]
) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), qform, codes))
    assert volume.report.unverified
    assert volume.report.kinds == (NiftiNote.TWO_ORIENTATIONS,)


@pytest.mark.parametrize(
    ("qform", "codes"),
    [
        ((2, 3, 4), (1, 1)),
        ((-2, -3, 4), (4, 1)),  # half a turn to an atlas
        ((-2, 3, 4), (1, 0)),  # no orientation at all
    ],
)
def test_orientations_that_agree_need_no_note(
    tmp_path: Path, qform: tuple[int, ...], codes: tuple[int, int]
) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), qform, codes))
    assert not volume.report.unverified
    assert volume.report.notes == ()


@pytest.mark.parametrize(("sform_code", "unverified"), [(0, True), (1, False)])
def test_a_negative_voxel_size_leaves_the_sides_open(
    save_nifti: Save, sform_code: int, unverified: bool
) -> None:
    # Readers differ: a mirror, or a mistake to be passed over. A second orientation settles it.
    path = save_nifti(CUBE, name="image.nii", sform_code=sform_code, qform_code=1)
    with path.open("r+b") as file:
        # pixdim[1] stands at byte 80.
        file.seek(80)
        file.write(np.array(-2, "<f4").tobytes())
    report = read_volume(path).report
    assert report.unverified == unverified
    assert (NiftiNote.NEGATIVE_VOXEL_SIZE in report.kinds) == unverified


def test_voxel_sizes_that_differ_are_named(tmp_path: Path) -> None:
    volume = read_volume(two_forms(tmp_path, (2, 3, 4), (1, 1, 1), (1, 1)))
    assert volume.spacing == (4, 3, 2)
    (note,) = volume.report.notes
    assert note.kind is NiftiNote.TWO_VOXEL_SIZES
    assert (note.facts["sform"], note.facts["pixdim"]) == ("2 × 3 × 4", "1 × 1 × 1")
    # An atlas may be larger than the patient.
    assert read_volume(two_forms(tmp_path, (2, 3, 4), (1, 1, 1), (4, 1))).report.notes == ()


def test_size_that_no_header_states_is_not_made_up(save_nifti: Save) -> None:
    path = save_nifti(CUBE, name="image.nii", sform_code=0)
    with path.open("r+b") as file:
        # pixdim[3] stands at byte 88.
        file.seek(88)
        file.write(bytes(4))
    assert refused(path).kind is NiftiProblem.NO_VOXEL_SIZE


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 1), (6, 5)])
def test_negative_determinant_and_oblique_axes_agree_with_nibabel(
    save_nifti: Save, shape: tuple[int, ...]
) -> None:
    cosine, sine = np.cos(0.3), np.sin(0.3)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-2.0, 3.0, 4.0]) @ np.eye(3)[:, [2, 0, 1]]
    affine[:3, 3] = 5, -6, 7
    data = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    volume = read_volume(save_nifti(data, affine))
    array, back = volume.in_source_order()
    np.testing.assert_array_equal(array.reshape(shape), data)
    np.testing.assert_allclose(back, affine, atol=1e-5)


@pytest.mark.parametrize(
    "matrix",
    [
        [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
        [[np.nan, 0, 0], [0, 1, 0], [0, 0, 1]],
    ],
)
def test_singular_affine_is_refused(save_nifti: Save, matrix: list[list[float]]) -> None:
    path = save_nifti(CUBE, name="image.nii")
    rows = np.zeros((3, 4), "<f4")
    rows[:, :3] = matrix
    with path.open("r+b") as file:
        # srow_x, srow_y and srow_z stand at byte 280.
        file.seek(280)
        file.write(rows.tobytes())
    assert refused(path).kind is NiftiProblem.INVALID_ORIENTATION


def test_sheared_image_is_straightened_and_says_so(save_nifti: Save) -> None:
    affine = np.eye(4)
    # Each slice starts one voxel further to the right than the one below: a shear of 45°.
    affine[0, 2] = 1
    data = CUBE + 7
    volume = read_volume(save_nifti(data, affine))
    assert volume.report.sheared
    assert volume.report.resampled
    assert volume.report.badge == "shear corrected"
    (note,) = volume.report.notes
    assert note.kind is NiftiNote.STRAIGHTENED
    assert note.facts["degrees"] == pytest.approx(45)
    array, straight = volume.in_source_order()
    np.testing.assert_allclose(straight, np.eye(4), atol=1e-6)
    expected = np.full((5, 3, 4), 7)
    for k in range(4):
        expected[k : k + 2, :, k] = data[:, :, k]
    np.testing.assert_allclose(array, expected)
    (series,) = list_series(save_nifti(data, affine))
    assert (series.shape, series.spacing) == (volume.shape, volume.spacing)
    assert series.notes == volume.report.notes


def test_shear_within_rounding_is_left_alone(save_nifti: Save) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.0005
    assert not read_volume(save_nifti(CUBE, affine)).report.sheared
    affine[0, 1] = 0.002
    assert read_volume(save_nifti(CUBE, affine)).report.sheared


def test_axes_that_nearly_coincide_are_refused(save_nifti: Save) -> None:
    affine = np.eye(4)
    # Each row of 20 voxels begins where the last one ended.
    affine[:3, 1] = 20, 0.01, 0
    path = save_nifti(np.zeros((20, 20, 20), np.int16), affine)
    assert refused(path).kind is ImageProblem.SHEARED
