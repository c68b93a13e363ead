"""The figures of what is measured with the model and a cohort."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_ifa.evaluation.figures.drawing import (
    GREY,
    PALETTE,
    only_axes,
    plain_label,
    white_figure,
)
from napari_ifa.evaluation.figures.importance import importance_figure
from napari_ifa.evaluation.measures.average_drop import AverageDrop
from napari_ifa.evaluation.measures.consistency import KINDS, Consistency, Correlation
from napari_ifa.evaluation.measures.feature_order import RANDOM_ORDERS
from napari_ifa.evaluation.measures.localisation import CohortLocalisation
from napari_ifa.evaluation.measures.masking_curve import ORDERS, MaskingCurve
from napari_ifa.evaluation.measures.set_measures import MaskedAccuracy, SetAccuracy, SetFit
from napari_ifa.evaluation.numbers import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Letters in a line beside an axis.
_ANSWER_WIDTH = 28

#: More points than this make a picture heavy and show no more.
_MOST_POINTS = 3000
#: Classes whose coefficients are told one by one.
_MOST_TOLD = 4
_SETS = ("all", "principal", "others")


def consistency_figure(consistency: Consistency) -> Figure:
    """Sums of maps against logits (figures 9 and 10 of the paper), three kinds side by side.

    Above, each case's predicted class; below, every class over all cases.
    """
    names = consistency.class_names
    several = len(names) > 1
    rows = 2 if several else 1
    figure = white_figure(11, 4.0 * rows + 0.5)
    axes = figure.subplots(rows, len(consistency.shown), squeeze=False)
    units = ("(voxels)", "(logit × voxels)", "(voxels)")
    classes = consistency.classes
    every = np.repeat(classes, len(consistency.logits))
    predicted = consistency.predicted[consistency.pooled]
    for place, (kind, unit) in enumerate(zip(consistency.shown, units, strict=True)):
        name, pooled = KINDS[kind], None if several else 0
        told = _told(consistency.correlations[pooled, kind])
        _scatter(axes[0][place], *consistency.pair(kind, pooled), predicted, len(names))
        axes[0][place].set_title(f"{name}\n{told}", fontsize=10)
        if several:
            sums = consistency.sums[:, classes, kind].T.ravel()
            logits = consistency.logits[:, classes].T.ravel()
            _scatter(axes[1][place], sums, logits, every, len(names))
            axes[1][place].set_title(_told_by_class(consistency, kind), fontsize=9)
        for row in axes:
            row[place].set_xlabel(f"{name}, summed over voxels\n{unit}", fontsize=9)
            row[place].locator_params(axis="x", nbins=5)
    answer = fill(consistency.answer, _ANSWER_WIDTH)
    axes[0][0].set_ylabel(f"{answer},\npredicted class" if several else "output", fontsize=9)
    if several:
        axes[1][0].set_ylabel(f"{answer},\nevery class of every case", fontsize=9)
        _class_legend(
            figure,
            names,
            classes,
            "colour: the predicted class above, the class of map and logit below",
        )
    return figure


def masking_curve_figure(curve: MaskingCurve) -> Figure:
    """What is answered rightly over the share of the features kept."""
    figure = white_figure(8.2, 4.9)
    axes = figure.subplots()
    styles = (("o", "-", PALETTE[1]), ("s", "-", PALETTE[0]), ("", "--", GREY))
    drawn = [curve.every, curve.chance, curve.principal[1]]
    for order, (marker, line, colour) in zip(ORDERS, styles, strict=True):
        points = curve.of_order(order)
        x = 100 * np.array([point.share for point in points])
        value, low, high = (
            np.array([getattr(point, name) for point in points])
            for name in ("value", "low", "high")
        )
        drawn += [*value, *low, *high]
        label = f"{order} (mean, range of {RANDOM_ORDERS})" if order == "random" else order
        axes.plot(x, value, marker=marker, linestyle=line, color=colour, markersize=4, label=label)
        if order != ORDERS[1]:
            # Where there is no interval the band is the line.
            low, high = (np.where(np.isfinite(end), end, value) for end in (low, high))
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
        _r_squared_scale(axes, drawn, "y")
    chance = "commonest class" if curve.measure == "accuracy" else "mean answer"
    for text, height in (("all features", curve.every), (chance, curve.chance)):
        axes.annotate(
            text, (1.01, height), xycoords=("axes fraction", "data"), fontsize=8, va="center"
        )
    axes.set_xlabel("features kept", fontsize=9)
    n = curve.points[0].n
    axes.set_ylabel(f"{curve.measure} ({n} cases)", fontsize=9)
    figure.legend(fontsize=8, frameon=False, loc="outside lower center", ncols=4)
    only_axes(axes)
    return figure


def masked_accuracy_figure(found: MaskedAccuracy) -> Figure:
    """What sets of features reach, above the importance matrix that chose them."""
    return importance_figure(
        found.analysis,
        kind=found.kind,
        principal=found.principal,
        above=lambda axes: _draw_sets(axes, found.sets),
    )


def _draw_sets(axes: Axes, sets: Sequence[SetAccuracy] | Sequence[SetFit]) -> None:
    """Bars of the accuracies, or of R², of sets of features with their 95 % intervals."""
    colours = (GREY, PALETTE[1], PALETTE[0])
    drawn: list[float] = []
    labels = []
    every: list[SetAccuracy | SetFit] = [*sets]
    for place, (one, name) in enumerate(zip(every, _SETS, strict=True)):
        value = one.accuracy if isinstance(one, SetAccuracy) else one.r2
        axes.barh(place, value, color=colours[place], height=0.62)
        interval = ""
        if np.isfinite([one.low, one.high]).all():
            axes.plot([one.low, one.high], [place, place], "|-", color="black", markersize=9)
            interval = f" ({one.low:.2f} to {one.high:.2f})"
        axes.annotate(
            f"{value:.2f}{interval}",
            (1.01, place),
            xycoords=("axes fraction", "data"),
            fontsize=9,
            va="center",
        )
        drawn += [value, one.low, one.high]
        labels.append(f"{name} ({one.kept} kept)")
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.invert_yaxis()
    if isinstance(sets[0], SetAccuracy):
        title = f"accuracy over {sets[0].n} cases, 95 % interval (Wilson)"
        axes.set_xlim(0, 1.0)
    else:
        title = f"R² over {sets[0].n} cases, 95 % interval (bootstrap)"
        axes.axvline(0, color="black", linewidth=0.8)
        _r_squared_scale(axes, drawn, "x")
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(axis="x", labelsize=8)
    only_axes(axes)


def _r_squared_scale(axes: Axes, drawn: Sequence[float], axis: Literal["x", "y"]) -> None:
    """All of what is drawn, on a logarithmic scale below -1 where R² goes far down."""
    least = min((value for value in drawn if np.isfinite(value)), default=0.0)
    far_down = least < -2
    bottom = least * 1.4 if far_down else min(least, 0.0) - 0.05
    if axis == "x":
        if far_down:
            axes.set_xscale("symlog", linthresh=1)
            axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlim(bottom, 1.05)
    else:
        if far_down:
            axes.set_yscale("symlog", linthresh=1)
            axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(bottom, 1.05)


def average_drop_figure(drop: AverageDrop) -> Figure:
    """Each case's probability before and after its image is masked with its usual CAM."""
    figure = white_figure(6.4, 5.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8)
    _scatter(axes, drop.probability, drop.masked, drop.predicted, len(drop.class_names))
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_aspect("equal")
    axes.set_title("above the line the probability rises, below it falls", fontsize=9)
    axes.set_xlabel("probability of the predicted class", fontsize=9)
    axes.set_ylabel("the same, image masked with its usual CAM", fontsize=9)
    classes = np.unique(drop.predicted).tolist()
    _class_legend(figure, drop.class_names, classes, "colour: the predicted class")
    return figure


def localisation_figure(localisation: CohortLocalisation) -> Figure:
    """Each case's share of evidence inside the lesion against the lesion's share of the view."""
    figure = white_figure(10.5, 5.0)
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    classes = np.array(localisation.classes)
    size = 100 * np.array([one.lesion_share for one in localisation.found])
    shares = {
        "positive class activation": [one.positive_share for one in localisation.found],
        "S-CAM above neutral": [one.s_cam_share for one in localisation.found],
    }
    every = np.concatenate([size, *(100 * np.array(share) for share in shares.values())])
    least = _least_decade(every)
    zeros = int((size == 0).sum()), int((every[size.size :] == 0).sum())
    for axes, (title, share) in zip(panels, shares.items(), strict=True):
        inside = 100 * np.array(share)
        # Linear below the least decade, so that 0 has a place; equal scales keep the line straight.
        axes.set_xscale("symlog", linthresh=least, linscale=0.5)
        axes.set_yscale("symlog", linthresh=least, linscale=0.5)
        axes.plot([0, 100], [0, 100], color="black", linewidth=0.8)
        _scatter(axes, size, inside, classes, len(localisation.class_names))
        ticks = [0.0, *(10.0**n for n in range(round(np.log10(least)), 3))]
        shares_of_lesion = (axes.set_xlim, axes.set_xticks, zeros[0] > 0)
        shares_inside = (axes.set_ylim, axes.set_yticks, any(zeros))
        for set_limits, set_ticks, zero in (shares_of_lesion, shares_inside):
            shown = ticks if zero else ticks[1:]
            set_limits(-least / 4 if zero else least, 110)
            set_ticks(shown, [f"{tick:g}" for tick in shown])
        axes.minorticks_off()
        if any(zeros):
            axes.axhline(0, color=GREY, linewidth=0.6, linestyle=":", zorder=0)
        none = int((inside == 0).sum())
        told = f"\n{none} of {np.isfinite(inside).sum()} cases have 0 inside" if none else ""
        axes.set_title(f"{title}{told}", fontsize=10)
        axes.set_xlabel("lesion's share of the field of view (%)", fontsize=9)
    panels[0].set_ylabel("inside the lesion (%)", fontsize=9)
    _class_legend(
        figure,
        localisation.class_names,
        np.unique(classes).tolist(),
        "line: evidence spread evenly; colour: the class explained",
    )
    return figure


