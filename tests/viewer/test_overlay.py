"""The lazy overlay and its colours, with numbers that can be redone on paper."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_ifa.analysis import CommonScale, FeatureMask
from napari_ifa.viewer.scene.overlay import (
    ActivationOverlay,
    CoarseActivation,
    diverging_colormap,
    diverging_colormap_3d,
)
from napari_ifa.volumes import FeatureGrid, Volume

# Index (i, p, l) -> LPS mm for unit voxels at the origin.
IPL = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)


def explanation_of(features, image_shape, scale=None, grid_spacing=(1, 1, 1), keep=None):
    """An explanation as far as the overlay looks: features ``[F, *grid]`` over an image."""
    features = np.array(features, dtype=np.float32)
    spacing = np.array(grid_spacing, dtype=float)
    to_image = np.diag([*spacing, 1.0])
    to_image[:3, 3] = (spacing - 1) / 2
    mask = FeatureMask.all(len(features)) if keep is None else FeatureMask(np.array(keep, bool))
    return SimpleNamespace(
        volume=Volume(np.zeros(image_shape, np.float32), IPL),
        grid=FeatureGrid(features.shape[1:], IPL @ to_image),
        weighted_features=features,
        mask=mask,
        scale=scale,
        largest=float(np.abs(features.sum(axis=0)).max()) or 1.0,
    )


@pytest.fixture
def two_features():
    """Features (1, 3) and (0, 10) along left, each voxel two image voxels wide."""
    return [[[[1.0, 3.0]]], [[[0.0, 10.0]]]]


def test_raw_activation_is_interpolated_between_voxel_centres(two_features):
    overlay = ActivationOverlay(
        explanation_of(two_features, (1, 1, 4), grid_spacing=(1, 1, 2), keep=[True, False])
    )
    # Centres of image voxels lie at feature indices -0.25, 0.25, 0.75, 1.25; ends are held.
    np.testing.assert_allclose(overlay[0, 0], [1.0, 1.5, 2.5, 3.0])


def test_tanh_comes_after_interpolation(two_features):
    scale = CommonScale(-1.0, 1.0)
    overlay = ActivationOverlay(
        explanation_of(two_features, (1, 1, 4), scale, (1, 1, 2), keep=[True, False])
    )
    expected = np.tanh(scale.alpha * np.array([1.0, 1.5, 2.5, 3.0]) + scale.beta)
    np.testing.assert_allclose(overlay[0, 0], expected, rtol=1e-5)
    assert overlay.limits == (-1.0, 1.0)


def test_switching_a_feature_adds_or_takes_its_term(two_features):
    overlay = ActivationOverlay(explanation_of(two_features, (1, 1, 2)))
    np.testing.assert_allclose(overlay[0, 0], [1.0, 13.0])
    overlay.keep_features([True, False])
    np.testing.assert_allclose(overlay[0, 0], [1.0, 3.0])
    overlay.keep_features([False, True])
    np.testing.assert_allclose(overlay[0, 0], [0.0, 10.0])
    overlay.keep_features([False, False])
    np.testing.assert_allclose(overlay[0, 0], [0.0, 0.0])


def test_thousands_of_switches_equal_a_fresh_sum():
    rng = np.random.default_rng(1)
    features = rng.normal(0, 1e3, (40, 3, 4, 5))
    overlay = ActivationOverlay(explanation_of(features, (3, 4, 5)))
    keep = np.ones(40, bool)
    for feature in rng.integers(0, 40, 5000):
        keep[feature] = not keep[feature]
        overlay.keep_features(keep)
    fresh = ActivationOverlay(explanation_of(features, (3, 4, 5), keep=keep))
    np.testing.assert_allclose(overlay.activation, fresh.activation, atol=1e-8)


def test_limits_without_a_scale_stay_when_features_are_switched_off(two_features):
    overlay = ActivationOverlay(explanation_of(two_features, (1, 1, 2), keep=[True, False]))
    assert overlay.limits == (-13.0, 13.0)
    assert overlay.neutral == 0.0


def test_outside_the_field_of_view_there_is_no_value():
    # One feature voxel at the image's first voxel; the field of view is half a voxel around it.
    overlay = ActivationOverlay(explanation_of([[[[5.0]]]], (1, 1, 3)))
    np.testing.assert_array_equal(overlay[0, 0], [5.0, np.nan, np.nan])


@pytest.mark.parametrize(
    "key",
    [
        (slice(1, 2), slice(None), slice(None)),
        (1, slice(None), slice(None)),
        (slice(None), 2, slice(None)),
        (..., -1),
        (slice(None), slice(None), slice(0, 4, 2)),
        2,
        (np.int64(1), 2, 3),
    ],
)
def test_any_basic_index_gives_what_the_whole_array_gives(key):
    features = np.random.default_rng(2).normal(size=(3, 2, 2, 2))
    overlay = ActivationOverlay(explanation_of(features, (4, 4, 4), grid_spacing=(2, 2, 2)))
    whole = np.asarray(overlay)
    assert whole.shape == overlay.shape == (4, 4, 4)
    assert whole.dtype == overlay.dtype
    np.testing.assert_allclose(overlay[key], whole[key], atol=1e-5)


@pytest.mark.parametrize("neutral", [-0.8, 0.0, 0.4, 0.9])
def test_zero_contribution_is_transparent_and_each_side_reaches_its_full_colour(neutral):
    colormap = diverging_colormap(neutral)

    def colour(s_cam):
        return colormap.map(np.array([(s_cam + 1) / 2]))[0]

    assert colour(neutral)[3] == 0
    red, _, blue, alpha = colour(1.0)
    assert red > 2 * blue
    assert alpha == pytest.approx(1, abs=0.01)
    red, _, blue, alpha = colour(-1.0)
    assert blue > 2 * red
    assert alpha == pytest.approx(1, abs=0.01)
    # Half way on each side, whatever its length, the two are equally strong.
    assert colour((1 + neutral) / 2)[3] == pytest.approx(colour((neutral - 1) / 2)[3], abs=0.01)


def test_no_value_is_transparent():
    assert diverging_colormap(0.3).map(np.array([np.nan]))[0, 3] == 0


def test_colours_in_3d_are_transparent_at_zero_activation():
    scale = CommonScale(-1.0, 2.0)
    colormap, (low, high) = diverging_colormap_3d(scale)
    at_zero, at_high, at_low = colormap.map(np.array([-low / (high - low), 1.0, 0.0]))
    assert at_zero[3] == 0
    assert at_high[0] > at_high[2]
    assert at_low[2] > at_low[0]
    assert np.tanh(scale.alpha * high + scale.beta) == pytest.approx(0.995)


def test_coarse_grid_for_3d_lies_where_the_image_lies():
    # Feature voxels of 8 mm on an image of 1 mm: every fourth voxel is enough.
    features = np.random.default_rng(3).normal(size=(2, 2, 3, 4))
    explanation = explanation_of(features, (16, 24, 32), grid_spacing=(8, 8, 8))
    overlay = ActivationOverlay(explanation)
    coarse = CoarseActivation(overlay, explanation.volume)
    assert coarse.volume.shape == (4, 6, 8)
    assert coarse.volume.spacing == (4, 4, 4)
    # Coarse voxel 0 covers image voxels 0 to 3: its centre lies at 1.5.
    assert coarse.volume.translate == (1.5, 1.5, 1.5)
    fine = np.asarray(overlay)
    middle = (fine[5, 9, 13] + fine[6, 10, 14]) / 2
    assert coarse.activation()[1, 2, 3] == pytest.approx(middle, abs=0.02)


def test_coarse_grid_has_zero_where_the_network_saw_nothing():
    explanation = explanation_of([[[[5.0]]]], (1, 1, 3))
    coarse = CoarseActivation(ActivationOverlay(explanation), explanation.volume)
    np.testing.assert_array_equal(coarse.activation()[0, 0], [5.0, 0.0, 0.0])
