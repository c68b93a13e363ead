"""The centre of a feature's activation, and how much it varies over the cases of a class."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_ifa.analysis import analyze
from napari_ifa.analysis.position import PositionStatistics, centres
from napari_ifa.cohorts import read_cohort
from tests.tiny import tiny_classifier, write_image


def test_the_centre_by_hand():
    # 2 × 4 voxels, middles 0.25, 0.75 and 0.125 … 0.875: weights 1 at (0, 0) and 3 at (1, 3)
    features = torch.zeros(1, 2, 2, 4)
    features[0, 0, 0, 0], features[0, 0, 1, 3] = 1.0, -3.0

    found = centres(features)

    np.testing.assert_allclose(found[0, 0], [(0.25 + 3 * 0.75) / 4, (0.125 + 3 * 0.875) / 4])
    assert np.isnan(found[0, 1]).all()


def test_the_spread_by_hand_over_the_cases_in_which_the_feature_is_active():
    found = np.array([[[0.1, 0.5]], [[0.3, 0.5]], [[0.2, 0.9]], [[np.nan, np.nan]]])
    counted = np.array([[True, False]] * 2 + [[False, True], [True, False]])

    statistics = PositionStatistics.of(found, counted)

    assert statistics.cases.tolist() == [[2, 1]]
    np.testing.assert_allclose(statistics.average[0, 0], [0.2, 0.5])
    # squared distances 0.01 + 0.01 over 2 − 1
    np.testing.assert_allclose(statistics.spread, [[np.sqrt(0.02), np.nan]])


@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_two_parts_merged_are_the_whole(at):
    rng = np.random.default_rng(1)
    found = rng.random((9, 5, 3))
    found[rng.random((9, 5)) < 0.3] = np.nan
    counted = np.arange(9)[:, None] % 2 == np.arange(2)

    whole = PositionStatistics.of(found, counted)
    merged = PositionStatistics.of(found[:at], counted[:at]).merged(
        PositionStatistics.of(found[at:], counted[at:])
    )

    np.testing.assert_array_equal(merged.cases, whole.cases)
    np.testing.assert_allclose(merged.average, whole.average)
    np.testing.assert_allclose(merged.spread, whole.spread)


def test_an_analysis_holds_the_spread_of_each_class(tmp_path: Path):
    # Cubes of 2 × 2 × 2 with one bright corner: always the first for label 0, any for label 1.
    corners = {0: [0, 0, 0], 1: [0, 7, 1]}
    entries = []
    for label, places in corners.items():
        for n, corner in enumerate(places):
            values = np.zeros(8)
            values[corner] = 2.0
            write_image(tmp_path / f"{label}_{n}.nii", values.tolist())
            entries.append({"image": f"{label}_{n}.nii", "label": label})
    (tmp_path / "list.json").write_text(json.dumps(entries))
    cohort = read_cohort(tmp_path / "list.json")

    one, parted = (
        analyze(tiny_classifier(), cohort, shard_size=size).dataset["position_spread"].values
        for size in (6, 2)
    )

    places = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 1]]) * 0.5 + 0.25
    expected = np.sqrt(((places - places.mean(axis=0)) ** 2).sum() / 2)
    np.testing.assert_allclose(one, [[0, expected]] * 2, atol=1e-12)
    np.testing.assert_allclose(parted, one, atol=1e-12)
