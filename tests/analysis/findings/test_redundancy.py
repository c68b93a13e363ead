from __future__ import annotations

import numpy as np
import pytest
from known_analysis import known_analysis

from napari_ifa.analysis.findings.redundancy import redundancy
from napari_ifa.errors import AnalysisError


def four_features(cases: int = 100):
    """Of one class each: always for, hardly ever active, always against, next to nothing."""
    k = np.zeros((cases, 4, 2))
    k[:, 0] = 1.0
    k[:3, 1] = 2.0
    k[:, 2] = -1.0
    k[:, 3] = 1e-4
    return known_analysis(k, np.arange(cases) % 2)


def test_rare_negligible_and_against_by_hand():
    found = redundancy(four_features())

    np.testing.assert_array_equal(found.rare, [False, True, False, False])
    np.testing.assert_array_equal(found.against, [False, False, True, False])
    np.testing.assert_array_equal(found.negligible, [False, False, False, True])
    np.testing.assert_array_equal(found.mask.keep, [True, False, True, False])
    # mean contributions 1, 0.06, −1, 0.0001
    np.testing.assert_allclose(found.share[:, 0] * 2.0601, [1, 0.06, 1, 0.0001])
    assert [row["feature"] for row in found.sections[1].rows] == [1, 3]


def test_the_threshold_is_a_share_of_the_cases():
    assert not redundancy(four_features(), threshold=0.02).rare.any()
    # 2 of 3 cases: no feature is active in fewer than 1 %
    assert redundancy(four_features(), threshold=0.031).rare.sum() == 1


@pytest.mark.parametrize("share", [0.01, 0.04])
def test_a_feature_active_in_few_cases_is_rare_whatever_its_size_and_sign(share):
    rng = np.random.default_rng(0)
    for _ in range(50):
        k = np.zeros((100, 1, 1))
        active = round(100 * share)
        k[:active, 0, 0] = rng.normal(size=active) * rng.exponential(10)
        assert redundancy(known_analysis(np.append(k, k + 5, axis=1), [0] * 100)).rare[0]


def test_a_feature_of_one_class_is_not_redundant():
    k = np.zeros((50, 10, 2))
    k[:, 0, 1] = 1.0
    k[:, 1, 0] = 1.0

    found = redundancy(known_analysis(k, np.arange(50) % 2))

    np.testing.assert_array_equal(np.flatnonzero(~found.redundant), [0, 1])


def test_a_network_without_any_evidence_has_redundant_features_alone():
    found = redundancy(known_analysis(np.zeros((3, 4, 2)), [0, 1, 0]))

    assert found.redundant.all()


def test_accuracy_is_empty_until_it_is_given():
    found = redundancy(four_features())
    measured = found.with_accuracy(0.9, 0.8, 50)

    assert found.sections[0].rows[0]["accuracy_without"] is None
    assert "not measured" in found.sections[0].meaning
    row = measured.sections[0].rows[0]
    assert (row["accuracy_with_all"], row["accuracy_without"], row["accuracy_cases"]) == (
        *(0.9, 0.8),
        50,
    )
    # Wilson's interval of 40 of 50
    assert (
        "on 50 labelled cases is 80.0 % (95 % interval 67.0 to 88.8 %)"
        in measured.sections[0].meaning
    )


@pytest.mark.parametrize("accuracies", [(1.2, 0.5, 10), (0.5, -0.1, 10), (0.5, 0.5, 0)])
def test_an_accuracy_that_cannot_be_is_refused(accuracies):
    with pytest.raises(AnalysisError, match="cannot be"):
        redundancy(four_features()).with_accuracy(*accuracies)


def test_where_nothing_is_redundant_no_accuracy_without_it_is_told():
    found = redundancy(known_analysis(np.ones((10, 4, 2)), [0, 1] * 5))

    for one in (found, found.with_accuracy(0.99, 0.99, 10)):
        assert one.sections[0].meaning.startswith("None of the 4 features is redundant")
        assert "accuracy" not in one.sections[0].meaning


def test_where_it_was_not_measured_the_way_is_named_but_for_values():
    of_classes = redundancy(four_features()).sections[0].meaning
    of_values = redundancy(
        known_analysis(four_values(), [-1] * 100, output_activation="none")
    ).sections[0]

    assert "`napari-ifa findings … --bundle B --cohort C`" in of_classes
    assert "accuracy" not in of_values.meaning


def four_values():
    k = np.ones((100, 4, 1))
    k[3:, 1] = 0
    return k
