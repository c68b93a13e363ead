"""napari's own controls, by mouse and key: none makes the picture say what is not so."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import napari
import numpy as np
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QComboBox, QLineEdit, QPushButton, QSlider

from napari_ifa.analysis import CohortFit
from napari_ifa.analysis.scale import PAPER, ScaleChoice
from napari_ifa.reading import read_volume
from napari_ifa.viewer.scene.orientation import RADIOLOGICAL
from napari_ifa.viewer.scene.study_layer import image_layer_data
from napari_ifa.volumes import SourceOrder, volume_from_file_order
from tests.desk import Desk
from tests.tiny import tiny_classifier, write_image

pytestmark = pytest.mark.gui

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]
CONTROL = Qt.KeyboardModifier.ControlModifier
PLACE = ("affine", "scale", "translate", "rotate", "shear")


@pytest.fixture(scope="module")
def window(qapp):
    """One window for all: none of these tests leaves anything in it that a person could not."""
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    viewer.window._qt_window.resize(1600, 1000)
    desk = Desk(viewer, None)
    yield desk
    desk.workspace.jobs.close()
    viewer.close()


@pytest.fixture
def desk(window, qtbot):
    """The window with nothing open, as it is when it is new."""
    window.qtbot = qtbot
    session = window.session
    session.set_volume(None)
    session.set_classifier(None)
    session.set_analysis(None)
    session.choose_scale(PAPER)
    window.importance.pin.setChecked(False)
    window.viewer.layers.clear()
    window.viewer.dims.margin_left = (0,) * window.viewer.dims.ndim
    window.viewer.dims.ndisplay = 2
    window.scene.opacity = 0.75
    window.settle()
    window.said.clear()
    return window


@pytest.fixture
def explained(desk, tiny_analysis, tmp_path):
    """A study, its map on the common scale, and 2 features."""
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_analysis(tiny_analysis)
    desk.session.set_volume(read_volume(write_image(tmp_path / "case.nii", VALUES)))
    desk.settle(lambda: desk.scene.map.layer is not None)
    desk.qtbot.wait(20)
    return desk


def head():
    """A volume (RAS, 1 × 2 × 3 mm) whose left, anterior and superior corner is bright."""
    array = np.zeros((60, 40, 24), np.float32)
    array[:12, 30:, 18:] = 100
    lps = np.diag([-1.0, -2.0, 3.0, 1.0])
    lps[:3, 3] = (30, 40, -36)
    return volume_from_file_order(array, lps, SourceOrder(kind="nifti"), modality="MR")


def sides_in_the_picture(desk):
    """Letters nearest to the bright corner as it is drawn: vertically, and horizontally."""
    dims = desk.viewer.dims
    bright = np.argwhere(desk.session.volume.array > 50)
    for axis in range(3):
        dims.set_current_step(dims.ndim - 3 + axis, int(np.median(bright[:, axis])))
    shown = {name: overlay.visible for name, overlay in desk.viewer.canvas.overlays.items()}
    for overlay in desk.viewer.canvas.overlays.values():
        overlay.visible = False
    desk.viewer.reset_view()
    picture = desk.viewer.screenshot(canvas_only=True, flash=False)[..., :3].mean(axis=-1)
    for name, overlay in desk.viewer.canvas.overlays.items():
        overlay.visible = shown[name]
    rows, columns = np.nonzero(picture > 60)
    assert rows.size > 50
    top, bottom, left, right = desk.workspace.letters.letters
    return (
        bottom if rows.mean() > picture.shape[0] / 2 else top,
        right if columns.mean() > picture.shape[1] / 2 else left,
    )


# -- orientation ----------------------------------------------------------------------------------


def test_letters_are_those_of_what_is_drawn_whatever_the_camera_and_the_axes_do(desk):
    desk.session.set_volume(head())
    turns = list(product(("up", "down"), ("left", "right")))
    for number, order in enumerate(permutations(range(3))):
        turned = turns[number % len(turns)]
        desk.viewer.dims.order = order
        desk.viewer.scene.camera.orientation2d = turned
        letters = desk.workspace.letters.letters
        assert "" not in letters
        for side in sides_in_the_picture(desk):
            assert side in "LAS", (order, turned, letters)


def test_the_popup_of_the_2d_3d_button_mirrors_letters_and_picture(desk):
    desk.session.set_volume(head())
    assert desk.workspace.letters.letters == ("A", "P", "R", "L")
    assert desk.corner == ""
    button = desk.viewer_button("ndisplay_button")
    desk.right_click(button)
    popup = QApplication.activePopupWidget() or button.parent()
    combos = popup.findChildren(QComboBox)
    across = next(c for c in combos if "left" in [c.itemText(i).lower() for i in range(c.count())])
    desk.qtbot.keyClick(across, Qt.Key.Key_Up)
    desk.qtbot.keyClick(across, Qt.Key.Key_L)
    assert str(desk.viewer.scene.camera.orientation[2]) == "left"
    popup.close()
    assert desk.workspace.letters.letters == ("A", "P", "L", "R")
    assert desk.corner == "unusual orientation: A is up, L is on the left"
    assert set(sides_in_the_picture(desk)) == {"A", "L"}
    # The way back is the plane's own button; another study opens as it should, too.
    desk.click(desk.study.view.plane_buttons["axial"])
    assert desk.workspace.letters.letters == ("A", "P", "R", "L")
    desk.viewer.scene.camera.orientation2d = ("up", "left")
    desk.session.set_volume(head())
    assert tuple(map(str, desk.viewer.scene.camera.orientation)) == RADIOLOGICAL
    assert desk.corner == ""


def test_a_preference_for_another_orientation_is_followed_and_not_taken_for_a_study(desk):
    settings = get_settings().application
    before = settings.horizontal_axis_orientation
    try:
        settings.horizontal_axis_orientation = "left"
        desk.session.set_volume(head())
        assert desk.workspace.letters.letters == ("A", "P", "R", "L")
        assert set(sides_in_the_picture(desk)) == {"A", "L"}
        settings.horizontal_axis_orientation = "right"
        settings.horizontal_axis_orientation = "left"
        assert desk.workspace.letters.letters == ("A", "P", "L", "R")
        assert desk.corner == "unusual orientation: A is up, L is on the left"
    finally:
        settings.horizontal_axis_orientation = before


def test_keys_that_roll_and_transpose_the_axes_and_an_axis_more(desk):
    desk.session.set_volume(head())
    desk.press(Qt.Key.Key_T, CONTROL)
    assert desk.workspace.letters.letters == ("R", "L", "A", "P")
    assert desk.corner == "unusual orientation: R is up, A is on the left"
    assert set(sides_in_the_picture(desk)) == {"A", "L"}
    desk.press(Qt.Key.Key_T, CONTROL)
    desk.press(Qt.Key.Key_E, CONTROL)
    assert desk.workspace.letters.letters == ("S", "I", "A", "P")
    assert desk.corner == ""
    # A layer of a person's own with one more axis, before those of the patient.
    desk.viewer.add_points(np.zeros((1, 4)), scale=[1, 3, 2, 1])
    assert desk.viewer.dims.ndim == 4
    desk.viewer.dims.order = (0, 1, 2, 3)
    assert desk.workspace.letters.letters == ("A", "P", "R", "L")
    assert set(sides_in_the_picture(desk)) == {"A", "L"}
    desk.viewer.dims.order = (1, 2, 0, 3)
    assert desk.workspace.letters.letters == ("", "", "R", "L")
    assert "not a plane of the patient" in desk.corner


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])
def test_napari_own_3d_button_shows_no_mirror_image(desk, plane):
    """The axes of a coronal view are an odd order of those of the body."""
    desk.session.set_volume(head())
    desk.click(desk.study.view.plane_buttons[plane])
    order = tuple(desk.viewer.dims.order)
    desk.click(desk.viewer_button("ndisplay_button"))
    assert desk.viewer.dims.ndisplay == 3
    shown = np.eye(3)[list(desk.viewer.dims.order)]
    assert np.linalg.det(shown) == 1
    assert desk.corner == ""
    desk.press(Qt.Key.Key_T, CONTROL)
    assert desk.corner == "mirrored in 3D: left and right are swapped"
    desk.press(Qt.Key.Key_T, CONTROL)
    assert desk.corner == ""
    desk.click(desk.viewer_button("ndisplay_button"))
    assert tuple(desk.viewer.dims.order) == order


def test_a_stack_that_is_no_patient_has_no_letters(desk):
    desk.viewer.add_image(np.zeros((4, 5, 6)))
    assert desk.workspace.letters.letters == ("", "", "", "")


# -- transforms -----------------------------------------------------------------------------------


def place(layer):
    return [np.array(getattr(layer, name)) for name in PLACE]


@pytest.mark.parametrize("which", ["map", "study"])
def test_transform_mode_moves_neither_the_map_nor_the_study(explained, which):
    layer = explained.scene.map.layer if which == "map" else explained.scene.image
    before = place(layer)
    explained.choose_layers(layer)
    explained.press(Qt.Key.Key_2)
    explained.drag((0.5, 0.5), (0.8, 0.7))
    controls = explained.layer_controls(layer)
    explained.click(controls.transform_button)
    explained.drag((0.5, 0.5), (0.8, 0.7))
    assert layer.mode == "pan_zoom"
    assert not controls.transform_button.isEnabled()
    for now, then in zip(place(layer), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_key_that_rotates_all_layers_is_put_back_and_said(explained):
    layers = (explained.scene.map.layer, explained.scene.image)
    before = [place(layer) for layer in layers]
    explained.press(Qt.Key.Key_T, CONTROL | Qt.KeyboardModifier.AltModifier)
    explained.qtbot.waitUntil(lambda: bool(explained.said))
    for layer, then in zip(layers, before, strict=True):
        for now, was in zip(place(layer), then, strict=True):
            np.testing.assert_array_equal(now, was)
    assert any("was put back" in sentence for _, sentence in explained.said)


# -- layer controls -------------------------------------------------------------------------------


def colours_of(layer):
    names = ("contrast_limits", "gamma", "blending", "interpolation2d", "auto_contrast")
    return {name: getattr(layer, name) for name in names} | {"colormap": layer.colormap.name}


def test_layer_controls_cannot_take_the_map_off_the_common_scale(explained):
    layer = explained.scene.map.layer
    before = colours_of(layer)
    assert before["contrast_limits"] == [-1, 1]
    buttons = explained.control(layer, "auto-contrast:").findChildren(QPushButton)
    once, continuous = sorted(buttons, key=lambda button: button.isCheckable())
    for number, act in enumerate(
        (
            lambda: explained.click(once),
            lambda: explained.click(continuous),
            lambda: drag_limit(explained, layer),
            lambda: explained.drag_slider(explained.control(layer, "gamma:"), 0.2),
            lambda: type_first(explained, explained.control(layer, "blending:")),
            lambda: type_first(explained, explained.control(layer, "colormap:")),
            lambda: type_first(explained, explained.control(layer, "interpolation:")),
        )
    ):
        explained.said.clear()
        act()
        # Not even for one event.
        assert colours_of(layer) == before, number
        explained.qtbot.waitUntil(lambda: bool(explained.said))
        assert colours_of(layer) == before, number
        assert "colours of the evidence map were put back" in explained.said[-1][1]
    # The controls show what holds, not what was tried.
    assert explained.control(layer, "gamma:").value() == 1
    assert limits_slider(explained, layer).value() == (-1, 1)
    assert not continuous.isChecked()
    assert explained.control(layer, "blending:").currentText() == "translucent_no_depth"


def limits_slider(desk, layer):
    """napari's slider with two handles for the contrast limits of a layer."""
    control = desk.control(layer, "contrast limits:")
    return next(iter(control.findChildren(QSlider)), control)


