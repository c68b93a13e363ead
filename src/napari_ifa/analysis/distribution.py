"""The distribution of class activations over a cohort, as counts that merge by addition.

Values are counted in logarithmic bins of relative width 0.1 % for each sign, and one bin for zero
(DDSketch's mapping: Masson, Rim and Lee, VLDB 2019). Shards in any order give the same counts, bit
for bit; minimum and maximum are exact, and mean and variance follow Chan's parallel update.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.analysis.moments import merged_moments
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    import torch

_LOG_GAMMA = float(np.log(1.001))
#: Bin 1 begins here; smaller magnitudes (below float32's normal numbers) count as zero.
_SMALLEST = 2.0**-126
#: Keeps the bins of one class apart from the next one's in a joint key.
_STRIDE = 1 << 22


@dataclass(frozen=True, eq=False)
class Distribution:
    """Counts per class, and the exact moments beside them.

    Attributes
    ----------
    bins : ``[n]`` sorted signed bin numbers, 0 for zero.
    counts : ``[C, n]`` values in each bin.
    minimum, maximum, mean, sum_of_squares : ``[C]``; the last about the mean.
    not_finite : ``[C]`` values that are infinite or not a number; they are in no bin.
    """

    bins: NDArray[np.int64]
    counts: NDArray[np.int64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    sum_of_squares: NDArray[np.float64]
    not_finite: NDArray[np.int64]

    @classmethod
    def empty(cls, classes: int) -> Distribution:
        """No values yet."""
        return cls(
            bins=np.empty(0, np.int64),
            counts=np.empty((classes, 0), np.int64),
            minimum=np.full(classes, np.inf),
            maximum=np.full(classes, -np.inf),
            mean=np.zeros(classes),
            sum_of_squares=np.zeros(classes),
            not_finite=np.zeros(classes, np.int64),
        )

    @classmethod
    def of(cls, values: torch.Tensor) -> Distribution:
        """The distribution of ``values [C, n]``, counted on their own device."""
        import torch

        classes = values.shape[0]
        # Apple's GPUs have no float64; the maps are small enough to go to the CPU.
        exact = (values.cpu() if values.device.type == "mps" else values).detach().double()
        finite = torch.isfinite(exact)
        number = finite.sum(1)
        zero = torch.zeros((), dtype=exact.dtype, device=exact.device)
        kept = torch.where(finite, exact, zero)
        mean = kept.sum(1) / number.clamp(min=1)
        deviation = torch.where(finite, exact - mean[:, None], zero)
        infinite = torch.full((), torch.inf, dtype=exact.dtype, device=exact.device)
        magnitude = kept.abs()
        step = torch.floor(torch.log(magnitude / _SMALLEST) / _LOG_GAMMA) + 1
        step = torch.where(magnitude >= _SMALLEST, step, zero) * kept.sign()
        row = torch.arange(classes, device=exact.device)[:, None]
        key = row * _STRIDE + step.long() + _STRIDE // 2
        unique, count = torch.unique(key[finite], return_counts=True)
        found = unique.cpu().numpy()
        bins, column = np.unique(found % _STRIDE - _STRIDE // 2, return_inverse=True)
        counts = np.zeros((classes, bins.size), np.int64)
        counts[found // _STRIDE, column] = count.cpu().numpy()
        return cls(
            bins=bins,
            counts=counts,
            minimum=torch.where(finite, exact, infinite).amin(1).cpu().numpy(),
            maximum=torch.where(finite, exact, -infinite).amax(1).cpu().numpy(),
            mean=mean.cpu().numpy(),
            sum_of_squares=(deviation**2).sum(1).cpu().numpy(),
            not_finite=(~finite).sum(1).cpu().numpy(),
        )

    @property
    def number(self) -> NDArray[np.int64]:
        """Finite values counted, ``[C]``."""
        result: NDArray[np.int64] = self.counts.sum(axis=1)
        return result

    def merged(self, other: Distribution) -> Distribution:
        """The distribution of both sets of values."""
        bins = np.union1d(self.bins, other.bins)
        counts = np.zeros((self.counts.shape[0], bins.size), np.int64)
        counts[:, np.searchsorted(bins, self.bins)] += self.counts
        counts[:, np.searchsorted(bins, other.bins)] += other.counts
        mean, sum_of_squares = merged_moments(
            (self.number, self.mean, self.sum_of_squares),
            (other.number, other.mean, other.sum_of_squares),
        )
        return Distribution(
            bins=bins,
            counts=counts,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            mean=mean,
            sum_of_squares=sum_of_squares,
            not_finite=self.not_finite + other.not_finite,
        )

    def over_classes(self) -> Distribution:
        """All classes' values as one distribution."""
        joint = Distribution.empty(1)
        for c in range(self.counts.shape[0]):
            joint = joint.merged(self._only(c))
        return joint

    def percentile(self, percent: ArrayLike, class_idx: int = 0) -> Any:
        """Percentiles of one class, as ``numpy.percentile`` counts ranks, within 0.05 %.

        Raises
        ------
        AnalysisError
            Where the class has no finite value.
        """
        counts = self.counts[class_idx]
        number = int(counts.sum())
        if number == 0:
            raise AnalysisError(
                f"Class {class_idx} has no finite class activation in this cohort; check the"
                " network's output on it."
            )
        rank = np.asarray(percent, dtype=float) / 100 * (number - 1)
        below = np.floor(rank).astype(np.int64)
        above = np.minimum(below + 1, number - 1)
        lower = self._ranked(below, class_idx)
        upper = self._ranked(above, class_idx)
        result = lower + (upper - lower) * (rank - below)
        return float(result) if np.ndim(result) == 0 else result

    def _ranked(self, rank: NDArray[np.int64], class_idx: int) -> NDArray[np.float64]:
        """The value of a rank: the one with the least relative error in its bin."""
        cumulative = np.cumsum(self.counts[class_idx])
        bins = self.bins[np.searchsorted(cumulative, rank, side="right")].astype(float)
        upper_edge = np.exp(np.abs(bins) * _LOG_GAMMA) * _SMALLEST
        value = np.sign(bins) * upper_edge * 2 / (1 + np.exp(_LOG_GAMMA))
        smallest, greatest = self.minimum[class_idx], self.maximum[class_idx]
        value = np.clip(value, smallest, greatest)
        # The first and the last are known exactly.
        value = np.where(rank == 0, smallest, value)
        return np.where(rank == cumulative[-1] - 1, greatest, value)

    def _only(self, class_idx: int) -> Distribution:
        row = slice(class_idx, class_idx + 1)
        return Distribution(
            self.bins,
            self.counts[row],
            self.minimum[row],
            self.maximum[row],
            self.mean[row],
            self.sum_of_squares[row],
            self.not_finite[row],
        )
