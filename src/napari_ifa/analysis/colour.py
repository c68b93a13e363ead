"""The diverging colours of S-CAM: against in blue, for in red, nothing at neutral."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.colors import ListedColormap

#: Strength below which nothing is drawn, so that rounding about neutral does not shimmer.
_DEAD_ZONE = 0.04
#: Red, green, blue of weak and of strong evidence.
_FOR = np.array([[0.98, 0.55, 0.35], [0.80, 0.05, 0.10]])
_AGAINST = np.array([[0.45, 0.70, 0.98], [0.05, 0.20, 0.75]])


def evidence_strength(s_cam: ArrayLike, neutral: float) -> NDArray[np.float64]:
    """How far a value lies from neutral, as a signed share of its own side's length.

    −1 is the strongest evidence against the class, +1 the strongest for it. Each side is measured
    to its own end, since neutral is not in the middle of the scale.
    """
    distance = np.asarray(s_cam, dtype=float) - neutral
    side = np.where(distance > 0, 1.0 - neutral, 1.0 + neutral)
    return np.clip(distance / side, -1.0, 1.0)


def diverging_colours(s_cam: ArrayLike, neutral: float) -> NDArray[np.float64]:
    """Colours ``[..., 4]`` (RGBA in 0…1) of S-CAM values; NaN, having no value, is transparent."""
    strength = evidence_strength(s_cam, neutral)
    size = np.nan_to_num(np.abs(strength))[..., None]
    ends = np.where((np.nan_to_num(strength) > 0)[..., None, None], _FOR, _AGAINST)
    colour = ends[..., 0, :] * (1 - size) + ends[..., 1, :] * size
    opacity = np.clip((size - _DEAD_ZONE) / (1 - _DEAD_ZONE), 0.0, 1.0) ** 0.8
    return np.concatenate([colour, opacity], axis=-1)


def diverging_colormap() -> ListedColormap:
    """The colours of S-CAM over white: blue is against, white nothing, orange to red is for."""
    from matplotlib.colors import ListedColormap

    colours = diverging_colours(np.linspace(-1, 1, 257), 0.0)
    opaque = colours[:, :3] * colours[:, 3:] + (1 - colours[:, 3:])
    return ListedColormap(opaque, name="for and against")
