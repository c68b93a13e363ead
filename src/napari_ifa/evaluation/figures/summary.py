"""The figures that describe an analysis: distributions, importance matrix, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.analysis.colour import diverging_colormap
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.evaluation.figures.drawing import (
    MOST_NAMES,
    hatch_rows,
    name_classes,
    only_axes,
    plain_label,
    white_figure,
)
from napari_ifa.evaluation.numbers import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Figures are 9 inches wide, which is 900 px on a page.
_WIDTH = 9.0
#: Bars of a histogram on each side of zero.
_BARS = 80
#: Numbers are written into fields up to this many classes.
_MOST_NUMBERS = 12
#: Length of a symlog axis's linear part, in decades, at which it meets the logarithm without a
#: kink, so that a smooth distribution looks smooth: (1 − 1/10) / ln 10.
_SMOOTH = 0.9 / float(np.log(10))
#: Beyond this many cases a scatter's dots are drawn as pixels.
_MANY_DOTS = 2000
_INK, _FAINT = "#222222", "#8a8a8a"


def distribution_figure(
    distributions: Sequence[Distribution],
    cohorts: Sequence[str],
    classes: Sequence[int],
    names: Sequence[str],
    percentiles: tuple[float, float] = (10.0, 90.0),
) -> Figure:
    """Histograms of the class activation of every voxel, one row per class, on a symlog axis.

    The first cohort's bars are filled, with its two percentiles and zero marked; further cohorts
    are lines. Values of exactly zero are told in words, since they would hide the rest.
    """
    from matplotlib.scale import SymmetricalLogTransform

    figure = white_figure(_WIDTH, 1.0 + 1.7 * len(classes))
    panels = figure.subplots(len(classes), 1, sharex=True, squeeze=False)[:, 0]
    filled = [c for c in classes if distributions[0].number[c]]
    ends = np.array([distributions[0].percentile(percentiles, c) for c in filled] or [(0.0, 0.0)])
    farthest = max(
        max(abs(d.minimum[c]), abs(d.maximum[c]))
        for d in distributions
        for c in classes
        if d.number[c] or d is distributions[0]
    )
    farthest = farthest if np.isfinite(farthest) and farthest > 0 else 1.0
    linear = np.clip(np.abs(ends).max() / 10, farthest / 1e5, farthest / 2)
    linear = float(10.0 ** np.floor(np.log10(linear)))
    transform = SymmetricalLogTransform(10, linear, _SMOOTH)
    reach = 1.02 * float(transform.transform(np.array([farthest]))[0])
    steps = np.linspace(-reach, reach, 2 * _BARS + 1)
    edges = np.asarray(transform.inverted().transform(steps))
    edges[_BARS] = 0.0
    for axes, c, name in zip(panels, classes, names, strict=True):
        axes.set_xscale("symlog", linthresh=linear, linscale=_SMOOTH)
        _draw_distributions(axes, distributions, cohorts, c, edges, percentiles)
        axes.set_title(plain_label(name, 60), loc="left", fontsize=10)
        axes.set_ylabel("% of voxels", fontsize=9)
        only_axes(axes)
    panels[-1].set_xlim(edges[0], edges[-1])
    decades = linear * 10.0 ** np.arange(0, np.floor(np.log10(farthest / linear) + 1e-9) + 1)
    decades = decades[:: 1 + len(decades) // 6]
    panels[-1].set_xticks([*-decades[::-1], 0.0, *decades])
    panels[-1].set_xlabel(
        f"class activation (logit); linear between ±{linear:.2g}, logarithmic beyond", fontsize=9
    )
    return figure


def confusion_figure(
    tables: Sequence[Ints], cohorts: Sequence[str], class_names: Sequence[str]
) -> Figure:
    """Cases by true and answered class ``[C, C]``, shaded by their share of the true class."""

    classes = len(class_names)
    side = float(np.clip(0.45 * classes + 1.2, 2.6, 6.0))
    figure = white_figure(_WIDTH if len(tables) > 1 else 6.5, side + 0.9)
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, table, cohort in zip(panels, tables, cohorts, strict=True):
        total = table.sum(axis=1, keepdims=True)
        share = table / np.where(total > 0, total, np.nan)
        image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        hatch_rows(axes, total[:, 0] == 0, classes)
        if classes <= _MOST_NUMBERS:
            for (row, column), count in np.ndenumerate(table):
                ink = "white" if share[row, column] > 0.55 else _INK
                centred = {"ha": "center", "va": "center", "fontsize": 9}
                axes.text(column, row, str(count), color=ink, **centred)
        axes.set_title(plain_label(cohort, 45), fontsize=10)
        axes.set_xlabel("answered class", fontsize=9)
        axes.tick_params(labelsize=8)
        if classes <= MOST_NAMES:
            labels = [plain_label(name, 18) for name in class_names]
            axes.set_xticks(range(classes), labels, rotation=40, ha="right")
        name_classes(axes, class_names)
    panels[0].set_ylabel("true class", fontsize=9)
    bar = figure.colorbar(image, ax=list(panels), fraction=0.04, pad=0.02)
    bar.set_label("share of the true class", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def scatter_figure(pairs: Sequence[tuple[ArrayLike, ArrayLike]], cohorts: Sequence[str]) -> Figure:
    """Answered values against those that a regression should give, with the line of agreement.

    Parameters
    ----------
    pairs : per cohort the targets ``[N]`` and the answers ``[N]``.
    """
    figure = white_figure(_WIDTH if len(pairs) > 1 else 5.5, 4.6)
    panels = figure.subplots(1, len(pairs), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (targets, answers), cohort in zip(panels, pairs, cohorts, strict=True):
        many = np.size(targets) > _MANY_DOTS
        axes.scatter(
            targets, answers, s=6 if many else 18, alpha=0.4, color="#0d47a1", rasterized=many
        )
        both = np.concatenate([np.ravel(targets), np.ravel(answers)]).astype(float)
        both = both[np.isfinite(both)]
        if both.size:
            ends = [both.min(), both.max()]
            axes.plot(ends, ends, color=_INK, linewidth=1, linestyle="--", label="agreement")
            axes.legend(fontsize=8, frameon=False)
        axes.set_title(plain_label(cohort, 45), fontsize=10)
        axes.set_xlabel("value given", fontsize=9)
        axes.tick_params(labelsize=8)
    panels[0].set_ylabel("value answered", fontsize=9)
    return figure


def _draw_distributions(
    axes: Axes,
    distributions: Sequence[Distribution],
    cohorts: Sequence[str],
    c: int,
    edges: Floats,
    percentiles: tuple[float, float],
) -> None:
    notes = []
    for number, (distribution, cohort) in enumerate(zip(distributions, cohorts, strict=True)):
        name = plain_label(cohort)
        of_whom = f"{name}: " if len(distributions) > 1 else ""
        if not distribution.number[c]:
            notes.append(f"{of_whom}no finite value")
            continue
        share, zero = binned_shares(distribution, c, edges)
        if zero > 0:
            notes.append(f"{of_whom}{zero:.3g} % exactly 0")
        if number:
            axes.stairs(share, edges, color=_INK, linewidth=1, label=name)
            continue
        against, speaks_for = diverging_colormap()([0.12, 0.88])
        axes.stairs(share[:_BARS], edges[: _BARS + 1], fill=True, color=against)
        axes.stairs(share[_BARS:], edges[_BARS:], fill=True, color=speaks_for, label=name)
        for percent, side in zip(percentiles, ("right", "left"), strict=True):
            _mark(axes, f"P{percent:g}", distribution.percentile(percent, c), side)
    axes.axvline(0.0, color=_FAINT, linewidth=1)
    if len(distributions) > 1:
        axes.legend(fontsize=8, frameon=False, loc="upper right")
    if notes:
        axes.text(0.01, 0.95, "\n".join(notes), transform=axes.transAxes, fontsize=8, va="top")


def _mark(axes: Axes, text: str, value: float, side: str) -> None:
    axes.axvline(value, color=_INK, linewidth=1, linestyle=":")
    axes.annotate(
        text,
        (value, 1.0),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-2 if side == "right" else 2, 0),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=8,
        color=_INK,
    )


def binned_shares(distribution: Distribution, c: int, edges: Floats) -> tuple[Floats, float]:
    """Percent of a class's values between edges, one of which is 0, and percent that are 0.

    The zeros are in no bin.
    """
    below = np.array([distribution.percentile_of(edge, c) for edge in edges])
    share = np.diff(below)
    count = distribution.counts[c][distribution.bins == 0].sum()
    zero = float(100 * count / distribution.number[c])
    middle = int(np.flatnonzero(edges == 0)[0])
    # Zeros count half on either side of the edge at 0.
    share[middle - 1 : middle + 1] -= zero / 2
    return np.clip(share, 0.0, None), zero
