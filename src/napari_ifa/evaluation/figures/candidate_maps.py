"""The figure of the first confounder candidates: the map of each one alone, on a few cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.colour import diverging_colours
from napari_ifa.evaluation.checks.candidate_maps import CandidateMap, CandidateMaps
from napari_ifa.evaluation.checks.confounders import Confounders
from napari_ifa.evaluation.figures.drawing import plain_label, white_figure
from napari_ifa.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How strongly the overlay covers the image where the evidence is strongest, and the power that
#: lifts weaker evidence: one feature alone is a part of what the scale is made for.
_OVERLAY_OPACITY, _OPACITY_POWER = 0.9, 0.45
#: Letters of a case's id above its picture.
_ID_LENGTH = 22


def candidate_maps_figure(found: Confounders, maps: CandidateMaps) -> Figure:
    """One row per feature, on the cases in which it contributes most."""
    columns = max(len(row) for row in maps.rows)
    figure = white_figure(2.3 * columns + 2.2, 2.7 * len(maps.rows) + 0.7)
    grid = figure.add_gridspec(len(maps.rows), columns)
    for row, shown in enumerate(maps.rows):
        for column, one in enumerate(shown):
            panel = figure.add_subplot(grid[row, column])
            _draw(panel, one)
            panel.set_title(
                f"{_short_id(one.case_id)}\nk = {one.contribution:+.2g} logit", fontsize=9
            )
            if column == 0:
                f, c = one.feature, one.class_idx
                share = percent(found.share[f, c])
                name = plain_label(found.class_names[c], 24)
                standing = "candidate" if found.candidate[f, c] else "no candidate"
                text = f"feature {f} alone, for\n{name}\n{share}, {standing}"
                panel.set_ylabel(text, fontsize=9.5)
    _colour_bar(figure)
    if any(one.slices > 1 for shown in maps.rows for one in shown):
        figure.supxlabel("Each picture is the slice of most evidence.", fontsize=9)
    return figure


def _draw(panel: Axes, one: CandidateMap) -> None:
    low, high = one.limits
    panel.imshow(one.image, cmap="gray", vmin=low, vmax=high, aspect=one.aspect)
    panel.imshow(_overlay(one.s_cam, one.neutral), aspect=one.aspect)
    panel.set_xticks([])
    panel.set_yticks([])


def _overlay(s_cam: NDArray[np.floating], neutral: float) -> NDArray[Any]:
    colours = diverging_colours(s_cam, neutral)
    colours[..., 3] = _OVERLAY_OPACITY * colours[..., 3] ** _OPACITY_POWER
    return colours


def _colour_bar(figure: Figure) -> None:
    """The overlay's colours over the dark of an image; both sides run to their own end."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    colours = _overlay(np.linspace(-1, 1, 257), 0.0)
    opaque = colours[:, :3] * colours[:, 3:]
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), ListedColormap(opaque)),
        ax=figure.axes,
        fraction=0.03,
        pad=0.02,
        aspect=25,
        shrink=0.6,
        ticks=[-1, 0, 1],
    )
    bar.ax.set_yticklabels(["strongest\nagainst", "neutral", "strongest\nfor"], fontsize=9)
    bar.ax.axhline(0, color="white", linewidth=1.2)


def _short_id(case_id: str) -> str:
    """The end of an id, which tells cases apart, without the file's ending."""
    text = case_id
    for ending in (".gz", ".nii", ".nrrd", ".mha", ".dcm", ".png", ".jpg", ".tif"):
        text = text.removesuffix(ending)
    text = text if len(text) <= _ID_LENGTH else f"…{text[1 - _ID_LENGTH :]}"
    return plain_label(text, _ID_LENGTH)
