"""The badge says what differs from the cohort, and that nothing was seen is no certificate."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt

from napari_ifa.analysis import CohortFit
from napari_ifa.viewer.panels.fit_badge import FitBadge

pytestmark = pytest.mark.gui

OUTSIDE = CohortFit(
    outside=True,
    score=3.25,
    p=0.0068,
    percentile=100.0,
    differs=("intensities", "features"),
    reasons=("The intensities lie 3.3 times as far.",),
    notes=("Orientation could not be compared.",),
    references=146,
    patients=True,
)
UNUSUAL = CohortFit(
    unusual=True, score=1.2, p=0.03, percentile=97.0, differs=("features",), references=146
)
NOT_SEEN = CohortFit(score=0.6, p=0.5, percentile=50.0, references=146, patients=True)
NOT_KNOWN = CohortFit(known=False)


@pytest.fixture
def badge(qtbot):
    badge = FitBadge()
    qtbot.addWidget(badge)
    return badge


def test_nothing_without_an_analysis(badge):
    assert badge.isHidden()
    badge.show_fit(OUTSIDE)
    assert not badge.isHidden()
    badge.show_fit(None)
    assert badge.isHidden()


def test_each_answer_has_its_own_icon_and_look(badge):
    looks = []
    for fit in (OUTSIDE, UNUSUAL, NOT_SEEN, NOT_KNOWN):
        badge.show_fit(fit)
        icon, words = badge.text().split(" ", 1)
        assert words == fit.words
        looks.append((icon, badge.styleSheet()))
    assert len({icon for icon, _ in looks}) == 4
    assert len({style for _, style in looks[:3]}) == 3
    # No colour of its own where nothing was found: those of napari's theme.
    assert "color" not in looks[2][1].replace("border: 1px solid", "")


def test_the_tooltip_says_why_how_far_and_what_cannot_be_known(badge):
    badge.show_fit(OUTSIDE)
    tip = badge.toolTip()
    for part in (*OUTSIDE.reasons, *OUTSIDE.notes, "3.25", "100 % of the 146 reference patients"):
        assert part in tip
    for fit in (OUTSIDE, NOT_SEEN, NOT_KNOWN):
        badge.show_fit(fit)
        assert "cannot certify" in badge.toolTip()


def test_a_misfit_is_in_panel_and_picture_whether_or_not_the_map_is_shown(explained, monkeypatch):
    assert explained.explain.fit.isVisible()
    assert "not known" in explained.explain.fit.text()
    assert explained.corner == ""
    monkeypatch.setattr("napari_ifa.analysis.Explanation.fit", OUTSIDE)
    explained.session.set_analysis(explained.session.analysis)
    explained.settle(lambda: explained.session.explanation is not None)
    assert explained.explain.fit.text() == f"⚠ {OUTSIDE.words}"
    assert explained.corner == "outside the reference range: intensities, features"
    explained.qtbot.keyClick(explained.explain.class_choice, Qt.Key.Key_Down)
    assert explained.session.explanation.class_idx == 1
    explained.click_eye(explained.scene.map.layer)
    assert not explained.scene.map.layer.visible
    assert explained.corner == "outside the reference range: intensities, features"
    explained.choose_layers(explained.scene.image)
    explained.click(explained.viewer_button("delete_button"))
    explained.qtbot.waitUntil(lambda: explained.session.volume is None)
    assert explained.explain.fit.isHidden()
    assert explained.corner == ""
