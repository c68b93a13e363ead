from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.analysis import CommonScale
from napari_ifa.analysis.colour import diverging_colours, evidence_strength
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError


def test_the_percentiles_map_to_a_tenth_and_nine_tenths() -> None:
    scale = CommonScale(-3.0, 5.0)

    assert scale(-3.0) == pytest.approx(0.1)
    assert scale(5.0) == pytest.approx(0.9)


def test_zero_contribution_maps_to_tanh_beta_and_not_to_zero() -> None:
    # atanh 0.1 = 0.100335, atanh 0.9 = 1.472219; β = (0.100335 + 1.472219) / 2 = 0.786277
    scale = CommonScale(-1.0, 1.0)

    assert scale.alpha == pytest.approx(0.685942, abs=1e-6)
    assert scale.beta == pytest.approx(0.786277, abs=1e-6)
    assert scale.neutral == pytest.approx(0.656, abs=1e-3)
    assert scale(0.0) == pytest.approx(scale.neutral)


@pytest.mark.parametrize("low", [1000.0, -1000.1, 1e6])
def test_a_map_in_float32_far_from_zero_is_scaled_as_finely_as_it_is_known(low: float) -> None:
    scale = CommonScale(low - 0.1, low + 0.1)
    activation = np.linspace(low - 0.3, low + 0.3, 200).astype(np.float32)

    exact = np.tanh(scale.alpha * (activation.astype(float) - scale.p_low) + np.arctanh(0.1))

    np.testing.assert_allclose(scale(activation), exact, atol=2e-6)


def test_a_width_that_is_not_known_well_is_said() -> None:
    assert CommonScale(-1.0, 1.0, uncertainty=0.004).note == ""
    assert "is known to 2.5 % only" in CommonScale(99.0, 101.0, uncertainty=0.05).note


def test_a_percentile_of_exactly_zero_is_a_number_like_any_other() -> None:
    assert CommonScale(0.0, 2.0).neutral == pytest.approx(0.1)


@pytest.mark.parametrize("high", [1.0, 0.5, np.nan, np.inf])
def test_a_cohort_without_spread_has_no_scale(high: float) -> None:
    with pytest.raises(AnalysisError) as caught:
        CommonScale(1.0, high)
    assert caught.value.kind is AnalysisProblem.NO_SCALE


def test_the_scale_keeps_the_type_and_the_gaps_of_a_map() -> None:
    mapped = CommonScale(-1.0, 1.0)(np.array([np.nan, 0.0], dtype=np.float32))

    assert mapped.dtype == np.float32
    assert np.isnan(mapped[0])


def test_nothing_is_drawn_at_neutral_and_each_side_reaches_its_own_end() -> None:
    neutral = CommonScale(-1.0, 1.0).neutral

    assert evidence_strength([-1.0, neutral, 1.0], neutral).tolist() == [-1.0, 0.0, 1.0]
    against, nothing, speaks_for, gap = diverging_colours([-1.0, neutral, 1.0, np.nan], neutral)
    assert nothing[3] == 0.0
    assert gap[3] == 0.0
    assert against[3] == speaks_for[3] == 1.0
    assert against[2] > against[0], "against is blue"
    assert speaks_for[0] > speaks_for[2], "for is red"
