from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.covariance import ledoit_wolf_shrinkage

from napari_ifa import samples
from napari_ifa.analysis import analyze
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.new_case import compared_with_class
from napari_ifa.evaluation.checks.outliers import outliers
from napari_ifa.evaluation.figures.checks import outlier_figure
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import cases, sections_of
from napari_ifa.evaluation.statistics.distances import (
    correlation_distance,
    mahalanobis_of_the_others,
    mean_of_the_others,
    rank_p,
)
from napari_ifa.models import load_classifier
from tests.known_analysis import known_analysis
from tests.problems import refused


@pytest.mark.parametrize("each", [1, 2])
@pytest.mark.parametrize(("cases", "features"), [(30, 6), (6, 6), (8, 40)])
def test_mahalanobis_leaves_the_case_and_its_patient_out(cases, features, each):
    """Against the definition: a mean and a covariance of the others for every case."""
    groups = np.arange(cases) // each
    profiles = np.random.default_rng(0).gamma(2, size=(cases, features)) * np.arange(
        1, features + 1
    )
    centred = profiles - profiles.mean(axis=0)
    a = ledoit_wolf_shrinkage(centred, assume_centered=True)
    ridge = a * (centred**2).mean() * np.eye(features)

    expected = []
    for n in range(cases):
        others = profiles[groups != groups[n]]
        covariance = (1 - a) * np.cov(others.T, bias=True) + ridge
        away = profiles[n] - others.mean(axis=0)
        expected.append(np.sqrt(away @ np.linalg.solve(covariance, away)))

    np.testing.assert_allclose(mahalanobis_of_the_others(profiles, groups), expected, rtol=1e-9)


def test_cases_that_are_all_alike_have_no_distance():
    np.testing.assert_array_equal(
        mahalanobis_of_the_others(np.ones((4, 3)), np.arange(4)), np.zeros(4)
    )


def test_correlation_distance_by_hand():
    means = np.array([[1.0, 2.0, 3.0]])
    profiles = np.array([[2.0, 4.0, 6.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0], [1.0, 3.0, 2.0]])

    np.testing.assert_allclose(correlation_distance(profiles, means), [0, 2, np.nan, 0.5])


def test_p_is_the_place_within_the_class():
    np.testing.assert_allclose(
        rank_p(np.array([0.1, 0.4, 0.4, np.nan, 0.2]), np.arange(5)),
        [1, 2 / 4, 2 / 4, np.nan, 3 / 4],
    )


def test_cases_of_a_patient_count_once_and_not_against_one_another():
    # Patients a, a, b, b, c: for 0.5 of a half of b's (0.7) and none of c (0.2) lie as far; three
    # patients
    distance, groups = np.array([0.5, 0.9, 0.7, 0.1, 0.2]), np.array([1, 1, 2, 2, 3])

    expected = np.array([1 + 0.5 + 0, 1 + 0 + 0, 1 + 0.5 + 0, 1 + 1 + 1, 1 + 1 + 0.5]) / 3
    np.testing.assert_allclose(rank_p(distance, groups), expected)


def test_the_mean_of_the_others_leaves_the_patient_out():
    profiles, groups = np.array([[1.0], [3.0], [8.0]]), np.array([5, 5, 2])

    np.testing.assert_allclose(mean_of_the_others(profiles, groups)[:, 0], [8, 8, 2])


def test_a_patient_whose_slices_are_all_odd_cannot_hide_behind_them():
    rng = np.random.default_rng(21)
    k = np.abs(rng.normal(1, 0.2, size=(40, 12, 2))) * np.linspace(0.1, 2, 12)[:, None]
    k[:8] = k[:8, ::-1]
    patients = np.concatenate([np.full(8, 1), np.arange(2, 34)])

    alone = outliers(known_analysis(k, [0] * 40))
    known = outliers(known_analysis(k, [0] * 40, groups=patients))

    # Eight of forty lie as far; one patient of 33 does.
    np.testing.assert_allclose(known.p[:8], 1 / 33)
    assert alone.p[:8].max() == pytest.approx(8 / 40)
    assert "own other cases are left out" in sections_of(known)[0].meaning
    assert "left out" not in sections_of(alone)[0].meaning


def test_slices_of_too_few_patients_are_not_ranked():
    k = np.random.default_rng(22).normal(size=(20, 6, 2))
    found = outliers(known_analysis(k, [0] * 20, groups=[1] * 10 + [2] * 10))

    assert np.isnan(found.p).all()


