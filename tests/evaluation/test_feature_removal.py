from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.cohorts import Cohort, read_cohort
from napari_ifa.errors import AnalysisError, Cancelled
from napari_ifa.evaluation.measures.feature_removal import FeatureRemoval, feature_removal
from napari_ifa.evaluation.measures.removal_order import FoldOrder, folds_of
from napari_ifa.evaluation.problems import EvaluationProblem
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort

WEIGHTS = np.array([[1.0, 0.2, 0, -0.5], [-1.0, 0, 0.3, 0.5]])
FILTERS = np.array([1.0, -1.0, 2.0, 0.5])


class FourFeatures(nn.Module):
    """Features (x, −x, 2x, x/2), pooled; ``bent`` cuts off what is negative behind the pool."""

    def __init__(self, bent: bool) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 4, 1, bias=False)
        self.linear = nn.Linear(4, 2, bias=False)
        self.bent = bent
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor(FILTERS).reshape(4, 1, 1, 1, 1))
            self.linear.weight.copy_(torch.tensor(WEIGHTS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.features(x).mean((2, 3, 4))
        return self.linear(torch.relu(pooled) if self.bent else pooled)


def cohort_of(folder: Path, means: np.ndarray, labels: np.ndarray) -> Cohort:
    cases = [
        ([8.0 * m - 1, 0.5, 0.5, 0, 0, 0, 0, 0], None if label < 0 else int(label))
        for m, label in zip(means, labels, strict=True)
    ]
    return read_cohort(write_cohort(folder, cases))


def classifier(bent: bool = False):
    return replace(tiny_classifier(), network=FourFeatures(bent).eval())


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_answers_are_those_of_replaced_features(
    bent: bool, batch_size: int, tmp_path: Path
) -> None:
    """Against plain numpy: each case with its own part's order and mean."""
    means = np.random.default_rng(0).normal(0.3, 1, size=15)
    labels = (means < 0.2).astype(int)
    labels[3] = 1 - labels[3]
    cohort = cohort_of(tmp_path, means, labels)

    found = feature_removal(classifier(bent), cohort, batch_size=batch_size)

    assert found.counts == (1, 2, 3)
    pooled, folds = means[:, None] * FILTERS, folds_of(labels, None)
    for n in range(15):
        one = found.orders[folds[n]]
        np.testing.assert_allclose(one.mean, pooled[folds != folds[n]].mean(axis=0), rtol=1e-5)
        for filling in ("mean", "zero"):
            for place, removed in enumerate(found.counts):
                changed = pooled[n].copy()
                gone = one.order[:removed]
                changed[gone] = one.mean[gone] if filling == "mean" else 0
                logits = WEIGHTS @ (np.maximum(changed, 0) if bent else changed)
                assert found.right[filling][n, place] == (logits.argmax() == labels[n])
        logits = WEIGHTS @ (np.maximum(pooled[n], 0) if bent else pooled[n])
        assert found.every[n] == (logits.argmax() == labels[n])
    assert found.groups is None
    assert not found.bypassed


def test_cases_without_a_label_are_left_out_and_patients_are_kept_together(tmp_path: Path) -> None:
    means = np.random.default_rng(0).normal(size=24)
    labels = (means < 0).astype(int)
    labels[:4] = -1
    cohort = cohort_of(tmp_path, means, labels)
    cases = tuple(replace(case, group=f"patient {n // 2}") for n, case in enumerate(cohort.cases))

    found = feature_removal(classifier(), replace(cohort, cases=cases))

    assert len(found.every) == 20
    assert found.groups is not None
    assert len(set(found.groups)) == 10


def test_a_case_that_cannot_be_read_is_skipped(tmp_path: Path) -> None:
    means = np.random.default_rng(0).normal(size=20)
    cohort = cohort_of(tmp_path, means, (means < 0).astype(int))
    (tmp_path / "case_3.nii").write_bytes(b"broken")

    assert len(feature_removal(classifier(), cohort).every) == 19


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    means = np.arange(12.0)
    cohort = cohort_of(tmp_path, means, np.where(means < 4, 0, -1))
    with refused(AnalysisError, EvaluationProblem.FEW_LABELS, cases=4):
        feature_removal(classifier(), cohort)
    with refused(AnalysisError, EvaluationProblem.VALUES):
        feature_removal(replace(classifier(), output_activation="none"), cohort)


def test_progress_goes_twice_over_the_cases_and_a_stop_ends_it(tmp_path: Path) -> None:
    cohort = cohort_of(tmp_path, np.arange(12.0), np.arange(12) % 2)
    told: list[tuple[int, int]] = []

    feature_removal(classifier(), cohort, batch_size=6, progress=lambda *done: told.append(done))

    assert told == [(6, 24), (12, 24), (18, 24), (24, 24)]
    with pytest.raises(Cancelled):
        feature_removal(classifier(), cohort, stop=lambda: True)


def removal(
    cases: int, lost: list[int], *, groups: np.ndarray | None = None, of_class: int | None = None
) -> FeatureRemoval:
    """Of cases that are all right with all features; each step loses some, of one class or any."""
    labels = np.arange(cases) % 2
    right = np.ones((cases, len(lost)), bool)
    places = np.arange(cases) if of_class is None else np.flatnonzero(labels == of_class)
    for step, number in enumerate(lost):
        right[places[:number], step] = False
    orders = (
        FoldOrder(np.array([0, 1, 2, 3, 4]), np.zeros(5)),
        FoldOrder(np.array([0, 2, 1, 3, 4]), np.zeros(5)),
    )
    counts = tuple(range(1, len(lost) + 1))
    return FeatureRemoval(
        labels, np.ones(cases, bool), {"mean": right, "zero": right}, counts, orders, groups
    )


def test_what_can_go_is_bounded_and_not_only_seen() -> None:
    """Nothing lost of 300 is at most 0.994 points, of 298 it is 1.0003."""
    assert removal(300, [0, 0, 0]).can_go() == 3
    assert removal(298, [0, 0, 0]).can_go() == 0
    seemed = removal(298, [0, 0, 0]).seemed_to_go()
    assert seemed is not None
    assert (seemed.removed, seemed.lost) == (3, 0)


def test_the_first_step_that_loses_too_much_ends_it() -> None:
    assert removal(1000, [0, 3, 30, 0]).can_go() == 2
    # five of 1000 are half a point, but new cases may lose 1.05
    assert removal(1000, [0, 5, 0, 0]).can_go() == 1
    assert removal(1000, [50, 0]).can_go() == 0


def test_only_features_that_every_part_removes_are_named() -> None:
    found = removal(1000, [0, 0, 30])

    # the parts remove 0 and 1, and 0 and 2
    assert np.flatnonzero(found.removable).tolist() == [0]
    assert not removal(1000, [50, 50]).removable.any()


def test_a_small_class_that_is_lost_keeps_features_from_going() -> None:
    """Three of 1000 cases are 0.3 points, but all of a class of three, of two classes."""
    found = removal(1000, [3])
    labels = np.where(np.arange(1000) < 3, 1, 0)
    found = replace(found, labels=labels)

    (step, _) = found.steps
    assert (step.worst_class, step.worst_lost, step.balanced_lost) == (1, 1, 0.5)
    assert found.can_go() == 0


def test_many_images_of_few_patients_show_little() -> None:
    patients = np.repeat(np.arange(100), 10)

    assert removal(1000, [0, 0], groups=patients).can_go() == 0
    assert removal(1000, [0, 0], groups=np.arange(1000)).can_go() == 2
