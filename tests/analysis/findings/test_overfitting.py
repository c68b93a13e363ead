from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from known_analysis import known_analysis
from overtrained import analyses, trained
from scipy.stats import binomtest, ttest_ind
from scipy.stats import t as student

from napari_ifa.analysis.findings.numbering import free_places
from napari_ifa.analysis.findings.overfitting import overfitting
from napari_ifa.analysis.findings.welch import benjamini_hochberg
from napari_ifa.errors import AnalysisMismatchError


def one_class(values, **more):
    """An analysis of one class from contributions ``[N, F]``."""
    return known_analysis(np.asarray(values, float)[:, :, None], [1] * len(values), **more)


def test_welch_by_hand():
    # Means 2 and 5, variances 2 and 8 over 2 and 2 cases: t = −3 / √(1 + 4), and
    # ν = (1 + 4)² / (1² + 4²) = 25/17
    found = overfitting(one_class([[1.0], [3.0]]), one_class([[3.0], [7.0]]))

    assert found.t[0, 0] == pytest.approx(-3 / np.sqrt(5))
    assert found.p[0, 0] == pytest.approx(2 * student.sf(3 / np.sqrt(5), 25 / 17))


def test_stored_moments_give_the_test_of_the_cases_themselves():
    rng = np.random.default_rng(0)
    train = known_analysis(rng.normal(1, 2, (40, 6, 3)), rng.integers(0, 3, 40))
    test = known_analysis(rng.gamma(1, 2, (25, 6, 3)), rng.integers(0, 3, 25))

    found = overfitting(train, test)

    for c in range(3):
        own = [a.dataset["contribution"].values[a.dataset["label"] == c] for a in (train, test)]
        expected = ttest_ind(*own, equal_var=False)
        np.testing.assert_allclose(found.t[:, c], expected.statistic)
        np.testing.assert_allclose(found.p[:, c], expected.pvalue)


def test_where_nothing_varies_equal_means_have_p_1_and_others_that_of_the_permutations():
    # 4 and 4 cases: 70 ways to deal them, 2 of which separate the two values
    found = overfitting(one_class([[0.5, 1.0]] * 4), one_class([[0.5, 2.0]] * 4))

    np.testing.assert_allclose(found.p[:, 0], [1.0, 2 / 70])
    np.testing.assert_array_equal(found.t[:, 0], [0.0, -np.inf])


def test_rounding_is_no_variance():
    one = np.float32(0.1) + np.array([0, 1e-9, 0, -1e-9])
    other = np.float32(0.1) + np.array([2e-9, 1e-9, 2e-9, 1e-9])

    found = overfitting(one_class(one[:, None]), one_class(other[:, None]))

    assert found.p[0, 0] == 1


def test_adjusted_p_by_hand_over_all_features_of_all_classes():
    p = np.array([[0.01, 0.03], [0.02, 0.5], [np.nan, np.nan]])
    # of four: 0.01 · 4, 0.02 · 4/2, 0.03 · 4/3, 0.5, each at most the next
    np.testing.assert_allclose(benjamini_hochberg(p), [[0.04, 0.04], [0.04, 0.5], [np.nan, np.nan]])


def test_distance_and_correlation_of_the_columns_by_hand():
    train = one_class([[1.0, -2.0, 3.0]] * 2)
    test = one_class([[2.0, -2.0, 1.0]] * 2)

    found = overfitting(train, test)

    assert found.distance[0] == pytest.approx((1 + 0 + 2) / 6)
    assert found.distance_by_chance[0] == 0
    assert found.correlation[0] == pytest.approx(np.corrcoef([1, -2, 3], [2, -2, 1])[0, 1])


def test_distance_by_chance_is_what_two_samples_of_one_cohort_show():
    rng = np.random.default_rng(1)
    shape = (30, 200, 1)
    of_one_cohort = [known_analysis(rng.normal(1, 3, shape), [1] * 30) for _ in range(2)]

    found = overfitting(*of_one_cohort)

    assert found.distance[0] == pytest.approx(found.distance_by_chance[0], rel=0.15)


