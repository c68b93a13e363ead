"""The importance matrix as a picture (figure 11 of the paper)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.colour import diverging_colormap
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.figures.drawing import MOST_NAMES, hatch_rows, name_classes, white_figure
from napari_ifa.evaluation.numbers import Bools, Floats
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

#: Height of what stands above the matrix, in inches.
_ABOVE = 1.7


def importance_figure(
    analysis: Analysis,
    other: Analysis | None = None,
    *,
    kind: Kind = "true",
    principal: FeatureMask | None = None,
    above: Callable[[Axes], None] | None = None,
) -> Figure:
    """The importance matrix and its columns less the mean over classes (figure 11 of the paper).

    Parameters
    ----------
    other : a second cohort's analysis by the same model, such as the test split's; drawn below,
        on the same colours and in the same order of features.
    kind : which importance, ``"true"`` (eq. 4) or ``"all"`` (eq. 3).
    principal : features to mark.
    above : draws what belongs to the matrix into axes above it.

    Raises
    ------
    AnalysisError
        The two analyses have different features or classes.
    """
    names = analysis.class_names
    if other is not None and (other.features, other.class_names) != (analysis.features, names):
        raise AnalysisError(
            EvaluationProblem.FEATURES_AND_CLASSES,
            features=analysis.features,
            classes=len(names),
            other_features=other.features,
            other_classes=len(other.class_names),
        )
    given = [analysis] if other is None else [analysis, other]
    matrices = [one.dataset[f"importance_{kind}"].values for one in given]
    order = feature_order(matrices[0])
    several = len(names) > 1
    panels: list[tuple[str, Floats, bool]] = []
    for one, matrix in zip(given, matrices, strict=True):
        cohort = _cohort_name(one)
        panels.append((f"importance, {cohort}", matrix[order], False))
        if several:
            title = f"less the mean over classes, {cohort}"
            panels.append((title, without_class_mean(matrix[order]), True))
    height = min(max(0.26 * len(names), 0.8), 4.0)
    tall = len(panels) * (height + 0.55) + 0.8
    extra = _ABOVE if above is not None else 0.0
    figure = white_figure(10.5, tall + extra)
    matrix_part: Figure | SubFigure = figure
    if above is not None:
        parts = figure.subfigures(2, 1, height_ratios=(extra, tall), squeeze=False)
        upper, matrix_part = parts[:, 0]
        above(upper.subplots())
    rows = matrix_part.subplots(len(panels), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (title, matrix, centred) in zip(rows, panels, strict=True):
        limit = max(_largest(m) for _, m, c in panels if c == centred) or 1.0
        ends = {"vmin": -limit, "vmax": limit, "cmap": diverging_colormap()}
        image = axes.imshow(matrix.T, aspect="auto", interpolation="nearest", **ends)
        empty = np.all(np.isnan(matrix), axis=0)
        hatch_rows(axes, empty, len(order))
        if empty.any():
            title += f" (hatched: {_why_empty(empty, analysis.compared_class)})"
        axes.set_title(title, fontsize=9, loc="left")
        bar = matrix_part.colorbar(image, ax=axes, pad=0.01, aspect=10)
        bar.set_label("logit", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        name_classes(axes, names)
    _name_features(rows[-1], order, principal, several)
    return figure


def _why_empty(empty: Bools, compared_class: int | None) -> str:
    if compared_class is None:
        return "no case of the class"
    itself = "what the others are compared with"
    return itself if empty.sum() == 1 else f"no case of the class, or {itself}"


def feature_order(matrix: Floats) -> NDArray[np.intp]:
    """Features ``[F]`` by the class they speak most for, and within it by how much."""
    filled = np.where(np.isnan(matrix), -np.inf, matrix)
    favourite, value = filled.argmax(axis=1), filled.max(axis=1)
    return np.lexsort((-value, favourite))


def without_class_mean(matrix: Floats) -> Floats:
    """``[F, C]`` minus each feature's mean over the classes that have numbers."""
    known = ~np.isnan(matrix)
    total = np.where(known, matrix, 0.0).sum(axis=1, keepdims=True)
    return matrix - total / np.maximum(known.sum(axis=1, keepdims=True), 1)


def _largest(matrix: Floats) -> float:
    return float(np.nan_to_num(np.abs(matrix)).max())


def _cohort_name(analysis: Analysis) -> str:
    attributes = analysis.dataset.attrs
    return ", ".join(
        str(attributes[key]) for key in ("cohort_name", "cohort_split") if attributes.get(key)
    )


def _name_features(
    axes: Axes, order: NDArray[np.intp], principal: FeatureMask | None, several: bool
) -> None:
    from matplotlib.transforms import ScaledTranslation

    readable = order.size <= 2 * MOST_NAMES
    if readable:
        axes.set_xticks(range(order.size), [str(f) for f in order], fontsize=7, rotation=90)
    else:
        axes.set_xticks([])
    by = "the class they speak for most" if several else "importance"
    text = f"{order.size} features, by {by}"
    if principal is not None:
        marked = np.flatnonzero(principal.keep[order])
        below = axes.get_xaxis_transform() + ScaledTranslation(
            0, -7 / 72, axes.figure.dpi_scale_trans
        )
        heights = np.zeros(marked.size)
        axes.plot(marked, heights, "k^", markersize=5, transform=below, clip_on=False)
        axes.tick_params(axis="x", pad=12, length=0)
        text += f"; marked: {counted(marked.size, 'principal one')}"
    axes.set_xlabel(text, fontsize=9, labelpad=4 if readable else 16)
