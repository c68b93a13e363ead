"""The one convention for axes: index grows towards inferior, posterior, left."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.volumes import SourceOrder, volume_from_file_order

# A RAS file (as most NIfTI): x to the right, y to the front, z up. In LPS x and y are negative.
RAS_FILE = np.array([[-1.0, 0, 0, 5], [0, -2.0, 0, 7], [0, 0, 3.0, -4], [0, 0, 0, 1]])


def test_ras_file_is_reversed_along_all_three_axes() -> None:
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    volume = volume_from_file_order(array, RAS_FILE, SourceOrder(kind="nifti"))
    assert volume.shape == (4, 3, 2)
    assert volume.spacing == (3.0, 2.0, 1.0)
    for x, y, z in np.ndindex(2, 3, 4):
        assert volume.array[3 - z, 2 - y, 1 - x] == array[x, y, z]


def test_affine_follows_the_reordering() -> None:
    volume = volume_from_file_order(np.zeros((2, 3, 4)), RAS_FILE, SourceOrder(kind="nifti"))
    # The last voxel of the file, (1, 2, 3), is the first of the canonical array.
    np.testing.assert_allclose(volume.affine @ [0, 0, 0, 1], RAS_FILE @ [1, 2, 3, 1])
    # Towards the feet z falls by 3 mm; to the back y grows by 2 mm; to the left x by 1 mm.
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, -3])
    np.testing.assert_allclose(volume.affine[:3, 1], [0, 2, 0])
    np.testing.assert_allclose(volume.affine[:3, 2], [1, 0, 0])


def test_translate_is_minus_z_y_x_of_the_first_voxel() -> None:
    volume = volume_from_file_order(np.zeros((2, 3, 4)), RAS_FILE, SourceOrder(kind="nifti"))
    # z = -4 + 3*3 = 5, y = 7 - 2*2 = 3, x = 5 - 1 = 4.
    assert volume.translate == (-5.0, 3.0, 4.0)


@pytest.mark.parametrize("permutation", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1), (-1, -1, -1)])
def test_source_order_comes_back_for_every_axis_order(
    permutation: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    lps = np.eye(4)
    lps[:3, :3] = (np.eye(3) * signs * np.array([0.7, 1.1, 1.3]))[:, permutation]
    # A slight rotation, as in oblique acquisitions.
    angle = 0.1
    turn = np.eye(4)
    turn[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    lps = turn @ lps
    lps[:3, 3] = 11, -22, 33
    volume = volume_from_file_order(array, lps, SourceOrder())
    back, ras = volume.in_source_order()
    np.testing.assert_array_equal(back, array)
    np.testing.assert_allclose(ras, np.diag([-1, -1, 1, 1]) @ lps, atol=1e-12)
    # Every axis of the canonical array points where its name says.
    assert (np.sum(volume.affine[:3, :3] * [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], axis=0) > 0).all()
    np.testing.assert_allclose(volume.oblique_degrees, np.degrees(angle))


def test_colour_channels_stay_last() -> None:
    array = np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3)
    volume = volume_from_file_order(array, RAS_FILE, SourceOrder(kind="image", placed=False))
    assert volume.array.shape == (4, 3, 2, 3)
    back, _ = volume.in_source_order()
    np.testing.assert_array_equal(back, array)


def test_values_on_another_grid_are_refused() -> None:
    volume = volume_from_file_order(np.zeros((2, 3, 4)), RAS_FILE, SourceOrder(kind="nifti"))
    with pytest.raises(ValueError, match="grid of shape"):
        volume.with_array(np.zeros((2, 3, 4)))


def test_plane_is_named_after_the_slices_of_the_file() -> None:
    sagittal = np.eye(4)
    sagittal[:3, :3] = np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]).T
    made = SourceOrder(kind="dicom")
    assert volume_from_file_order(np.zeros((4, 4, 4)), sagittal, made).plane == "sagittal"
    assert volume_from_file_order(np.zeros((4, 4, 4)), np.eye(4), made).plane == "axial"
