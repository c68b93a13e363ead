"""Studies and overlays as layers of the real viewer: place, orientation, 2D and 3D, teardown."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from napari_ifa.analysis import FeatureMask, analyze, explain
from napari_ifa.analysis.scale import ScaleChoice
from napari_ifa.cohorts import read_cohort
from napari_ifa.reading import read_volume
from napari_ifa.viewer.docks import dock_all
from napari_ifa.viewer.scene.overlay import ActivationOverlay
from napari_ifa.viewer.scene.study_layer import AXIS_LABELS, image_layer_data
from napari_ifa.viewer.workspace import workspace_of
from napari_ifa.volumes import SourceOrder, Volume, volume_from_file_order
from tests.tiny import tiny_classifier, write_cohort, write_image

pytestmark = pytest.mark.gui

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture
def analysis(tmp_path):
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    return analyze(tiny_classifier(), read_cohort(cohort))


@pytest.fixture
def volume(tmp_path):
    return read_volume(write_image(tmp_path / "case.nii", VALUES))


@pytest.fixture
def explained(desk, volume, analysis):
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_analysis(analysis)
    desk.session.set_volume(volume)
    desk.settle(lambda: desk.scene.map.layer is not None)
    return desk


def head_with_marker(marker):
    """A sagittal scan ``[x, y, z]`` (RAS, 1 × 2 × 3 mm) with one bright corner block.

    ``marker`` says where: one of "LR", one of "AP", one of "SI".
    """
    array = np.zeros((60, 40, 24), np.float32)
    # RAS: x grows to the right, y to anterior, z to superior.
    x = slice(0, 12) if "L" in marker else slice(48, 60)
    y = slice(30, 40) if "A" in marker else slice(0, 10)
    z = slice(18, 24) if "S" in marker else slice(0, 6)
    array[x, y, z] = 100
    lps = np.diag([-1.0, -2.0, 3.0, 1.0])
    lps[:3, 3] = (30, 40, -36)
    return volume_from_file_order(
        array, lps, SourceOrder(kind="nifti"), modality="MR", description="marker"
    )


def test_study_is_placed_in_millimetres(explained, volume):
    image, overlay = explained.scene.image, explained.scene.map.layer
    assert image.data is volume.array
    for layer in (image, overlay):
        np.testing.assert_allclose(layer.scale, volume.spacing)
        np.testing.assert_allclose(layer.translate, volume.translate)
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
        assert layer.axis_labels == AXIS_LABELS
    np.testing.assert_allclose(image.metadata["affine_lps_mm"], volume.affine)
    assert list(explained.viewer.layers) == [image, overlay]


def test_overlay_is_lazy_signed_and_transparent_at_neutral(explained):
    overlay, explanation = explained.scene.map.layer, explained.session.explanation
    assert isinstance(overlay.data, ActivationOverlay)
    np.testing.assert_allclose(np.asarray(overlay.data), explanation.s_cam.array, atol=1e-6)
    assert tuple(overlay.contrast_limits) == (-1, 1)
    assert overlay.blending == "translucent_no_depth"
    neutral = explanation.scale.neutral
    assert overlay.colormap.map(np.array([(neutral + 1) / 2]))[0, 3] == 0


def test_without_an_analysis_the_raw_activation_is_shown_about_zero(desk, volume):
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_volume(volume)
    desk.settle(lambda: desk.scene.map.layer is not None)
    overlay = desk.scene.map.layer
    assert overlay.name == "evidence map, no common scale"
    low, high = overlay.contrast_limits
    assert low == -high
    # a = (x/2 + 2x) / 8, of "none" against "lesion", largest at 8.
    assert high == pytest.approx(2.5)
    assert desk.explain.no_scale.isVisible()
    assert "cannot be compared" in desk.explain.no_scale.text()


def test_a_mask_changes_the_overlay_in_place(explained):
    overlay = explained.scene.map.layer
    explained.session.set_mask(FeatureMask.none(2))
    assert explained.scene.map.layer is overlay
    neutral = explained.session.explanation.scale.neutral
    np.testing.assert_allclose(np.asarray(overlay.data), neutral, atol=1e-6)


def test_another_scale_changes_the_overlay_in_place(explained):
    overlay = explained.scene.map.layer
    before = explained.session.explanation.scale.neutral
    explained.session.choose_scale(ScaleChoice(basis="extremes"))
    explanation = explained.session.explanation
    assert explained.scene.map.layer is overlay
    assert before == 0
    assert (explanation.scale.form, explanation.scale.basis) == ("paper", "extremes")
    assert explanation.scale.neutral != 0
    np.testing.assert_allclose(np.asarray(overlay.data), explanation.s_cam.array, atol=1e-6)
    assert overlay.colormap.map(np.array([(explanation.scale.neutral + 1) / 2]))[0, 3] == 0
    assert overlay.metadata["neutral"] == explanation.scale.neutral


def test_another_study_takes_the_place_of_the_first(explained):
    explained.session.set_volume(head_with_marker("LAS"))
    explained.settle()
    assert len([layer for layer in explained.viewer.layers if layer.name.startswith("MR")]) == 1
    assert len(explained.viewer.layers) <= 2


def test_removing_the_study_closes_it(explained):
    explained.viewer.layers.remove(explained.scene.image)
    assert explained.session.volume is None
    assert explained.session.explanation is None
    assert len(explained.viewer.layers) == 0


def test_a_study_dropped_on_the_viewer_is_the_study(explained, volume):
    data, attributes, _ = image_layer_data(head_with_marker("LAS"))
    layer = explained.viewer.add_image(data, **attributes)
    assert explained.scene.image is layer
    assert explained.session.volume is attributes["metadata"]["napari_ifa_volume"]
    # It is the person's layer: another study hides it, and does not take it away.
    explained.session.set_volume(head_with_marker("RPI"))
    assert layer in explained.viewer.layers
    assert not layer.visible


# Plane, and where the two markers of the patient must stand in the picture.
MARKERS = [
    ("axial", {"LAS": "up right", "RPI": "down left"}),
    ("coronal", {"LAS": "up right", "RPI": "down left"}),
    ("sagittal", {"LAS": "up left", "RPI": "down right"}),
    ("3D", {"LAS": "up right", "RAI": "down left"}),
]


@pytest.mark.parametrize(("plane", "markers"), MARKERS)
def test_a_radiologist_finds_the_patients_sides(desk, plane, markers):
    """The patient's left on the viewer's right, anterior and superior up; sagittal faces left."""
    for marker, expected in markers.items():
        volume = head_with_marker(marker)
        desk.session.set_volume(volume)
        desk.scene.show_plane(plane)
        if plane != "3D":
            axis = desk.viewer.dims.order[0]
            bright = np.argwhere(volume.array > 50)[:, axis]
            desk.viewer.dims.set_current_step(axis, int(np.median(bright)))
        for overlay in desk.viewer.canvas.overlays.values():
            overlay.visible = False
        picture = desk.viewer.screenshot(canvas_only=True, flash=False)[..., :3].mean(axis=-1)
        rows, columns = np.nonzero(picture > 60)
        assert rows.size > 100
        down = "down" if rows.mean() > picture.shape[0] / 2 else "up"
        right = "right" if columns.mean() > picture.shape[1] / 2 else "left"
        assert f"{down} {right}" == expected


def test_letters_follow_the_plane(desk):
    desk.session.set_volume(head_with_marker("LAS"))
    letters = desk.workspace.letters
    for plane, expected in (
        ("axial", ("A", "P", "R", "L")),
        ("coronal", ("S", "I", "R", "L")),
        ("sagittal", ("S", "I", "A", "P")),
        ("3D", ("", "", "", "")),
    ):
        desk.click(desk.study.view.plane_buttons[plane])
        assert letters.letters == expected
        assert desk.study.view.plane_buttons[plane].isChecked()


def test_letters_can_be_read_on_a_white_canvas_too(desk):
    """In napari's light theme the canvas is white, and yellow on white says no sides."""
    desk.session.set_volume(head_with_marker("LAS"))
    desk.viewer.theme = "light"
    for place in ("top_center", "bottom_center", "middle_left", "middle_right"):
        text = desk.viewer.canvas.overlays[f"napari_ifa_{place}"]
        red, green, blue, alpha = text.box_color
        assert text.box
        # White seen through the ground of the letter.
        assert max(red, green, blue) * alpha + 1 - alpha < 0.3


