"""The figures of an evaluation, and the importance matrix as a picture.

Colours of classes are those of Okabe and Ito, which colour-blind people tell apart; what has a
sign is in the diverging colours of S-CAM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.evaluation.average_drop import AverageDrop
from napari_ifa.analysis.evaluation.consistency import KINDS, Consistency, Correlation
from napari_ifa.analysis.evaluation.feature_order import RANDOM_ORDERS
from napari_ifa.analysis.evaluation.localisation import CohortLocalisation
from napari_ifa.analysis.evaluation.masking_curve import ORDERS, MaskingCurve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
_GREY = "#7f7f7f"
#: More points than this make a picture heavy and show no more.
_MOST_POINTS = 3000
#: More names than this cannot be read beside a matrix.
_MOST_NAMES = 40
_LONGEST_NAME = 28


def consistency_figure(consistency: Consistency) -> Figure:
    """Sums of maps against logits (figures 9 and 10 of the paper), the three kinds side by side.

    Above, each case's predicted class; below, every class over all cases.
    """
    names = consistency.class_names
    several = len(names) > 1
    rows = 2 if several else 1
    figure = _figure(11, 3.7 * rows + 0.4)
    axes = figure.subplots(rows, len(KINDS), squeeze=False)
    units = ("usual CAM, summed over voxels", "class activation, summed (logit)", "S-CAM, summed")
    for kind, unit in enumerate(units):
        panel = axes[0][kind]
        sums, logits = consistency.pair(kind, None if several else 0)
        _scatter(panel, sums, logits, consistency.predicted, len(names))
        found = consistency.correlations[None if several else 0, kind]
        panel.locator_params(axis="x", nbins=5)
        axes[-1][kind].locator_params(axis="x", nbins=5)
        panel.set_title(f"{KINDS[kind]}\n{_told(found)}", fontsize=10)
        if several:
            shown = range(len(names))
            sums = consistency.sums[:, :, kind].T.ravel()
            classes = np.repeat(np.array(shown), len(consistency.logits))
            _scatter(axes[1][kind], sums, consistency.logits.T.ravel(), classes, len(names))
        axes[-1][kind].set_xlabel(unit, fontsize=9)
    axes[0][0].set_ylabel("logit of the predicted class" if several else "output", fontsize=9)
    if several:
        axes[1][0].set_ylabel("logit, every class of every case", fontsize=9)
        _class_legend(figure, names, range(len(names)))
    return figure


def masking_curve_figure(curve: MaskingCurve) -> Figure:
    """What is answered rightly over the share of the features kept."""
    figure = _figure(8.2, 4.6)
    axes = figure.subplots()
    styles = (("o", "-", _PALETTE[1]), ("s", "-", _PALETTE[0]), ("", "--", _GREY))
    for order, (marker, line, colour) in zip(ORDERS, styles, strict=True):
        points = curve.of_order(order)
        x = 100 * np.array([point.share for point in points])
        value, low, high = (
            np.array([getattr(point, name) for point in points])
            for name in ("value", "low", "high")
        )
        label = f"{order} (mean, range of {RANDOM_ORDERS})" if order == "random" else order
        axes.plot(x, value, marker=marker, linestyle=line, color=colour, markersize=4, label=label)
        if np.isfinite(low).all() and order != ORDERS[1]:
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    share, reached = curve.principal
    axes.plot(100 * share, reached, "*", color="black", markersize=12, label="principal features")
    axes.axhline(curve.every, color="black", linewidth=0.8)
    axes.axhline(curve.chance, color="black", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    least = 100 * min(point.share for point in curve.points)
    axes.set_xlim(least * 0.85, 118)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100) if tick >= least * 0.85]
    axes.set_xticks(ticks, [f"{tick} %" for tick in ticks])
    axes.minorticks_off()
    if curve.measure == "accuracy":
        axes.set_ylim(-0.03, 1.03)
    else:
        # R² has no lower bound; below -1 it says no more.
        axes.set_ylim(bottom=max(-1.05, axes.get_ylim()[0]))
    chance = "commonest class" if curve.measure == "accuracy" else "mean answer"
    for text, height in (("all features", curve.every), (chance, curve.chance)):
        axes.annotate(
            text, (1.01, height), xycoords=("axes fraction", "data"), fontsize=8, va="center"
        )
    axes.set_xlabel("features kept", fontsize=9)
    n = curve.points[0].n
    axes.set_ylabel(f"{curve.measure} ({n} cases)", fontsize=9)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    _plain(axes)
    return figure


def average_drop_figure(drop: AverageDrop) -> Figure:
    """Each case's probability before and after its image is masked with its usual CAM."""
    figure = _figure(6.4, 5.2)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    _scatter(axes, drop.probability, drop.masked, drop.predicted, len(drop.class_names))
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    axes.text(0.03, 0.97, "rises", fontsize=9, va="top", color=_GREY)
    axes.text(0.97, 0.03, "falls", fontsize=9, ha="right", color=_GREY)
    axes.set_xlabel("probability of the predicted class", fontsize=9)
    axes.set_ylabel("the same, image masked with its usual CAM", fontsize=9)
    _class_legend(figure, drop.class_names, np.unique(drop.predicted).tolist())
    return figure


