from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ifa.analysis.distribution import Distribution
from napari_ifa.errors import AnalysisError


def of(values: np.ndarray) -> Distribution:
    return Distribution.of(torch.as_tensor(np.atleast_2d(values)))


def test_counts_moments_and_extremes_of_four_values() -> None:
    found = of(np.array([[-2.0, 0.0, 1.0, 5.0]]))

    assert found.number.tolist() == [4]
    assert found.bins[found.counts[0] > 0].tolist() == sorted(found.bins.tolist())
    assert np.sign(found.bins).tolist() == [-1, 0, 1, 1]
    assert (found.minimum[0], found.maximum[0], found.mean[0]) == (-2.0, 5.0, 1.0)
    # deviations −3, −1, 0, 4
    assert found.sum_of_squares[0] == pytest.approx(26.0)


def test_values_that_are_no_numbers_are_counted_apart() -> None:
    found = of(np.array([[np.nan, np.inf, -np.inf, 3.0]]))

    assert found.number.tolist() == [1]
    assert found.not_finite.tolist() == [3]
    assert (found.minimum[0], found.maximum[0]) == (3.0, 3.0)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.normal(size=10_000_000),
        lambda rng: rng.normal(-3.0, 0.01, size=10_000_000),
        lambda rng: rng.lognormal(0, 3, size=10_000_000),
        lambda rng: -rng.exponential(size=10_000_000),
        lambda rng: np.concatenate([np.zeros(5_000_000), rng.normal(size=5_000_000)]),
    ],
    ids=["normal", "narrow", "lognormal", "negative", "half zeros"],
)
def test_percentiles_are_within_a_tenth_of_a_percent_of_numpys(draw) -> None:
    values = draw(np.random.default_rng(0))
    percents = [0.5, 10, 25, 50, 75, 90, 99.5]

    found = of(values).percentile(percents)

    expected = np.percentile(values, percents)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-9)


def test_percentiles_of_few_values_lie_between_ranks_as_numpys_do() -> None:
    values = np.array([1.0, 2.0, 4.0])

    assert of(values).percentile(75) == pytest.approx(np.percentile(values, 75), rel=1e-3)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9), min_size=1),
    st.randoms(use_true_random=False),
)
def test_parts_merged_in_any_order_are_the_same_bit_for_bit(parts, random) -> None:
    whole = of(np.array([value for part in parts for value in part]))
    shuffled = random.sample(parts, len(parts))

    merged = [merge_all(parts), merge_all(shuffled)]

    for name in ("bins", "counts", "minimum", "maximum", "mean", "sum_of_squares", "not_finite"):
        first, second = (getattr(one, name) for one in merged)
        assert first.tobytes() == second.tobytes(), name
    for name in ("bins", "counts", "minimum", "maximum", "not_finite"):
        assert getattr(merged[0], name).tobytes() == getattr(whole, name).tobytes(), name
    np.testing.assert_allclose(merged[0].mean, whole.mean, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(merged[0].sum_of_squares, whole.sum_of_squares, rtol=1e-6, atol=1e-3)


def merge_all(parts: list[list[float]]) -> Distribution:
    merged = Distribution.empty(1)
    for part in parts:
        merged = merged.merged(of(np.array(part)))
    return merged


def test_many_classes_are_counted_as_few_are() -> None:
    """Beyond some size the counting is by sorting, not by a table."""
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(400, 60)))

    found = Distribution.of(values)

    for c in (0, 1, 399):
        alone = Distribution.of(values[c : c + 1])
        used = found.counts[c] > 0
        assert found.bins[used].tolist() == alone.bins.tolist()
        assert found.counts[c][used].tolist() == alone.counts[0].tolist()


def test_the_percentile_of_a_value_is_the_share_of_lower_ones() -> None:
    found = of(np.array([-2.0, 0.0, 0.0, 1.0]))

    assert found.percentile_of(-3.0) == 0
    assert found.percentile_of(-1.0) == 25
    assert found.percentile_of(0.0) == 50, "the two zeros count half"
    assert found.percentile_of(0.5) == 75
    assert found.percentile_of(1.5) == 100
    with pytest.raises(AnalysisError, match="Not a number has no percentile"):
        found.percentile_of(float("nan"))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.floats(0.5, 99.5))
def test_a_percentile_and_its_value_belong_together(percent: float) -> None:
    values = np.random.default_rng(3).normal(0.2, 1.0, size=20_000)
    found = of(values)

    assert found.percentile_of(found.percentile(percent)) == pytest.approx(percent, abs=0.1)


def test_classes_are_counted_apart_and_can_be_joined() -> None:
    found = of(np.array([[1.0, 1.0, 1.0], [-4.0, 2.0, 100.0]]))

    assert found.number.tolist() == [3, 3]
    assert found.percentile(50, 0) == pytest.approx(1.0)
    assert found.percentile(50, 1) == pytest.approx(2.0, rel=1e-3)
    joint = found.over_classes()
    assert joint.number.tolist() == [6]
    assert (joint.minimum[0], joint.maximum[0]) == (-4.0, 100.0)


def test_a_class_without_values_has_no_percentile() -> None:
    with pytest.raises(AnalysisError, match="no finite class activation"):
        Distribution.empty(1).percentile(50)
