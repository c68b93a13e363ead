"""Window and level by dragging with the right button, as on a workstation."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Image

_RIGHT_BUTTON = 2
#: Pixels of a drag that double the width, or move the level by half a width.
_PIXELS = 200.0


def window_level_drag(
    image: Callable[[], Image | None],
) -> Callable[[Any, Any], Generator[None, None, None]]:
    """A mouse callback for a viewer: right means a wider window, up a higher level.

    Parameters
    ----------
    image : gives the layer whose contrast limits change, None where there is none.
    """

    def drag(viewer: Any, event: Any) -> Generator[None, None, None]:
        layer = image()
        is_grey = layer is not None and not layer.rgb
        if layer is None or not is_grey or event.button != _RIGHT_BUTTON:
            return
        if viewer.dims.ndisplay == 3 or event.modifiers:
            return
        low, high = layer.contrast_limits
        start = np.array(event.pos, dtype=float)
        # Otherwise the camera zooms with the same drag.
        event.handled = True
        yield
        while event.type == "mouse_move":
            right, down = np.array(event.pos, dtype=float) - start
            width = (high - low) * 2 ** (right / _PIXELS)
            level = (low + high) / 2 - down / _PIXELS * (high - low) / 2
            limits = (level - width / 2, level + width / 2)
            full = layer.contrast_limits_range
            layer.contrast_limits_range = (min(full[0], limits[0]), max(full[1], limits[1]))
            layer.contrast_limits = limits
            event.handled = True
            yield

    return drag
