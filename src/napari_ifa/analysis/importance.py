"""The importance matrix [features × classes] and the feature masks that are made from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.analysis.moments import merged_moments
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    import torch

Ranking = Literal["value", "abs", "contrast"]


@dataclass(frozen=True, eq=False)
class ContributionStatistics:
    """Contributions over cases: a column's mean, variance and frequency, mergeable among shards.

    Mean and squared deviations follow Chan's parallel update, which stays exact where the mean is
    large beside the spread.

    Attributes
    ----------
    average : ``[F, C]`` mean of k over the cases that count for the class; 0 where none does.
    deviations : ``[F, C]`` squared deviations from it, summed.
    positive : ``[F, C]`` cases with k > 0.
    cases : ``[C]`` cases that count for the class.
    """

    average: NDArray[np.float64]
    deviations: NDArray[np.float64]
    positive: NDArray[np.int64]
    cases: NDArray[np.int64]

    @classmethod
    def of_all(cls, contributions: torch.Tensor) -> ContributionStatistics:
        """Of ``contributions [B, C, F]``, every case counting for every class."""
        cases, classes = contributions.shape[:2]
        # Apple's GPUs have no float64.
        exact = contributions.cpu() if contributions.device.type == "mps" else contributions
        exact = exact.double()
        average = exact.mean(0)
        return cls(
            average=average.T.cpu().numpy(),
            deviations=((exact - average) ** 2).sum(0).T.cpu().numpy(),
            positive=(exact > 0).sum(0).T.cpu().numpy(),
            cases=np.full(classes, cases, np.int64),
        )

    @classmethod
    def of_shared(cls, weights: torch.Tensor, sums: torch.Tensor) -> ContributionStatistics:
        """Of contributions w·s whose weights ``[C, F]`` are the same for every case.

        ``sums [B, F]`` are the cases' features summed over the grid. The same as `of_all` of the
        products, up to rounding, without making B·C·F of them.
        """
        # Apple's GPUs have no float64.
        if sums.device.type == "mps":
            weights, sums = weights.cpu(), sums.cpu()
        weights, sums = weights.double(), sums.double()
        average = sums.mean(0)
        above, below = (sums > 0).sum(0), (sums < 0).sum(0)
        return cls(
            average=(weights * average).T.cpu().numpy(),
            deviations=(weights**2 * ((sums - average) ** 2).sum(0)).T.cpu().numpy(),
            positive=(above * (weights > 0) + below * (weights < 0)).T.cpu().numpy(),
            cases=np.full(len(weights), len(sums), np.int64),
        )

    @classmethod
    def of_own(
        cls, contributions: NDArray[np.float64], counted: NDArray[np.bool_]
    ) -> ContributionStatistics:
        """Of each case's contributions to its own class, ``[B, F]``.

        ``counted [B, C]`` says for which class a case counts, for one at most.
        """
        features, classes = contributions.shape[1], counted.shape[1]
        average = np.zeros((features, classes))
        deviations = np.zeros((features, classes))
        positive = np.zeros((features, classes), np.int64)
        for c in np.flatnonzero(counted.any(axis=0)):
            own = contributions[counted[:, c]]
            average[:, c] = own.mean(axis=0)
            deviations[:, c] = ((own - average[:, c]) ** 2).sum(axis=0)
            positive[:, c] = (own > 0).sum(axis=0)
        return cls(average, deviations, positive, counted.sum(axis=0, dtype=np.int64))

    def merged(self, other: ContributionStatistics) -> ContributionStatistics:
        """Of both sets of cases."""
        average, deviations = merged_moments(
            (self.cases, self.average, self.deviations),
            (other.cases, other.average, other.deviations),
        )
        return ContributionStatistics(
            average, deviations, self.positive + other.positive, self.cases + other.cases
        )

    @property
    def mean(self) -> NDArray[np.float64]:
        """The importance matrix ``[F, C]``; NaN for a class without a case."""
        return np.where(self.cases > 0, self.average, np.nan)

    @property
    def variance(self) -> NDArray[np.float64]:
        """Unbiased variance of the contributions over cases, ``[F, C]``; NaN below two cases."""
        degrees = np.where(self.cases > 1, self.cases - 1.0, np.nan)
        return np.asarray(self.deviations / degrees)

    @property
    def frequency(self) -> NDArray[np.float64]:
        """Share of cases in which the feature speaks for the class, ``[F, C]``."""
        return np.asarray(self.positive / np.where(self.cases > 0, self.cases, np.nan))


@dataclass(frozen=True, eq=False)
class FeatureMask:
    """Which features of the target layer are kept; the rest count as if they were zero.

    Attributes
    ----------
    keep : ``[F]`` bool.
    name : what the choice is called in a table or a file name.
    """

    keep: NDArray[np.bool_]
    name: str = "chosen"

    @classmethod
    def all(cls, features: int) -> FeatureMask:
        """Every feature: the network as it is."""
        return cls(np.ones(features, bool), "all")

    @classmethod
    def none(cls, features: int) -> FeatureMask:
        """No feature: what the network answers without any evidence."""
        return cls(np.zeros(features, bool), "none")

    @classmethod
    def only(cls, features: int, chosen: Iterable[int]) -> FeatureMask:
        """The chosen features alone.

        Raises
        ------
        AnalysisError
            Where a number is not a feature's.
        """
        numbers = sorted(set(chosen))
        wrong = [n for n in numbers if not 0 <= n < features]
        if wrong:
            raise AnalysisError(AnalysisProblem.NO_FEATURE, asked=wrong[0], last=features - 1)
        keep = np.zeros(features, bool)
        keep[numbers] = True
        return cls(keep, "only " + ", ".join(map(str, numbers)))

    @classmethod
    def without(cls, features: int, chosen: Iterable[int]) -> FeatureMask:
        """Every feature but the chosen ones."""
        numbers = sorted(set(chosen))
        keep = ~cls.only(features, numbers).keep
        return cls(keep, "not " + ", ".join(map(str, numbers)))

    @classmethod
    def top(
        cls,
        importance: ArrayLike,
        fraction: float,
        by: Ranking = "value",
        contrast: ArrayLike | None = None,
    ) -> FeatureMask:
        """The most important ``fraction`` of the features, at least one.

        Parameters
        ----------
        importance : ``[F]``, a column of the importance matrix.
        fraction : share of the features to keep; ``k = max(1, ceil(fraction · F))``.
        by : ``"value"``, ``"abs"`` or ``"contrast"`` (the column minus ``contrast``, the mean over
            classes).

        Raises
        ------
        AnalysisError
            For a fraction outside (0, 1] or a column without numbers.
        """
        column = np.asarray(importance, dtype=float)
        if not 0 < fraction <= 1:
            raise AnalysisError(AnalysisProblem.NO_SHARE, share=fraction)
        if not np.isfinite(column).any():
            raise AnalysisError(AnalysisProblem.NO_IMPORTANCE)
        key = np.abs(column) if by == "abs" else column
        if by == "contrast" and contrast is not None:
            key = column - np.asarray(contrast, dtype=float)
        # A tolerance keeps 5 % of 60 at 3 where floating point says 3.0000000000000004.
        number = max(1, int(np.ceil(fraction * column.size - 1e-9)))
        keep = np.zeros(column.size, bool)
        keep[np.argsort(-key, kind="stable")[:number]] = True
        return cls(keep, f"top {100 * fraction:g} %")

    def inverted(self) -> FeatureMask:
        """The other features."""
        opposites = {"all": "none", "none": "all"}
        return FeatureMask(~self.keep, opposites.get(self.name, f"all but {self.name}"))

    @property
    def count(self) -> int:
        """Features kept."""
        return int(self.keep.sum())
