"""The instruments of the benchmarks, on calls whose numbers are known. Nothing here is timed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.benchmarks.measuring import (
    Line,
    Spread,
    Times,
    difference,
    highest_sum,
    interleaved,
    peak_memory,
)

CPU = torch.device("cpu")
MEGABYTE = 4 * 500 * 500


def test_peak_memory_is_the_most_that_tensors_held_at_once():
    def call():
        first = torch.zeros(500, 500)
        second = torch.ones(500, 500)  # two megabytes from here
        del first
        return torch.cat([second, second])  # three: it and its source

    assert peak_memory(lambda: call, CPU) == pytest.approx(3 * MEGABYTE, abs=100)


def test_peak_memory_leaves_out_what_was_held_before_the_call():
    held = torch.zeros(2000, 500)
    peak = peak_memory(lambda: lambda: held[:500] + 1, CPU)
    assert peak == pytest.approx(MEGABYTE, abs=100)


def test_peak_memory_measures_a_fresh_call_not_the_one_that_warmed_up():
    built = []

    def build():
        kept = []
        built.append(kept)

        def call():
            kept.append(torch.zeros(500, 500))

        return call

    assert peak_memory(build, CPU) == pytest.approx(MEGABYTE, abs=100)
    assert [len(kept) for kept in built] == [1, 1]


def test_highest_sum_orders_changes_by_their_time():
    assert highest_sum([(3, 5), (1, 4), (2, -4)]) == 5
    assert highest_sum([(1, -2), (2, 1)]) == 0


def test_every_call_takes_its_turn_in_every_round():
    called = []
    calls = {name: lambda name=name: called.append(name) for name in "abc"}
    times = interleaved(calls, 4, CPU)
    rounds = [called[start : start + 3] for start in range(0, len(called), 3)]
    assert [sorted(turn) for turn in rounds] == [["a", "b", "c"]] * 5  # one does not count
    assert len({tuple(turn) for turn in rounds}) > 1
    assert {name: len(seconds) for name, seconds in times.seconds.items()} == dict.fromkeys(
        "abc", 4
    )


def test_a_ratio_is_taken_within_each_round():
    # Round by round 2, 2 and 4, though the medians' ratio is 4 / 2.
    seconds = {"ours": np.array([2.0, 20.0, 4.0]), "peer": np.array([1.0, 10.0, 1.0])}
    assert Times(seconds, {}).ratio("ours", "peer") == Spread(median=2, lower=2, upper=3)
    assert Times(seconds, {}).scaled("peer", 2).ratio("ours", "peer").median == 1


def test_the_difference_is_relative_to_the_largest_value_of_the_other():
    assert difference(torch.tensor([1.0, -3.0]), torch.tensor([1.0, -4.0])) == 0.25
    with pytest.raises(AssertionError):
        difference(torch.zeros(1, 2), torch.zeros(2))


@pytest.mark.parametrize(("ratio", "reach", "met"), [(1.1, 1.1, True), (1.2, 1.1, False)])
def test_a_line_is_met_up_to_its_reach(ratio, reach, met):
    line = Line("row", "case", "peer", Spread(ratio, ratio, ratio), reach, "s", 1, 1)
    assert line.met is met


def test_a_line_without_a_reach_is_neither_met_nor_missed():
    line = Line("row", "case", "peer", Spread(1, 1, 1), None, "s", 1, 1)
    assert line.met is None