def test_a_study_opens_in_the_plane_it_was_acquired_in(desk):
    array = np.zeros((4, 5, 6), np.float32)
    # The file's third axis, its slices, runs to the patient's left: a sagittal scan.
    lps = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]], dtype=float)
    desk.session.set_volume(volume_from_file_order(array, lps, SourceOrder(kind="dicom")))
    assert tuple(desk.viewer.dims.order) == (2, 0, 1)
    assert desk.study.view.plane_buttons["sagittal"].isChecked()


def test_in_3d_a_small_layer_stands_for_the_overlay(explained, volume):
    overlay = explained.scene.map.layer
    explained.click(explained.study.view.plane_buttons["3D"])
    small = explained.scene.map.layer_3d
    assert not overlay.visible
    assert small.visible
    np.testing.assert_allclose(
        small.data, explained.session.explanation.class_activation.array, atol=1e-6
    )
    np.testing.assert_allclose(small.translate, volume.translate)
    low, high = small.contrast_limits
    assert small.colormap.map(np.array([-low / (high - low)]))[0, 3] == pytest.approx(0, abs=0.02)
    explained.session.set_mask(FeatureMask.none(2))
    np.testing.assert_array_equal(small.data, 0)
    explained.click(explained.study.view.plane_buttons["axial"])
    assert explained.scene.map.layer_3d is None
    assert small not in explained.viewer.layers
    assert overlay.visible


