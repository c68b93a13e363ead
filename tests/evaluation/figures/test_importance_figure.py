from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.analysis.colour import diverging_colormap
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.figures.importance import (
    feature_order,
    importance_figure,
    without_class_mean,
)
from napari_ifa.evaluation.problems import EvaluationProblem
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort


def analysed(folder: Path, labels: list[int]) -> Analysis:
    folder.mkdir()
    cases = [([8.0 * (n + 1), 0, 0, 0, 0, 0, 0, 0], label) for n, label in enumerate(labels)]
    return analyze(tiny_classifier(), read_cohort(write_cohort(folder, cases)))


@pytest.fixture
def analysis(tmp_path: Path) -> Analysis:
    return analysed(tmp_path / "training", [0, 1])


def test_features_are_sorted_by_class_and_value() -> None:
    matrix = np.array([[1.0, np.nan, 5], [3, np.nan, 2], [9, np.nan, 0], [0, np.nan, 8]])

    assert feature_order(matrix).tolist() == [2, 1, 3, 0]
    np.testing.assert_array_equal(
        without_class_mean(matrix)[:, [0, 2]], [[-2, 2], [0.5, -0.5], [4.5, -4.5], [-4, 4]]
    )


def test_the_matrix_is_drawn_in_that_order_about_white(analysis: Analysis) -> None:
    matrix = np.array([[1.0, -4.0], [0.5, 2.0], [3.0, 0.0]])
    data = analysis.dataset.isel(feature=[0, 1, 1])
    data = data.assign(importance_true=(("feature", "class"), matrix))

    figure = importance_figure(Analysis(data))

    image = figure.axes[0].images[0]
    np.testing.assert_array_equal(image.get_array(), matrix[[2, 0, 1]].T)
    assert image.norm.vmin == -image.norm.vmax
    assert [t.get_text() for t in figure.axes[1].get_xticklabels()] == ["2", "0", "1"]
    np.testing.assert_allclose(diverging_colormap()(0.5)[:3], 1.0)
    red, _, blue = diverging_colormap()(0.95)[:3]
    assert red > blue, "for is red, against is blue"


def test_two_cohorts_stand_in_one_figure(tmp_path: Path, analysis: Analysis) -> None:
    healthy = analysed(tmp_path / "healthy", [0, 0])

    alone, both = importance_figure(analysis), importance_figure(analysis, healthy)

    titles = [axes.get_title(loc="left") for axes in both.axes]
    titles = [title for title in titles if title]
    assert len(titles) == 4
    assert len([axes for axes in alone.axes if axes.get_title(loc="left")]) == 2
    assert "no case of the class" in titles[2]
    [hatched] = both.axes[2].collections
    assert hatched.get_hatch() == "///"
    shown = [axes.images[0].get_clim() for axes in both.axes if axes.images]
    assert shown[0] == shown[2], "both cohorts are on the same colours"
    for axes in both.axes:
        for image in axes.images:
            low, high = image.get_clim()
            known = np.asarray(image.get_array().compressed())
            assert low <= known.min() <= known.max() <= high, "no colour is clipped"


def test_analyses_of_different_layers_are_refused(analysis: Analysis) -> None:
    other = Analysis(analysis.dataset.isel(feature=[0]))

    with refused(
        AnalysisError,
        EvaluationProblem.FEATURES_AND_CLASSES,
        features=2,
        classes=2,
        other_features=1,
        other_classes=2,
    ):
        importance_figure(analysis, other)
