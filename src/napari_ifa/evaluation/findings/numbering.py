"""Where in a panel of points a number is on no point, no line and no other number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: Distances from its point at which a place is looked for, the nearest first, and directions.
_DISTANCES, _DIRECTIONS = (0.07, 0.1, 0.14, 0.19, 0.25, 0.32, 0.4), 16
#: Room that a number needs about its middle: to points, lines, other numbers and the border.
_TO_POINTS, _TO_LINES, _TO_NUMBERS, _TO_BORDER = 0.055, 0.045, 0.085, 0.05


def number_points(panel: Axes, points: Floats, chosen: Sequence[int]) -> None:
    """Write the numbers of the ``chosen`` among ``points [N, 2]``, a thin line to each.

    The panel is square with equal axes, holds its diagonal and the two zero lines, and its limits
    are set.
    """
    low, high = panel.get_xlim()
    placed = free_places((points - low) / (high - low), chosen, -low / (high - low))
    for n, place in zip(chosen, placed, strict=True):
        panel.annotate(
            *(str(n), tuple(points[n])),
            xytext=tuple(place),
            textcoords="axes fraction",
            ha="center",
            va="center",
            fontsize=8.5,
            zorder=6,
            arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.6, "shrinkA": 1},
        )


def free_places(points: Floats, chosen: Sequence[int], zero: float) -> Floats:
    """Middles ``[n, 2]`` of the numbers of ``chosen``, in shares of the panel, as ``points`` are.

    The nearest place with room, or the one with most room where none has enough. ``zero`` is where
    the zero lines run.
    """
    angles = 2 * np.pi * (np.arange(_DIRECTIONS) + 0.5) / _DIRECTIONS
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    offsets = np.concatenate([distance * ring for distance in _DISTANCES])
    placed = np.zeros((0, 2))
    for n in chosen:
        places = points[n] + offsets
        room = np.min(
            [
                _nearest(places, points) / _TO_POINTS,
                _nearest(places, placed) / _TO_NUMBERS,
                np.abs(places[:, 0] - places[:, 1]) / np.sqrt(2) / _TO_LINES,
                np.abs(places - zero).min(axis=1) / _TO_LINES,
                np.minimum(places, 1 - places).min(axis=1) / _TO_BORDER,
            ],
            axis=0,
        )
        best = int(np.argmax(np.minimum(room, 1.0)))
        placed = np.concatenate([placed, places[best : best + 1]])
    return placed


def _nearest(places: Floats, others: Floats) -> Floats:
    if not len(others):
        return np.full(len(places), np.inf)
    apart = places[:, None] - others[None]
    result: Floats = np.sqrt((apart**2).sum(axis=2)).min(axis=1)
    return result
