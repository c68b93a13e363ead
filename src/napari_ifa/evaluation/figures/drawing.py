"""Parts that figures share: colours, white figures, labels, and what stands for no number.

Colours of classes are those of Okabe and Ito, which colour-blind people tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.evaluation.numbers import Bools

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Colours of classes.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
GREY = "#7f7f7f"
#: The house's orange and blue, apart for colour-blind eyes, and what is not marked.
FOR, AGAINST, PLAIN = "#d9531e", "#1f4fb4", "#9aa3ad"
#: More names than this cannot be read beside a matrix.
MOST_NAMES = 40


def white_figure(width: float, height: float) -> Figure:
    """A figure for a page, in inches."""
    from matplotlib.figure import Figure as Mpl

    return Mpl(figsize=(width, height), dpi=100, facecolor="white", layout="constrained")


def only_axes(axes: Axes, labelsize: float = 8) -> None:
    """Without the frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=labelsize)


def legend_above(figure: Figure, handles: Sequence[Any] | None = None, ncols: int = 0) -> None:
    """One legend for all panels, in one row; of all labelled artists where no handles are given."""
    given = {} if handles is None else {"handles": handles}
    ncols = ncols or len(handles or ())
    figure.legend(**given, loc="outside upper center", ncols=ncols, frameon=False, fontsize=9)


def plain_label(text: str, length: int = 30) -> str:
    """A text for a figure: on one line, shortened, and with no dollar sign taken for a formula.

    A long one loses its middle: what tells names apart is often at the end.
    """
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    if len(line) > length:
        end = length // 2 - 1
        line = f"{line[: length - 1 - end]}…{line[len(line) - end :]}"
    return line.replace("$", r"\$")


def hatch_rows(axes: Axes, rows: Bools, length: int) -> None:
    """Hatch rows of a matrix that hold no number; they are ``length`` fields long."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    bars = [Rectangle((-0.5, row - 0.5), length, 1) for row in np.flatnonzero(rows)]
    if bars:
        hatched = PatchCollection(
            bars, facecolor="#f0f0f0", edgecolor="#8a8a8a", hatch="///", linewidth=0
        )
        axes.add_collection(hatched, autolim=False)


def no_number(axes: Axes, text: str) -> None:
    """Grey and hatched, so that nothing measured is not taken for nothing there."""
    axes.set_facecolor("0.93")
    axes.patch.set_hatch("///")
    axes.patch.set_edgecolor("0.75")
    axes.set_xticks([])
    axes.set_yticks([])
    box = {"facecolor": "white", "edgecolor": "none"}
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", bbox=box)


def name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    """The rows of a matrix by their classes, as far as they can be read."""
    if len(class_names) <= MOST_NAMES:
        labels = [plain_label(name, 18) for name in class_names]
        axes.set_yticks(range(len(class_names)), labels)
    else:
        axes.set_ylabel("class number", fontsize=9)
