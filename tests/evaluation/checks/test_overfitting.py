from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from napari_ifa.errors import AnalysisMismatchError
from napari_ifa.evaluation.checks.overfitting import overfitting
from napari_ifa.evaluation.checks.sides import Side
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.evaluation.statistics import permutation
from napari_ifa.evaluation.statistics.permutation import compared, least_p
from tests.known_analysis import known_analysis
from tests.overtrained import analyses, trained
from tests.problems import refused


def one_class(values, **more):
    """An analysis of one class from contributions ``[N, F]``."""
    return known_analysis(np.asarray(values, float)[:, :, None], [1] * len(values), **more)


def test_the_standardised_difference_by_hand():
    # Means 2 and 5; squared deviations 2 and 8; variance of all (1, 3, 3, 7) together 19/3, which
    # counts for two degrees: (2 + 2·19/3) / 3 and (8 + 2·19/3) / 3, over two cases each
    t = compared([(np.array([[1.0], [3.0]]), np.array([[3.0], [7.0]]))], 1).t

    error = ((2 + 38 / 3) / 3 + (8 + 38 / 3) / 3) / 2
    assert t[0, 0] == pytest.approx(-3 / np.sqrt(error))


def test_all_deals_of_few_cases_give_the_exact_p():
    # 4 and 4 cases: 70 deals, of which the true one and its mirror image separate the values
    found = overfitting(one_class([[0.5, 1.0]] * 4), one_class([[0.5, 2.0]] * 4))

    assert found.adjusted[1, 0] == pytest.approx(2 / 70, abs=0.015)
    assert found.adjusted[0, 0] == 1.0
    assert found.t[0, 0] == 0


def test_the_adjusted_p_is_that_of_the_least_p_over_features_worked_out_anew():
    """Against plain loops: every deal's largest score, the features before left out."""
    rng = np.random.default_rng(3)
    one, other = rng.gamma(1.0, size=(9, 6)), rng.gamma(1.0, size=(7, 6))
    one[:, 2] += 1.5
    both = np.concatenate([one, other])

    def scores(first):
        rest = np.setdiff1d(np.arange(16), first)
        a, b, all_of = both[first], both[rest], both.var(axis=0, ddof=1)
        parts = [(x.var(axis=0) * len(x) + 2 * all_of) / (len(x) + 1) / len(x) for x in (a, b)]
        return np.abs(a.mean(axis=0) - b.mean(axis=0)) / np.sqrt(sum(parts))

    true = scores(np.arange(9))
    dealt = np.array([scores(rng.permutation(16)[:9]) for _ in range(4000)])
    order, expected, least = np.argsort(-true), np.zeros(6), 0.0
    for place, f in enumerate(order):
        least = max(least, (dealt[:, order[place:]].max(axis=1) >= true[f]).mean())
        expected[f] = least

    found = compared([(one, other)], 6)

    np.testing.assert_allclose(np.abs(found.t[:, 0]), true)
    np.testing.assert_allclose(found.adjusted[:, 0], expected, atol=0.05)


def test_many_features_are_stepped_down_as_few_are(monkeypatch):
    rng = np.random.default_rng(4)
    sides = [(rng.normal(size=(12, 30)) + 2 * (np.arange(30) < 4), rng.normal(size=(10, 30)))]
    whole = compared(sides, 30)
    monkeypatch.setattr(permutation, "_STEPS", 6)
    monkeypatch.setattr(permutation, "_BLOCK_NUMBERS", 100)

    in_part = compared(sides, 30)

    first = np.argsort(-np.abs(whole.t[:, 0]))[:6]
    np.testing.assert_allclose(in_part.adjusted[first], whole.adjusted[first], atol=0.06)
    assert (in_part.adjusted >= whole.adjusted - 0.06).all()


def test_rounding_is_no_difference():
    one = np.float32(0.1) + np.array([0, 1e-9, 0, -1e-9])
    other = np.float32(0.1) + np.array([2e-9, 1e-9, 2e-9, 1e-9])

    found = overfitting(one_class(one[:, None]), one_class(other[:, None]))

    assert found.adjusted[0, 0] == 1


@pytest.mark.parametrize(
    ("one", "other", "p"),
    [(4, 4, 2 / 70), (3, 4, 1 / 35), (3, 3, 2 / 20), (0, 5, 1.0), (1, 19, 0.05)],
)
def test_the_least_p_that_so_many_patients_allow(one, other, p):
    assert least_p(one, other) == pytest.approx(p)


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


