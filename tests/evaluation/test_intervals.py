from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.evaluation.statistics.intervals import bootstrapped, of_mean


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


@pytest.mark.parametrize(("drawn", "method"), [(2, ""), (14, ""), (15, "BCa bootstrap")])
def test_below_fifteen_cases_there_is_no_interval(drawn: int, method: str) -> None:
    assert of_mean(np.random.default_rng(0).normal(size=drawn)).method == method


@pytest.mark.parametrize(("patients", "method"), [(14, ""), (15, "BCa bootstrap of groups")])
def test_below_fifteen_patients_there_is_none_however_many_images(
    patients: int, method: str
) -> None:
    values = np.random.default_rng(0).normal(size=10 * patients)

    assert of_mean(values, np.arange(10 * patients) % patients).method == method


def test_copies_of_a_case_do_not_narrow_the_interval() -> None:
    values = np.random.default_rng(0).normal(size=40)
    ten_each = np.repeat(np.arange(40), 10)

    alone, copied = of_mean(values), of_mean(values[ten_each], ten_each)
    as_if_independent = of_mean(values[ten_each])

    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high), abs=0.05)
    assert as_if_independent.high - as_if_independent.low < 0.4 * (copied.high - copied.low)


def test_groups_of_one_case_are_cases() -> None:
    values = np.random.default_rng(0).normal(size=40)

    assert of_mean(values, np.arange(40)[::-1]) == of_mean(values)


def test_the_mean_of_fifteen_is_covered_as_by_students_t() -> None:
    generator = np.random.default_rng(0)
    inside = 0
    for seed in range(120):
        found = of_mean(generator.normal(size=15), seed=seed)
        inside += found.low <= 0 <= found.high
    assert inside >= 0.9 * 120


def test_many_cases_have_percentiles_of_resamples() -> None:
    values = np.random.default_rng(0).normal(size=3000)

    found = of_mean(values)

    assert found.method == "percentile bootstrap"
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(3000), rel=0.2)
