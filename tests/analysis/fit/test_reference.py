"""A cohort's reference: conformal p and scores by hand, calibration, and what may not matter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from napari_ifa.analysis.fit import reference as module
from napari_ifa.analysis.fit.cohort_fit import compared
from napari_ifa.analysis.fit.header import HeaderSummary
from napari_ifa.analysis.fit.reference import FitReference, fitted
from napari_ifa.analysis.fit.statistics import CaseStatistics

NOTHING = HeaderSummary({}, {})


def statistics(
    features: np.ndarray, early: np.ndarray | None = None, intensities: np.ndarray | None = None
) -> CaseStatistics:
    """Of cases whose files say nothing."""
    n = len(features)
    return CaseStatistics(
        intensities=np.zeros((n, 0)) if intensities is None else intensities,
        early=np.zeros((n, 0)) if early is None else early,
        features=features,
        modality=np.full(n, ""),
        axes=np.full(n, ""),
        angle=np.full(n, np.nan),
        spacing=np.full((n, 3), np.nan),
        size=np.full((n, 3), np.nan),
    )


def hashes(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(n).astype(np.uint64) * np.uint64(7919) + 1


def of(features: np.ndarray, group: np.ndarray | None = None) -> FitReference:
    n = len(features)
    groups = np.zeros(n, np.uint64) if group is None else group
    return fitted(lambda: iter([statistics(features)]), hashes(n), groups)


def known(distances: np.ndarray, groups: np.ndarray | None = None) -> FitReference:
    """A reference with these distances in the first statistic."""
    columns = np.full((len(distances), 3), np.nan)
    columns[:, 0] = distances
    return FitReference({}, columns, NOTHING, groups)


ONLY_FIRST = np.array([True, False, False])


def test_p_counts_those_at_least_as_far_and_the_case_itself():
    reference = known(np.arange(1.0, 20.0))  # 0.95 of 18 steps above 1: 18.1
    unit = reference.units[0]

    assert unit == pytest.approx(18.1)
    # 18 and 19 lie at least as far as 18: (1 + 2) / (19 + 1).
    assert reference.p(18 / unit, ONLY_FIRST) == pytest.approx(0.15)
    assert reference.p(20 / unit, ONLY_FIRST) == pytest.approx(0.05)
    assert reference.p(0.0, ONLY_FIRST) == pytest.approx(1.0)


def test_the_unit_of_equal_cases_is_numpys_quantile():
    distances = np.random.default_rng(0).gamma(3.0, size=93)
    assert known(distances).units[0] == pytest.approx(np.quantile(distances, 0.95))
    # Cases of which nothing is known count for nothing.
    gaps = np.concatenate([distances, [np.nan] * 7])
    assert known(gaps).units[0] == pytest.approx(np.quantile(distances, 0.95))


def test_two_cases_of_a_patient_weigh_half_each_in_the_unit():
    # Below 1, 2, 3, 4 lie 0, 0.5, 1 and 2 patients; 0.95 of the last is 1.9, so 3.9.
    groups = np.array([0, 0, 1, 2], dtype=np.int64)
    assert known(np.arange(1.0, 5.0), groups=groups).units[0] == pytest.approx(3.9)


def test_a_patient_counts_once_however_many_cases_are_of_him():
    # Patient 0 has eight cases at 9; patients 1 and 2 lie at 1 and 2.
    reference = known(
        np.array([9.0] * 8 + [1.0, 2.0]), groups=np.array([0] * 8 + [1, 2], dtype=np.int64)
    )
    unit = reference.units[0]

    assert reference.independent == 3
    assert reference.p(5.0 / unit, ONLY_FIRST) == pytest.approx((1 + 1) / (3 + 1))
    assert reference.p(1.5 / unit, ONLY_FIRST) == pytest.approx((1 + 2) / (3 + 1))


def test_the_score_is_the_greatest_of_the_known_ratios():
    reference = known(np.arange(1.0, 21.0))
    reference.distances[:, 2] = 2.0

    assert reference.scores(np.array([[19.0, 5.0, 6.0]])) == pytest.approx([3.0])
    assert np.isnan(reference.scores(np.array([[np.nan, 5.0, np.nan]]))).all()


@pytest.mark.parametrize(
    ("cases", "size", "kind"),
    [(40, 9, "normal"), (60, 200, "normal"), (150, 30, "rare"), (150, 20, "heavy")],
)
def test_cases_of_the_cohort_itself_are_called_unusual_as_often_as_they_should(cases, size, kind):
    random = np.random.default_rng(7)

    def drawn(n: int) -> np.ndarray:
        values = random.normal(size=(n, size))
        if kind == "rare":  # features that hardly ever fire
            values = np.where(random.random((n, size)) < 0.02, np.abs(values), 0.0)
        if kind == "heavy":
            values = np.exp(1.5 * values)
        return values

    unusual, outside, judged = 0, 0, 0
    for _ in range(30):
        reference = of(drawn(cases))
        for row in drawn(20):
            fit = compared(reference, statistics(row[None]))
            unusual += fit.p <= 0.05
            outside += fit.score >= 1.5
            judged += 1
    expected = np.floor(0.05 * (cases + 1)) / (cases + 1)
    # Three standard errors of 600 drawings, and one percent: folds leave an eighth out.
    assert abs(unusual / judged - expected) < 0.037
    assert outside / judged <= 0.05


def test_neither_the_order_of_cases_nor_their_division_matters():
    random = np.random.default_rng(3)
    values, content = random.normal(size=(50, 6)), hashes(50)
    group = np.repeat(np.arange(1, 26, dtype=np.uint64), 2)
    order = random.permutation(50)

    def parts(where: np.ndarray, sizes: list[int]) -> Iterator[CaseStatistics]:
        return (statistics(values[one]) for one in np.split(where, np.cumsum(sizes)[:-1]))

    whole = fitted(lambda: parts(np.arange(50), [50]), content, group)
    divided = fitted(lambda: parts(np.arange(50), [7, 20, 3, 20]), content, group)
    moved = fitted(lambda: parts(order, [11, 39]), content[order], group[order])

    np.testing.assert_array_equal(divided.distances, whole.distances)
    np.testing.assert_allclose(moved.distances, whole.distances[order], rtol=1e-9)


def test_of_a_large_cohort_a_part_teaches_the_spread_and_all_have_a_distance(monkeypatch):
    monkeypatch.setattr(module, "MOST_LEARNT", 40)
    random = np.random.default_rng(4)
    values, content = random.normal(size=(100, 5)), hashes(100)
    order = random.permutation(100)

    one = fitted(lambda: iter([statistics(values)]), content, np.zeros(100, np.uint64))
    other = fitted(
        lambda: iter([statistics(values[order])]), content[order], np.zeros(100, np.uint64)
    )

    assert np.isfinite(one.distances[:, 2]).all()
    np.testing.assert_allclose(other.distances, one.distances[order], rtol=1e-9)
    # The rest are no farther than those that were left out in turn.
    assert np.median(one.distances[:, 2]) == pytest.approx(np.sqrt(5), rel=0.25)


def test_a_case_without_finite_numbers_has_no_part_in_the_reference():
    values = np.random.default_rng(5).normal(size=(30, 4))
    values[3, 1] = np.inf

    reference = of(values)

    assert np.isnan(reference.distances[3]).all()
    assert np.isfinite(np.delete(reference.distances[:, 2], 3)).all()


def test_two_copies_of_an_image_do_not_vouch_for_each_other():
    values = np.random.default_rng(6).normal(size=(30, 4))
    values[28:] = 40.0
    content = hashes(30)
    content[29] = content[28]

    found = fitted(lambda: iter([statistics(values)]), content, np.zeros(30, np.uint64))

    assert found.distances[28, 2] > 20
    assert found.distances[29, 2] == pytest.approx(found.distances[28, 2])


def copies(images: int, times: int) -> FitReference:
    values = np.random.default_rng(6).normal(size=(images, 4))
    many = statistics(np.tile(values, (times, 1)))
    content = np.tile(hashes(images), times)
    return fitted(lambda: iter([many]), content, np.zeros(images * times, np.uint64))


def test_copies_of_an_image_count_once():
    new = statistics(np.full((1, 4), 0.3))

    one, twelve = compared(copies(1, 20), new), compared(copies(12, 3), new)
    alone = compared(copies(12, 1), new)

    assert (one.references, one.score, one.patients) == (1, None, False)
    assert "1 reference case" in one.notes[0]
    assert twelve.words == "not seen to differ from the 12 reference cases"
    assert twelve.p * 13 == pytest.approx(round(twelve.p * 13))
    assert alone.references == 12


def test_of_patients_the_percentage_that_lies_nearer_counts_each_once():
    # Patient 0 has eight cases at 9; patients 1 and 2 lie at 1 and 2.
    groups = np.array([0] * 8 + [1, 2], dtype=np.int64)
    reference = known(np.array([9.0] * 8 + [1.0, 2.0]), groups)

    assert reference.percent_nearer(5.0 / 9, ONLY_FIRST) == pytest.approx(100 * 2 / 3)


def test_a_patient_of_the_cohort_is_compared_with_the_other_patients():
    groups = np.array([0] * 8 + [1, 2], dtype=np.int64)
    reference = known(np.array([1.0] * 7 + [5.0, 4.0, 6.0]), groups)

    # Of the two others one lies at least as far as his eighth image.
    assert reference.p(5.0 / reference.units[0], ONLY_FIRST, own=7) == pytest.approx(2 / 3)
    nearer = reference.percent_nearer(5.0 / reference.units[0], ONLY_FIRST, own=7)
    assert nearer == pytest.approx(50.0)


def test_few_cases_say_how_little_they_can_tell():
    random = np.random.default_rng(8)

    four = compared(of(random.normal(size=(4, 3))), statistics(np.full((1, 3), 50.0)))
    ten = compared(of(random.normal(size=(10, 3))), statistics(np.full((1, 3), 50.0)))
    twenty = compared(of(random.normal(size=(20, 3))), statistics(np.zeros((1, 3))))

    assert (four.outside, four.score, four.p) == (False, None, None)
    assert "not known" in four.words
    assert "4 reference cases" in four.notes[0]
    assert ten.outside
    assert not ten.unusual
    assert any("10 reference cases" in note for note in ten.notes)
    assert not any("20 reference cases" in note for note in twenty.notes)


def test_cases_that_are_fewer_than_their_numbers_find_noise_and_not_one_another():
    random = np.random.default_rng(9)
    reference = of(random.normal(size=(40, 500)))

    usual = [compared(reference, statistics(random.normal(size=(1, 500)))) for _ in range(40)]

    assert sum(fit.outside for fit in usual) <= 2
    assert compared(reference, statistics(random.normal(size=(1, 500)) * 5)).outside
