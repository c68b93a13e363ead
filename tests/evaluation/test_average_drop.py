from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.cam import CutNetwork, class_activation
from napari_ifa.evaluation.measures.average_drop import AverageDrop, masked_input_logits
from napari_ifa.evaluation.sections import sections_of
from tests.tiny import TinyNetwork


@pytest.mark.parametrize("bent", [False, True])
def test_answers_to_images_times_their_usual_cam_by_hand(bent: bool) -> None:
    ramp = torch.arange(8.0).reshape(1, 1, 2, 2, 2)
    x = torch.cat([ramp, ramp, -ramp])
    with CutNetwork(TinyNetwork(bent).eval(), "features") as cut:
        maps = class_activation(cut, x[:, :], class_idx="all").maps()
        found = masked_input_logits(cut, x, maps, np.array([0, 1, 1]))

    # class 0's map of the ramp is x/8: x · x/7 has the mean 140/7/8 = 2.5
    second = 20 + (0.5 if bent else -1.5) * 2.5
    np.testing.assert_allclose(found[0], [12.5, second], rtol=1e-6)
    if not bent:
        # class 1's map is negative, so that all is masked; of −x it is positive
        np.testing.assert_allclose(found[1], [10, 20], rtol=1e-6)
        np.testing.assert_allclose(found[2], [7.5, 23.75], rtol=1e-6)


def test_the_mask_begins_at_each_images_own_minimum() -> None:
    x = torch.arange(1, 9.0).reshape(1, 1, 2, 2, 2)
    with CutNetwork(TinyNetwork().eval(), "features") as cut:
        maps = class_activation(cut, x, class_idx="all").maps()
        found = masked_input_logits(cut, x, maps, np.array([0]))

    # x · (x − 1)/7 has the mean (204 − 36)/7/8 = 3
    np.testing.assert_allclose(found, [[13, 15.5]], rtol=1e-6)


def test_increase_and_drop_by_hand() -> None:
    found = AverageDrop(
        probability=np.array([0.8, 0.5, 0.4, 0.0]),
        masked=np.array([0.4, 0.6, 0.4, 0.0]),
        predicted=np.array([0, 0, 1, 1]),
        class_names=("none", "lesion"),
    )

    # halved; risen; the same, which is no rise; nothing to lose
    assert found.increase.tolist() == [False, True, False, False]
    np.testing.assert_allclose(found.drop, [0.5, 0, 0, 0])
    section = sections_of(found)[0]
    by_class = {row["class"]: row for row in section.rows}
    assert by_class["none"]["increase"] == 0.5
    assert by_class["none"]["drop"] == 0.25
    assert by_class["all"]["drop"] == 0.125
    assert (by_class["lesion"]["n"], by_class["all"]["n"]) == (2, 4)
    assert "rises in 25.0 % of 4 cases, and falls by 12.5 %" in section.meaning
    assert all(row.keys() == section.columns.keys() for row in section.rows)
    assert section.draw is not None
    assert section.draw().axes


def test_equal_cases_have_no_interval() -> None:
    found = AverageDrop(np.full(16, 0.5), np.full(16, 0.6), np.ones(16, int), ("none", "lesion"))

    (row,) = sections_of(found)[0].rows

    assert row["drop"] == 0
    assert np.isnan([row["drop_low"], row["drop_high"]]).all()
    assert row["drop_interval"] == "no interval: all cases equal"
    assert "nan" not in repr(found)


def test_one_predicted_class_has_one_row() -> None:
    found = AverageDrop(np.array([0.5]), np.array([0.6]), np.array([1]), ("none", "lesion"))

    assert [row["class"] for row in sections_of(found)[0].rows] == ["lesion"]
