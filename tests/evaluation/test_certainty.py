from __future__ import annotations

import numpy as np

from napari_ifa.evaluation.statistics.certainty import TOO_NARROW, interval_of_mean


def test_few_cases_have_no_interval_and_the_reason_says_whether_of_cases_or_patients() -> None:
    values = np.random.default_rng(0).normal(size=70)

    assert interval_of_mean(values[:14]).method == "no interval: fewer than 15 cases"
    few = interval_of_mean(values, np.arange(70) // 5)
    assert few.method == "no interval: fewer than 15 patients or groups"
    assert np.isnan(few.low)
    assert interval_of_mean(values[:15]).low < values[:15].mean()


def test_equal_cases_have_none() -> None:
    assert interval_of_mean(np.ones(30)).method == "no interval: all cases equal"


def test_many_zeros_among_few_cases_are_noted() -> None:
    generator = np.random.default_rng(0)
    values = generator.exponential(size=60) * (generator.random(60) > 0.5)

    assert interval_of_mean(values[:40]).method.endswith(TOO_NARROW)
    assert interval_of_mean(values).method == "BCa bootstrap"
    assert interval_of_mean(generator.normal(size=40)).method == "BCa bootstrap"
