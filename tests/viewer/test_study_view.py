"""How an open study is described and shown: windows, warnings, millimetres only where known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ifa.reading import Series
from napari_ifa.viewer.scene.corner_note import BADGE_COLOURS
from napari_ifa.viewer.scene.study_layer import layer_name
from napari_ifa.volumes import GeometryReport, SourceOrder, Volume, Window, volume_from_file_order

pytestmark = pytest.mark.gui

CURVED = Window(50, 100, "bone curve", (0.0, 0.25, 1.0))


def study(report=None, placed=True, **values):
    """Six slices of 5 rows and 4 columns."""
    array = np.arange(4 * 5 * 6, dtype=np.float32).reshape(4, 5, 6)
    source = SourceOrder(kind="dicom", placed=placed)
    return volume_from_file_order(
        array, np.eye(4), source, description="head", report=report, **values
    )


# -- windows --------------------------------------------------------------------------------------


def choose(desk, name):
    choice = desk.study.view.window_choice
    [row] = [row for row in range(choice.count()) if choice.itemText(row).startswith(name)]
    choice.setCurrentIndex(row)
    choice.activated.emit(row)


def test_windows_of_the_file_and_of_custom_are_offered_by_name(desk):
    desk.session.set_volume(study(modality="CT", windows=(Window(40, 80, "BRAIN"), CURVED)))
    choice = desk.study.view.window_choice
    names = [choice.itemText(row).split("  (")[0] for row in range(choice.count())]
    assert names[:2] == ["BRAIN", "bone curve"]
    assert names[-1] == "by values"
    assert {"soft tissue", "lung", "liver", "bone", "brain"} < set(names)
    assert choice.currentText() == "BRAIN  (0 to 80)"
    choose(desk, "lung")
    assert tuple(desk.scene.image.contrast_limits) == (-1350, 150)
    assert desk.scene.image.colormap.name == "gray"


@pytest.mark.parametrize(("inverted", "expected"), [(False, 0.25), (True, 0.75)])
def test_a_window_with_a_curve_bends_the_greys_and_another_straightens_them(
    desk, inverted, expected
):
    volume = study(modality="CT", windows=(CURVED,), inverted=inverted)
    desk.session.set_volume(volume)
    image = desk.scene.image
    assert tuple(image.contrast_limits) == (0, 100)
    assert image.colormap.map(np.array([0.5]))[0, 0] == pytest.approx(expected, abs=0.01)
    assert image.data is volume.array, "the values are not touched"
    choose(desk, "brain")
    assert image.colormap.name == ("gray_r" if inverted else "gray")
    choose(desk, "bone curve")
    assert image.colormap.map(np.array([0.5]))[0, 0] == pytest.approx(expected, abs=0.01)


def test_a_dragged_window_is_by_hand_and_keeps_its_curve(desk):
    desk.session.set_volume(study(windows=(CURVED,)))
    choice, image = desk.study.view.window_choice, desk.scene.image
    assert choice.currentIndex() == 0
    image.contrast_limits = (10, 50)
    assert choice.currentIndex() == -1
    assert choice.placeholderText() == "by hand"
    assert desk.scene.window == Window(30, 40, "", CURVED.curve)
    assert desk.scene.window.limits == (10, 50)
    image.contrast_limits = CURVED.limits
    assert choice.currentIndex() == 0


# -- the report -----------------------------------------------------------------------------------

CASES = [
    (GeometryReport(missing=(1, 2), notes=("Series 3: 2 slices missing.",)), "wrong"),
    (GeometryReport(unverified=True, notes=("a.nii: no orientation stored.",)), "wrong"),
    (GeometryReport(tilt_degrees=18.5, notes=("Series 3: tilt corrected.",)), "resampled"),
]


@pytest.mark.parametrize(("report", "seriousness"), CASES)
def test_what_is_wrong_is_coloured_and_stands_in_the_picture_too(desk, report, seriousness):
    desk.session.set_volume(study(report))
    view, note = desk.study.view, desk.workspace.corner_note
    assert view.badge.isVisible()
    assert view.badge.text() == report.badge
    assert all(colour in view.badge.styleSheet() for colour in BADGE_COLOURS[seriousness])
    assert report.notes[0] in view.badge.toolTip()
    assert note.text == report.badge
    # Unfolded at once where the image cannot be relied on, by a click elsewhere.
    assert view.notes.isVisible() == (seriousness == "wrong")
    if seriousness != "wrong":
        desk.click(view.unfold)
    assert view.notes.text() == report.notes[0]
    assert view.notes.isVisible()


def test_the_warning_can_be_seen_in_a_screenshot(desk):
    def red(picture):
        colours = picture[..., :3].astype(int)
        return int(((colours[..., 0] > 150) & (colours[..., 1] < 130)).sum())

    desk.session.set_volume(study())
    assert desk.workspace.corner_note.text == ""
    before = red(desk.viewer.screenshot(canvas_only=True, flash=False))
    desk.session.set_volume(study(GeometryReport(unverified=True)))
    after = red(desk.viewer.screenshot(canvas_only=True, flash=False))
    assert after > before + 50


def test_a_blank_slice_says_that_it_is_missing(desk):
    # Slice 4 of the file, counted from the feet, is slice 1 from the head.
    desk.session.set_volume(study(GeometryReport(missing=(4,))))
    note = desk.workspace.corner_note
    seen = []
    for k in range(3):
        desk.viewer.dims.set_current_step(0, k)
        seen.append("this slice is missing" in note.text)
    assert seen == [False, True, False]
    desk.viewer.dims.set_current_step(0, 1)
    desk.click(desk.study.view.plane_buttons["coronal"])
    assert note.text == "1 slice missing"


def test_no_warning_outlives_its_study(desk):
    desk.session.set_volume(study(GeometryReport(missing=(1,))))
    assert desk.workspace.corner_note.text == "1 slice missing"
    desk.scene.image.visible = False
    assert desk.workspace.corner_note.text == ""
    desk.session.set_volume(study())
    assert desk.workspace.corner_note.text == ""
    assert not desk.study.view.badge.isVisible()
    assert not desk.study.view.notes.isVisible()


# -- millimetres and names ------------------------------------------------------------------------


def test_a_stack_without_a_place_has_no_letters_no_scale_bar_and_no_millimetres(desk):
    desk.session.set_volume(study(placed=False))
    facts = desk.study.view.facts.text().replace("\N{NO-BREAK SPACE}", " ")
    assert facts == "2D stack · 6 images · 4 × 5 pixels"
    assert desk.workspace.letters.letters == ("", "", "", "")
    assert not desk.viewer.canvas.overlays["scale_bar"].visible
    assert [str(unit) for unit in desk.scene.image.units] == ["pixel"] * 3
    assert not any(button.isVisible() for button in desk.study.view.plane_buttons.values())
    desk.session.set_volume(study())
    assert desk.viewer.canvas.overlays["scale_bar"].visible
    assert "mm" in desk.study.view.facts.text()


def test_a_layer_is_named_by_modality_description_and_part():
    volume = replace(study(modality="MR"), description="B0 map")
    series = Series("a", "Doe^Jane/IM0001", "dicom", part="field map")
    assert layer_name(volume, series) == "MR B0 map, field map"
    assert layer_name(volume) == "MR B0 map"
    assert layer_name(Volume(volume.array, volume.affine)) == "image"
