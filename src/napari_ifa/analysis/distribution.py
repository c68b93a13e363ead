"""The distribution of class activations over a cohort, as counts that merge by addition.

Values are counted in logarithmic bins of relative width 0.1 % for each sign, and one bin for zero
(DDSketch's mapping: Masson, Rim and Lee, VLDB 2019). They hold a percentile to 0.05 % of itself,
which says nothing of the difference of two percentiles that lie far from zero; therefore the values
are also counted in bins of one absolute width, see `fine_counts`, and a percentile lies where both
agree. Minimum and maximum are exact, and the sums behind mean and variance are added up as
fractions, so that parts merged in any order give the same distribution, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.analysis.fine_counts import FineCounts, most_bins
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    import torch

_LOG_GAMMA = float(np.log(1.001))
#: Bin 1 begins here; smaller magnitudes (below float32's normal numbers) count as zero.
_SMALLEST = 2.0**-126


@dataclass(frozen=True, eq=False)
class Distribution:
    """Counts per class, and the exact moments beside them.

    Attributes
    ----------
    bins : ``[n]`` sorted signed bin numbers, 0 for zero.
    counts : ``[C, n]`` values in each bin.
    minimum, maximum : ``[C]``.
    totals, squares : ``[C]`` fractions: the sums of the values and of their squares.
    not_finite : ``[C]`` values that are infinite or not a number; they are in no bin.
    fine : one per class: the values in bins of one width; None in files of an earlier version.
    """

    bins: NDArray[np.int64]
    counts: NDArray[np.int64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    totals: NDArray[np.object_]
    squares: NDArray[np.object_]
    not_finite: NDArray[np.int64]
    fine: tuple[FineCounts, ...] | None = None

    @classmethod
    def of(cls, values: torch.Tensor) -> Distribution:
        """The distribution of ``values [C, n]``, counted on their own device."""
        import torch

        # Apple's GPUs have no float64; the maps are small enough to go to the CPU.
        exact = (values.cpu() if values.device.type == "mps" else values).detach().double()
        finite = torch.isfinite(exact)
        zero = torch.zeros((), dtype=exact.dtype, device=exact.device)
        infinite = torch.full((), torch.inf, dtype=exact.dtype, device=exact.device)
        kept = torch.where(finite, exact, zero)
        rows = zip(exact, finite, strict=True)
        single = [FineCounts.of(row[kind], row.numel()) for row, kind in rows]
        bins, counts = _counted(single)
        return cls(
            bins=bins,
            counts=counts,
            minimum=torch.where(finite, exact, infinite).amin(1).cpu().numpy(),
            maximum=torch.where(finite, exact, -infinite).amax(1).cpu().numpy(),
            totals=fractions_of(kept.sum(1).cpu().numpy()),
            squares=fractions_of((kept**2).sum(1).cpu().numpy()),
            not_finite=(~finite).sum(1).cpu().numpy(),
            fine=tuple(one.within(most_bins(len(single))) for one in single),
        )

    @property
    def number(self) -> NDArray[np.int64]:
        """Finite values counted, ``[C]``."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def mean(self) -> NDArray[np.float64]:
        """``[C]``; 0 for a class without values."""
        number = np.maximum(self.number, 1)
        return np.array([float(t / int(n)) for t, n in zip(self.totals, number, strict=True)])

    @property
    def sum_of_squares(self) -> NDArray[np.float64]:
        """Squared deviations from the mean, summed, ``[C]``."""
        number = np.maximum(self.number, 1)
        rows = zip(self.squares, self.totals, number, strict=True)
        return np.array([max(0.0, float(q - t * t / int(n))) for q, t, n in rows])

    def merged(self, other: Distribution) -> Distribution:
        """The distribution of both sets of values."""
        bins = np.union1d(self.bins, other.bins)
        counts = np.zeros((self.counts.shape[0], bins.size), np.int64)
        for part in (self, other):
            places = np.searchsorted(bins, part.bins)
            # Row by row: numpy adds to chosen columns of a large table five times more slowly.
            for row, more in zip(counts, part.counts, strict=True):
                row[places] += more
        return Distribution(
            bins=bins,
            counts=counts,
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            totals=self.totals + other.totals,
            squares=self.squares + other.squares,
            not_finite=self.not_finite + other.not_finite,
            fine=(
                None
                if self.fine is None or other.fine is None
                else tuple(
                    FineCounts.joined((one, two), most_bins(len(self.fine)))
                    for one, two in zip(self.fine, other.fine, strict=True)
                )
            ),
        )

    def over_classes(self) -> Distribution:
        """All classes' values as one distribution."""
        if len(self.counts) == 1:
            return self
        fine = None if self.fine is None else FineCounts.joined(self.fine, most_bins(1))
        return Distribution(
            bins=self.bins,
            counts=self.counts.sum(axis=0, keepdims=True),
            minimum=self.minimum.min(keepdims=True),
            maximum=self.maximum.max(keepdims=True),
            totals=self.totals.sum(keepdims=True),
            squares=self.squares.sum(keepdims=True),
            not_finite=self.not_finite.sum(keepdims=True),
            fine=None if fine is None else (fine,),
        )

    def percentile(self, percent: ArrayLike, class_idx: int = 0) -> Any:
        """Percentiles of one class, as ``numpy.percentile`` counts ranks, within `uncertainty`.

        Raises
        ------
        AnalysisError
            Where the class has no finite value.
        """
        return self._between_ranks(percent, class_idx)[0]

    def uncertainty(self, percent: ArrayLike, class_idx: int = 0) -> Any:
        """How far `percentile` can be from the exact one, at most: 0 where that is known.

        It is at most 0.05 % of the percentile itself, and half the width of the class's fine bins.
        That width is the least power of two with which the class's values occupy no more than N
        bins, N = 524288 for up to three classes, 2^21 / C for C of them, and at least 8192. So
        the difference of two percentiles, W, is known to 0.2 % whatever the offset is, unless the
        values lie in more than N different bins of W / 1024: they then fill a range of N / 1024
        times W and more, and more than N of them are different.
        """
        return self._between_ranks(percent, class_idx)[1]

    def _between_ranks(self, percent: ArrayLike, class_idx: int) -> tuple[Any, Any]:
        """Percentiles and how far off they can be."""
        number = self._finite_number(class_idx)
        rank = np.asarray(percent, dtype=float) / 100 * (number - 1)
        below = np.floor(rank).astype(np.int64)
        above = np.minimum(below + 1, number - 1)
        lower, upper = self._ranked(below, class_idx), self._ranked(above, class_idx)
        between = rank - below
        # For the values and for how far off they can be alike.
        value, off = (a + (b - a) * between for a, b in zip(lower, upper, strict=True))
        return (value, off) if np.ndim(value) else (float(value), float(off))

    def magnitude_percentile(self, percent: float, class_idx: int = 0) -> float:
        """A percentile of one class's magnitudes, to 0.05 % of itself.

        Raises
        ------
        AnalysisError
            Where the class has no finite value.
        """
        bins, place = np.unique(np.abs(self.bins), return_inverse=True)
        counts = np.zeros(bins.size, np.int64)
        np.add.at(counts, place, self.counts[class_idx])
        ends = np.array([self.minimum[class_idx], self.maximum[class_idx]])
        folded = Distribution(
            bins=bins,
            counts=counts[None],
            minimum=np.array([np.abs(ends).min() if ends[0] * ends[1] > 0 else 0.0]),
            maximum=np.array([np.abs(ends).max()]),
            totals=self.totals[class_idx : class_idx + 1],
            squares=self.squares[class_idx : class_idx + 1],
            not_finite=self.not_finite[class_idx : class_idx + 1],
        )
        return float(folded.percentile(percent))

    def of_classes(self, chosen: Sequence[int]) -> Distribution:
        """Those of some classes."""
        of = list(chosen)
        return Distribution(
            bins=self.bins,
            counts=self.counts[of],
            minimum=self.minimum[of],
            maximum=self.maximum[of],
            totals=self.totals[of],
            squares=self.squares[of],
            not_finite=self.not_finite[of],
            fine=None if self.fine is None else tuple(self.fine[c] for c in of),
        )

    def percentile_of(self, value: float, class_idx: int = 0) -> float:
        """The percentage of one class's values that are lower, those in its own bin counted half.

        The distribution's function at this value, within the width of a bin, of those of 0.1 % or
        the fine ones, whichever is less: 0 below the least value, 100 above the greatest.

        Raises
        ------
        AnalysisError
            Where the class has no finite value, or this one is not a number.
        """
        counts = self.counts[class_idx]
        number = self._finite_number(class_idx)
        if np.isnan(value):
            raise AnalysisError(AnalysisProblem.NOT_A_NUMBER)
        if value < self.minimum[class_idx]:
            return 0.0
        if value > self.maximum[class_idx]:
            return 100.0
        place = bin_number(value)
        fine = None if self.fine is None else self.fine[class_idx]
        if fine is not None and fine.step <= abs(value) * _LOG_GAMMA:
            counts = fine.counts
            behind = np.searchsorted(fine.values, value, side="right")
            # The bin before that place is the value's own where it reaches as far.
            own = behind > 0 and value - fine.values[behind - 1] <= fine.step
            first = behind - int(own)
        else:
            first, behind = np.searchsorted(self.bins, [place, place + 1])
        lower, same = counts[:first].sum(), counts[first:behind].sum()
        return float(100 * (lower + same / 2) / number)

    def _finite_number(self, class_idx: int) -> int:
        number = int(self.counts[class_idx].sum())
        if number == 0:
            raise AnalysisError(AnalysisProblem.NO_VALUE, class_idx=class_idx)
        return number

    def _ranked(
        self, rank: NDArray[np.int64], class_idx: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The values of ranks, the middle of where they can lie, and how far off that can be."""
        cumulative = np.cumsum(self.counts[class_idx])
        bins = self.bins[np.searchsorted(cumulative, rank, side="right")].astype(float)
        outer = np.exp(np.abs(bins) * _LOG_GAMMA) * _SMALLEST
        inner = np.where(bins == 0, -outer, outer / np.exp(_LOG_GAMMA))
        low, high = np.where(bins < 0, -outer, inner), np.where(bins < 0, -inner, outer)
        smallest, greatest = self.minimum[class_idx], self.maximum[class_idx]
        low, high = np.clip(low, smallest, greatest), np.clip(high, smallest, greatest)
        if self.fine is not None:
            fine = self.fine[class_idx]
            least = fine.bin_of_rank(rank)
            # The logarithm's bins end within rounding of where they should: never beyond these.
            low = np.clip(low, least, least + fine.step)
            high = np.clip(high, least, least + fine.step)
        # The first and the last are known exactly.
        for known, value in ((0, smallest), (cumulative[-1] - 1, greatest)):
            low, high = np.where(rank == known, value, low), np.where(rank == known, value, high)
        return low + (high - low) / 2, (high - low) / 2


def moments_as_sums(
    number: NDArray[np.int64], mean: NDArray[np.float64], sum_of_squares: NDArray[np.float64]
) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Totals and squares of a distribution that is known by its mean and squared deviations."""
    counts = np.array([int(n) for n in number], dtype=object)
    means = fractions_of(mean)
    return means * counts, fractions_of(sum_of_squares) + means * means * counts


def fractions_of(values: NDArray[Any]) -> NDArray[np.object_]:
    """Numbers, or fractions that were written as texts, as exact fractions."""
    result = np.empty(len(values), dtype=object)
    result[:] = [Fraction(value) for value in values.tolist()]
    return result


def _bin_numbers(values: torch.Tensor) -> torch.Tensor:
    """Signed bin numbers of finite float64 values."""
    import torch

    magnitude = values.abs()
    step = torch.floor(torch.log(magnitude / _SMALLEST) / _LOG_GAMMA) + 1
    return (
        torch.where(magnitude >= _SMALLEST, step, torch.zeros_like(step)) * values.sign()
    ).long()


def bin_number(value: float) -> int:
    """The signed number of the bin that a finite value is counted in."""
    import torch

    return int(_bin_numbers(torch.tensor([value], dtype=torch.float64))[0])


def _counted(rows: Sequence[FineCounts]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The bins ``[n]`` that occur among the sorted values of C classes, and counts ``[C, n]``."""
    import torch

    found = []
    for one in rows:
        steps = _bin_numbers(torch.from_numpy(one.values)).numpy()
        starts = np.flatnonzero(np.diff(steps, prepend=np.iinfo(np.int64).min))
        number = np.add.reduceat(one.counts, starts) if starts.size else one.counts
        found.append((steps[starts], number))
    bins = np.unique(np.concatenate([own for own, _ in found]))
    counts = np.zeros((len(found), bins.size), np.int64)
    for row, (own, number) in zip(counts, found, strict=True):
        row[np.searchsorted(bins, own)] = number
    return bins, counts
