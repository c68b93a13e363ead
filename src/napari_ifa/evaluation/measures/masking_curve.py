"""How a model's answers hold as more and more of its features are kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from napari_ifa.evaluation.measures.feature_order import CurveMasks
from napari_ifa.evaluation.numbers import Bools, Floats, Numbers
from napari_ifa.evaluation.statistics.certainty import unless_equal
from napari_ifa.evaluation.statistics.independence import Groups
from napari_ifa.evaluation.statistics.performance import determination, regression_measures
from napari_ifa.evaluation.statistics.shares import of_share

Order = Literal["most important first", "least important first", "random"]


@dataclass(frozen=True)
class CurvePoint:
    """One point of the curve.

    Attributes
    ----------
    order : which features are kept first.
    kept, share : how many, and which share of all.
    n : cases with a label.
    value : accuracy, or R² of a regression; the mean of the random orders.
    low, high : 95 % interval of an accuracy (Wilson) or an R² (bootstrap); the least and greatest
        of the random orders.
    """

    order: Order
    kept: int
    share: float
    n: int
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, repr=False)
class MaskingCurve(Numbers):
    """Accuracy, or R², over the share of the features kept.

    Attributes
    ----------
    points : ascending, order by order.
    measure : ``"accuracy"`` or ``"R²"``.
    every : its value with all features.
    chance : what an answer that never changes reaches: the share of the commonest class, or an
        R² of 0.
    principal : share and value of the principal features.
    bypassed : whether part of the answer goes around the target layer.
    groups : ``[N]``, equal for cases of one patient; None where none are known.
    """

    points: tuple[CurvePoint, ...]
    measure: Literal["accuracy", "R²"]
    every: float
    chance: float
    principal: tuple[float, float]
    bypassed: bool = False
    groups: Groups = None

    def of_order(self, order: Order) -> tuple[CurvePoint, ...]:
        """The points of one order, ascending."""
        return tuple(point for point in self.points if point.order == order)


ORDERS: tuple[Order, ...] = ("most important first", "least important first", "random")


def accuracy_curve(
    masks: CurveMasks,
    right: Bools,
    chance: float,
    bypassed: bool,
    groups: Groups = None,
) -> MaskingCurve:
    """From which cases are answered rightly with each mask, ``right [N, M]``."""

    def bounds(number: int) -> tuple[float, float]:
        interval = of_share(right[:, number], groups)
        return interval.low, interval.high

    values = right.mean(axis=0)
    return _curve(masks, "accuracy", values, bounds, len(right), chance, bypassed, groups)


def fit_curve(
    masks: CurveMasks,
    targets: Floats,
    answers: Floats,
    bypassed: bool,
    groups: Groups = None,
) -> MaskingCurve:
    """From a regression's ``answers [N, M]``."""
    values = np.array([float(determination(column, targets)) for column in answers.T])

    def bounds(number: int) -> tuple[float, float]:
        measures = regression_measures(answers[:, number], targets, groups)
        found = next(one for one in measures if one.measure == "R²")
        return unless_equal(found.low, found.high)

    return _curve(masks, "R²", values, bounds, len(targets), 0.0, bypassed, groups)


def _curve(
    masks: CurveMasks,
    measure: Literal["accuracy", "R²"],
    values: Floats,
    bounds: Callable[[int], tuple[float, float]],
    cases: int,
    chance: float,
    bypassed: bool,
    groups: Groups,
) -> MaskingCurve:
    """From the values ``[M]`` with each mask, and the ends of the interval of each."""
    features = masks.masks[0].count

    def point(order: Order, kept: int, value: float, low: float, high: float) -> CurvePoint:
        share = kept / features
        return CurvePoint(order, kept, share, cases, float(value), float(low), float(high))

    points = [
        point(order, kept, values[number], *bounds(number))
        for order, numbers in zip(ORDERS[:2], (masks.first, masks.last), strict=True)
        for kept, number in zip(masks.kept, numbers, strict=True)
    ]
    for place, kept in enumerate(masks.kept):
        drawn = values[[numbers[place] for numbers in masks.random]]
        points.append(point(ORDERS[2], kept, drawn.mean(), drawn.min(), drawn.max()))
    every, principal = float(values[0]), float(values[1])
    share = masks.masks[1].count / features
    return MaskingCurve(tuple(points), measure, every, chance, (share, principal), bypassed, groups)
