"""Pictures of explanations, for people who are not at the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.colour import diverging_colours
from napari_ifa.analysis.explanation import Explanation
from napari_ifa.disk import whole_file
from napari_ifa.volumes.volume import Volume
from napari_ifa.volumes.windowing import default_window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: How strongly the overlay covers the image where the evidence is strongest.
_OVERLAY_OPACITY = 0.75
#: Share of the display window above which a voxel counts as tissue.
_TISSUE = 0.15
#: Letters in a line beside the colour bar.
_SIDE_WIDTH = 14
_UNITS = "numbers in logits"
#: Share of the largest body section that a slice must show to be chosen.
_GOOD_PART = 0.3


def usual_cam(class_activation: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map as it is commonly drawn: negatives cut off, stretched to its own 0…1.

    Shown beside S-CAM to be compared with it; it says nothing about another patient's map.
    """
    positive = np.clip(class_activation, 0.0, None)
    low, high = np.nanmin(positive), np.nanmax(positive)
    return (positive - low) / (high - low) if high > low else np.zeros_like(positive)


def comparison_picture(
    explanations: Sequence[Explanation], titles: Sequence[str], *, against_too: bool = True
) -> Figure:
    """One row per case: the image, S-CAM on the common scale, and its usual per-image CAM.

    Each row shows the acquired slice with the strongest evidence, for the class or against it, of
    those that show much of the body; without ``against_too`` that for the class, as the usual CAM
    has it. All explanations are of one class on one common scale.
    """
    from matplotlib import figure as mpl

    rows = len(explanations)
    figure = mpl.Figure(figsize=(10.5, 3.3 * rows + 0.9), facecolor="black", layout="constrained")
    grid = figure.add_gridspec(rows, 4, width_ratios=(1, 1, 1, 0.1))
    for row, (explanation, title) in enumerate(zip(explanations, titles, strict=True)):
        axes = [figure.add_subplot(grid[row, column]) for column in range(3)]
        _draw_row(axes, explanation, title, row == 0, against_too)
    _draw_legend(figure.add_subplot(grid[:, 3]), explanations[0])
    return figure


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure; the file appears whole or not at all.

    Raises
    ------
    ExistingOutputError
        There is a picture already.
    OSError
        Where the place cannot be written.
    """
    with whole_file(path, "PNG") as part:
        figure.savefig(part, dpi=110, facecolor=figure.get_facecolor())


def _draw_row(
    axes: Sequence[Axes], explanation: Explanation, title: str, first: bool, against_too: bool
) -> None:
    volume = explanation.volume
    activation = explanation.class_activation.array
    axis = volume.source.axes.index(2)
    evidence = np.nan_to_num(activation)
    evidence = np.abs(evidence) if against_too else np.clip(evidence, 0.0, None)
    index = _slice_to_show(volume, evidence, axis)
    low, high = default_window(volume).limits
    image = volume.array.take(index, axis)
    aspect = _aspect(volume, axis)
    scale = explanation.scale
    s_cam = explanation.s_cam.array.take(index, axis)
    usual = usual_cam(activation).take(index, axis)
    heads = ("image", "S-CAM, common scale", "usual CAM, its own scale")
    for panel, head in zip(axes, heads, strict=True):
        panel.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=aspect)
        panel.set_xticks([])
        panel.set_yticks([])
        if first:
            panel.set_title(head, color="white", fontsize=11)
    place = f"slice {index + 1} of {volume.shape[axis]}" if volume.shape[axis] > 1 else ""
    axes[0].set_ylabel("\n".join(filter(None, [title, place])), color="white", fontsize=10)
    assert scale is not None
    colours = diverging_colours(s_cam, scale.neutral)
    colours[..., 3] *= _OVERLAY_OPACITY
    axes[1].imshow(colours, aspect=aspect)
    axes[2].imshow(usual, cmap="jet", vmin=0, vmax=1, alpha=0.45, aspect=aspect)


def _slice_to_show(volume: Volume, evidence: NDArray[np.float32], axis: int) -> int:
    """The slice with the strongest evidence, of those that show much of the body."""
    if volume.shape[axis] == 1:
        # A picture, which may have channels of colour too.
        return 0
    low, high = default_window(volume).limits
    other = tuple(a for a in range(3) if a != axis)
    body = (volume.array > low + _TISSUE * (high - low)).sum(axis=other)
    strongest = evidence.max(axis=other)
    shows_body = body >= _GOOD_PART * body.max()
    return int(np.where(shows_body, strongest if strongest.any() else body, -1).argmax())


def _draw_legend(axes: Axes, explanation: Explanation) -> None:
    scale = explanation.scale
    assert scale is not None
    values = np.linspace(1, -1, 512)[:, None]
    colours = diverging_colours(values, scale.neutral)
    opaque = colours[..., :3] * colours[..., 3:]
    axes.imshow(opaque, extent=(0, 1, -1, 1), aspect="auto")
    names = [name for _, name in scale.marks]
    axes.set_yticks(list(scale.ends), names, color="white", fontsize=8)
    axes.yaxis.tick_right()
    axes.tick_params(axis="y", color="white")
    axes.set_xticks([])
    axes.axhline(scale.neutral, color="white", linewidth=1)
    # On the other side than the percentiles, one of which may lie at the same height.
    axes.text(
        -0.3, scale.neutral, "no\ncontribution", color="white", fontsize=8, ha="right", va="center"
    )
    low, high = (fill(side, _SIDE_WIDTH) for side in explanation.sides)
    axes.set_title(high, color="white", fontsize=9)
    axes.set_xlabel(f"{low}\n\n{fill(_UNITS, _SIDE_WIDTH)}", color="white", fontsize=9)


def _aspect(volume: Volume, axis: int) -> float:
    rows, columns = (s for a, s in enumerate(volume.spacing) if a != axis)
    return rows / columns