def test_a_class_with_too_few_cases_for_any_p_is_left_out_and_named():
    rng = np.random.default_rng(2)
    names = ("healthy", "bleeding")
    train = known_analysis(rng.normal(size=(9, 4, 2)), [0] * 6 + [1] * 3, class_names=names)
    test = known_analysis(rng.normal(size=(7, 4, 2)), [0] * 4 + [1] * 3, class_names=names)

    found = overfitting(train, test)
    section, features = sections_of(found)

    assert np.isnan(found.adjusted[:, 1]).all()
    assert np.isfinite(found.adjusted[:, 0]).all()
    assert found.tested.tolist() == [True, False]
    assert section.rows[1]["significant"] is None
    assert np.isnan(section.rows[1]["least_adjusted_p"])
    assert "Too few cases for any p ≤ 0.05: bleeding." in section.meaning
    assert {row["class"] for row in features.rows} == {"healthy"}


def test_without_any_class_to_test_it_says_what_to_do():
    found = overfitting(one_class([[1.0, 2.0]] * 3), one_class([[1.0, 2.0]] * 3))

    assert found.p_any is None
    assert "nothing was tested; analyse more cases" in sections_of(found)[0].meaning


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model_weights": "others"}, "weights"),
        ({"model_layer": "x", "model_class_names": "y"}, "layer, class names"),
        ({"method": "layercam"}, "method"),
    ],
)
def test_analyses_of_different_models_or_methods_are_refused(change, named):
    train = one_class([[1.0, 2.0]] * 2)
    test = one_class([[1.0, 2.0]] * 2, **change)

    with refused(AnalysisMismatchError, EvaluationProblem.NOT_COMPARABLE, different=named):
        overfitting(train, test)


def test_another_number_of_features_is_refused():
    with refused(
        AnalysisMismatchError,
        EvaluationProblem.NOT_COMPARABLE,
        different="number of features or classes",
    ):
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
    assert "2 images in both analyses hide overfitting" in sections_of(shared)[0].meaning
    assert "No image stands in both" in sections_of(none)[0].meaning
    assert "not known" in sections_of(unknown)[0].meaning


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
    runs, errors = 200, 0
    for _ in range(runs):
        found = overfitting(
            *(known_analysis(draw(rng, (2 * n, 25, 2)), np.arange(2 * n) % 2) for n in cases)
        )
        assert found.called or not found.significant.any()
        errors += found.called
    assert binomtest(errors, runs, 0.05, alternative="greater").pvalue > 0.01


def of_patients(rng, patients, first, known=True):
    """Ten slices of each patient, alike among themselves; class 0 and 1 by turns."""
    own = rng.normal(size=(patients, 1, 20, 2))
    slices = (own + 0.5 * rng.normal(size=(patients, 10, 20, 2))).reshape(-1, 20, 2)
    number = np.repeat(np.arange(patients), 10)
    return known_analysis(slices, number % 2, groups=first + number if known else None)


def test_slices_of_one_patient_are_not_taken_for_independent_cases():
    rng = np.random.default_rng(12)
    runs, called = 60, {True: 0, False: 0}
    for _ in range(runs):
        for known in called:
            train, test = of_patients(rng, 30, 1, known), of_patients(rng, 16, 1000, known)
            called[known] += overfitting(train, test).called

    assert binomtest(called[True], runs, 0.05, alternative="greater").pvalue > 0.01
    assert called[False] == runs


def test_patients_are_counted_and_those_on_both_sides_said():
    rng = np.random.default_rng(13)
    train = of_patients(rng, 12, 1)

    apart = overfitting(train, of_patients(rng, 10, 1000))
    both = overfitting(train, of_patients(rng, 10, 11))
    half = overfitting(train, of_patients(rng, 10, 1000, known=False))
    none = overfitting(*(of_patients(rng, 10, 1, known=False) for _ in range(2)))

    assert apart.train_patients.tolist() == [6, 6]
    assert apart.train_cases.tolist() == [60, 60]
    assert sections_of(apart)[0].rows[0]["training_patients"] == 6
    assert (apart.shared_patients, both.shared_patients, half.shared_patients) == (0, 2, None)
    assert "2 patients in both analyses hide overfitting" in sections_of(both)[0].meaning
    assert "in both analyses hide" not in sections_of(apart)[0].meaning
    assert "Whole patients are dealt out" in sections_of(apart)[0].meaning
    assert "Patients are known in one of the analyses only" in sections_of(half)[0].meaning
    assert "p holds only if each case is of another patient" in sections_of(none)[0].meaning
    assert "training_patients" not in sections_of(none)[0].rows[0]


