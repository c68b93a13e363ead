"""Distances by numbers worked by hand, by an independent implementation, and out of folds."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from napari_ifa.analysis.fit.distance import Spread, dealt_folds, distances_from_others

HASHES = np.array([90, 10, 50, 70, 30, 20, 80, 60, 40, 100], np.uint64)


def test_one_number_is_measured_in_its_standard_deviations():
    # Mean 2, deviation 2: shrinking one variance towards the mean variance leaves it as it is.
    spread = Spread.of(np.array([[0.0], [4.0], [0.0], [4.0]]))

    assert spread.deviation == pytest.approx([2.0])
    assert spread.distance(np.array([[2.0], [4.0], [8.0]])) == pytest.approx([0.0, 1.0, 3.0])


def test_a_number_that_never_varies_is_measured_in_two_percent_of_all():
    # Six zeros and the values 0 2 0 2 0 2: their mean is 0.5, their mean square 1, so that the
    # deviation of all twelve is √(1 − 0.25).
    values = np.array([[0.0, 0.0], [0.0, 2.0]] * 3)

    spread = Spread.of(values)

    assert spread.deviation == pytest.approx([0.02 * np.sqrt(0.75), 1.0])


def test_the_floor_keeps_a_trace_in_a_black_background_from_being_infinitely_far():
    random = np.random.default_rng(0)
    values = np.column_stack([np.zeros(100), random.normal(size=(100, 8))])
    new = np.zeros((1, 9))
    new[0, 0] = 1e-3

    assert Spread.of(values).distance(new)[0] < 1.0


@pytest.mark.parametrize(("cases", "size"), [(60, 5), (12, 40), (40, 40)])
def test_distances_are_those_of_a_shrunken_covariance(cases, size):
    random = np.random.default_rng(cases)
    values = random.normal(size=(cases, size)) @ random.normal(size=(size, size))
    new = random.normal(size=(7, size)) * 3
    mean, deviation = values.mean(0), values.std(0)
    scaled, place = (values - mean) / deviation, (new - mean) / deviation
    oracle = LedoitWolf(assume_centered=True).fit(scaled).mahalanobis(place)

    # Directions of little variance are left to the ridge, to which they add less than 1 %.
    assert Spread.of(values).distance(new) == pytest.approx(np.sqrt(oracle), rel=0.01)


def test_identical_cases_have_a_finite_spread():
    spread = Spread.of(np.ones((10, 3)))

    assert spread.distance(np.ones((1, 3))) == pytest.approx([0.0])
    assert np.isfinite(spread.distance(np.full((1, 3), 2.0))).all()


def test_a_row_that_is_not_finite_has_no_distance():
    found = Spread.of(np.arange(10.0).reshape(-1, 1)).distance(np.array([[np.nan], [4.5]]))

    assert np.isnan(found[0])
    assert found[1] == pytest.approx(0.0)


def test_a_case_is_measured_by_the_other_folds_alone():
    values = np.array([[0.0], [4.0], [0.0], [4.0], [10.0]])
    folds = np.array([0, 0, 0, 0, 1])

    # Of the others the mean is 2 and the deviation 2: 10 lies four of them away.
    assert distances_from_others(values, folds)[4] == pytest.approx(4.0)


def test_folds_are_even_and_keep_a_group_together():
    together = np.repeat(np.arange(400, dtype=np.uint64) * 7919, 3)

    folds = dealt_folds(together, 5)

    assert np.bincount(folds).tolist() == [6] * 200
    assert all(len(set(folds[together == group])) == 1 for group in set(together))


def test_few_patients_are_left_out_one_by_one():
    assert sorted(dealt_folds(HASHES, 5)) == list(range(10))


def test_where_decompositions_cost_much_an_eighth_is_left_out_at_a_time():
    many = np.arange(1024, dtype=np.uint64)

    assert np.bincount(dealt_folds(many, 2048)).tolist() == [128] * 8


def test_folds_do_not_depend_on_where_a_case_stands():
    order = np.random.default_rng(1).permutation(len(HASHES))

    assert dealt_folds(HASHES[order], 5).tolist() == dealt_folds(HASHES, 5)[order].tolist()
