"""An image's greys: straight, along a curve, and inverted without touching the values."""

from __future__ import annotations

import numpy as np
import pytest

from napari_ifa.viewer.scene.grey import grey_colormap
from napari_ifa.volumes import Window

# Dark for the lower half of the values, then rising to white.
CURVE = (0.0, 0.0, 0.0, 0.5, 1.0)


def brightness(colormap, share):
    [colour] = colormap.map(np.array([share]))
    assert colour[0] == colour[1] == colour[2]
    assert colour[3] == 1
    return float(colour[0])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 0.0), (0.25, 0.0), (0.5, 0.0), (0.75, 0.5), (1.0, 1.0)]
)
def test_curve(share, expected):
    colormap = grey_colormap(Window(50, 100, "VOI", CURVE), inverted=False)
    assert brightness(colormap, share) == pytest.approx(expected, abs=0.01)
    inverted = grey_colormap(Window(50, 100, "VOI", CURVE), inverted=True)
    assert brightness(inverted, share) == pytest.approx(1 - expected, abs=0.01)


def test_without_a_curve_napari_own_greys_are_taken():
    assert grey_colormap(Window(50, 100), inverted=False) == "gray"
    assert grey_colormap(Window(50, 100), inverted=True) == "gray_r"


def test_two_curves_are_two_colormaps():
    first = grey_colormap(Window(50, 100, "", CURVE), inverted=False)
    second = grey_colormap(Window(50, 100, "", CURVE), inverted=True)
    assert first.name != second.name
    assert grey_colormap(Window(0, 1, "", CURVE), inverted=False).name == first.name
