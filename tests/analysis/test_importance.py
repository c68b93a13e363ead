from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.analysis import FeatureMask
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError
from tests.problems import refused

#: Three cases of two features and two classes; the first and the last are of class 0.
CONTRIBUTIONS = np.array(
    [[[1.0, 0.0], [2.0, -1.0]], [[3.0, 4.0], [0.0, 5.0]], [[5.0, 1.0], [-2.0, 1.0]]]
)
IS_TRUE = np.array([[True, False], [False, True], [True, False]])


#: The contributions to each case's own class.
OWN = np.array([[1.0, 2.0], [4.0, 5.0], [5.0, -2.0]])


def of_all(contributions: np.ndarray) -> ContributionStatistics:
    return ContributionStatistics.of_all(torch.from_numpy(contributions).movedim(1, 2))


def test_importance_over_all_cases_by_hand() -> None:
    found = of_all(CONTRIBUTIONS)

    np.testing.assert_allclose(found.mean, [[3.0, 5 / 3], [0.0, 5 / 3]])
    # feature 0, class 0: values 1, 3, 5
    assert found.variance[0, 0] == pytest.approx(4.0)
    np.testing.assert_allclose(found.frequency, [[1.0, 2 / 3], [1 / 3, 2 / 3]])
    assert found.cases.tolist() == [3, 3]


def test_importance_over_the_cases_of_the_class_by_hand() -> None:
    found = ContributionStatistics.of_own(OWN, IS_TRUE)

    np.testing.assert_allclose(found.mean, [[3.0, 4.0], [0.0, 5.0]])
    assert found.cases.tolist() == [2, 1]
    assert found.variance[0, 0] == pytest.approx(8.0)
    assert np.isnan(found.variance[:, 1]).all(), "one case has no variance"
    np.testing.assert_allclose(found.frequency, [[1.0, 1.0], [0.5, 1.0]])


def test_a_class_without_cases_is_not_a_number() -> None:
    found = ContributionStatistics.of_own(OWN, np.array([[True, False]] * 3))

    assert np.isnan(found.mean[:, 1]).all()
    assert np.isnan(found.frequency[:, 1]).all()
    assert np.isfinite(found.mean[:, 0]).all()


def test_shards_add_up_to_the_whole() -> None:
    whole = ContributionStatistics.of_own(OWN, IS_TRUE)
    first = ContributionStatistics.of_own(OWN[:1], IS_TRUE[:1])
    rest = ContributionStatistics.of_own(OWN[1:], IS_TRUE[1:])

    for merged in (first.merged(rest), rest.merged(first)):
        np.testing.assert_allclose(merged.mean, whole.mean)
        np.testing.assert_allclose(merged.variance, whole.variance)


def test_a_small_spread_beside_a_large_mean_is_kept() -> None:
    """Σk² − (Σk)²/n would give 0 here, or less."""
    values = np.array([1e9, 1e9 + 1, 1e9 + 2]).reshape(3, 1, 1)
    parts = [of_all(values[n : n + 1]) for n in range(3)]

    merged = parts[2].merged(parts[0]).merged(parts[1])

    assert merged.variance[0, 0] == pytest.approx(1.0)
    assert of_all(values).variance[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("by", "expected"),
    [("value", [False, False, True, True]), ("abs", [True, False, False, True])],
)
def test_the_top_half_by_value_or_by_size(by: str, expected: list[bool]) -> None:
    assert FeatureMask.top([-9.0, 0.0, 1.0, 4.0], 0.5, by).keep.tolist() == expected


def test_contrast_ranks_by_what_sets_the_class_apart() -> None:
    mask = FeatureMask.top([5.0, 4.0], 0.5, "contrast", contrast=[5.0, 1.0])

    assert mask.keep.tolist() == [False, True]


@pytest.mark.parametrize(
    ("fraction", "features", "count"), [(0.05, 60, 3), (0.05, 61, 4), (0.01, 5, 1)]
)
def test_a_share_is_rounded_up_and_keeps_at_least_one(fraction, features, count) -> None:
    assert FeatureMask.top(np.arange(features), fraction).count == count


def test_chosen_features_and_their_opposites() -> None:
    assert FeatureMask.only(4, [1, 3]).keep.tolist() == [False, True, False, True]
    assert FeatureMask.without(4, [1, 3]).keep.tolist() == [True, False, True, False]
    assert FeatureMask.only(4, [1]).inverted().keep.tolist() == [True, False, True, True]
    assert FeatureMask.all(2).inverted().name == "none"


def test_a_feature_that_does_not_exist_is_named() -> None:
    with refused(AnalysisError, AnalysisProblem.NO_FEATURE, asked=4, last=3):
        FeatureMask.only(4, [4])


def test_a_column_without_cases_has_no_top() -> None:
    with refused(AnalysisError, AnalysisProblem.NO_IMPORTANCE):
        FeatureMask.top([np.nan, np.nan], 0.5)


def test_weights_that_all_cases_share_give_what_the_products_give() -> None:
    weights = np.array([[1.0, -2.0], [0.0, 0.5]])
    sums = np.array([[1.0, 3.0], [-2.0, 1.0], [4.0, 0.0]])

    found = ContributionStatistics.of_shared(torch.from_numpy(weights), torch.from_numpy(sums))

    products = ContributionStatistics.of_all(torch.from_numpy(weights * sums[:, None]))
    np.testing.assert_allclose(found.mean, [[1.0, 0.0], [-8 / 3, 2 / 3]])
    np.testing.assert_allclose(found.mean, products.mean)
    np.testing.assert_allclose(found.variance, products.variance)
    np.testing.assert_array_equal(found.frequency, products.frequency)
    assert found.cases.tolist() == [3, 3]
