from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ifa.analysis import fine_counts
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError
from tests.problems import refused


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
    return reduce(Distribution.merged, (of(np.array(part)) for part in parts))


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
    with refused(AnalysisError, AnalysisProblem.NOT_A_NUMBER):
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


N = 100_000
RNG = np.random.default_rng(11)
#: Around zero; what is added and the width are chosen by the test.
SHAPES = {
    "uniform": RNG.uniform(-1, 1, size=N),
    "normal": RNG.normal(size=N),
    "heavy tails": RNG.standard_t(2, size=N),
    "Cauchy": RNG.standard_cauchy(size=N),
    "log-normal": RNG.lognormal(0, 3, size=N),
    "negative log-normal": -RNG.lognormal(0, 2, size=N),
    "two signs": RNG.lognormal(0, 2, size=N) * RNG.choice([-1, 1], size=N),
    "half zero": np.where(RNG.random(N) < 0.5, 0, RNG.normal(size=N)),
    "a twentieth far off": np.where(RNG.random(N) < 0.05, 1e5, 1) * RNG.normal(size=N),
    "two narrow ones": np.where(RNG.random(N) < 0.5, -1, 1) + 1e-3 * RNG.normal(size=N),
}


def of_width_one(shape: str) -> np.ndarray:
    values = SHAPES[shape]
    return values / np.subtract(*np.percentile(values, [90, 10]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("offset", [0, 1, -100, 1000, -1e6])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_width_between_two_percentiles_is_known_whatever_the_offset(shape, offset, dtype):
    values = (of_width_one(shape) + offset).astype(dtype)
    parts = [of(part) for part in np.array_split(values, 5)]

    found = reduce(Distribution.merged, parts)

    for percents in ([10, 90], [1, 99], [45, 55]):
        low, high = np.percentile(values.astype(float), percents)
        p_low, p_high = found.percentile(percents)
        off = found.uncertainty(percents)
        assert abs((p_high - p_low) - (high - low)) <= 0.002 * abs(high - low)
        assert abs(p_low - low) <= off[0] + 1e-9 * abs(low)
        assert abs(p_high - high) <= off[1] + 1e-9 * abs(high)
        assert off.sum() <= 0.002 * abs(high - low)


@pytest.mark.parametrize("offset", [1, 1000, 1e6])
@pytest.mark.parametrize("shape", ["normal", "heavy tails", "a twentieth far off"])
def test_the_width_of_far_more_values_than_bins_is_known(shape, offset, monkeypatch):
    # A thirtieth of the bins for a thirtieth of the values that a large cohort has.
    monkeypatch.setattr(fine_counts, "_MOST_OF_A_CLASS", 2**14)
    values = of_width_one(shape) + offset
    parts = [of(part) for part in np.array_split(values, 3)]

    found = reduce(Distribution.merged, parts)

    (fine,) = found.fine
    assert 0 < fine.step <= 2**-9
    assert fine.values.size <= 2**14
    width = np.subtract(*np.percentile(values, [90, 10]))
    assert abs(np.subtract(*found.percentile([90, 10])) / width - 1) <= 0.002
    assert found.uncertainty([10, 90]).sum() <= 0.002 * width


def test_what_is_not_known_to_a_fifth_of_a_percent_is_said(monkeypatch):
    # A fifth of the values evenly over a range of 1e6 widths: no 8192 bins can hold that.
    monkeypatch.setattr(fine_counts, "_MOST_OF_A_CLASS", 2**13)
    rng = np.random.default_rng(0)
    values = np.where(rng.random(N) < 0.18, rng.uniform(-1e6, 1e6, N), rng.normal(size=N)) + 1e4

    found = of(values)

    exact, off = np.percentile(values, [10, 90]), found.uncertainty([10, 90])
    assert off.sum() > 0.002 * (exact[1] - exact[0])
    assert (abs(found.percentile([10, 90]) - exact) <= off).all()


def test_classes_on_different_offsets_are_known_to_their_own_widths_and_together():
    rng = np.random.default_rng(2)
    values = np.stack([rng.normal(1000, 0.1, 20_000), rng.normal(size=20_000)])
    found = of(values)

    for c in (0, 1):
        np.testing.assert_allclose(
            found.percentile([10, 90], c), np.percentile(values[c], [10, 90]), rtol=1e-12
        )
    np.testing.assert_allclose(
        found.over_classes().percentile([10, 40, 90]),
        np.percentile(values, [10, 40, 90]),
        rtol=1e-12,
    )


def test_the_percentile_of_a_value_is_known_beside_a_large_offset():
    values = np.random.default_rng(3).normal(1000, 0.1, size=20_000)
    found = of(values)

    for percent in (5, 50, 95):
        value = float(np.percentile(values, percent))
        assert found.percentile_of(value) == pytest.approx(percent, abs=0.01)


def test_counts_of_an_earlier_version_know_what_they_do_not_know():
    values = np.random.default_rng(4).normal(1000, 0.1, size=20_000)
    old = replace(of(values), fine=None)

    off = old.uncertainty([10, 90])

    assert off.sum() > 0.2
    assert (abs(old.percentile([10, 90]) - np.percentile(values, [10, 90])) <= off).all()
    assert old.merged(of(values)).fine is None


def test_a_class_without_values_has_no_percentile() -> None:
    with refused(AnalysisError, AnalysisProblem.NO_VALUE):
        of(np.array([np.nan])).percentile(50)
