"""The figures of what an analysis alone shows of its model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.evaluation.checks.confounders import Confounders
from napari_ifa.evaluation.checks.outliers import Outliers
from napari_ifa.evaluation.checks.overfitting import Overfitting
from napari_ifa.evaluation.checks.principal import PrincipalFeatures
from napari_ifa.evaluation.figures.drawing import (
    AGAINST,
    FOR,
    PLAIN,
    legend_above,
    no_number,
    only_axes,
    plain_label,
    white_figure,
)
from napari_ifa.evaluation.measures.feature_removal import TOLERATED, FeatureRemoval, Filling
from napari_ifa.wording import counted, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Most classes that have a panel or a column of their own.
_MOST_PANELS, _MOST_COLUMNS = 9, 14
#: Most bars of the confounder figure, and most points with a number beside them.
_MOST_BARS, _MOST_LABELS = 15, 12
#: Most features of a class that the overfitting figure numbers.
_MOST_NUMBERS = 6
#: Relative distance beyond which the outlier figure's axis turns logarithmic.
_MOST_LINEAR = 20
_NAME_LENGTH = 24
#: How the points of the outlier figure look.
_USUAL: dict[str, Any] = {"s": 16, "color": PLAIN, "zorder": 2}
_NEARER: dict[str, Any] = {"s": 26, "color": AGAINST, "marker": "s", "zorder": 3}
_FIRST: dict[str, Any] = {
    "s": 42,
    "color": FOR,
    "marker": "D",
    "edgecolors": "black",
    "linewidths": 0.6,
    "zorder": 4,
}


def overfitting_figure(found: Overfitting) -> Figure:
    """Training against test importance, a panel per class, significant features in colour."""
    figure, axes = _panels(found.class_names, 4.0, "training (logit)", "test (logit)")
    numbered = False
    for c, panel in enumerate(axes):
        if not found.tested[c]:
            why = f": {found.train_cases[c]} training\nand {found.test_cases[c]} test cases"
            if c == found.compared_class:
                why = ": the others\nare compared with it"
            no_number(panel, f"not tested{why if found.stored else ''}")
            continue
        x, y, marked = found.train[:, c], found.test[:, c], found.significant[:, c]
        ends = _with_margin(np.concatenate([x, y]))
        panel.plot(ends, ends, color="black", linewidth=0.8, zorder=1)
        panel.axhline(0, color="0.85", linewidth=0.8, zorder=0)
        panel.axvline(0, color="0.85", linewidth=0.8, zorder=0)
        panel.scatter(x[~marked], y[~marked], s=18, color=PLAIN, label="not significant", zorder=2)
        panel.scatter(
            x[marked],
            y[marked],
            s=30,
            marker="D",
            color=FOR,
            edgecolors="black",
            linewidths=0.5,
            label=f"differs, adjusted p ≤ {found.level:g}",
            zorder=3,
        )
        panel.set_xlim(*ends)
        panel.set_ylim(*ends)
        panel.set_aspect("equal")
        most_different = np.argsort(np.where(marked, -np.abs(found.t[:, c]), 0.0), kind="stable")
        named = most_different[: min(int(marked.sum()), _MOST_NUMBERS)]
        for f in named.tolist():
            # Away from the diagonal, where most points lie.
            _number_beside(panel, x[f], y[f], str(f), left=bool(y[f] > x[f]))
        numbered = numbered or bool(marked.any())
        panel.set_title(
            f"{plain_label(found.class_names[c], _NAME_LENGTH)}\n"
            f"{marked.sum()} of {marked.size} differ, r = {found.correlation[c]:.3f}",
            fontsize=10,
        )
    if numbered:
        figure.supxlabel(
            f"numbers: of each class the features that differ most, {_MOST_NUMBERS} at most",
            fontsize=9,
        )
    _legend_once(figure, axes)
    _say_how_many_more(figure, found.class_names, len(axes))
    return figure


def principal_figure(found: PrincipalFeatures) -> Figure:
    """Every class's column from the largest to the smallest, principal features in colour."""
    labels = "features in rank order", "importance (logit)"
    figure, axes = _panels(found.class_names, 2.9, *labels)
    for c, panel in enumerate(axes):
        mask = found.masks["value"][c]
        if mask is None:
            itself = c == found.compared_class
            no_number(
                panel,
                "the others are\ncompared with it" if itself else "no case counts\nfor this class",
            )
            continue
        column = found.importance[:, c]
        order = np.argsort(-column, kind="stable")
        marked = mask.keep[order]
        edges = np.arange(column.size + 1) - 0.5
        # One outline for all bars is quick to draw, and leaves no gaps between many of them.
        for chosen, colour, text in ((marked, FOR, "principal"), (~marked, PLAIN, "others")):
            heights = np.where(chosen, column[order], 0.0)
            panel.stairs(heights, edges, fill=True, color=colour, label=text)
        panel.axhline(0, color="black", linewidth=0.8)
        panel.set_xlim(-1, column.size)
        first = order[: min(mask.count, 5)]
        more = " …" if mask.count > len(first) else ""
        text = (
            f"{mask.count} of {column.size}: {', '.join(map(str, first))}{more}\n"
            f"{percent(found.share(c))} of what speaks for it"
        )
        panel.text(0.97, 0.95, text, transform=panel.transAxes, ha="right", va="top", fontsize=9)
    _legend_once(figure, axes)
    _say_how_many_more(figure, found.class_names, len(axes))
    return figure