def _least_decade(percent: Floats) -> float:
    """The power of ten at or below the least share that is above 0."""
    positive = percent[np.isfinite(percent) & (percent > 0)]
    return float(10.0 ** np.floor(np.log10(max(positive.min(initial=10.0), 1e-6))))


def _scatter(
    axes: Axes,
    x: Floats,
    y: Floats,
    classes: Ints,
    class_count: int,
) -> None:
    """Points in the colours of their classes, in an order that hides no class behind another."""
    mixed = np.random.default_rng(0).permutation(len(x))[:_MOST_POINTS]
    shown = mixed[np.isfinite(x[mixed]) & np.isfinite(y[mixed])]
    colours = [PALETTE[c if class_count <= len(PALETTE) else 0] for c in classes[shown]]
    axes.scatter(x[shown], y[shown], c=colours, s=22, alpha=0.8, linewidths=0.4, edgecolors="white")
    if not shown.size:
        axes.text(0.5, 0.5, "none", transform=axes.transAxes, ha="center", color=GREY)
    only_axes(axes)


def _class_legend(figure: Figure, names: Sequence[str], classes: Sequence[int], title: str) -> None:
    from matplotlib.lines import Line2D

    handles = (
        [
            Line2D([], [], marker="o", linestyle="", color=PALETTE[c], label=plain_label(names[c]))
            for c in classes
        ]
        if 1 < len(names) <= len(PALETTE)
        else []
    )
    if not handles:
        # Too many classes for colours: what else the title says still counts.
        title = title.split("; ")[0] if "; " in title else ""
    if handles or title:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=4,
            fontsize=9,
            title=title,
            title_fontsize=8,
            frameon=False,
        )


def _told(found: Correlation) -> str:
    if not found.chosen:
        return found.reason
    text = f"{found.chosen}'s {_letter(found)} = {found.coefficient:.3f}, n = {found.n}"
    if found.interval.method:
        text += f"\n95 %: {found.interval.low:.3f} to {found.interval.high:.3f}"
    return text


def _letter(found: Correlation) -> str:
    return "r" if found.chosen == "Pearson" else "ρ"


def _told_by_class(consistency: Consistency, kind: int) -> str:
    """The coefficients of the classes; of many classes their range."""
    names = [consistency.class_names[c] for c in consistency.classes]
    every = [consistency.correlations[c, kind] for c in consistency.classes]
    if len(names) <= _MOST_TOLD:
        return "\n".join(
            f"{plain_label(name)}: "
            + (f"{_letter(one)} = {one.coefficient:.3f}" if one.chosen else one.reason)
            for name, one in zip(names, every, strict=True)
        )
    known = [one.coefficient for one in every if one.chosen]
    if not known:
        return "no class has a coefficient"
    return f"{len(known)} classes: {min(known):.3f} to {max(known):.3f}"
