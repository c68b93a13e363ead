from __future__ import annotations

import numpy as np

from napari_ifa.analysis.moments import merged_moments


def moments(*values: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    array = np.array(values)
    mean = array.mean() if array.size else 0.0
    return np.array(array.size), np.array(mean), np.array(((array - mean) ** 2).sum())


def test_two_sets_together_by_hand() -> None:
    # 1, 3 | 8: mean 4, deviations −3, −1, 4
    mean, deviations = merged_moments(moments(1.0, 3.0), moments(8.0))

    assert mean == 4.0
    assert deviations == 26.0


def test_an_empty_set_changes_nothing() -> None:
    for pair in ((moments(1.0, 3.0), moments()), (moments(), moments(1.0, 3.0))):
        assert merged_moments(*pair) == (2.0, 2.0)
    assert merged_moments(moments(), moments()) == (0.0, 0.0)
