"""Dragging with the right button changes window and level, and nothing else does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from napari.layers import Image

from napari_ifa.viewer.scene.window_level import window_level_drag


@pytest.fixture
def layer():
    return Image(np.zeros((2, 2)), contrast_limits=(0, 100))


def drag(layer, right, down, button=2, ndisplay=2):
    """Press at (10, 10), move, release; returns whether the camera was kept from zooming."""
    viewer = SimpleNamespace(dims=SimpleNamespace(ndisplay=ndisplay))
    event = SimpleNamespace(
        type="mouse_press", button=button, modifiers=[], pos=(10, 10), handled=False
    )
    steps = window_level_drag(lambda: layer)(viewer, event)
    for kind, position in (
        ("mouse_press", (10, 10)),
        ("mouse_move", (10 + right, 10 + down)),
        ("mouse_release", (10 + right, 10 + down)),
    ):
        event.type, event.pos = kind, position
        next(steps, None)
    return event.handled


@pytest.mark.parametrize(
    ("right", "down", "expected"),
    [
        (200, 0, (-50, 150)),  # twice as wide about the same level
        (-200, 0, (25, 75)),
        (0, -200, (50, 150)),  # up: a higher level, so the picture gets darker
        (0, 200, (-50, 50)),
    ],
)
def test_right_drag(layer, right, down, expected):
    assert drag(layer, right, down)
    assert tuple(layer.contrast_limits) == pytest.approx(expected)


@pytest.mark.parametrize("other", [{"button": 1}, {"ndisplay": 3}])
def test_other_drags_stay_napari_own(layer, other):
    assert not drag(layer, 200, 0, **other)
    assert tuple(layer.contrast_limits) == (0, 100)


def test_nothing_open_nothing_happens():
    assert not drag(None, 200, 0)