@pytest.mark.parametrize("by", ["correlation", "mahalanobis"])
def test_a_new_case_of_the_class_has_an_exact_p(by):
    rng = np.random.default_rng(23)
    usual = np.linspace(0, 1, 10)
    p = []
    for _ in range(300):
        k = usual[:, None] + rng.gamma(1.0, size=(19, 10, 1))
        new = usual + rng.gamma(1.0, size=10)
        p.append(compared_with_class(known_analysis(k, [1] * 19), new, 0, by=by).p)
    # 1/20 … 20/20, each as often
    assert set(np.round(np.array(p) * 20, 6)) <= set(range(1, 21))
    for level in (0.1, 0.25, 0.5):
        assert binomtest(int((np.array(p) <= level + 1e-9).sum()), 300, level).pvalue > 0.001


def test_an_odd_new_case_lies_farther_than_any():
    rng = np.random.default_rng(24)
    k = np.linspace(0, 1, 10)[:, None] + 0.1 * rng.normal(size=(30, 10, 2))
    analysis = known_analysis(k, [0] * 15 + [1] * 15, groups=np.arange(30) + 1)

    odd = compared_with_class(analysis, np.linspace(1, 0, 10), 1)
    usual = compared_with_class(analysis, np.linspace(0, 1, 10), 1)

    assert odd.p == pytest.approx(1 / 16)
    assert odd.distance > 5 * odd.usual
    assert usual.p > 0.5
    assert (odd.cases, odd.patients) == (15, 15)
    assert compared_with_class(analysis, np.linspace(1, 0, 10), 1, group=20).cases == 14


ALIKE = known_analysis(np.ones((9, 5, 2)), [0] * 9)
WITHOUT_PROFILES = known_analysis(np.ones((9, 5, 2)), [0] * 9, profiles=None)


@pytest.mark.parametrize(
    ("analysis", "features", "class_idx", "kind", "facts"),
    [
        (WITHOUT_PROFILES, 5, 0, EvaluationProblem.NO_PROFILES, {}),
        (ALIKE, 4, 0, EvaluationProblem.CONTRIBUTIONS, {"features": 5, "given": 4}),
        (ALIKE, 5, 1, EvaluationProblem.FEW_CASES, {"independent": "0 independent cases"}),
        (ALIKE, 5, 2, AnalysisProblem.NO_CLASS, {"class_idx": 2}),
    ],
)
def test_what_no_new_case_can_be_compared_with_is_said(analysis, features, class_idx, kind, facts):
    with refused(AnalysisError, kind, **facts):
        compared_with_class(analysis, np.ones(features), class_idx)


def cohort_of_patterns(rng, cases: int, features: int = 30):
    """Contributions ``[N, F, 3]``: each class speaks by features of its own, and labels."""
    labels = np.repeat([0, 1, 2], cases)
    patterns = rng.gamma(0.5, size=(3, features))
    weights = patterns.T + 0.1 * rng.normal(size=(features, 3))
    activation = patterns[labels] * rng.gamma(8, size=(3 * cases, 1)) / 8
    activation += 0.2 * rng.gamma(1, size=(3 * cases, features))
    return activation[:, :, None] * weights, labels


@pytest.mark.parametrize("seed", range(6))
def test_a_planted_wrong_label_is_among_the_first_5_percent(seed):
    rng = np.random.default_rng(seed)
    k, labels = cohort_of_patterns(rng, 20)
    wrong = int(rng.integers(len(labels)))
    labels[wrong] = (labels[wrong] + 1) % 3

    found = outliers(known_analysis(k, labels))

    assert len(found.first) == 3
    assert wrong in found.first
    assert found.nearer_others[wrong]
    assert found.predicted[wrong] != found.label[wrong]


@pytest.mark.parametrize(("number", "step"), [(3, 1), (14, 2), (25, 1)])
def test_a_wrong_label_in_the_sample_cohort_ranks_first(number, step):
    classifier = load_classifier(samples.bundle("clean"))
    cohort = read_cohort(samples.cohort("clean"), "test")
    wrong = replace(cohort.cases[number], label=(cohort.cases[number].label + step) % 3)
    cases = (*cohort.cases[:number], wrong, *cohort.cases[number + 1 :])

    found = outliers(analyze(classifier, replace(cohort, cases=cases), batch_size=4))
    row = sections_of(found)[0].rows[0]

    assert found.first.tolist() == [number], "5 % of 27 cases are one"
    assert row["case"] == wrong.id
    assert not row["agrees"]


