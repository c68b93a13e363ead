"""The forms of the common scale, from a cohort's numbers, and how well the cohort tells them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.analysis import CommonScale
from napari_ifa.analysis.cohort_scale import (
    CASE_PERCENTAGES,
    CaseValues,
    cohort_scale,
    focal_ratio,
)
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import PAPER, READING, ScaleChoice
from napari_ifa.errors import AnalysisError
from tests.problems import refused


def numbers(maps: np.ndarray, groups: np.ndarray | None = None) -> tuple[Distribution, CaseValues]:
    """Of one class's maps ``[N, V]``."""
    quantiles = np.percentile(maps, CASE_PERCENTAGES, axis=1).T[:, None]
    values = CaseValues(maps.min(1)[:, None], maps.max(1)[:, None], quantiles, groups)
    return Distribution.of(torch.from_numpy(maps.reshape(1, -1))), values


def random_maps(cases: int = 60, seed: int = 0, strength: float = 1.0) -> np.ndarray:
    """Cases of different strength, each of 500 voxels."""
    dice = np.random.default_rng(seed)
    sizes = np.exp(0.4 * dice.normal(size=(cases, 1)))
    return strength * sizes * dice.normal(0.3, 1, size=(cases, 500))


def test_a_centred_scale_by_hand() -> None:
    # atanh 0.9 = 1.472219; tanh(1.472219 / 2) = (sqrt(19) - 1) / (sqrt(19) + 1) = 0.626789
    scale = CommonScale(-4.0, 4.0, form="centred")
    assert scale.neutral == 0.0
    assert scale.beta == pytest.approx(0.0, abs=1e-15)
    assert scale.alpha == pytest.approx(1.4722194895832204 / 4)
    found = scale([-4.0, -2.0, 0.0, 2.0, 4.0])
    np.testing.assert_allclose(found, [-0.9, -0.626789, 0.0, 0.626789, 0.9], atol=1e-6)
    assert scale.ends == (-0.9, 0.9)
    assert scale.words == "centred, -P90 = -4, P90 = 4 logits, basis voxels, scope class"


def test_the_strongest_places_set_a_scale_of_extremes() -> None:
    maps = np.array([[-1.0, 0, 2.0], [-7.0, 0, 3.0], [-2.0, 0, 1.0]])  # greatest: 2, 7, 2
    distribution, values = numbers(maps)
    scale = cohort_scale(distribution, values, ScaleChoice("centred", "extremes"))
    assert scale.p_high == pytest.approx(np.percentile([2.0, 7.0, 2.0], 90)) == 6.0
    assert scale.p_low == -6.0
    paper = cohort_scale(distribution, values, ScaleChoice("paper", "extremes"))
    assert (paper.p_low, paper.p_high) == (-2.0, pytest.approx(2.8))
    # The whole reach of a case is 7 at most, and where all are equal, so is every drawn cohort.
    alike = numbers(np.tile(maps[:1], (60, 1)))
    assert cohort_scale(*alike, ScaleChoice("centred", "extremes")).width_interval == (4.0, 4.0)


@pytest.mark.parametrize("shift", [0.0, 5.0, -5.0])
def test_voxels_set_a_centred_scale_by_their_magnitudes(shift: float) -> None:
    maps = random_maps() + shift
    scale = cohort_scale(*numbers(maps), ScaleChoice("centred", "voxels"))
    assert scale.p_high == pytest.approx(np.percentile(np.abs(maps), 90), rel=6e-4)


def test_focal_evidence_is_scaled_from_the_strongest_places() -> None:
    even = random_maps()
    focal = 0.01 * even
    focal[:, 7] = 5 * even[:, 7]
    for maps, basis in ((even, "voxels"), (focal, "extremes")):
        distribution, values = numbers(maps)
        ratio = np.percentile(np.abs(maps).max(1), 90) / np.percentile(np.abs(maps), 90)
        assert focal_ratio(distribution, values) == pytest.approx(ratio, rel=1e-3)
        scale = cohort_scale(distribution, values, READING)
        assert (scale.basis, scale.form) == (basis, "centred")
        assert scale.ratio == pytest.approx(ratio, rel=1e-3)
    silent = np.zeros((4, 50))
    silent[:, 0] = [1.0, 2.0, 3.0, 4.0]
    assert cohort_scale(*numbers(silent), READING).basis == "extremes"


CHOICES = [
    ScaleChoice("centred", "extremes"),
    ScaleChoice("centred", "voxels"),
    ScaleChoice("paper", "voxels"),
    ScaleChoice("paper", "extremes"),
]


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.form} {c.basis}")
def test_the_interval_of_the_width_covers_what_other_cohorts_give(choice: ScaleChoice) -> None:
    """Of cohorts of sixty cases nine in ten hold the width of a very large one."""
    truth = cohort_scale(*numbers(random_maps(5000, 99)), choice).width
    covered = 0
    for seed in range(60):
        low, high = cohort_scale(*numbers(random_maps(60, seed)), choice).width_interval
        assert low < high
        covered += low <= truth <= high
    assert covered >= 51


def test_cases_of_one_patient_are_drawn_together() -> None:
    maps = np.repeat(random_maps(20), 5, axis=0)
    choice = ScaleChoice("centred", "extremes")
    alone = cohort_scale(*numbers(maps), choice).width_interval
    together = cohort_scale(*numbers(maps, np.arange(100) // 5), choice).width_interval
    assert together[1] - together[0] > 1.5 * (alone[1] - alone[0])


def test_few_cases_are_warned_of() -> None:
    few = cohort_scale(*numbers(random_maps(20)), READING)
    assert few.cases == 20
    assert "too few to rely on" in few.precision
    many = cohort_scale(*numbers(random_maps(60)), READING)
    assert many.precision
    assert "too few" not in many.precision
    distribution, values = numbers(random_maps(20))
    old = CaseValues(values.least, values.greatest)
    assert "keeps no quantiles" in cohort_scale(distribution, old, PAPER).precision
    assert cohort_scale(distribution, old, ScaleChoice("centred", "extremes")).precision


def test_choices_that_cannot_be_are_refused() -> None:
    with refused(AnalysisError, AnalysisProblem.NO_LOW_PERCENTILE):
        ScaleChoice("centred", low=10.0)
    with refused(AnalysisError, AnalysisProblem.NO_CHOICE, given="middle"):
        ScaleChoice("middle")
    with refused(AnalysisError, AnalysisProblem.PERCENTILES):
        ScaleChoice(low=95.0)
    with refused(AnalysisError, AnalysisProblem.NO_CENTRED_SCALE, most=90.0, value=0.0):
        cohort_scale(*numbers(np.zeros((3, 4))), READING)
