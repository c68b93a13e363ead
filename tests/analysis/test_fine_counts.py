from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_ifa.analysis.fine_counts import FineCounts, fine_arrays, fine_of_arrays, most_bins


def of(values, most=10) -> FineCounts:
    return FineCounts.of(torch.as_tensor(values, dtype=torch.float64), most)


def test_few_different_values_are_kept_as_they_are():
    found = of([3.5, -1.0, 3.5, 0.0, -0.0])

    assert found.values.tolist() == [-1.0, 0.0, 3.5]
    assert found.counts.tolist() == [1, 2, 2]
    assert found.step == 0
    assert not np.signbit(found.values[1])


def test_many_are_rounded_down_to_the_least_power_of_two_that_suffices():
    # 0.75 steps: eleven values from -3 to 4.5, of which steps of 1 occupy nine: -3, -3, -2, ...
    found = of(np.arange(-4, 7) * 0.75)

    assert found.step == 1
    assert found.values.tolist() == [-3, -2, -1, 0, 1, 2, 3, 4]
    assert found.counts.tolist() == [2, 1, 1, 2, 1, 1, 2, 1]


def test_only_occupied_bins_count():
    # Two clusters a million apart: eleven values of each, 0.01 apart.
    cluster = np.arange(11) * 0.01
    found = of(np.concatenate([cluster, cluster + 1e6]))

    assert found.step == 2**-5  # the 0.1 between both ends of a cluster are 4 or 5 such bins
    assert found.counts.sum() == 22


def test_a_number_of_far_more_steps_than_fit_float64_stays_itself():
    values = np.concatenate([np.arange(20) * 2.0**-30, [1e300, -1e300]])

    found = of(values)

    assert found.values[[0, -1]].tolist() == [-1e300, 1e300]
    assert found.counts.sum() == 22
    assert found.step == 2**-28


def test_the_smallest_number_below_zero_is_not_rounded_up():
    found = of([*range(-1, 10), -5e-324])

    assert found.step == 2
    assert found.values.tolist() == [-2, 0, 2, 4, 6, 8]
    assert found.counts.tolist() == [2, 2, 2, 2, 2, 2]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(
        st.lists(st.floats(-1e6, 1e6) | st.floats(999, 1001, width=32), max_size=30), min_size=1
    ),
    st.randoms(use_true_random=False),
)
def test_parts_merged_in_any_order_are_the_whole_bit_for_bit(parts, random):
    whole = of([value for part in parts for value in part])

    shuffled = random.sample(parts, len(parts))
    one_by_one = reduce(lambda a, b: FineCounts.joined((a, b), 10), map(of, shuffled))
    pairs = list(map(of, shuffled))
    while len(pairs) > 1:
        pairs.append(FineCounts.joined((pairs.pop(0), pairs.pop(0)), 10))

    for found in (one_by_one, *pairs):
        assert found.step == whole.step
        assert found.values.tobytes() == whole.values.tobytes()
        assert found.counts.tobytes() == whole.counts.tobytes()


@pytest.mark.parametrize("most", [3, 10, 100])
def test_the_step_is_the_least_that_suffices(most):
    rng = np.random.default_rng(most)
    values = np.concatenate([rng.normal(size=500), 1e4 * rng.standard_cauchy(size=500)])

    found = of(values, most)

    assert found.values.size <= most
    halves = np.floor(values / (found.step / 2))
    assert np.unique(halves).size > most


def test_every_value_lies_in_its_bin():
    values = np.random.default_rng(1).normal(1000, 3, size=5000)
    found = of(values, 64)

    lower = found.bin_of_rank(np.arange(values.size))

    assert (lower <= np.sort(values)).all()
    assert (np.sort(values) < lower + found.step).all()


def test_the_bins_of_all_classes_are_bounded_together():
    assert [most_bins(n) for n in (1, 3, 5, 14, 1000)] == [524288, 524288, 419430, 149796, 8192]
    assert most_bins(14) * 14 <= 2**21


@pytest.mark.parametrize(
    ("last", "width"), [(2.0, 4), (float(np.float32(0.1)), 4), (0.1, 8), (1e300, 8)]
)
def test_arrays_of_a_file_hold_them_exactly(last: float, width: int):
    many = FineCounts(np.array([3.0]), np.array([300]))
    rows = (of([1.0, last]), of([]), of(np.arange(50.0)), many)

    arrays = fine_arrays(rows)
    found = fine_of_arrays(arrays)

    # Most values of a network are of single precision, and most counts are small.
    assert arrays["fine_value"].dtype == f"f{width}"
    assert arrays["fine_count"].dtype == np.uint16
    assert [row.step for row in found] == [0, 0, 8, 0]
    for row, expected in zip(found, rows, strict=True):
        assert row.values.tobytes() == expected.values.tobytes()
        assert row.counts.tobytes() == expected.counts.tobytes()
