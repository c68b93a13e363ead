"""Counts in bins of one absolute width, as narrow as a bounded number of them allows.

Logarithmic bins are narrow beside a value, not beside the difference of two values: where all of a
cohort's class activations lie around 1000, their spread disappears in a bin. Here values are kept
as they are until there are too many different ones, and then rounded down to multiples of a power
of two: the least one with which few enough bins are occupied. Only occupied bins are kept.

A bin of 2^j is made of whole bins of 2^(j-1), and a part of the values never occupies more bins
than all of them. So the width that parts end with depends on all the values alone, not on how they
were divided nor on the order in which the parts are merged.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

#: Occupied bins of all classes together, 16 bytes each, and the bounds of one class's share.
_MOST_BINS = 2**21
_MOST_OF_A_CLASS, _LEAST_OF_A_CLASS = 2**19, 2**13
#: float64 numbers of this many steps or more are whole multiples of the step.
_EXACT = 2.0**53
_SMALLEST_EXPONENT = -1074


def most_bins(classes: int) -> int:
    """How many bins each of so many classes may occupy."""
    return int(np.clip(_MOST_BINS // max(1, classes), _LEAST_OF_A_CLASS, _MOST_OF_A_CLASS))


@dataclass(frozen=True, eq=False)
class FineCounts:
    """How many values lie in each occupied bin of one width.

    Attributes
    ----------
    values : ``[n]`` float64, sorted: the lower end of each bin.
    counts : ``[n]`` values in ``[value, value + step)``.
    step : the bins' width, a power of two; 0 where the values themselves are kept.
    """

    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    step: float = 0.0

    @classmethod
    def of(cls, values: torch.Tensor, most: int) -> FineCounts:
        """Of finite float64 ``values [n]``, sorted on their own device, in up to ``most`` bins."""
        import torch

        # -0.0 is 0.0: which of the two is kept must not depend on the order.
        values = values + 0.0
        if values.device.type == "cpu":  # numpy sorts eight times as fast
            return cls(*np.unique(values.numpy(), return_counts=True)).within(most)
        found, counts = torch.unique(values, return_counts=True)
        return cls(found.cpu().numpy(), counts.cpu().numpy()).within(most)

    @classmethod
    def joined(cls, parts: Sequence[FineCounts], most: int) -> FineCounts:
        """Of all sets of values, in up to ``most`` bins."""
        step = max(part.step for part in parts)
        rounded = [part._rounded(step) for part in parts]
        values = np.concatenate([part.values for part in rounded])
        counts = np.concatenate([part.counts for part in rounded])
        order = np.argsort(values, kind="stable")  # sorted runs, which are only merged
        return _added_up(values[order], counts[order], step).within(most)

    def bin_of_rank(self, rank: NDArray[np.int64]) -> NDArray[np.float64]:
        """The lower end of the bin that holds the value of each rank, counted from 0."""
        return self.values[np.searchsorted(np.cumsum(self.counts), rank, side="right")]

    def within(self, most: int) -> FineCounts:
        """In the narrowest bins of which at most so many are occupied."""
        if self.values.size <= most:
            return self
        lowest = _SMALLEST_EXPONENT
        if self.step > 0:
            lowest = math.frexp(self.step)[1]  # the double of the present one
        # At this exponent the bins between the two ends are few enough, occupied or not.
        spread = float(self.values[-1] / (most - 2) - self.values[0] / (most - 2))
        enough = max(lowest, math.frexp(spread)[1])
        back = 1
        while enough > lowest and self._occupied(max(lowest, enough - back)) <= most:
            enough = max(lowest, enough - back)
            back *= 2
        short = max(lowest - 1, enough - back)
        while enough - short > 1:
            middle = (enough + short) // 2
            if self._occupied(middle) <= most:
                enough = middle
            else:
                short = middle
        return self._rounded(math.ldexp(1.0, enough))

    def _occupied(self, exponent: int) -> int:
        lower = _rounded_down(self.values, math.ldexp(1.0, exponent))
        return 1 + int(np.count_nonzero(lower[1:] != lower[:-1]))

    def _rounded(self, step: float) -> FineCounts:
        if step == self.step or not self.values.size:
            return FineCounts(self.values, self.counts, step)
        return _added_up(_rounded_down(self.values, step), self.counts, step)


def fine_arrays(fine: Sequence[FineCounts]) -> dict[str, NDArray[Any]]:
    """The counts of several classes as the arrays of a file, one class behind the other.

    They are most of it, and of the narrowest type that holds them exactly.
    """
    return {
        "fine_value": _narrow(np.concatenate([one.values for one in fine])),
        "fine_count": _narrow(np.concatenate([one.counts for one in fine])),
        "fine_bins": np.array([one.values.size for one in fine], np.int64),
        "fine_step": np.array([one.step for one in fine]),
    }


def fine_of_arrays(arrays: Any) -> tuple[FineCounts, ...]:
    """The counts that `fine_arrays` wrote, of a mapping or a dataset."""
    value, number, bins, steps = (
        np.asarray(arrays[f"fine_{part}"]) for part in ("value", "count", "bins", "step")
    )
    value, number = value.astype(np.float64), number.astype(np.int64)
    ends = np.cumsum(bins)[:-1]
    parts = zip(np.split(value, ends), np.split(number, ends), steps, strict=True)
    return tuple(FineCounts(values, counts, float(step)) for values, counts, step in parts)


def _narrow(numbers: NDArray[Any]) -> NDArray[Any]:
    if numbers.dtype.kind == "i":
        return numbers.astype(np.min_scalar_type(numbers.max(initial=0)))
    with np.errstate(over="ignore"):
        single = numbers.astype(np.float32)
    return single if np.array_equal(single, numbers) else numbers


def _rounded_down(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The greatest multiples of a power of two that are not above sorted values; exact."""
    with np.errstate(over="ignore"):
        multiples = np.floor(values / step) * step
    # A quotient too small for float64 became 0: of a number below 0 that is above it.
    negative = int(np.searchsorted(values, 0.0))
    multiples[np.searchsorted(multiples[:negative], 0.0) : negative] = -step
    if max(-values[0], values[-1]) >= step * _EXACT:
        multiples = np.where(np.abs(values) >= step * _EXACT, values, multiples)
    return multiples + 0.0


def _added_up(values: NDArray[np.float64], counts: NDArray[np.int64], step: float) -> FineCounts:
    """Counts of equal values, which lie beside each other, as one."""
    if not values.size:
        return FineCounts(values, counts, step)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return FineCounts(values[starts], np.add.reduceat(counts, starts), step)
