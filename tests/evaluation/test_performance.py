from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm, pearsonr
from sklearn.metrics import balanced_accuracy_score, mean_absolute_error, r2_score, roc_auc_score

from napari_ifa.evaluation.statistics.performance import (
    area_and_influence,
    area_under_curve,
    classification_measures,
    confusion_counts,
    regression_measures,
)

NAMES = ("none", "lesion")


def by_name(measures) -> dict[tuple[str, str], object]:
    return {(m.measure, m.class_name): m for m in measures}


def test_three_cases_by_hand() -> None:
    logits = np.array([[11, 18.5], [12, 17], [10, 20]])

    found = by_name(classification_measures(logits, np.array([0, 1, 0]), NAMES))

    accuracy = found["accuracy", ""]
    # all are answered "lesion", one rightly; Wilson's interval of 1 in 3
    assert (accuracy.value, accuracy.cases) == (pytest.approx(1 / 3), 3)
    assert (accuracy.low, accuracy.high) == pytest.approx((0.0615, 0.7923), abs=1e-4)
    none, lesion = found["sensitivity", "none"], found["sensitivity", "lesion"]
    assert (none.value, none.low, none.high) == pytest.approx((0, 0, 0.6576), abs=1e-4)
    assert (lesion.value, lesion.low, lesion.high) == pytest.approx((1, 0.2065, 1), abs=1e-4)
    balanced = found["balanced accuracy", ""]
    # none of two and one of one: below, p is 0 and 2θ, so (½ − θ)² = z²/4·θ(1 − θ); above, p is
    # 2θ − 1 and 1, so (θ − ½)² = z²/4·((2θ − 1)(2 − 2θ) + θ(1 − θ))
    assert (balanced.value, balanced.low, balanced.high) == pytest.approx(
        (0.5, 0.15004, 0.92779), abs=1e-5
    )
    # the lesion's difference of logits, 5, is below the others' 7.5 and 10
    assert found["AUC against the others", "lesion"].value == 0
    assert ("AUC against the others", "none") not in found, "of two classes, one is the other's"


def test_measures_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    labels = generator.integers(0, 3, 200)
    logits = generator.normal(size=(200, 3)) + 1.2 * np.eye(3)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)

    found = by_name(classification_measures(logits, labels, ("a", "b", "c")))

    assert found["balanced accuracy", ""].value == pytest.approx(
        balanced_accuracy_score(labels, logits.argmax(axis=1))
    )
    for c, name in enumerate("abc"):
        area = roc_auc_score(labels == c, probabilities[:, c])
        assert found["AUC against the others", name].value == pytest.approx(area)


def test_ties_count_half() -> None:
    positive = np.array([True, True, False, False])
    # pairs: 1 > 0, 1 = 1, 0 = 0, 0 < 1
    assert area_under_curve(np.array([1.0, 0, 0, 1]), positive)[0] == 0.5


def test_a_class_without_a_case_has_no_number_and_does_not_count() -> None:
    found = by_name(
        classification_measures(np.array([[1.0, 0, 0]]), np.array([0]), ("a", "b", "c"))
    )

    assert found["balanced accuracy", ""].value == 1
    assert np.isnan(found["sensitivity", "b"].value)
    assert found["sensitivity", "b"].cases == 0
    assert np.isnan(found["AUC against the others", "a"].value)


def test_cases_without_a_label_do_not_count_and_not_finite_ones_are_wrong() -> None:
    logits = np.array([[1.0, 0], [np.nan, 0], [0, 1], [0, 1]])
    labels = np.array([0, 0, 1, -1])

    found = by_name(classification_measures(logits, labels, NAMES))

    assert (found["accuracy", ""].value, found["accuracy", ""].cases) == (pytest.approx(2 / 3), 3)
    assert found["AUC against the others", "lesion"].cases == 2
    assert classification_measures(logits, np.full(4, -1), NAMES) == []
    np.testing.assert_array_equal(confusion_counts(logits, labels, 2), [[1, 0], [0, 1]])