@pytest.mark.parametrize("by", ["correlation", "mahalanobis"])
def test_p_holds_its_level_in_skewed_contributions(by):
    """A case like the others of its class has p ≤ 0.1 in at most a tenth of the cohorts."""
    rng = np.random.default_rng(7)
    runs, errors = 400, 0
    for _ in range(runs):
        k = rng.gamma(0.6, size=(25, 8, 1)) * np.arange(1, 9)[:, None]
        errors += outliers(known_analysis(k, [0] * 25), by=by).p[0] <= 0.1
    assert binomtest(errors, runs, 0.1, alternative="greater").pvalue > 0.01


def test_the_distances_of_a_class_do_not_depend_on_the_other_classes():
    rng = np.random.default_rng(8)
    k, labels = cohort_of_patterns(rng, 12)
    of_one = labels == 1

    whole = outliers(known_analysis(k, labels))
    alone = outliers(known_analysis(k[of_one], labels[of_one]))

    np.testing.assert_allclose(whole.correlation[of_one], alone.correlation)
    np.testing.assert_allclose(whole.mahalanobis[of_one], alone.mahalanobis)
    np.testing.assert_allclose(whole.p[of_one], alone.p)


def test_few_cases_and_cases_without_a_label_are_not_ranked_and_said():
    rng = np.random.default_rng(9)
    labels = [0] * 5 + [1] * 2 + [-1]
    analysis = known_analysis(rng.normal(size=(8, 6, 2)), labels, class_names=("much", "little"))

    found = outliers(analysis)
    section = sections_of(found)[0]

    np.testing.assert_array_equal(np.isfinite(found.p), [True] * 5 + [False] * 3)
    assert len(section.rows) == 5
    assert "5 of 8 cases ranked" in section.meaning
    assert "Fewer than 3 cases, not ranked: little. Without a label: 1 case." in section.meaning


def test_without_stored_contributions_it_says_so_in_a_sentence():
    section = sections_of(
        outliers(known_analysis(np.ones((4, 5, 2)), [0, 0, 1, 1], profiles=None))
    )[0]

    assert section.rows == ()
    assert section.draw is None
    assert section.meaning.startswith("This analysis was made without the contributions")


def test_half_precision_changes_no_rank():
    k, labels = cohort_of_patterns(np.random.default_rng(10), 15)

    exact = outliers(known_analysis(k, labels))
    half = outliers(known_analysis(k, labels, profiles=np.float16))

    np.testing.assert_array_equal(exact.ranked[:5], half.ranked[:5])
    np.testing.assert_array_equal(exact.nearer_others, half.nearer_others)
    np.testing.assert_allclose(half.correlation, exact.correlation, atol=1e-3)


def test_with_two_features_the_mahalanobis_distance_ranks():
    k = np.random.default_rng(11).normal(size=(9, 2, 1))
    k[4] += 10

    found = outliers(known_analysis(k, [0] * 9))

    assert found.by == "mahalanobis"
    assert found.ranked[0] == 4


def test_a_case_without_any_contribution_has_no_correlation():
    k = np.random.default_rng(12).gamma(2, size=(9, 6, 1))
    k[3] = 0

    found = outliers(known_analysis(k, [0] * 9))

    assert np.isnan(found.p[3])
    assert 3 not in found.ranked


def test_a_model_that_answers_with_values_has_one_group_and_residuals():
    k = np.random.default_rng(13).normal(1, size=(10, 6, 1))
    answers = k.sum(axis=1)
    targets = answers[:, 0] - 2.5
    targets[4] = np.nan

    found = outliers(
        known_analysis(*(k, [-1] * 10), logits=answers, targets=targets, output_activation="none")
    )
    section = sections_of(found)[0]

    assert len(found.ranked) == 10
    assert not {"class", "predicted", "agrees", "nearer_others"} & set(section.columns)
    residuals = {row["case"]: row["residual"] for row in section.rows}
    assert np.isnan(residuals.pop("case 4"))
    np.testing.assert_allclose(list(residuals.values()), 2.5)
    for word in ("wrongly", "rightly", "label", "class"):
        assert word not in section.meaning
    assert "cohort" in section.limits.split(":")[0]
    section.draw()