def test_a_class_with_one_case_is_no_number_and_named():
    rng = np.random.default_rng(2)
    names = ("healthy", "bleeding")
    train = known_analysis(rng.normal(size=(6, 4, 2)), [0, 0, 0, 1, 1, 1], class_names=names)
    test = known_analysis(rng.normal(size=(4, 4, 2)), [0, 0, 0, 1], class_names=names)

    found = overfitting(train, test)
    section, features = found.sections

    assert np.isnan(found.p[:, 1]).all()
    assert np.isfinite(found.p[:, 0]).all()
    assert section.rows[1]["significant"] is None
    assert np.isnan(section.rows[1]["least_adjusted_p"])
    assert "two cases on a side: bleeding." in section.meaning
    assert {row["class"] for row in features.rows} == {"healthy"}


def test_without_any_class_to_test_it_says_what_to_do():
    found = overfitting(one_class([[1.0, 2.0]]), one_class([[1.0, 2.0]]))

    assert "analyse more cases" in found.sections[0].meaning


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_weights": "others"}, "weights differ"),
        ({"model_layer": "x", "model_class_names": "y"}, "layer, class names differ"),
        ({"method": "layercam"}, "method differ"),
    ],
)
def test_analyses_of_different_models_or_methods_are_refused(change, named):
    train = one_class([[1.0, 2.0]] * 2)
    test = one_class([[1.0, 2.0]] * 2, **change)

    with pytest.raises(AnalysisMismatchError, match=named):
        overfitting(train, test)


def test_another_number_of_features_is_refused():
    with pytest.raises(AnalysisMismatchError, match="number of features or classes"):
        overfitting(one_class([[1.0, 2.0]] * 2), one_class([[1.0]] * 2))


def test_another_name_of_the_same_model_is_no_difference():
    overfitting(one_class([[1.0]] * 2), one_class([[1.0]] * 2, model_name="a copy"))


def test_images_in_both_analyses_are_counted():
    values = [[1.0], [2.0], [3.0]]
    train = one_class(values, content=[7, 8, 9])

    shared = overfitting(train, one_class(values, content=[9, 7, 1]))
    none = overfitting(train, one_class(values, content=[4, 5, 6]))
    unknown = overfitting(train, one_class(values))

    assert (shared.shared, none.shared, unknown.shared) == (2, 0, None)
    assert "2 images in both analyses hide overfitting" in shared.sections[0].meaning
    assert "No image stands in both" in none.sections[0].meaning
    assert "not known" in unknown.sections[0].meaning


def independent(rng, shape):
    return rng.normal(size=shape)


def correlated(rng, shape):
    """Five causes under all features, as features of a network share."""
    causes = rng.normal(size=(shape[0], 5, shape[2]))
    mixing = np.random.default_rng(0).normal(size=(5, shape[1]))
    return np.einsum("nkc,kf->nfc", causes, mixing) + 0.3 * rng.normal(size=shape)


def rarely_active(rng, shape):
    """Nothing in most cases, and a skewed rest, as behind a ReLU."""
    return rng.gamma(2, size=shape) * (rng.random(shape) < 0.4)


@pytest.mark.parametrize(
    ("draw", "cases"),
    [(independent, (20, 15)), (correlated, (20, 15)), (rarely_active, (40, 8))],
)
def test_nothing_is_called_significant_more_often_than_stated(draw, cases):
    """Training and test from one distribution: any finding at all is an error."""
    rng = np.random.default_rng(11)
    runs, errors, suspected = 400, 0, 0
    for _ in range(runs):
        found = overfitting(
            *(known_analysis(draw(rng, (2 * n, 25, 2)), np.arange(2 * n) % 2) for n in cases)
        )
        errors += bool(found.significant.any())
        suspected += bool(found.suspected.any())
    assert binomtest(errors, runs, 0.05, alternative="greater").pvalue > 0.01
    if draw is rarely_active:
        # What Welch's p alone would call in cohorts of such sizes.
        assert suspected > 0.5 * runs


def test_without_the_contributions_of_cases_nothing_is_called_significant():
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(2, 40, 10, 1))
    train[:, 0] += 3.0
    labels = [1] * 40

    found = overfitting(*(known_analysis(k, labels, profiles=None) for k in (train, test)))
    section, features = found.sections

    assert found.suspected.sum() == 1
    assert not found.significant.any()
    assert section.rows[0]["significant"] is None
    assert features.rows[0]["significant"] is None
    assert features.rows[0]["feature"] == 0
    assert "1 of 10 mean contributions seem to differ" in section.meaning
    assert "analyse again with them" in section.meaning


