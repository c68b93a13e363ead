from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.evaluation.measures.feature_order import CurveMasks, FeatureOrder
from napari_ifa.evaluation.measures.masking_curve import accuracy_curve, fit_curve
from napari_ifa.evaluation.sections import sections_of


@pytest.fixture
def masks() -> CurveMasks:
    order = FeatureOrder(np.arange(4), np.arange(4), "true", ())
    return CurveMasks.of(order, 0.25, (0.25, 0.5, 1.0), seed=0)


def test_points_by_hand(masks: CurveMasks) -> None:
    # a mask that keeps feature 0 answers as many of the four cases rightly as it keeps features
    right = np.array([[mask.keep[0] and n < mask.count for mask in masks.masks] for n in range(4)])

    found = accuracy_curve(masks, right, 0.5, bypassed=False)

    first = found.of_order("most important first")
    assert [(p.kept, p.share, p.value, p.n) for p in first] == [
        (1, 0.25, 0.25, 4),
        (2, 0.5, 0.5, 4),
        (4, 1.0, 1.0, 4),
    ]
    assert [p.value for p in found.of_order("least important first")] == [0, 0, 1]
    random = found.of_order("random")
    drawn = [masks.masks[numbers[1]] for numbers in masks.random]
    assert random[1].value == pytest.approx(np.mean([0.5 * bool(m.keep[0]) for m in drawn]))
    assert (random[2].low, random[2].value, random[2].high) == (1, 1, 1)
    assert found.principal == (0.25, 0.25)
    assert (found.every, found.chance) == (1.0, 0.5)


def test_the_section_says_where_part_of_the_answer_goes_around(masks: CurveMasks) -> None:
    right = np.ones((4, len(masks.masks)), bool)

    for bypassed in (False, True):
        section = sections_of(accuracy_curve(masks, right, 0.5, bypassed))[0]
        assert ("goes around the target layer" in section.limits) is bypassed
        assert all(row.keys() == section.columns.keys() for row in section.rows)
        assert section.draw is not None
        assert section.draw().axes


def test_a_regression_is_measured_by_r_squared(masks: CurveMasks) -> None:
    targets = np.array([1.0, 2, 3, 4])
    answers = np.stack([targets if mask.keep[0] else 0 * targets for mask in masks.masks], 1)

    found = fit_curve(masks, targets, answers, bypassed=False)

    assert [p.value for p in found.of_order("most important first")] == pytest.approx([1, 1, 1])
    # 1 − (1 + 4 + 9 + 16) / 5
    assert found.of_order("least important first")[0].value == pytest.approx(-5)
    assert found.measure == "R²"
    section = sections_of(found)[0]
    assert "R²" in section.title
    assert "always the mean reaches 0.00" in section.meaning
    assert "accuracy" not in f"{section.title} {section.meaning} {section.columns}"
    assert "class" not in f"{section.meaning} {section.columns}"


def test_answers_far_off_are_drawn_too(masks: CurveMasks) -> None:
    targets = np.array([1.0, 2, 3, 4])
    answers = np.stack([targets + 40 * (mask.count + 1) for mask in masks.masks], 1)

    found = fit_curve(masks, targets, answers, bypassed=False)

    low, high = sections_of(found)[0].draw().axes[0].get_ylim()
    values = [value for p in found.points for value in (p.value, p.low, p.high)]
    assert np.nanmax(values) < -1000
    assert low < np.nanmin(values) < np.nanmax(values) < 0 < high
