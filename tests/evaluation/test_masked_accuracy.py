from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from napari_ifa.analysis import FeatureMask
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.errors import AnalysisError, Cancelled, CohortError
from napari_ifa.evaluation.measures.masked_accuracy import masked_predictions
from napari_ifa.evaluation.measures.set_measures import mcnemar_p, set_accuracies, set_fits
from napari_ifa.evaluation.problems import EvaluationProblem
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

MASKS = [FeatureMask.all(2), FeatureMask.only(2, [0]), FeatureMask.only(2, [1])]
MASKS += [FeatureMask.none(2)]


def image(mean: float) -> list[float]:
    return [8 * mean, 0, 0, 0, 0, 0, 0, 0]


def cohort_of(folder: Path, *cases: tuple[float, int | str | None]) -> Cohort:
    return read_cohort(write_cohort(folder, [(image(mean), label) for mean, label in cases]))


@pytest.mark.parametrize("bent", [False, True])
def test_masked_answers_by_hand(bent: bool, tmp_path: Path) -> None:
    """Features m and −m, weights (1, 0) and (0.5, 2), biases 10 and 20; bent cuts off −m."""
    cohort = cohort_of(tmp_path, (8, "none"), (2, None))

    found = masked_predictions(tiny_classifier(bent), cohort, MASKS)

    expected = [
        [
            [10 + m, 20 + (0.5 if bent else -1.5) * m],
            [10 + m, 20 + 0.5 * m],
            [10, 20 if bent else 20 - 2 * m],
            [10, 20],
        ]
        for m in (8, 2)
    ]
    np.testing.assert_allclose(found.logits, expected, rtol=1e-6)
    assert found.labels.tolist() == [0, -1]
    assert found.case_ids == ("case_0.nii", "case_1.nii")
    assert not found.bypassed
    assert repr(found).startswith("MaskedPredictions: 2 cases, 4 feature masks, 2 outputs; 0 skipp")


def test_accuracy_of_masks_by_hand_leaves_out_cases_without_a_label(tmp_path: Path) -> None:
    # with all features class 0 wins where m > 4, with the first alone where m > 20
    cohort = cohort_of(tmp_path, (8, 0), (6, 1), (0, 1), (30, 0), (9, None))

    found = masked_predictions(tiny_classifier(), cohort, MASKS)

    # the second alone: 10 against 20 − 2m, so class 0 where m > 5
    np.testing.assert_allclose(found.accuracy(), [0.75, 0.75, 0.75, 0.5])


def test_without_labels_there_is_no_accuracy(tmp_path: Path) -> None:
    found = masked_predictions(tiny_classifier(), cohort_of(tmp_path, (8, None)), MASKS)

    assert np.isnan(found.accuracy()).all()


def test_batches_of_any_size_answer_the_same(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, *((m, 0) for m in range(7)))
    one = masked_predictions(tiny_classifier(True), cohort, MASKS, batch_size=1)

    for size in (3, 16):
        other = masked_predictions(tiny_classifier(True), cohort, MASKS, batch_size=size)
        np.testing.assert_allclose(other.logits, one.logits, rtol=1e-6)


def test_a_few_cases_that_cannot_be_read_are_skipped_and_listed(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, *((m, int(m > 10)) for m in range(20)))
    (tmp_path / "case_3.nii").write_bytes(b"broken")

    found = masked_predictions(tiny_classifier(), cohort, MASKS)

    assert len(found.logits) == 19
    assert "case_3.nii" not in found.case_ids
    assert found.labels.tolist() == [0] * 10 + [1] * 9
    assert [skipped.id for skipped in found.skipped] == ["case_3.nii"]
    (tmp_path / "case_5.nii").write_bytes(b"broken")
    with refused(CohortError, CohortProblem.TOO_MANY_SKIPPED, case="case_3.nii", skipped=2):
        masked_predictions(tiny_classifier(), cohort, MASKS)


def test_a_case_that_the_network_cannot_take_is_skipped_alone(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, *((float("nan") if m == 4 else m, 0) for m in range(20)))

    found = masked_predictions(tiny_classifier(), cohort, MASKS, batch_size=8)

    assert len(found.logits) == 19
    assert found.skipped[0].id == "case_4.nii"
    assert "not finite" in found.skipped[0].reason


def test_what_cannot_be_predicted_is_said(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (8, 0))
    with refused(AnalysisError, AnalysisProblem.OTHER_FEATURES, given=3, features=2):
        masked_predictions(tiny_classifier(), cohort, [FeatureMask.all(3)])
    with refused(AnalysisError, EvaluationProblem.NO_MASK):
        masked_predictions(tiny_classifier(), cohort, [])
    with refused(AnalysisError, EvaluationProblem.MASK_SIZES):
        masked_predictions(tiny_classifier(), cohort, [FeatureMask.all(2), FeatureMask.all(3)])
    with refused(CohortError, CohortProblem.EMPTY):
        masked_predictions(tiny_classifier(), Cohort("empty", ()), MASKS)
    with refused(CohortError, CohortProblem.NO_SUCH_CLASS, case="case_0.nii"):
        masked_predictions(tiny_classifier(), cohort_of(tmp_path, (8, "stroke")), MASKS)


def test_progress_is_told_and_a_stop_ends_the_work(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, (8, 0), (8, 0), (8, 1))
    told: list[tuple[int, int]] = []

    masked_predictions(
        tiny_classifier(), cohort, MASKS, batch_size=2, progress=lambda *done: told.append(done)
    )

    assert told == [(2, 3), (3, 3)]
    with pytest.raises(Cancelled):
        masked_predictions(tiny_classifier(), cohort, MASKS, stop=lambda: True)