def localisation_figure(localisation: CohortLocalisation) -> Figure:
    """Each case's share of evidence inside the lesion against the lesion's share of the view."""
    figure = _figure(10.5, 4.8)
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    classes = np.array(localisation.classes)
    size = np.array([one.lesion_share for one in localisation.found])
    shares: dict[str, list[float]] = {
        "positive class activation": [one.positive_share for one in localisation.found],
        "S-CAM above neutral": [one.s_cam_share for one in localisation.found],
    }
    positive = np.concatenate([size, *shares.values()])
    least = 100 * max(positive[positive > 0].min(initial=1.0) / 2, 1e-6)
    for axes, (title, share) in zip(panels, shares.items(), strict=True):
        axes.plot([least, 100], [least, 100], color="black", linewidth=0.8)
        # A share of 0 stands at the lower edge.
        inside = np.maximum(100 * np.array(share), least)
        _scatter(axes, 100 * size, inside, classes, len(localisation.class_names))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(least, 100)
        axes.set_ylim(least * 0.93, 108)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("lesion's share of the field of view (%)", fontsize=9)
        axes.annotate(
            "evidence spread evenly",
            (8, 8),
            xytext=(8, 0),
            textcoords="offset points",
            ha="left",
            va="top",
            fontsize=8,
            color=_GREY,
        )
    panels[0].set_ylabel("inside the lesion (%)", fontsize=9)
    _class_legend(figure, localisation.class_names, np.unique(classes).tolist())
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib import figure as mpl

    return mpl.Figure(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")


def _scatter(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    classes: NDArray[np.int64],
    class_count: int,
) -> None:
    """Points in the colours of their classes, in an order that hides no class behind another."""
    mixed = np.random.default_rng(0).permutation(len(x))[:_MOST_POINTS]
    shown = mixed[np.isfinite(x[mixed]) & np.isfinite(y[mixed])]
    colours = [_colour(int(c), class_count) for c in classes[shown]]
    axes.scatter(x[shown], y[shown], c=colours, s=22, alpha=0.8, linewidths=0.4, edgecolors="white")
    if not shown.size:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=_GREY)
    _plain(axes)


def _colour(class_idx: int, class_count: int) -> str:
    return _PALETTE[class_idx] if class_count <= len(_PALETTE) else _PALETTE[0]


def _class_legend(figure: Figure, names: Sequence[str], classes: Sequence[int]) -> None:
    from matplotlib.lines import Line2D

    if not 1 < len(names) <= len(_PALETTE):
        return
    handles = [
        Line2D([], [], marker="o", linestyle="", color=_PALETTE[c], label=_short(names[c]))
        for c in classes
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)


def _told(found: Correlation) -> str:
    if not found.chosen:
        return found.reason
    letter = "r" if found.chosen == "Pearson" else "ρ"
    text = f"{found.chosen}'s {letter} = {found.coefficient:.3f}, n = {found.n}"
    if found.interval.method:
        text += f"\n95 %: {found.interval.low:.3f} to {found.interval.high:.3f}"
    return text


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