def test_a_network_that_knows_30_cases_by_heart_shows_more_overfitting_than_a_trained_one(tmp_path):
    (tmp_path / "few").mkdir()
    (tmp_path / "many").mkdir()

    few = overfitting(*analyses(trained(30, steps=150), tmp_path / "few"))
    many = overfitting(*analyses(trained(2000, steps=150), tmp_path / "many"))

    assert few.significant.sum() > many.significant.sum() + 10
    assert (few.distance > 3 * few.distance_by_chance).all()
    assert (many.distance < 2 * many.distance_by_chance).all()


def test_features_that_differ_are_found_and_the_others_left_alone():
    rng = np.random.default_rng(3)
    labels = [0] * 40 + [1] * 40
    train, test = rng.normal(size=(2, 80, 50, 2))
    train[:40, :5, 0] += 2.0

    found = overfitting(known_analysis(train, labels), known_analysis(test, labels))

    np.testing.assert_array_equal(np.flatnonzero(found.significant[:, 0]), range(5))
    assert not found.significant[:, 1].any()
    listed = [r["feature"] for r in found.sections[1].rows if r["class"] == "class 0"]
    assert set(listed) <= set(range(5))


def test_another_mix_of_classes_alone_is_no_overfitting():
    rng = np.random.default_rng(4)
    of_class = np.array([[0.0, 4.0], [3.0, -1.0]])

    def cohort(labels):
        return known_analysis(
            of_class[labels][:, :, None] + rng.normal(size=(len(labels), 2, 2)), labels
        )

    many, few = np.repeat([0, 1], [60, 10]), np.repeat([0, 1], [10, 60])
    train, test = cohort(many), cohort(few)

    assert not overfitting(train, test).significant.any()
    by_all = overfitting(train, test, kind="all")
    assert by_all.suspected.any()
    assert "another mix of classes differs too" in by_all.sections[0].meaning
    assert by_all.why_all == "asked"


def test_a_difference_that_no_feature_can_be_named_for_is_said_as_such():
    rng = np.random.default_rng(1)
    found = overfitting(one_class(rng.normal(size=(9, 4))), one_class(rng.normal(size=(9, 4))))
    none = np.full((4, 1), 0.2)

    somewhere = replace(found, p_any=0.03, adjusted=none).sections[0].meaning
    nowhere = replace(found, p_any=0.4, adjusted=none).sections[0].meaning
    by_welch_alone = replace(found, p_any=0.4, adjusted=np.full((4, 1), 0.01)).sections[0].meaning

    assert somewhere.startswith(
        "Training and test differ somewhere (permutation test of any difference: p = 0.03), but no"
        " single one of 4 mean contributions can be named"
    )
    assert nowhere.startswith("No difference between training and test was found in 4 mean")
    assert "Welch's t alone would name 4" in by_welch_alone


def test_a_model_that_answers_with_values_is_not_said_to_lack_labels():
    k = np.random.default_rng(2).normal(size=(8, 3, 1))
    one = known_analysis(k, [-1] * 8, targets=range(8), output_activation="none")
    unlabelled = known_analysis(k, [-1] * 8)

    of_values = overfitting(one, one, kind="all").sections[0].meaning
    without = overfitting(unlabelled, unlabelled, kind="all").sections[0].meaning

    assert "since the model answers with values" in of_values
    assert "label" not in of_values
    assert "since none has a label" in without


def test_of_one_output_the_cases_with_the_class_are_dealt_out():
    """Those without it differ between the cohorts, which the column is no mean of."""
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1], 20)
    train, test = rng.normal(size=(2, 40, 3, 1))
    train[:20] += 5

    found = overfitting(known_analysis(train, labels), known_analysis(test, labels))

    assert found.p_any > 0.05
    assert not found.significant.any()


def test_numbers_stand_on_no_point_and_on_no_other_number():
    rng = np.random.default_rng(6)
    points = np.repeat(rng.uniform(0.1, 0.9, size=(40, 1)), 2, axis=1)
    points[:, 1] += rng.normal(0, 0.03, 40)

    places = free_places(points, range(6), zero=0.3)

    apart = np.linalg.norm(places[:, None] - points[None], axis=2)
    assert apart.min() > 0.05
    between = np.linalg.norm(places[:, None] - places[None], axis=2) + np.eye(6)
    assert between.min() > 0.08
    assert np.abs(places - 0.3).min() > 0.04