def test_scores_of_sets_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 3, 50)
    logits = generator.normal(size=(50, 2, 3))
    logits[np.arange(50), 0, labels] += 1.5
    masks = [FeatureMask.all(4), FeatureMask.only(4, [1])]

    every, one = set_accuracies(logits, labels, masks, ("a", "b", "c"))

    exponent = np.exp(logits)
    for m, found in enumerate((every, one)):
        answered = logits[:, m].argmax(1)
        assert found.accuracy == pytest.approx((answered == labels).mean())
        assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, answered))
        probabilities = exponent[:, m] / exponent[:, m].sum(1, keepdims=True)
        assert found.auc == pytest.approx(roc_auc_score(labels, probabilities, multi_class="ovr"))
        assert found.low < found.accuracy < found.high
    assert (every.kept, one.kept, one.n) == (4, 1, 50)
    assert np.isnan(every.p)
    assert one.p < 0.05


def test_mcnemar_by_hand() -> None:
    one = np.array([True] * 6 + [False] * 4)
    # five are lost and none is won: 2 · (1/2)⁵
    assert mcnemar_p(one, np.array([True] + [False] * 9)) == pytest.approx(0.0625)
    # four are lost and one is won: 2 · (1 + 5)/2⁵
    won = np.array([True] * 2 + [False] * 4 + [True] + [False] * 3)
    assert mcnemar_p(one, won) == pytest.approx(0.375)
    assert np.isnan(mcnemar_p(one, one))
    assert mcnemar_p(np.ones(2000, bool), np.zeros(2000, bool)) == 1e-16


def test_mcnemar_of_patients_counts_patients() -> None:
    """Ten images of each of five patients are lost, all together: 2 · (1/2)⁵."""
    patients = np.repeat(np.arange(20), 10)
    every = np.ones(200, bool)
    lost = patients >= 5

    assert mcnemar_p(every, lost, patients) == pytest.approx(0.0625)
    assert mcnemar_p(every, lost) < 1e-9


def test_what_a_set_loses_has_an_interval_over_the_same_cases() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(300) % 2
    logits = np.zeros((300, 2, 2))
    logits[:, 0, 1] = 3 * labels - 1.5 + generator.normal(size=300)
    logits[:, 1, 1] = logits[:, 0, 1] + 1.5 * generator.normal(size=300)
    masks = [FeatureMask.all(4), FeatureMask.only(4, [1])]

    every, one = set_accuracies(logits, labels, masks, ("a", "b"))

    assert np.isnan([every.lost, every.lost_low, every.auc_lost_high]).all()
    assert one.lost == pytest.approx(every.accuracy - one.accuracy)
    assert one.auc_lost == pytest.approx(every.auc - one.auc)
    drawn = [generator.integers(0, 300, 300) for _ in range(1500)]
    right = [(logits[:, m].argmax(1) == labels) for m in (0, 1)]
    expected = np.percentile([right[0][i].mean() - right[1][i].mean() for i in drawn], [2.5, 97.5])
    assert (one.lost_low, one.lost_high) == pytest.approx(tuple(expected), abs=0.012)
    areas = [
        roc_auc_score(labels[i], logits[i, 0, 1]) - roc_auc_score(labels[i], logits[i, 1, 1])
        for i in drawn[:500]
    ]
    expected = np.percentile(areas, [2.5, 97.5])
    assert (one.auc_lost_low, one.auc_lost_high) == pytest.approx(tuple(expected), abs=0.012)


def test_copies_of_patients_do_not_narrow_what_a_set_loses() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    logits = np.zeros((60, 2, 2))
    logits[:, :, 1] = (3 * labels - 1.5)[:, None] + 2 * generator.normal(size=(60, 2))
    masks = [FeatureMask.all(4), FeatureMask.only(4, [1])]
    ten = np.repeat(np.arange(60), 10)

    _, alone = set_accuracies(logits, labels, masks, ("a", "b"))
    _, copied = set_accuracies(logits[ten], labels[ten], masks, ("a", "b"), ten)

    for name in ("", "balanced_", "lost_", "auc_lost_"):
        width = [
            getattr(one, f"{name}high") - getattr(one, f"{name}low") for one in (alone, copied)
        ]
        assert width[1] == pytest.approx(width[0], rel=0.06)


def test_a_class_without_cases_counts_neither_for_balance_nor_for_the_auc() -> None:
    logits = np.array([[3.0, 0, 9], [0, 3, 0], [3, 0, 0]])[:, None]

    (found,) = set_accuracies(logits, np.array([0, 1, 0]), [FeatureMask.all(2)], ("a", "b", "c"))

    assert found.balanced_accuracy == pytest.approx((0.5 + 1) / 2)
    # a's probabilities are 0.002, 0.05 and 0.9 with b's case in the middle: 0.5; b's case leads: 1
    assert found.auc == pytest.approx(0.75)


def test_fits_of_a_regression_are_those_of_scikit_learn() -> None:
    targets = np.array([1.0, 2, 3, 5, 8])
    answers = np.array([[1.0, 0], [2, 0], [4, 0], [4, 0], [8, 0]])

    near, constant = set_fits(targets, answers, [FeatureMask.all(2), FeatureMask.none(2)])

    assert near.r2 == pytest.approx(r2_score(targets, answers[:, 0]))
    assert near.mae == pytest.approx(0.4)
    assert constant.r2 == pytest.approx(r2_score(targets, answers[:, 1]))
    assert np.isnan(constant.pearson)
    (exact,) = set_fits(targets, targets[:, None], [FeatureMask.all(2)])
    assert exact.r2 == 1
    assert np.isnan([exact.low, exact.high, exact.mae_low]).all(), "no resample differs"
