"""How values become colours, and what the colour bar says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Colouring:
    """Colours of a map, and its colour bar.

    Attributes
    ----------
    colours : values ``[...]`` → RGBA ``[..., 4]`` of 0…1; NaN, having no value, is transparent.
    limits : the values at the bar's lower and upper end.
    neutral : the value that speaks neither for nor against the class.
    marks : further values to mark, each with a few letters, as ``(0.1, "P10")``.
    sides : what values at the lower and at the upper end speak for, in words.
    unit : of the numbers that are marked, in words.
    """

    colours: Callable[[NDArray[Any]], NDArray[np.floating[Any]]]
    limits: tuple[float, float]
    neutral: float
    marks: tuple[tuple[float, str], ...] = ()
    sides: tuple[str, str] = ("", "")
    unit: str = "(in logits)"