def test_one_output_answers_present_or_absent() -> None:
    logits, labels = np.array([[2.0], [-1], [0.5], [-3]]), np.array([1, 1, 0, 0])

    found = by_name(classification_measures(logits, labels, ("lesion",)))

    assert found["accuracy", ""].value == 0.5
    assert found["sensitivity", "lesion"].value == 0.5
    assert found["sensitivity", "not lesion"].value == 0.5
    # 2 > 0.5, 2 > −3, −1 > −3, but −1 < 0.5
    assert found["AUC against the others", "lesion"].value == 0.75
    np.testing.assert_array_equal(confusion_counts(logits, labels, 1), [[1, 1], [1, 1]])


def test_a_perfect_model_of_few_cases_is_not_called_certain() -> None:
    labels = np.repeat([0, 1], 6)
    logits = np.stack([-labels, labels], axis=1).astype(float)

    for measure in classification_measures(logits, labels, NAMES):
        assert (measure.value, measure.high) == (1, 1)
        assert measure.low < 0.85


@pytest.mark.parametrize(("true_area", "cases"), [(0.7, 15), (0.9, 20), (0.97, 30)])
def test_the_interval_of_an_area_covers_the_truth(true_area: float, cases: int) -> None:
    generator = np.random.default_rng(0)
    distance = np.sqrt(2) * norm.ppf(true_area)
    positive = np.repeat([True, False], cases)
    inside = 0
    for _ in range(600):
        area, interval = area_under_curve(
            generator.normal(size=2 * cases) + distance * positive, positive
        )
        assert interval.low <= area <= interval.high
        inside += interval.low <= true_area <= interval.high
    assert 0.93 < inside / 600 < 0.99


def test_an_area_of_copied_patients_has_the_interval_of_the_patients() -> None:
    generator = np.random.default_rng(0)
    positive = np.repeat([True, False], 40)
    scores = generator.normal(size=80) + 1.2 * positive
    ten = np.repeat(np.arange(80), 10)

    area, alone = area_under_curve(scores, positive)
    same, copied = area_under_curve(scores[ten], positive[ten], ten)

    assert same == pytest.approx(area)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert copied.method == "Newcombe for groups"


def test_influence_is_the_change_where_a_case_counts_twice() -> None:
    """Against the area with one case doubled; its weight in its own kind rises by 1/(m + 1)."""
    generator = np.random.default_rng(2)
    scores, positive = generator.normal(size=12), np.arange(12) % 3 == 0
    area, influence = area_and_influence(scores, positive)

    for case in range(12):
        twice = np.append(np.arange(12), case)
        own = 4 if positive[case] else 8
        changed = area_and_influence(scores[twice], positive[twice])[0] - area
        assert changed == pytest.approx(influence[case] * own / (own + 1))


def test_copies_of_patients_leave_every_measures_interval_as_it_is() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    logits = np.stack([-labels, labels], 1) + generator.normal(size=(60, 2))
    ten = np.repeat(np.arange(60), 10)

    alone = by_name(classification_measures(logits, labels, NAMES))
    copied = by_name(classification_measures(logits[ten], labels[ten], NAMES, ten))

    for key, one in alone.items():
        other = copied[key]
        assert other.value == pytest.approx(one.value)
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.1)


def test_a_regressions_measures_and_their_intervals() -> None:
    generator = np.random.default_rng(1)
    targets = generator.normal(50, 10, 120)
    values = targets + generator.normal(1, 4, 120)
    known = np.append(targets, [np.nan, 3.0]), np.append(values, [7.0, np.inf])

    error, determination, correlation = regression_measures(known[1], known[0])

    assert error.value == pytest.approx(mean_absolute_error(targets, values))
    assert determination.value == pytest.approx(r2_score(targets, values))
    assert correlation.value == pytest.approx(pearsonr(targets, values).statistic)
    fisher = pearsonr(targets, values).confidence_interval()
    assert (correlation.low, correlation.high) == pytest.approx((fisher.low, fisher.high), abs=0.03)
    assert {m.cases for m in (error, determination, correlation)} == {120}
    assert error.low < error.value < error.high
    assert regression_measures(known[1], known[0])[0] == error, "the bootstrap is seeded"


def test_a_constant_target_has_an_error_but_no_correlation() -> None:
    error, determination, correlation = regression_measures(
        np.array([1.0, 2, 3, 4]), np.full(4, 2.0)
    )

    assert error.value == 1
    assert np.isnan([determination.value, correlation.value, correlation.low]).all()
    assert regression_measures(np.array([1.0]), np.array([np.nan])) == []
