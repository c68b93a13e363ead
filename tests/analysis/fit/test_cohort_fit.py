"""The answer's words: they name what was seen, and never say that a case fits."""

from __future__ import annotations

import numpy as np
import pytest

import napari_ifa as ifa
from napari_ifa.analysis.fit.cohort_fit import NOT_KEPT, CohortFit, compared
from napari_ifa.analysis.fit.distance import Spread
from napari_ifa.analysis.fit.header import Header, HeaderSummary
from napari_ifa.analysis.fit.reference import FitReference
from napari_ifa.analysis.fit.statistics import CaseStatistics

#: Of the distances 1 … 100: 0.95 of 99 steps above 1.
UNIT = 95.05
#: Of every statistic the distances 1 … 100.
REFERENCE = FitReference(
    {
        name: Spread(np.zeros(1), np.ones(1), np.ones((1, 1)), np.ones(1), 1.0)
        for name in ("intensities", "early", "features")
    },
    np.repeat(np.arange(1.0, 101.0)[:, None], 3, axis=1),
    HeaderSummary({"MR": 100}, {}),
)


def case(*distances: float, modality: str = "") -> CaseStatistics:
    intensities, early, features = (np.array([[d]]) for d in distances)
    header = Header(modality)
    return CaseStatistics(
        intensities,
        early,
        features,
        np.array([header.modality]),
        np.array([header.axes]),
        np.array([np.nan]),
        np.full((1, 3), np.nan),
        np.full((1, 3), np.nan),
    )


def test_a_case_in_the_middle_is_not_seen_to_differ():
    fit = compared(REFERENCE, case(10, 20, 50))

    assert (fit.outside, fit.unusual, fit.differs) == (False, False, ())
    assert fit.score == pytest.approx(50 / UNIT)
    assert fit.p == pytest.approx((1 + 51) / 101)
    assert fit.percentile == pytest.approx(49.0)
    assert fit.words == "not seen to differ from the 100 reference cases"


def test_a_case_far_from_all_is_outside_by_what_lies_beyond():
    fit = compared(REFERENCE, case(10, 1.51 * UNIT, 300))

    assert (fit.outside, fit.unusual) == (True, False)
    assert fit.differs == ("early features", "features")
    assert fit.score == pytest.approx(300 / UNIT)
    assert fit.words == "outside the reference range: early features, features"
    assert len(fit.reasons) == 2


def test_a_distance_beyond_all_measure_is_said_in_few_digits():
    fit = compared(REFERENCE, case(95e30, 95 * 12, 50))

    assert "more than 1000 times" in fit.reasons[0]
    assert " 12 times" in fit.reasons[1]


def test_a_table_says_neither_yes_nor_no_where_nothing_was_compared():
    nothing = compared(REFERENCE, case(np.nan, np.nan, np.nan)).as_data()
    header = compared(REFERENCE, case(np.nan, np.nan, np.nan, modality="CT")).as_data()

    assert (nothing["fit_outside"], nothing["fit_unusual"]) == (None, None)
    assert (header["fit_outside"], header["fit_unusual"]) == (True, False)


def test_a_case_among_the_farthest_five_percent_is_unusual():
    fit = compared(REFERENCE, case(98, 20, 50))

    assert (fit.outside, fit.unusual) == (False, True)
    assert fit.p == pytest.approx((1 + 3) / 101)
    assert fit.words == "unusual: intensities"


def test_another_modality_is_outside_whatever_the_distances():
    fit = compared(REFERENCE, case(10, 20, 50, modality="CT"))

    assert fit.outside
    assert fit.words == "outside the reference range: modality"


def test_a_case_of_the_cohort_itself_is_judged_by_its_distance_from_the_others():
    fit = compared(REFERENCE, case(0, 0, 0), own=97)  # the 98th: distance 98

    assert fit.score == pytest.approx(98 / UNIT)
    assert fit.p == pytest.approx(3 / 100)  # 98, 99 and 100 lie as far
    assert "own" in fit.notes[0]


def test_what_cannot_be_compared_is_said_and_the_rest_is():
    fit = compared(REFERENCE, case(np.nan, 20, 300))

    assert fit.outside
    assert "intensities" in fit.notes[0]


def test_no_words_say_that_a_case_fits():
    fits = [
        compared(REFERENCE, case(10, 20, 50)),
        compared(REFERENCE, case(98, 20, 50)),
        compared(REFERENCE, case(300, 20, 50)),
        compared(REFERENCE, case(np.nan, np.nan, np.nan)),
        CohortFit(),
        NOT_KEPT,
    ]

    for fit in fits:
        said = " ".join(fit.sentences).lower()
        assert not any(word in said for word in (" fits", "normal", "certain", "safe", "valid"))
        assert set(fit.as_data()) == set(CohortFit().as_data())
    assert "not known" in fits[3].words
    assert "run the analysis again" in NOT_KEPT.sentences[1]


def test_it_is_a_public_name():
    assert ifa.CohortFit is CohortFit
