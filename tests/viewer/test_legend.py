"""The colour bar marks zero contribution where it lies, and says what the ends mean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_ifa.analysis import CommonScale
from napari_ifa.viewer.panels.legend import Legend


@pytest.fixture
def legend(qtbot):
    legend = Legend()
    qtbot.addWidget(legend)
    legend.resize(424, legend.sizeHint().height())
    return legend


def explanation_with(scale):
    return SimpleNamespace(scale=scale, sides=("against lesion", "for lesion"), largest=2.5)


def colour_at(legend, value):
    """Colour of the bar at a value from -1 to 1: the bar runs from pixel 12 to 412."""
    image = legend.grab().toImage()
    return image.pixelColor(round(12 + (value + 1) / 2 * 400), image.height() // 2 - 8)


def test_neutral_lies_at_tanh_beta_and_is_grey(legend):
    scale = CommonScale(-1.0, 1.0)
    legend.show_explanation(explanation_with(scale))
    assert legend.neutral == pytest.approx(scale.neutral)
    assert scale.neutral == pytest.approx(0.6563, abs=1e-4)
    grey = colour_at(legend, scale.neutral)
    assert (
        max(grey.red(), grey.green(), grey.blue()) - min(grey.red(), grey.green(), grey.blue()) < 25
    )
    assert colour_at(legend, 0.98).red() > 2 * colour_at(legend, 0.98).blue()
    assert colour_at(legend, -0.98).blue() > 2 * colour_at(legend, -0.98).red()
    # Zero of the scale is not zero contribution: it already speaks against.
    assert colour_at(legend, 0.0).blue() > colour_at(legend, 0.0).red() + 20


def test_ends_are_words(legend):
    legend.show_explanation(explanation_with(CommonScale(-1.0, 1.0)))
    assert legend.ends == ("against lesion", "for lesion")
    assert legend.marks == [(0.1, "P10: -1"), (0.9, "P90: +1")]
    assert "80 %" in legend.toolTip()
    centred = CommonScale(-3.25, 3.25, 90, 90, "extremes", form="centred", ratio=12, cases=30)
    legend.show_explanation(explanation_with(centred))
    assert legend.marks == [(-0.9, "-P90: -3.2"), (0.9, "P90: +3.2")]
    assert legend.neutral == 0
    assert "are 12 times the voxels' P90" in legend.toolTip()
    assert "30 cases, too few to rely on" in legend.toolTip()


def test_without_a_scale_neutral_lies_in_the_middle(legend):
    legend.show_explanation(explanation_with(None))
    assert legend.neutral == 0.0
    assert legend.marks == [(-1.0, "-2.5"), (1.0, "+2.5")]
    assert "±2.5 logits" in legend.toolTip()


def test_nothing_open_nothing_drawn(legend):
    legend.show_explanation(None)
    assert legend.neutral is None
    legend.grab()
