"""The order in which a model's features matter, and the masks that follow from it.

No choice of features here knows a case's label: the same mask holds for every case.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_ifa.analysis.importance import FeatureMask, Ranking
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.numbers import Ints
from napari_ifa.evaluation.problems import EvaluationProblem

#: Kept shares of the features at which the masking curve is taken.
FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
#: Random orders beside the two by importance.
RANDOM_ORDERS = 5


@dataclass(frozen=True, eq=False)
class FeatureOrder:
    """All features of a model, the most important one first.

    A feature stands where its best rank in any class puts it, and among equals the one with the
    better mean rank first: so the first features are the union of the classes' top ones.

    Attributes
    ----------
    order : ``[F]`` feature numbers.
    best : ``[F]`` the best rank of each feature in any class, from 0.
    kind : the importance that it rests on.
    without_cases : class numbers that have no importance, and no say, for want of cases.
    several : whether the model has several classes.
    """

    order: Ints
    best: Ints
    kind: Kind
    without_cases: tuple[int, ...]
    several: bool = True

    @classmethod
    def of(cls, analysis: Analysis, by: Ranking = "value", kind: Kind = "true") -> FeatureOrder:
        """From the importance matrix.

        Where ``kind`` is ``"true"`` and no case of the analysis has a class, the importance over
        all cases takes its place.

        Raises
        ------
        AnalysisError
            For an unknown ranking, or a contrast where there is one class alone.
        """
        matrix = analysis.dataset[f"importance_{kind}"].values
        if kind == "true" and not np.isfinite(matrix).any():
            return cls.of(analysis, by, "all")
        known = np.isfinite(matrix).all(axis=0)
        key = matrix[:, known]
        if not key.size:
            raise AnalysisError(EvaluationProblem.NO_IMPORTANCE)
        if by == "abs":
            key = np.abs(key)
        elif by == "contrast":
            if key.shape[1] < 2:
                raise AnalysisError(EvaluationProblem.CONTRAST_OF_ONE)
            key = key - key.mean(axis=1, keepdims=True)
        elif by != "value":
            raise AnalysisError(EvaluationProblem.NO_SUCH_RANKING, by=by)
        rank = np.argsort(np.argsort(-key, axis=0, kind="stable"), axis=0, kind="stable")
        best = rank.min(axis=1)
        order = np.lexsort((rank.mean(axis=1), best))
        missing = map(int, np.flatnonzero(~known))
        without = tuple(c for c in missing if c != analysis.compared_class)
        return cls(order, best, kind, without, matrix.shape[1] > 1)

    @property
    def features(self) -> int:
        """Features of the target layer."""
        return int(self.order.size)

    def union(self, top: float) -> FeatureMask:
        """The top share of every class's features together: each class brings max(1, ⌈r·F⌉).

        Raises
        ------
        AnalysisError
            For a share outside (0, 1].
        """
        number = kept_number(top, self.features)
        return FeatureMask(
            self.best < number, f"top {100 * top:g} %{' of any class' * self.several}"
        )

    def first(self, number: int) -> FeatureMask:
        """The most important features."""
        return _mask(self.order[:number], self.features, f"first {number}")

    def last(self, number: int) -> FeatureMask:
        """The least important features."""
        return _mask(self.order[self.features - number :], self.features, f"last {number}")

    def shuffled(self, seed: int) -> FeatureOrder:
        """The same features in random order."""
        order = np.random.default_rng(seed).permutation(self.order)
        return replace(self, order=order)


def kept_number(fraction: float, features: int) -> int:
    """k = max(1, ⌈r·F⌉), as in `FeatureMask.top`.

    Raises
    ------
    AnalysisError
        For a share outside (0, 1].
    """
    return FeatureMask.top(np.zeros(features), fraction).count


@dataclass(frozen=True, eq=False)
class CurveMasks:
    """The masks of a masking curve, each of them once, and where each point of it stands.

    Attributes
    ----------
    masks : every feature, the principal ones, the others, and those of the curve.
    kept : features kept at each point of the curve, ascending.
    first, last : number in ``masks`` of each point, most and least important features first.
    random : the same for each random order, ``[orders][points]``.
    """

    masks: tuple[FeatureMask, ...]
    kept: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    random: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls, order: FeatureOrder, top: float, fractions: tuple[float, ...], seed: int
    ) -> CurveMasks:
        """For the principal features at ``top``, and a curve over the kept ``fractions``.

        Raises
        ------
        AnalysisError
            For a share outside (0, 1].
        """
        principal = order.union(top)
        masks = [FeatureMask.all(order.features), principal, principal.inverted()]
        known = {mask.keep.tobytes(): number for number, mask in enumerate(masks)}

        def number_of(mask: FeatureMask) -> int:
            key = mask.keep.tobytes()
            if key not in known:
                known[key] = len(masks)
                masks.append(mask)
            return known[key]

        kept = tuple(sorted({kept_number(fraction, order.features) for fraction in fractions}))
        orders = [order.shuffled(seed + number) for number in range(RANDOM_ORDERS)]
        first = tuple(number_of(order.first(k)) for k in kept)
        last = tuple(number_of(order.last(k)) for k in kept)
        random = tuple(tuple(number_of(one.first(k)) for k in kept) for one in orders)
        return cls(tuple(masks), kept, first, last, random)


def _mask(chosen: Ints, features: int, name: str) -> FeatureMask:
    keep = np.zeros(features, bool)
    keep[chosen] = True
    return FeatureMask(keep, name)
