"""The simulations of the model checks run, and hold in small."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from tests.benchmarks import model_checks


@pytest.mark.parametrize("section", model_checks.SECTIONS)
def test_no_aim_is_missed_in_small_by_more_than_chance(section):
    lines = list(model_checks.measured([section], runs=3))

    assert lines
    for line in lines:
        if line.aim is not None and line.aim[0] == "at most":
            hits, limit = round(line.value * line.runs), line.aim[1]
            assert binomtest(hits, line.runs, limit, alternative="greater").pvalue > 1e-3, line
    assert all(line.section == section and line.runs for line in lines)


def test_an_aim_is_missed_only_beyond_the_interval():
    line = model_checks.share("a", "b", "c", [True] * 50 + [False] * 50, ("at most", 0.05))
    few = model_checks.share("a", "b", "c", [True, False, False, False, False], ("at most", 0.05))

    assert (line.met, line.value) == (False, 0.5)
    assert few.low > 0.03
    assert few.met is True
