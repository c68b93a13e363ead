from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.principal import principal_features
from napari_ifa.evaluation.sections import sections_of
from tests.known_analysis import known_analysis
from tests.problems import refused

# Importance of class 0: (6, 2, −4, 0); of class 1: (5, 0, 1, 0).
OF_CLASS = np.array([[[6, 0], [2, 0], [-4, 0], [0, 0]], [[0, 5], [0, 0], [0, 1], [0, 0]]], float)


@pytest.fixture
def found():
    return principal_features(known_analysis(OF_CLASS, [0, 1]), top=0.25)


def test_shares_by_hand(found):
    assert found.ranked(0) == [0]
    assert found.share(0) == pytest.approx(6 / 8)
    assert found.share_of_total(0) == pytest.approx(6 / 4)
    row = sections_of(found)[0].rows[0]
    assert row["sum"] == 6
    assert row["column_total"] == 4
    assert row["share_of_absolute"] == pytest.approx(6 / 12)


def test_contrast_ranks_by_the_difference_to_the_mean_over_classes(found):
    # less (5.5, 1, −1.5, 0): (0.5, 1, −2.5, 0) and (−0.5, −1, 2.5, 0)
    assert found.ranked(0, "contrast") == [1]
    assert found.ranked(1, "contrast") == [2]


def test_the_numbers_are_said_in_a_sentence(found):
    assert "25 % of the features (1 of 4) make up 75 % to 83 %" in sections_of(found)[0].meaning


def test_a_total_that_is_not_positive_has_no_share():
    k = np.array([[[1.0], [-3.0]]])

    found = principal_features(known_analysis(k, [1]), top=0.5)

    assert np.isnan(found.share_of_total(0))
    assert found.share(0) == 1


def test_a_class_without_a_case_is_no_number_and_named():
    analysis = known_analysis(OF_CLASS, [0, 0], class_names=("a", "b"))

    section = sections_of(principal_features(analysis, top=0.25))[0]

    (row,) = [r for r in section.rows if r["class"] == "b"]
    assert row["number"] is None
    assert np.isnan(row["sum"])
    assert np.isnan(row["share_of_positive"])
    assert section.meaning.endswith("No case counts for b.")


def test_features_that_all_speak_against_a_class_have_no_share():
    found = principal_features(known_analysis(-np.ones((2, 3, 1)), [1, 1]))

    assert np.isnan(found.share(0))
    assert "No class has a feature that speaks for it" in sections_of(found)[0].meaning


def test_a_share_of_none_is_refused():
    with refused(AnalysisError, AnalysisProblem.NO_SHARE, share=0):
        principal_features(known_analysis(OF_CLASS, [0, 1]), top=0)
