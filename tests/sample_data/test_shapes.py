"""Distances of solids and the random fields, by numbers one can redo by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sample_data.making.shapes import SmoothNoise, capsule, ellipsoid, smooth_union


def points(*rows):
    return np.array(rows, np.float32)


def test_a_round_ellipsoid_gives_the_distance_to_a_sphere():
    distance = ellipsoid(points((5, 0, 0), (1, 2, 2), (0, 0, 2)), (0, 0, 0), (2, 2, 2))
    np.testing.assert_allclose(distance, [3, 1, 0], atol=1e-6)


def test_an_ellipsoid_is_zero_at_the_ends_of_its_axes():
    distance = ellipsoid(points((11, 0, 0), (1, 20, 0), (1, 0, 30)), (1, 0, 0), (10, 20, 30))
    np.testing.assert_allclose(distance, 0, atol=1e-5)


def test_a_capsule_gets_thinner_towards_its_end():
    rod = capsule(points((0, 5, 0), (5, 5, 0), (10, 5, 0), (13, 0, 0)), (0, 0, 0), (10, 0, 0), 3, 1)
    np.testing.assert_allclose(rod, [2, 3, 4, 2], atol=1e-6)


@pytest.mark.parametrize(
    ("a", "b", "expected"), [(1.0, 9.0, 1.0), (9.0, 1.0, 1.0), (2.0, 2.0, 1.0)]
)
def test_a_smooth_union_is_the_smaller_distance_but_for_the_seam(a, b, expected):
    """At the seam it is lower by a quarter of the blend."""
    union = smooth_union(np.array([a], np.float32), np.array([b], np.float32), 4.0)
    assert union[0] == pytest.approx(expected)


def test_noise_has_its_wavelength_and_does_not_depend_on_the_grid():
    noise = SmoothNoise(np.random.default_rng(3), 20.0)
    line = np.zeros((4000, 3), np.float32)
    line[:, 0] = np.linspace(0, 200, 4000)
    values = np.concatenate(
        [noise(line + np.float32([0, y, z])) for y in range(0, 200, 20) for z in (0, 90)]
    )
    assert abs(values.mean()) < 0.15
    assert values.std() == pytest.approx(1.0, abs=0.2)
    crossings = np.count_nonzero(np.diff(np.sign(values))) / (20 * 200)
    assert 20.0 * crossings == pytest.approx(1.3, abs=0.5)  # 2/sqrt(3) along a line in 3D
    np.testing.assert_array_equal(noise(line[::7]), noise(line)[::7])