def test_too_few_patients_are_said_however_many_slices_there_are():
    rng = np.random.default_rng(14)
    found = overfitting(of_patients(rng, 4, 1), of_patients(rng, 4, 1000))

    assert not found.tested.any()
    assert "No class has enough patients in both analyses" in sections_of(found)[0].meaning


def test_a_patient_counts_once_by_hand():
    # Patients' means 1 and 5 against 2 and 2: the slices of the first weigh no more
    train = one_class([[1.0], [1.0], [1.0], [5.0]], groups=[7, 7, 7, 8])
    side = Side.of(train, "true")

    np.testing.assert_allclose(np.sort(side.independent[0][:, 0]), [1.0, 5.0])
    assert side.patients.tolist() == [2]
    assert side.error[0, 0] == pytest.approx(8 / 2)


def test_the_sentence_gives_direction_and_size():
    rng = np.random.default_rng(15)
    train, test = (known_analysis(rng.normal(size=(40, 8, 1)), [1] * 40) for _ in range(2))
    train = one_class(train.profiles + 3.0 * (np.arange(8) == 5))

    found = overfitting(train, test)
    meaning = sections_of(found)[0].meaning

    f, (one, other) = 5, (found.train[5, 0], found.test[5, 0])
    assert np.argwhere(found.significant).tolist() == [[f, 0]]
    assert f"{one - other:.3g} logit higher in training ({one:.3g}) than in test" in meaning
    one, other = train.logits.mean(), test.logits.mean()
    assert f"is {one:.3g} in training and {other:.3g} in test" in meaning
    assert found.train_logit[0] == pytest.approx(one)


def test_a_shift_of_all_features_is_found_that_no_feature_shows_alone():
    rng = np.random.default_rng(16)
    found = overfitting(
        one_class(0.22 + rng.normal(size=(60, 200))), one_class(rng.normal(size=(40, 200)))
    )

    assert found.adjusted_sum[0] <= 0.01
    assert found.called
    assert np.nanmin(found.adjusted) > 0.05
    assert "no single one of 200 mean contributions can be named" in sections_of(found)[0].meaning
    assert "As a whole the contributions to 'class 0' differ" in sections_of(found)[0].meaning


def test_one_true_difference_brings_no_innocent_feature_with_it():
    rng = np.random.default_rng(17)
    runs, wrong, right = 150, 0, 0
    for _ in range(runs):
        train, test = rarely_active(rng, (60, 25, 1)), rarely_active(rng, (10, 25, 1))
        train[:, 3] += 3.0
        named = overfitting(known_analysis(train, [1] * 60), known_analysis(test, [1] * 10))
        found = named.significant[:, 0]
        right += found[3]
        wrong += found.sum() > found[3]

    assert binomtest(wrong, runs, 0.05, alternative="greater").pvalue > 0.01
    assert right > 0.8 * runs


def test_without_the_contributions_of_cases_nothing_is_called_significant():
    rng = np.random.default_rng(3)
    train, test = rng.normal(size=(2, 40, 10, 1))
    train[:, 0] += 3.0
    labels = [1] * 40

    found = overfitting(*(known_analysis(k, labels, profiles=None) for k in (train, test)))
    section, features = sections_of(found)

    assert not found.significant.any()
    assert found.p_any is None
    assert section.rows[0]["significant"] is None
    assert features.rows == ()
    assert "analyse again with them" in section.meaning
    assert section.rows[0]["distance"] > section.rows[0]["distance_by_chance"]


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
    listed = [r["feature"] for r in sections_of(found)[1].rows if r["class"] == "class 0"]
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
    assert by_all.p_any is None
    assert "another mix of classes differs too" in sections_of(by_all)[0].meaning
    assert by_all.why_all == "asked"


def test_a_model_that_answers_with_values_is_not_said_to_lack_labels():
    k = np.random.default_rng(2).normal(size=(8, 3, 1))
    one = known_analysis(k, [-1] * 8, targets=range(8), output_activation="none")
    unlabelled = known_analysis(k, [-1] * 8)

    of_values = sections_of(overfitting(one, one, kind="all"))[0].meaning
    without = sections_of(overfitting(unlabelled, unlabelled, kind="all"))[0].meaning

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
