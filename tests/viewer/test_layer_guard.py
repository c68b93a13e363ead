"""What is guarded of a layer stays as it was set, whoever sets it; the rest is anybody's."""

from __future__ import annotations

from threading import Thread

import numpy as np
import pytest
from napari.experimental import link_layers
from napari.layers import Image

from napari_ifa.viewer.scene.layer_guard import COLOURS, DATA, PLACE, LayerGuard


@pytest.fixture
def layer():
    return Image(np.zeros((2, 3, 4), np.float32), contrast_limits=(-1, 1), units=["mm"] * 3)


class Told:
    def __init__(self):
        self.put_back, self.lost = [], []
        self.guard = LayerGuard(
            lambda layer, names: self.put_back.append(set(names)),
            lambda layer, names: self.lost.append(set(names)),
        )


@pytest.fixture
def told(layer):
    told = Told()
    layer.editable = False
    told.guard.watch(layer, (*PLACE, *COLOURS, *DATA))
    return told


def state(layer):
    return {name: getattr(layer, name) for name in (*PLACE, *COLOURS, *DATA)} | {
        "affine": layer.affine.affine_matrix.tolist()
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("affine", np.diag([1, 2, 3, 1.0])),
        ("scale", (2, 2, 2)),
        ("translate", (0, 35, 0)),
        ("rotate", (10, 20, 30)),
        ("shear", (0.1, 0, 0)),
        ("units", ("pixel",) * 3),
        ("axis_labels", ("a", "b", "c")),
        ("editable", True),
        ("contrast_limits", (-0.2, 0.3)),
        ("contrast_limits", (-7, 9)),
        ("contrast_limits_range", (0.2, 0.3)),
        ("contrast_limits_range", (5, 9)),
        ("auto_contrast", True),
        ("gamma", 0.4),
        ("colormap", "viridis"),
        ("blending", "additive"),
        ("interpolation2d", "cubic"),
        ("interpolation3d", "cubic"),
        ("projection_mode", "max"),
        ("rendering", "iso"),
        ("attenuation", 0.3),
        ("iso_threshold", 0.3),
        ("depiction", "plane"),
        ("data", np.ones((2, 3, 4), np.float32)),
    ],
)
def test_a_property_is_put_back_at_once_and_told_once(qtbot, layer, told, name, value):
    before, data = state(layer), layer.data
    setattr(layer, name, value)
    assert layer.data is data
    after = state(layer)
    for key, was in before.items():
        assert np.array_equal(np.asarray(after[key]), np.asarray(was)), key
    assert told.put_back == []
    qtbot.waitUntil(lambda: bool(told.put_back))
    assert name in told.put_back[0]
    # The same once more within a moment is not said again, and nothing goes round in a circle.
    setattr(layer, name, value)
    qtbot.wait(50)
    assert len(told.put_back) == 1
    assert told.guard.holds(layer, (*PLACE, *COLOURS, *DATA))


def test_auto_contrast_by_a_button_or_a_key_is_put_back(qtbot, layer, told):
    layer.reset_contrast_limits()
    assert layer.contrast_limits == [-1, 1]
    layer.reset_contrast_limits_range()
    assert layer.contrast_limits_range == [-1, 1]


def test_what_the_program_sets_is_kept_from_then_on(qtbot, layer, told):
    with told.guard.changing(layer):
        layer.gamma = 0.5
        with told.guard.changing(layer):
            layer.contrast_limits = (-2, 2)
        layer.colormap = "viridis"
    layer.gamma = 1
    assert (layer.gamma, layer.contrast_limits, layer.colormap.name) == (0.5, [-2, 2], "viridis")
    qtbot.waitUntil(lambda: told.put_back == [{"gamma"}])


def test_what_is_not_guarded_is_a_persons(qtbot, layer, told):
    layer.opacity, layer.visible, layer.name = 0.3, False, "mine"
    told.guard.release(layer)
    layer.gamma = 0.5
    qtbot.wait(20)
    assert (layer.opacity, layer.visible, layer.name, layer.gamma) == (0.3, False, "mine", 0.5)
    assert told.put_back == []


def test_a_linked_layer_keeps_what_a_person_set_on_it(qtbot, layer, told):
    other = Image(np.zeros((2, 3, 4)), contrast_limits=(0, 100))
    link_layers([layer, other], ("gamma", "contrast_limits"))
    other.contrast_limits = (20, 30)
    assert layer.contrast_limits == [-1, 1]
    assert other.contrast_limits == [20, 30]


def test_a_hand_that_never_gives_in_is_told_and_does_not_hang_the_window(qtbot, layer, told):
    def stubborn(event):
        if layer.gamma != 0.5:
            layer.gamma = 0.5

    layer.events.gamma.connect(stubborn)
    layer.gamma = 0.7
    qtbot.waitUntil(lambda: told.lost == [{"gamma"}])
    assert not told.guard.holds(layer, ["gamma"])
    assert told.guard.holds(layer, PLACE)
    qtbot.wait(20)
    assert told.lost == [{"gamma"}]
    # Everything else is guarded all the same.
    layer.contrast_limits = (0, 3)
    assert layer.contrast_limits == [-1, 1]


def test_what_another_hand_holds_is_never_taken_for_what_the_program_wants(qtbot, layer, told):
    def stubborn(event):
        if tuple(layer.translate) != (0, 5, 5):
            layer.translate = (0, 5, 5)

    layer.events.translate.connect(stubborn)
    layer.translate = (0, 5, 5)
    qtbot.waitUntil(lambda: told.lost == [{"translate"}])
    # The program sets something else, as with another class: that does not make the place right.
    with told.guard.changing(layer):
        layer.contrast_limits = (-2, 2)
    assert not told.guard.holds(layer, ["translate"])
    assert layer.contrast_limits == [-2, 2]
    # As soon as the other hand lets go, the next change brings the place back.
    layer.events.translate.disconnect(stubborn)
    with told.guard.changing(layer):
        layer.contrast_limits = (-3, 3)
    assert tuple(layer.translate) == (0, 0, 0)
    assert told.guard.holds(layer, (*PLACE, *COLOURS, *DATA))


def test_what_is_set_without_an_event_is_put_back_before_the_program_goes_on(layer, told):
    with layer.events.blocker_all():
        layer.gamma = 0.4
    with told.guard.changing(layer):
        layer.contrast_limits = (-2, 2)
    assert (layer.gamma, layer.contrast_limits) == (1, [-2, 2])


def test_what_a_thread_sets_is_put_back_and_told_and_so_is_what_comes_after(qtbot, layer, told):
    thread = Thread(target=setattr, args=(layer, "gamma", 0.4))
    thread.start()
    thread.join()
    assert layer.gamma == 1
    qtbot.waitUntil(lambda: told.put_back == [{"gamma"}])
    layer.contrast_limits = (0, 1)
    qtbot.waitUntil(lambda: told.put_back == [{"gamma"}, {"contrast_limits"}])
