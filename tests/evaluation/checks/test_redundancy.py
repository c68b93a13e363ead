from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ifa.evaluation.checks.redundancy import redundancy
from napari_ifa.evaluation.measures.feature_removal import FeatureRemoval
from napari_ifa.evaluation.measures.removal_order import FoldOrder
from napari_ifa.evaluation.sections import sections_of
from tests.known_analysis import known_analysis


def four_features(cases: int = 100, **attributes: str):
    """Of one class each: always for, hardly ever active, always against, next to nothing."""
    k = np.zeros((cases, 4, 2))
    k[:, 0] = 1.0
    k[:3, 1] = 2.0
    k[:, 2] = -1.0
    k[:, 3] = 1e-4
    return known_analysis(k, np.arange(cases) % 2, **attributes)


def removal(cases: int = 400, lost: tuple[int, ...] = (0, 0, 100)) -> FeatureRemoval:
    """Features 1 and 3 go first; the last steps lose cases of the second class."""
    labels = np.arange(cases) % 2
    right = np.ones((cases, len(lost)), bool)
    for step, number in enumerate(lost):
        right[np.flatnonzero(labels == 1)[:number], step] = False
    orders = tuple(FoldOrder(np.array(one), np.zeros(4)) for one in ([1, 3, 2, 0], [3, 1, 2, 0]))
    return FeatureRemoval(
        labels, np.ones(cases, bool), {"mean": right, "zero": right}, (1, 2, 3), orders
    )


def test_a_rarely_active_feature_by_hand_and_one_that_speaks_against_is_not() -> None:
    found = redundancy(four_features())

    np.testing.assert_array_equal(found.rare, [False, True, False, False])


def test_the_threshold_is_a_share_of_the_cases() -> None:
    assert not redundancy(four_features(), threshold=0.02).rare.any()
    # 2 of 3 cases: no feature is active in fewer than 1 %
    assert redundancy(four_features(), threshold=0.031).rare.sum() == 1


@pytest.mark.parametrize("share", [0.01, 0.04])
def test_a_feature_active_in_few_cases_is_rare_whatever_its_size_and_sign(share: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        k = np.zeros((100, 1, 1))
        active = round(100 * share)
        k[:active, 0, 0] = rng.normal(size=active) * rng.exponential(10)
        assert redundancy(known_analysis(np.append(k, k + 5, axis=1), [0] * 100)).rare[0]


def test_without_the_model_nothing_is_called_redundant() -> None:
    """Neither what is rare nor what carries next to nothing on average."""
    found = redundancy(four_features())

    assert not found.removable.any()
    (section,) = sections_of(found)
    assert section.meaning.startswith("Not measured.")
    assert "takes the model and labelled cases" in section.meaning
    assert "--" not in section.meaning
    assert (section.rows[0]["can_go"], section.rows[0]["rarely_active"]) == (None, 1)
    assert section.draw is None


def test_why_it_was_not_measured_is_said() -> None:
    of_values = redundancy(
        known_analysis(np.ones((100, 4, 1)), [-1] * 100, output_activation="none")
    )
    given = replace(redundancy(four_features()), reason="Three cases have a label.")

    assert "answers with values" in sections_of(of_values)[0].meaning
    assert sections_of(given)[0].meaning.startswith("Not measured. Three cases have a label.")


def test_what_can_go_is_counted_named_and_said() -> None:
    found = replace(redundancy(four_features()), removal=removal())

    summary, steps, features = sections_of(found)
    row = summary.rows[0]
    assert (row["can_go"], row["can_go_to_zero"], row["named"], row["cases"]) == (2, 2, 2, 400)
    assert (row["accuracy"], row["rarely_active"]) == (1, 1)
    assert np.flatnonzero(found.removable).tolist() == [1, 3]
    assert [one["feature"] for one in features.rows] == [1, 3]
    # 1 − 0.05^(1/400) is 0.75 %
    assert "2 features of 4 can go for at most 1 point" in summary.meaning
    assert "new cases lose 0.7 at most" in summary.meaning
    last = steps.rows[2]
    assert (last["removed"], last["lost"], last["accuracy"]) == (3, 0.25, 0.75)
    assert (last["worst_class"], last["worst_lost"]) == ("class 1", 0.5)
    for section in sections_of(found):
        assert all(one.keys() == section.columns.keys() for one in section.rows)
    assert "independent patients only" in summary.limits


def test_too_few_cases_show_nothing_and_say_how_many_it_takes() -> None:
    found = replace(redundancy(four_features()), removal=removal(100))

    summary, *others = sections_of(found)
    assert [section.key for section in others] == ["feature_removal"]
    assert summary.rows[0]["can_go"] == 0
    assert summary.rows[0]["seemed_to_go"] == 2
    assert "No feature is shown to be removable" in summary.meaning
    assert "Up to 2 features seemed to" in summary.meaning
    assert "takes 299 independent cases, and there are 100" in summary.meaning


def test_a_model_that_tells_nothing_is_said_to_have_nothing_to_lose() -> None:
    every = np.arange(400) % 4 < 2
    found = replace(removal(), every=every)
    found = replace(found, right={name: every[:, None].repeat(3, 1) for name in ("mean", "zero")})

    measured = replace(redundancy(four_features()), removal=found)

    assert "a model that tells little can lose little" in sections_of(measured)[0].limits
    assert (
        "tells little"
        not in sections_of(replace(redundancy(four_features()), removal=removal()))[0].limits
    )


def test_the_figure_shows_both_ways_to_remove() -> None:
    figure = sections_of(replace(redundancy(four_features()), removal=removal()))[0].draw()

    (panel,) = figure.axes
    assert [line.get_label() for line in panel.lines[:2]] == [
        "removed to their mean",
        "removed to zero",
    ]
    np.testing.assert_allclose(panel.lines[0].get_ydata(), [0, 0, 25])
    assert "400 cases" in panel.get_ylabel()