def drag_limit(desk, layer):
    """Take the upper contrast limit of a layer from the right end to the middle, by its handle."""
    slider = limits_slider(desk, layer)
    start = QPoint(slider.width() - 4, slider.height() // 2)
    desk.drag_on(slider, start, slider.rect().center())


def type_first(desk, combo):
    """Choose another entry of a combo box by the keyboard."""
    combo = combo if isinstance(combo, QComboBox) else combo.findChild(QComboBox)
    desk.qtbot.keyClick(combo, Qt.Key.Key_Home)


def test_another_class_and_scale_are_no_change_that_is_put_back(explained):
    explained.said.clear()
    explained.session.select_class(1)
    explained.session.choose_scale(ScaleChoice(basis="extremes"))
    explained.click(explained.study.view.plane_buttons["3D"])
    explained.session.select_class(0)
    explained.click(explained.importance.buttons["Invert"])
    explained.qtbot.wait(50)
    assert explained.said == []
    assert explained.scene.map.on_scale


def test_the_key_for_contrast_meets_the_study_not_the_map(explained):
    assert explained.viewer.layers.selection.active is explained.scene.image
    explained.scene.image.contrast_limits = (2, 3)
    explained.press(Qt.Key.Key_C)
    # The values of the slice on show.
    assert tuple(explained.scene.image.contrast_limits) == (2, 8)
    assert tuple(explained.scene.map.layer.contrast_limits) == (-1, 1)
    # A person's own layer stays the active one, too.
    points = explained.viewer.add_points(np.zeros((1, 3)))
    explained.session.set_volume(head())
    explained.viewer.layers.selection.active = points
    explained.settle(lambda: explained.scene.map.layer is not None)
    assert explained.viewer.layers.selection.active is points


def test_linked_layers_do_not_drag_the_map_along(explained):
    image, overlay = explained.scene.image, explained.scene.map.layer
    explained.choose_from_menu(image, "Link Layers", also=overlay)
    assert explained.viewer.layers.selection == {image, overlay}
    explained.drag_slider(explained.control(image, "gamma:"), 0.2)
    assert overlay.gamma == 1
    assert 0.2 < image.gamma < 0.9
    assert tuple(overlay.contrast_limits) == (-1, 1)


# -- opacity --------------------------------------------------------------------------------------


def test_opacity_is_one_value_in_both_places(explained):
    overlay, panel = explained.scene.map.layer, explained.explain
    control = explained.control(overlay, "opacity:")
    explained.drag_slider(control, 0.4)
    opacity = overlay.opacity
    assert opacity == pytest.approx(0.4, abs=0.1)
    percent = panel.opacity.value()
    assert percent == pytest.approx(100 * opacity, abs=0.5)
    assert panel.opacity_text.text() == f"{percent} %"
    assert panel.legend.opacity == pytest.approx(opacity)
    assert explained.scene.opacity == pytest.approx(opacity)
    slider = panel.opacity
    assert isinstance(slider, QSlider)
    explained.qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert overlay.opacity == pytest.approx(slider.value() / 100)
    assert control.value() == pytest.approx(overlay.opacity)
    explained.click(explained.study.view.plane_buttons["3D"])
    explained.drag_slider(explained.control(explained.scene.map.layer_3d, "opacity:"), 0.2)
    opacity = explained.scene.map.layer_3d.opacity
    assert opacity == pytest.approx(0.2, abs=0.1)
    assert panel.opacity.value() == pytest.approx(100 * opacity, abs=0.5)
    explained.click(explained.study.view.plane_buttons["axial"])
    assert overlay.opacity == pytest.approx(opacity)


# -- features -------------------------------------------------------------------------------------


def test_features_taken_away_are_named_in_the_picture_and_come_back_with_another_study(
    explained, tmp_path
):
    assert explained.scene.map.layer.name == "evidence map"
    explained.click_check_box(1)
    assert explained.scene.map.layer.name == "evidence map, 1 of 2 features"
    assert explained.corner == "1 of 2 features"
    explained.session.open_path(write_image(tmp_path / "next.nii", VALUES[::-1]))
    explained.settle(lambda: explained.scene.map.layer is not None)
    assert explained.session.mask.keep.tolist() == [True, True]
    assert explained.corner == ""
    explained.click_check_box(1)
    pin = explained.importance.pin
    explained.click(pin, QPoint(8, pin.height() // 2))
    assert pin.isChecked()
    explained.session.open_path(write_image(tmp_path / "third.nii", VALUES))
    explained.settle(lambda: explained.scene.map.layer is not None)
    assert explained.session.mask.keep.tolist() == [True, False]
    assert explained.corner == "1 of 2 features"
    assert explained.scene.map.layer.name == "evidence map, 1 of 2 features"
    # A map that is hidden is of no features.
    explained.click_eye(explained.scene.map.layer)
    assert not explained.scene.map.layer.visible
    assert explained.corner == ""


# -- layers that go and come -----------------------------------------------------------------------


def delete(desk, layers):
    desk.choose_layers(*layers)
    desk.click(desk.viewer_button("delete_button"))


def test_a_deleted_map_comes_back_by_a_button_and_with_the_next_toggle(explained):
    button = explained.explain.show_map
    assert not button.isVisible()
    for bring_back in (
        lambda: explained.click(button),
        lambda: explained.click_check_box(0),
        lambda: explained.session.select_class(1),
    ):
        delete(explained, [explained.scene.map.layer])
        assert explained.scene.map.layer is None
        assert button.isVisible()
        bring_back()
        assert explained.scene.map.layer in explained.viewer.layers
        assert not button.isVisible()
        overlay, explanation = explained.scene.map.layer, explained.session.explanation
        np.testing.assert_allclose(np.asarray(overlay.data), explanation.s_cam.array, atol=1e-6)
    explained.rename(explained.scene.map.layer, "something else")
    assert explained.scene.map.layer.name == "something else"
    explained.click_check_box(0)
    assert explained.scene.map.layer.name == "evidence map"


def test_a_deleted_map_in_3d_comes_back_too(explained):
    explained.click(explained.study.view.plane_buttons["3D"])
    delete(explained, [explained.scene.map.layer_3d])
    assert explained.explain.show_map.isVisible()
    explained.click_check_box(0)
    assert explained.scene.map.layer_3d.visible
    assert not explained.scene.map.layer.visible


def test_study_and_map_can_be_deleted_together(explained):
    delete(explained, explained.viewer.layers)
    explained.qtbot.waitUntil(lambda: explained.session.volume is None)
    assert len(explained.viewer.layers) == 0
    assert explained.session.explanation is None


def test_a_map_below_the_study_is_put_back(explained):
    layers = explained.viewer.layers
    explained.drag_in_layer_list(explained.scene.map.layer, below=explained.scene.image)
    explained.qtbot.waitUntil(
        lambda: layers.index(explained.scene.map.layer) > layers.index(explained.scene.image)
    )
    assert "put back above the study" in explained.said[-1][1]


@pytest.mark.parametrize(
    "titles", [["Duplicate Layer"], ["Projections", "max projection"], ["Convert to Labels"]]
)
def test_what_napari_makes_of_a_map_is_marked_as_a_copy(explained, titles):
    explained.choose_from_menu(explained.scene.map.layer, *titles)
    [made] = [
        layer
        for layer in explained.viewer.layers
        if layer not in (explained.scene.image, explained.scene.map.layer)
    ]
    assert "(fixed: none, 2 of 2 features)" in made.name
    assert "napari_ifa_explanation" not in made.metadata
    assert explained.corner == "with a copy of a map, which stays as it was"
    explained.session.select_class(1)
    explained.click_eye(made)
    assert explained.corner == ""


def test_a_copy_of_the_study_does_not_become_the_study(explained):
    image = explained.scene.image
    explained.choose_from_menu(image, "Duplicate Layer")
    assert explained.scene.image is image
    assert image.visible
    assert explained.session.explanation is not None
    assert explained.workspace.letters.letters == ("A", "P", "R", "L")


def test_an_image_without_a_place_is_named_in_the_corner(explained):
    layer = explained.viewer.add_image(np.zeros((50, 40)))
    assert explained.corner == "with an image that has no place in the patient"
    explained.viewer.layers.remove(layer)
    assert explained.corner == ""


def test_labels_that_nobody_has_put_in_place_are_named_in_the_corner(desk):
    desk.session.set_volume(head())
    viewer = desk.viewer
    # napari's own button takes the place of what is there.
    desk.click(desk.viewer_button("new_labels"))
    assert desk.corner == ""
    viewer.layers.remove(viewer.layers[-1])
    labels = np.zeros(desk.session.volume.shape, int)
    layer = viewer.add_labels(labels)
    assert desk.corner == "with labels that have no place in the patient"
    layer.visible = False
    assert desk.corner == ""
    study = desk.scene.image
    viewer.add_labels(labels, scale=study.scale, translate=study.translate)
    assert desk.corner == ""


def test_a_map_over_another_study_is_said(explained):
    data, attributes, _ = image_layer_data(head())
    first = explained.viewer.add_image(data, **attributes)
    explained.session.set_volume(read_volume_like(first))
    assert not first.visible
    assert explained.corner == ""
    explained.click_eye(first)
    assert first.visible
    assert "with another study: the map is not of it" in explained.corner


def read_volume_like(layer):
    """Another patient on the same grid."""
    volume = layer.metadata["napari_ifa_volume"]
    return replace(volume, array=volume.array + 1)


def test_axes_cannot_be_called_what_they_are_not(explained):
    [label] = [
        label
        for label in explained.viewer.window._qt_window.findChildren(QLineEdit, "axis_label")
        if label.isVisible()
    ]
    explained.qtbot.keyClicks(label, "R")
    explained.qtbot.waitUntil(lambda: label.text() == "I")
    assert explained.viewer.dims.axis_labels == ("I", "P", "L")


def test_a_thick_slab_of_the_study_is_said(explained):
    explained.scene.image.projection_mode = "max"
    assert explained.corner == ""
    explained.viewer.dims.margin_left = (1.0, 0, 0)
    assert explained.corner == "study: max of a slab, 1 mm; map: its middle slice"
    assert str(explained.scene.map.layer.projection_mode) == "none"


# -- the corner itself ----------------------------------------------------------------------------


OUTSIDE = CohortFit(
    outside=True,
    score=3.25,
    differs=("modality", "size", "intensities", "early features", "features"),
    references=146,
)


def where(picture, colour):
    """Rows and columns of the canvas that have a colour, nearly."""
    distance = np.abs(picture[..., :3].astype(int) - np.array(colour)).max(axis=-1)
    return np.nonzero(distance < 40)


def test_the_corner_ends_before_the_letter_above_the_picture(explained, monkeypatch):
    monkeypatch.setattr("napari_ifa.analysis.Explanation.fit", OUTSIDE)
    explained.session.set_analysis(explained.session.analysis)
    explained.settle(lambda: explained.session.explanation is not None)
    viewer, window = explained.viewer, explained.viewer.window._qt_window
    explained.scene.image.visible = explained.scene.map.layer.visible = True
    canvas = viewer.canvas
    try:
        for width, in_grid in ((1600, False), (1280, False), (1600, True), (1600, False)):
            window.resize(width, 1000)
            canvas.grid.enabled = in_grid
            explained.qtbot.wait(100)
            picture = viewer.screenshot(canvas_only=True, flash=False)
            shown = picture[:, : picture.shape[1] // 2] if in_grid else picture
            rows, columns = where(shown, (255, 219, 51))
            middle = np.abs(columns - shown.shape[1] / 2) < 20
            letter = middle & (rows < shown.shape[0] / 4)
            assert letter.any()
            red_rows, red_columns = where(shown, (255, 107, 89))
            beside = red_rows <= rows[letter].max()
            assert beside.any()
            assert red_columns[beside].max() < columns[letter].min() - 2, (width, in_grid)
    finally:
        canvas.grid.enabled = False
        window.resize(1600, 1000)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("study", "the study was moved or changed after reading"),
        ("map", "the map was moved: it is not over what it is of"),
    ],
)
def test_what_a_script_keeps_moving_is_said_in_the_picture(explained, which, said):
    layer = explained.scene.image if which == "study" else explained.scene.map.layer
    place = tuple(layer.translate)

    def stubborn(event):
        if tuple(layer.translate) != (0, 5, 5):
            layer.translate = (0, 5, 5)

    layer.events.translate.connect(stubborn)
    layer.translate = (0, 5, 5)
    explained.qtbot.waitUntil(lambda: explained.corner == said)
    # Its colours are as they were.
    assert not explained.explain.off_scale.isVisible()
    explained.session.select_class(1)
    explained.qtbot.wait(50)
    assert explained.corner == said
    layer.events.translate.disconnect(stubborn)
    if which == "map":
        explained.session.select_class(0)
        assert tuple(layer.translate) == place
        assert explained.corner == ""


def test_a_missing_slice_is_said_whatever_else_is_open(desk):
    volume = head()
    report = replace(volume.report, missing=(3, 17))
    volume = replace(volume, report=report)
    begins = np.array(volume.translate)
    # One more axis, and a layer that begins 5 slices above the study.
    desk.viewer.add_points(np.r_[2, begins - 5 * np.array(volume.spacing)][None], size=1)
    desk.session.set_volume(volume)
    axis = volume.source.axes.index(2)
    assert desk.viewer.dims.ndim == 4
    middle = begins + (np.array(volume.shape) - 1) // 2 * volume.spacing
    assert np.allclose(desk.viewer.dims.point[1:], middle)
    desk.click(desk.study.view.plane_buttons[{0: "axial", 1: "coronal", 2: "sagittal"}[axis]])
    missing = []
    for number in range(volume.shape[axis]):
        desk.viewer.dims.set_point(1 + axis, begins[axis] + number * volume.spacing[axis])
        if "this slice is missing" in desk.corner:
            missing.append(number)
    assert missing == [3, 17]
    # A thick slab is named, too.
    desk.scene.image.projection_mode = "max"
    margins = [0.0] * 4
    margins[1 + axis] = 2.0
    desk.viewer.dims.margin_left = margins
    assert "max of a slab, 2 mm" in desk.corner