def test_without_any_target_there_is_no_residual():
    k = np.random.default_rng(14).normal(1, size=(10, 6, 1))

    found = outliers(known_analysis(k, [-1] * 10, output_activation="none"))

    assert "answer" in sections_of(found)[0].columns
    assert not {"target", "residual"} & set(sections_of(found)[0].columns)


def test_a_model_of_one_output_has_the_cases_without_and_with_its_class():
    rng = np.random.default_rng(15)
    labels = np.repeat([0, 1], 12)
    k = rng.normal(np.where(labels[:, None, None] == 1, 1.0, -1.0), 0.3, size=(24, 6, 1))
    k[:, 3] *= 3
    labels[5] = 1

    found = outliers(known_analysis(k, labels, class_names=("bleeding",)))

    row = sections_of(found)[0].rows[0]
    assert (row["case"], row["class"], row["predicted"]) == ("case 5", "bleeding", "not bleeding")
    assert not row["agrees"]
    assert row["nearer_others"]


def two_spreads(rng):
    """Two classes of 20, whose cases vary by 0.05 and by 1 about their patterns."""
    labels = np.repeat([0, 1], 20)
    patterns = rng.gamma(1, size=(2, 30)) * 3
    noise = rng.normal(size=(40, 30)) * np.array([0.05, 1.0])[labels][:, None]
    return np.repeat((patterns[labels] + noise)[:, :, None], 2, axis=2), labels


def test_a_class_that_varies_much_does_not_fill_the_first_ranks():
    k, labels = two_spreads(np.random.default_rng(16))

    found = outliers(known_analysis(k, labels))

    p = found.p[found.ranked]
    assert (np.diff(p) >= 0).all()
    assert np.bincount(found.label[found.ranked[:10]]).tolist() == [5, 5]
    by_distance = np.argsort(-found.distance)
    assert np.bincount(found.label[by_distance[:10]]).tolist() == [0, 10]


def test_the_odd_case_of_a_small_class_stands_before_usual_ones_of_a_large_one():
    k, labels = cohort_of_patterns(np.random.default_rng(17), 80)
    chosen = np.concatenate([np.arange(80), np.arange(80, 86), np.arange(160, 240)])
    k, labels = k[chosen], labels[chosen]
    labels[0] = 1

    found = outliers(known_analysis(k, labels))

    assert found.p[0] == pytest.approx(1 / 7)
    assert 0 in found.first


def test_relative_distance_by_hand():
    found = replace(
        outliers(known_analysis(np.random.default_rng(18).normal(size=(10, 6, 2)), [0, 1] * 5)),
        correlation=np.array([0.1, 1.0, 0.1, 1.0, 0.2, 1.0, 0.3, 1.0, 0.4, 2.0]),
    )

    # Medians 0.2 and 1 of five each, 0.7 of all; (5 · 0.2 + 10 · 0.7) / 15 and (5 + 7) / 15
    np.testing.assert_allclose(found.relative[[0, 9]], [0.1 / (8 / 15), 2 / (12 / 15)])


def test_every_ranked_case_is_in_the_table_up_to_a_limit_that_is_said(monkeypatch):
    k, labels = cohort_of_patterns(np.random.default_rng(19), 25)
    found = outliers(known_analysis(k, labels))

    whole = sections_of(found)[0]
    monkeypatch.setattr(cases, "MOST_ROWS", 20)
    cut = sections_of(found)[0]

    assert [row["rank"] for row in whole.rows] == list(range(1, 76))
    assert len(cut.rows) == 20
    assert "The table holds the first 20." in cut.meaning
    assert "The table holds" not in whole.meaning


def test_with_few_features_no_nearness_is_claimed():
    k = np.random.default_rng(20).normal(size=(12, 2, 2))

    section = sections_of(outliers(known_analysis(k, [0, 1] * 6)))[0]

    assert "more like" not in section.meaning
    assert {row["nearer_others"] for row in section.rows} == {None}


def test_the_legend_holds_the_marks_that_are_drawn():
    k, labels = cohort_of_patterns(np.random.default_rng(21), 20)

    figure = outlier_figure(outliers(known_analysis(k, labels)))

    handles, texts = figure.axes[0].get_legend_handles_labels()
    assert len(handles) == len(figure.axes[0].collections) == len(texts)
    assert all(len(handle.get_offsets()) for handle in handles)
    assert figure.axes[0].get_ylim()[0] < 0