def test_napari_own_button_for_3d_exchanges_the_overlay_too(explained):
    explained.viewer.dims.ndisplay = 3
    assert explained.scene.map.layer_3d is not None
    assert not explained.scene.map.layer.visible
    explained.viewer.dims.ndisplay = 2
    assert explained.scene.map.layer_3d is None
    assert explained.scene.map.layer.visible


def test_a_hidden_overlay_stays_hidden_in_3d(explained):
    explained.scene.map.layer.visible = False
    explained.scene.show_plane("3D")
    assert explained.scene.map.layer_3d is None
    explained.scene.show_plane("axial")
    assert not explained.scene.map.layer.visible


def test_oblique_overlay_lies_on_the_study(desk, tmp_path):
    """On a grid rotated against the features the overlay still equals the headless S-CAM."""
    turn = np.eye(4)
    cos, sin = np.cos(0.3), np.sin(0.3)
    turn[:2, :2] = [[cos, -sin], [sin, cos]]
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    desk.session.set_volume(volume_from_file_order(array, turn, SourceOrder(kind="nifti")))
    desk.session.set_classifier(tiny_classifier())
    desk.settle(lambda: desk.scene.map.layer is not None)
    alone = explain(tiny_classifier(), desk.session.volume, target="others")
    expected = alone.class_activation.array
    np.testing.assert_allclose(np.asarray(desk.scene.map.layer.data), expected, atol=1e-6)
    assert desk.study.view.badge.isVisible()
    assert "oblique 17°" in desk.study.view.badge.text()


def test_a_colour_image_keeps_its_colours(desk):
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]], dtype=float)
    array = np.zeros((1, 8, 6, 3), np.uint8)
    desk.session.set_volume(Volume(array, affine))
    assert desk.scene.image.rgb
    assert desk.scene.image.data.shape == (1, 8, 6, 3)


def test_one_workspace_for_each_viewer(make_napari_viewer):
    first, second = make_napari_viewer(), make_napari_viewer()
    assert workspace_of(first) is workspace_of(first)
    assert workspace_of(first) is not workspace_of(second)


def test_nothing_of_a_viewer_stays_when_it_closes(make_napari_viewer, qtbot, volume):
    viewer = make_napari_viewer()
    workspace = workspace_of(viewer)
    workspace.session.set_volume(volume)
    dock_all(workspace.viewer)
    watched = weakref.ref(workspace), weakref.ref(viewer)
    viewer.close()
    del viewer, workspace
    for _ in range(5):
        qtbot.wait(20)
        gc.collect()
    assert [reference() for reference in watched] == [None, None]
