from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.evaluation.measures.removal_order import (
    LayerAnswers,
    fold_orders,
    folds_of,
    removal_counts,
)


def linear(
    activation: np.ndarray, weights: np.ndarray, labels: np.ndarray, sigmoid: bool = False
) -> LayerAnswers:
    """Of a linear head ``weights [K, F]`` on pooled features ``[N, F]``."""
    return LayerAnswers(
        labels,
        activation,
        activation @ weights.T,
        weights[None],
        np.zeros(len(activation), int),
        sigmoid,
    )


def test_need_by_hand() -> None:
    """Two cases with feature 1 and −1 for a softmax of (a, 0): replaced by the mean, 0."""
    answers = linear(np.array([[1.0], [-1.0]]), np.array([[1.0], [0.0]]), np.array([0, 1]))

    need, mean = answers.needed(np.ones(2, bool))

    p = np.exp(1) / (1 + np.exp(1))
    assert mean == pytest.approx([0])
    assert need == pytest.approx([p * np.log(p / 0.5) + (1 - p) * np.log((1 - p) / 0.5)])


def test_need_of_one_output_by_hand() -> None:
    answers = linear(np.array([[2.0], [0.0]]), np.array([[1.0]]), np.array([1, 0]), sigmoid=True)

    need, mean = answers.needed(np.ones(2, bool))

    def divergence(before: float, after: float) -> float:
        p, q = 1 / (1 + np.exp(-before)), 1 / (1 + np.exp(-after))
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    assert mean == pytest.approx([1])
    # of the class that needs it most
    assert need == pytest.approx([max(divergence(2, 1), divergence(0, 1))])


def test_a_feature_whose_mean_contribution_is_nothing_is_the_most_needed() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    activation = generator.normal(1, 0.1, size=(200, 6))
    activation[:, 3] = np.where(labels == 0, 4, -4)
    weights = np.zeros((2, 6))
    weights[0], weights[1, 3] = 0.5, -0.5
    answers = linear(activation, weights, labels)

    assert abs((weights[0] * activation).mean(axis=0)[3]) < 1e-9
    for one in fold_orders(answers, folds_of(labels, None)):
        assert one.order[-1] == 3


def test_what_one_of_forty_classes_needs_is_needed() -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(40), 10)
    activation = np.abs(generator.normal(0, 1, size=(400, 60)))
    activation[:, :40] = 4 * np.eye(40)[labels]
    weights = 0.05 * generator.normal(size=(40, 60))
    weights[:, :40] += np.eye(40)

    for one in fold_orders(linear(activation, weights, labels), folds_of(labels, None)):
        assert set(one.order[20:]) == set(range(40))


def test_the_order_and_the_mean_come_from_the_other_cases() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(50) % 2
    activation = generator.normal(size=(50, 4))
    folds = folds_of(labels, None)
    weights = generator.normal(size=(2, 4))
    whole = fold_orders(linear(activation, weights, labels), folds)
    changed = np.where((folds == 2)[:, None], 1e3 * generator.normal(size=(50, 4)), activation)

    other = fold_orders(linear(changed, weights, labels), folds)

    np.testing.assert_array_equal(other[2].order, whole[2].order)
    np.testing.assert_array_equal(other[2].mean, whole[2].mean)
    np.testing.assert_allclose(whole[2].mean, activation[folds != 2].mean(axis=0))
    assert not np.allclose(other[1].mean, whole[1].mean)


def test_features_behind_an_answer_that_is_certain_are_still_told_apart() -> None:
    """Probabilities of 1 to the last digit do not move; the logits do."""
    activation = np.array([[100.0, 200, 300], [-100, -200, -300]])
    answers = linear(activation, np.array([[1.0, 1, 1], [-1, -1, -1]]), np.array([0, 1]))

    need, _ = answers.needed(np.ones(2, bool))

    assert np.argsort(need).tolist() == [0, 1, 2]


def test_cases_without_slopes_have_no_say() -> None:
    activation = np.array([[1.0, 0], [-1, 0], [0, 50], [0, -50]])
    answers = LayerAnswers(
        np.array([0, 1, 0, 1]),
        activation,
        activation.copy(),
        np.eye(2)[None].repeat(2, 0),
        np.array([0, 1, -1, -1]),
        False,
    )

    need, _ = answers.needed(np.ones(4, bool))

    assert need[0] > need[1] == pytest.approx(0, abs=1e-12)


def test_every_class_is_in_every_fold_and_a_patient_in_one() -> None:
    labels = np.repeat([0, 1, 2], [50, 20, 10])
    patients = np.arange(80) // 2

    folds = folds_of(labels, patients)

    assert set(folds) == set(range(5))
    for c in range(3):
        assert set(folds[labels == c]) == set(range(5))
    for patient in range(40):
        assert len(set(folds[patients == patient])) == 1
    np.testing.assert_array_equal(folds, folds_of(labels, patients))


@pytest.mark.parametrize(
    ("features", "first", "last"), [(2, 1, 1), (3, 1, 2), (40, 1, 39), (2048, 20, 2007)]
)
def test_steps_ascend_and_leave_a_feature(features: int, first: int, last: int) -> None:
    counts = removal_counts(features)

    assert (counts[0], counts[-1]) == (first, last)
    assert list(counts) == sorted(set(counts))
    assert len(counts) <= 22
