"""Parts that figures share: labels, and what stands for no number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More names than this cannot be read beside a matrix.
_MOST_NAMES = 40


def plain_label(text: str, length: int = 30) -> str:
    """A text for a figure: on one line, shortened, and with no dollar sign taken for a formula."""
    line = " ".join(str(text).split())
    line = "".join(letter if letter.isprintable() else "�" for letter in line)
    line = line if len(line) <= length else f"{line[: length - 1]}…"
    return line.replace("$", r"\$")


def hatch_rows(axes: Axes, rows: NDArray[np.bool_], length: int) -> None:
    """Hatch rows of a matrix that hold no number; they are ``length`` fields long."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    bars = [Rectangle((-0.5, row - 0.5), length, 1) for row in np.flatnonzero(rows)]
    if bars:
        hatched = PatchCollection(
            bars, facecolor="#f0f0f0", edgecolor="#8a8a8a", hatch="///", linewidth=0
        )
        axes.add_collection(hatched, autolim=False)


def name_classes(axes: Axes, class_names: Sequence[str]) -> None:
    """The rows of a matrix by their classes, as far as they can be read."""
    if len(class_names) <= _MOST_NAMES:
        labels = [plain_label(name, 18) for name in class_names]
        axes.set_yticks(range(len(class_names)), labels)
    else:
        axes.set_ylabel("class number", fontsize=9)
