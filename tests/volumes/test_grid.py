"""From the feature grid to an image grid in one interpolation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.volumes import FeatureGrid, SourceOrder, Volume, volume_from_file_order

IPL_IN_LPS = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])


def canonical_volume(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = IPL_IN_LPS * spacing
    affine[:3, 3] = 12.0, -34.0, 56.0
    return Volume(np.zeros(shape, np.float32), affine)


def rotated(affine: np.ndarray, degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ affine


def test_half_voxel_rule_by_hand() -> None:
    # 8 voxels of 1 mm seen as 2: each is 4 mm wide, centres at 1.5 and 5.5.
    grid = FeatureGrid.from_network_input(np.eye(4), (8, 8, 8), (2, 2, 2))
    np.testing.assert_allclose(grid.affine[:3, 3], [1.5, 1.5, 1.5])
    np.testing.assert_allclose(np.diag(grid.affine)[:3], [4, 4, 4])


def test_linear_ramp_by_hand() -> None:
    volume = canonical_volume((8, 1, 1), (1, 1, 1))
    grid = FeatureGrid.from_network_input(volume.affine, (8, 1, 1), (2, 1, 1))
    values = np.array([0.0, 4.0]).reshape(2, 1, 1)
    # Image index i lies at feature index (i + 0.5) / 4 - 0.5, clamped to the centres' range.
    expected = [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
    np.testing.assert_allclose(grid.onto(volume).volume(values).ravel(), expected, atol=1e-6)


@pytest.mark.parametrize(("image", "coarse"), [((16, 12, 20), (4, 3, 5)), ((9, 14, 11), (4, 5, 3))])
def test_equals_torch_interpolation_without_aligned_corners(
    image: tuple[int, int, int], coarse: tuple[int, int, int]
) -> None:
    volume = canonical_volume(image, (1.5, 0.7, 0.9))
    grid = FeatureGrid.from_network_input(volume.affine, image, coarse)
    values = np.random.default_rng(1).normal(size=coarse).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=image, mode="trilinear", align_corners=False
    )[0, 0]
    np.testing.assert_allclose(grid.onto(volume).volume(values), expected, atol=1e-5)


def test_no_value_outside_the_field_of_view() -> None:
    volume = canonical_volume((10, 4, 4), (1, 1, 1))
    # The network saw image indices 3 to 6 along the first axis only.
    cropped = volume.affine.copy()
    cropped[:3, 3] = (volume.affine @ [3, 0, 0, 1])[:3]
    grid = FeatureGrid.from_network_input(cropped, (4, 4, 4), (2, 2, 2))
    out = grid.onto(volume).volume(np.ones((2, 2, 2)))
    inside = np.isfinite(out).all(axis=(1, 2))
    assert inside.tolist() == [False] * 3 + [True] * 4 + [False] * 3
    assert np.isnan(out[~inside]).all()


def test_a_slice_is_that_slice_of_the_volume() -> None:
    volume = canonical_volume((6, 7, 8), (2, 1, 1))
    grid = FeatureGrid.from_network_input(volume.affine, (6, 7, 8), (3, 3, 3))
    sampler = grid.onto(volume)
    values = np.random.default_rng(2).normal(size=(3, 3, 3))
    whole = sampler.volume(values)
    for axis in range(3):
        part = sampler.slice(values, axis, 4)
        np.testing.assert_allclose(part, whole.take(4, axis), atol=1e-6)


def test_feature_axes_in_another_order_and_direction() -> None:
    volume = canonical_volume((6, 7, 8), (2, 1.5, 1))
    # The network sees the file's (x, y, z) with RAS directions.
    file_affine = np.diag([-1.0, -1.5, 2.0, 1.0])
    file_affine[:3, 3] = (volume.affine @ [5, 6, 7, 1])[:3]
    grid = FeatureGrid.from_network_input(file_affine, (8, 7, 6), (4, 7, 3))
    values = np.random.default_rng(3).normal(size=(4, 7, 3)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], size=(8, 7, 6), mode="trilinear", align_corners=False
    )[0, 0].numpy()
    expected = expected.transpose(2, 1, 0)[::-1, ::-1, ::-1]
    np.testing.assert_allclose(grid.onto(volume).volume(values), expected, atol=1e-5)


def test_a_grid_that_is_turned_a_little_gives_nearly_the_same() -> None:
    volume = canonical_volume((9, 8, 7), (1, 1, 1))
    grid = FeatureGrid.from_network_input(volume.affine, (9, 8, 7), (3, 4, 2))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(1e-4), -np.sin(1e-4)], [np.sin(1e-4), np.cos(1e-4)]]
    turned = FeatureGrid(grid.shape, turn @ grid.affine)
    values = np.random.default_rng(4).normal(size=(3, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(
        turned.onto(volume).volume(values), grid.onto(volume).volume(values), atol=1e-2
    )


def test_oblique_input_keeps_patient_positions() -> None:
    """A linear function of the patient's x, y, z comes out at the same places."""
    volume = canonical_volume((12, 12, 12), (2, 2, 2))
    grid = FeatureGrid.from_network_input(rotated(volume.affine, 20), (12, 12, 12), (6, 6, 6))

    def plane(points: np.ndarray) -> np.ndarray:
        return points[..., 0] + 2 * points[..., 1] - 3 * points[..., 2]

    def positions(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        return index @ affine[:3, :3].T + affine[:3, 3]

    out = grid.onto(volume).volume(plane(positions(grid.affine, grid.shape)))
    expected = plane(positions(volume.affine, volume.shape))
    # Half a feature voxel at the border is held constant, not extrapolated: look further in.
    feature_index = positions(np.linalg.inv(grid.affine) @ volume.affine, volume.shape)
    within = ((feature_index > 0) & (feature_index < 5)).all(axis=-1)
    assert within.sum() > 50
    np.testing.assert_allclose(out[within], expected[within], atol=1e-3)
    outside = ((feature_index < -0.51) | (feature_index > 5.51)).any(axis=-1)
    assert outside.any()
    assert np.isnan(out[outside]).all()


def test_two_dimensional_grid_is_one_slice() -> None:
    volume = volume_from_file_order(
        np.zeros((8, 8, 1), np.float32), np.eye(4), SourceOrder(kind="image", placed=False)
    )
    grid = FeatureGrid.from_network_input(np.eye(4), (8, 8), (2, 2))
    assert grid.shape == (2, 2, 1)
    assert np.isfinite(grid.onto(volume).volume(np.ones((2, 2, 1)))).all()
