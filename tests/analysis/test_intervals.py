from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.analysis.intervals import bootstrapped, of_mean, wilson


def test_wilson_by_hand() -> None:
    found = wilson(8, 10)

    # z = 1.96: centre (0.8 + z²/20) / (1 + z²/10), half width z·sqrt(0.016 + z²/400) / (1 + z²/10)
    z2 = 1.959963984540054**2
    centre, half = (0.8 + z2 / 20) / (1 + z2 / 10), np.sqrt(z2 * (0.016 + z2 / 400)) / (1 + z2 / 10)
    assert (found.low, found.high) == pytest.approx((centre - half, centre + half))


def test_a_share_of_no_trial_has_no_interval() -> None:
    assert np.isnan(wilson(0, 0).low)
    assert wilson(0, 0).method == ""


def test_the_mean_of_many_normal_values_has_about_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=400)

    found = of_mean(values)

    assert found.method == "BCa bootstrap"
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.03)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(1).exponential(size=30)

    assert of_mean(values, seed=3) == of_mean(values, seed=3)
    assert of_mean(values, seed=3) != of_mean(values, seed=4)


def test_cases_are_resampled_together() -> None:
    """A difference that is the same in every case is the same in every resample."""
    x = np.random.default_rng(2).normal(size=20)

    found = bootstrapped(lambda a, b, axis: (a - b).mean(axis=axis), x, x - 5)

    assert (found.low, found.high) == pytest.approx((5, 5))
    assert found.method == "percentile bootstrap"


def test_two_cases_have_no_interval() -> None:
    assert of_mean([1.0, 2.0]).method == ""


def test_many_cases_have_percentiles_of_resamples() -> None:
    values = np.random.default_rng(0).normal(size=3000)

    found = of_mean(values)

    assert found.method == "percentile bootstrap"
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(3000), rel=0.2)