def confounder_figure(found: Confounders) -> Figure:
    """The largest shares as bars, candidates first, each with the share that marks a candidate."""
    from matplotlib.patches import Patch

    figure = white_figure(8.2, 0.32 * _MOST_BARS + 1.4)
    panel = figure.add_subplot()
    shown = found.ranked[:_MOST_BARS]
    if not shown:
        no_number(panel, "no class has a case that counts")
        return figure
    for place, (f, c) in enumerate(shown):
        candidate = found.candidate[f, c]
        colour = (FOR if found.importance[f, c] > 0 else AGAINST) if candidate else PLAIN
        share = 100 * found.share[f, c]
        panel.barh(place, share, color=colour, height=0.75)
        box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
        text = f"z = {found.z[f, c]:.1f}"
        panel.annotate(
            text,
            (share, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            bbox=box,
        )
    panel.set_yticks(
        range(len(shown)),
        [f"feature {f} · {plain_label(found.class_names[c], _NAME_LENGTH)}" for f, c in shown],
        fontsize=9,
    )
    reach = 100 * found.share_to_reach
    end = 1.25 * max(100 * found.share[f, c] for f, c in shown)
    panel.set_xlim(0, end)
    for place, (_, c) in enumerate(shown):
        if reach[c] < end:
            panel.plot([reach[c]] * 2, [place - 0.45, place + 0.45], color="black", linewidth=1.5)
    text = f"black: log-normal shares reach this in {100 * found.level:g} % of such tables"
    panel.text(1.0, 1.01, text, transform=panel.transAxes, ha="right", va="bottom", fontsize=8.5)
    panel.set_ylim(len(shown) + 0.7, -0.7)
    panel.set_xlabel("share of the class's evidence, Σ|importance| (%)")
    marks = {FOR: "candidate, speaks for", AGAINST: "candidate, against", PLAIN: "no candidate"}
    legend_above(figure, [Patch(color=colour, label=text) for colour, text in marks.items()])
    only_axes(panel, 9)
    return figure


def outlier_figure(found: Outliers) -> Figure:
    """Every case's relative distance in the column of its class, the first 5 % with their ranks.

    Of many classes those with the first cases are shown.
    """
    classes = [c for c in range(len(found.class_names)) if (found.label == c).any()]
    farthest = dict.fromkeys(int(found.label[n]) for n in found.ranked)
    shown = sorted([*farthest, *(c for c in classes if c not in farthest)][:_MOST_COLUMNS])
    figure = white_figure(min(max(6.5, 1.1 * len(shown) + 2.0), 10.5), 4.8)
    panel = figure.add_subplot()
    spread = np.random.default_rng(0).uniform(-0.22, 0.22, len(found.label))
    first = set(found.first.tolist())
    ranks = {int(n): rank + 1 for rank, n in enumerate(found.ranked)}
    distance = found.relative
    kinds: dict[str, list[int]] = {"as usual": [], "nearer to other labels": []}
    title = "the first, with its rank" if len(first) == 1 else "first 5 %, with rank"
    kinds[title] = []
    place_of = {c: place for place, c in enumerate(shown)}
    for n in ranks:
        if int(found.label[n]) in place_of:
            kind = title if n in first else list(kinds)[int(found.nearer_others[n])]
            kinds[kind].append(n)
    for (kind, members), style in zip(kinds.items(), (_USUAL, _NEARER, _FIRST), strict=True):
        if members:
            x = [place_of[int(found.label[n])] + spread[n] for n in members]
            panel.scatter(x, distance[members], label=kind, clip_on=False, **style)
    for n in kinds[title][:_MOST_LABELS]:
        place = place_of[int(found.label[n])]
        _number_beside(panel, place + spread[n], distance[n], str(ranks[n]))
    ranked_classes = {int(found.label[n]) for n in ranks}
    few = [place_of[c] for c in shown if c not in ranked_classes]
    for number, place in enumerate(few):
        panel.axvspan(
            place - 0.4,
            place + 0.4,
            facecolor="0.93",
            hatch="///",
            edgecolor="0.7",
            label="too few cases" if not number else None,
        )
    names = (
        [plain_label(found.class_names[c], _NAME_LENGTH) for c in shown]
        if not found.regression
        else ["all cases"]
    )
    panel.set_xticks(range(len(shown)), names, fontsize=9)
    if len(shown) > 6:
        panel.tick_params(axis="x", labelrotation=40)
        for label in panel.get_xticklabels():
            label.set_horizontalalignment("right")
    panel.set_xlim(-0.6, len(shown) - 0.4)
    panel.set_ylabel(f"{found.by} distance, 1 = usual")
    panel.axhline(1, color="0.8", linewidth=0.8, zorder=0)
    highest = float(np.max(distance[list(ranks)]))
    if highest > _MOST_LINEAR:
        panel.set_yscale("symlog", linthresh=1)
    panel.set_ylim(bottom=-0.04 * min(highest, _MOST_LINEAR / 4))
    legend_above(figure, ncols=4)
    only_axes(panel, 9)
    _say_how_many_more(figure, [found.class_names[c] for c in classes], len(shown))
    return figure


def removal_figure(found: FeatureRemoval) -> Figure:
    """The accuracy lost over the features removed, measured and at most, with the one point."""
    figure = white_figure(7.2, 4.4)
    panel = figure.add_subplot()
    styles: tuple[tuple[Filling, str, str, str], ...] = (
        ("mean", FOR, "o", "to their mean"),
        ("zero", AGAINST, "s", "to zero"),
    )
    for filling, colour, marker, text in styles:
        steps = found.of_filling(filling)
        x = [step.removed for step in steps]
        lost = [100 * step.lost for step in steps]
        panel.plot(x, lost, marker=marker, color=colour, markersize=4, label=f"removed {text}")
        panel.fill_between(
            x, lost, [100 * step.at_most for step in steps], color=colour, alpha=0.15, linewidth=0
        )
    panel.axhline(100 * TOLERATED, color="black", linestyle="--", linewidth=1, label="one point")
    panel.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    panel.set_yscale("symlog", linthresh=5)
    ticks = [-5, 0, 1, 2, 5, 10, 20, 50, 100]
    panel.set_yticks(ticks, [f"{tick}" for tick in ticks])
    panel.minorticks_off()
    panel.set_ylim(min(-1.5, *(100 * step.lost for step in found.steps)) - 0.5, 130)
    features = len(found.orders[0].order)
    panel.set_xlim(0, features)
    panel.set_xlabel(f"features removed of {features}, the least needed first")
    panel.set_ylabel(f"accuracy lost (points; {len(found.every)} cases)\nshaded: at most, 95 %")
    legend_above(figure, ncols=3)
    only_axes(panel, 9)
    return figure


def _panels(
    names: Sequence[str], height: float, xlabel: str, ylabel: str
) -> tuple[Figure, list[Axes]]:
    """A panel for each of the first classes, three in a row."""
    number = min(len(names), _MOST_PANELS)
    columns = min(number, 3)
    rows = -(-number // columns)
    figure = white_figure(3.3 * columns + 0.4 if columns > 1 else 5.2, height * rows + 0.4)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(number)]
    for panel, name in zip(axes, names, strict=False):
        only_axes(panel, 9)
        panel.set_title(plain_label(name, _NAME_LENGTH), fontsize=11)
        panel.set(xlabel=xlabel, ylabel=ylabel)
    return figure, axes


def _number_beside(panel: Axes, x: float, y: float, text: str, *, left: bool = False) -> None:
    panel.annotate(
        text,
        (x, y),
        xytext=(-5 if left else 5, 3),
        textcoords="offset points",
        ha="right" if left else "left",
        fontsize=8.5,
        zorder=6,
    )


def _legend_once(figure: Figure, axes: Sequence[Axes]) -> None:
    handles = next(filter(None, (panel.get_legend_handles_labels()[0] for panel in axes)), None)
    if handles:
        legend_above(figure, handles)


def _say_how_many_more(figure: Figure, names: Sequence[str], shown: int) -> None:
    if len(names) > shown:
        more = f"and {counted(len(names) - shown, 'more class', 'more classes')}, in the table"
        below = figure.get_supxlabel()
        figure.supxlabel(f"{below}; {more}" if below else more, fontsize=9 if below else 10)


def _with_margin(values: np.ndarray) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin
