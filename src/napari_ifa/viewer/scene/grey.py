"""The greys of an image: from black to white, or along the curve of its window."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.utils.colormaps import Colormap

    from napari_ifa.volumes import Window


def grey_colormap(window: Window, inverted: bool) -> Colormap | str:
    """Colours between the window's limits, as a napari layer takes them.

    ``inverted`` shows the lowest value white, as a file's MONOCHROME1 wants it; the curve of the
    window speaks of the brightness before that.
    """
    if not window.curve:
        return "gray_r" if inverted else "gray"
    from napari.utils.colormaps import Colormap

    brightness = np.clip(np.asarray(window.curve, dtype=float), 0.0, 1.0)
    if brightness.size == 1:
        brightness = np.repeat(brightness, 2)
    if inverted:
        brightness = 1.0 - brightness
    colours = np.ones((brightness.size, 4))
    colours[:, :3] = brightness[:, None]
    # Each has a name of its own: napari keeps colormaps by name.
    name = f"grey {zlib.crc32(brightness.tobytes()):08x}"
    return Colormap(colours, controls=np.linspace(0, 1, brightness.size), name=name)
