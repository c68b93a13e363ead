"""The reference of a cohort: how far its own cases lie from it, and what to measure others by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.distance import Floats, Spread, dealt_folds, distances_from_others
from napari_ifa.analysis.fit.header import Header, HeaderSummary
from napari_ifa.analysis.fit.statistics import STATISTICS, CaseStatistics
from napari_ifa.cohorts.groups import group_numbers

#: Cases from which a cohort's spread is learnt, at most. The distances of all are kept: with more,
#: the spread gains little, and memory, time and the file grow with their number.
MOST_LEARNT = 1024
#: Independent cases below which nothing is said of distances at all.
LEAST_CASES = 5
#: The same below which no case can be called unusual: p is no less than 1 / (n + 1).
LEAST_FOR_P = 19
_SHARE_INSIDE = 0.95

#: Gives a shard's cases, one shard after another, each time it is called.
Parts = Callable[[], Iterator[CaseStatistics]]


@dataclass(frozen=True, eq=False)
class FitReference:
    """What a cohort's cases look like, for others to be compared with.

    Attributes
    ----------
    spreads : of each statistic that the cohort has, by its name.
    distances : ``[n, 3]``, of every case of the cohort from the others; NaN where it is not known.
        Columns are in the order of `STATISTICS`.
    header : what the cases' files say.
    groups : ``[n]``, equal numbers for cases that count as one: of one patient, or copies of one
        image. None where every case counts by itself.
    patients : whether patients are known.
    """

    spreads: Mapping[str, Spread]
    distances: Floats
    header: HeaderSummary
    groups: NDArray[np.int64] | None = None
    patients: bool = False

    @cached_property
    def units(self) -> Floats:
        """``[3]``: the distance within which 95 % of the reference lie; NaN for an unknown one.

        Each patient counts once, however many cases are of him.
        """
        return np.array(
            [_quantile(column, self._weights, _SHARE_INSIDE) for column in self.distances.T]
        )

    @property
    def independent(self) -> int:
        """Patients, or different images where none are known."""
        return len(self.distances) if self.groups is None else len(np.unique(self.groups))

    def scores(self, distances: Floats) -> Floats:
        """``[m]``: the greatest of ``distances [m, 3]`` in these units; NaN where none is known."""
        ratios = distances / self.units
        known = np.isfinite(ratios)
        greatest = np.where(known, ratios, -np.inf).max(axis=1)
        return np.where(known.any(axis=1), greatest, np.nan)

    def p(self, score: float, compared: NDArray[np.bool_], own: int | None = None) -> float:
        """Conformal p of a case: the share, itself included, of cases at least as far.

        Parameters
        ----------
        score : of the case.
        compared : ``[3]``, the statistics that it could be compared in; the others do not count
            for the reference's cases either.
        own : its place where it is one of the reference's; those that count as one with it are
            left out.
        """
        scores, weights = self._others(compared, own)
        return (1.0 + float(weights[scores >= score].sum())) / (1.0 + float(weights.sum()))

    def percent_nearer(
        self, score: float, compared: NDArray[np.bool_], own: int | None = None
    ) -> float:
        """The percentage of the reference that lies nearer than ``score``; arguments as of `p`."""
        scores, weights = self._others(compared, own)
        nearer = float(weights[scores < score].sum())
        return 100.0 * nearer / max(float(weights.sum()), 1.0)

    def _others(self, compared: NDArray[np.bool_], own: int | None) -> tuple[Floats, Floats]:
        """Scores and weights of those cases that another one is compared with."""
        scores = self.scores(np.where(compared, self.distances, np.nan))
        known = np.isfinite(scores)
        if own is not None:
            numbers = np.arange(len(scores)) if self.groups is None else self.groups
            known &= numbers != numbers[own]
        return scores[known], self._weights[known]

    @cached_property
    def _weights(self) -> Floats:
        """``[n]``: one divided among the cases of a patient of which a distance is known."""
        known = np.isfinite(self.distances).any(axis=1)
        if self.groups is None:
            return known.astype(float)
        _, number = np.unique(self.groups, return_inverse=True)
        counts = np.bincount(number, weights=known)
        return known / np.maximum(counts, 1)[number]


def counted_as_one(
    content: NDArray[np.uint64], group: NDArray[np.uint64]
) -> tuple[NDArray[np.int64] | None, bool]:
    """``[n]``, equal for cases that are no two cases, and whether patients are known.

    Those are the cases of one patient, and where the patient is not known copies of one input.
    None where every case counts by itself. Arguments as of `fitted`.
    """
    together, patients = _together(content, group)
    distinct, numbers = np.unique(together, return_inverse=True)
    return (numbers if patients or len(distinct) < len(together) else None), patients


def _together(
    content: NDArray[np.uint64], group: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], bool]:
    if group_numbers(group) is None:
        return content, False
    return np.where(group != 0, group, content), True


def fitted(parts: Parts, content: NDArray[np.uint64], group: NDArray[np.uint64]) -> FitReference:
    """The reference of a cohort whose cases come in ``parts``, the same ones at every call.

    Neither the order of the cases nor their division into parts matters, but for rounding.

    Parameters
    ----------
    content : ``[n]``, what tells one input from another.
    group : ``[n]``, pseudonyms of the patients; 0 where they are not known.
    """
    cases = len(content)
    together, _ = _together(content, group)
    # All cases, or those of the first groups: by the groups' numbers and, within them, by content,
    # which has nothing to do with where they stand.
    learnt = np.sort(np.lexsort((content, together))[:MOST_LEARNT])
    kept = {name: _Rows(len(learnt)) for name in STATISTICS}
    headers: list[Header] = []
    start = 0
    for part in parts():
        headers += part.headers
        stop = start + len(part.modality)
        first, last = np.searchsorted(learnt, [start, stop])
        for name, rows in kept.items():
            rows.add(slice(first, last), getattr(part, name)[learnt[first:last] - start])
        start = stop
    spreads: dict[str, Spread] = {}
    distances = np.full((cases, len(STATISTICS)), np.nan)
    for column, name in enumerate(STATISTICS):
        values = kept.pop(name).values.astype(np.float64)
        sound = np.isfinite(values).all(axis=1)
        if values.shape[1] and len(np.unique(together[learnt][sound])) >= LEAST_CASES:
            spreads[name] = Spread.of(values[sound])
            folds = dealt_folds(together[learnt][sound], values.shape[1])
            own = distances_from_others(values[sound], folds)
            distances[learnt[sound], column] = own
    if len(learnt) < cases:
        _measure_rest(parts(), spreads, distances, learnt)
    groups, patients = counted_as_one(content, group)
    return FitReference(spreads, distances, HeaderSummary.of(headers), groups, patients)


def _measure_rest(
    parts: Iterator[CaseStatistics],
    spreads: Mapping[str, Spread],
    distances: Floats,
    learnt: NDArray[np.int64],
) -> None:
    """Fill in the distances of the cases that the spread was not learnt from."""
    rest = np.ones(len(distances), bool)
    rest[learnt] = False
    start = 0
    for part in parts:
        stop = start + len(part.modality)
        mine = np.flatnonzero(rest[start:stop])
        for column, name in enumerate(STATISTICS):
            values = getattr(part, name)[mine].astype(np.float64)
            if name in spreads and values.shape[1] == len(spreads[name].mean):
                distances[start + mine, column] = spreads[name].distance(values)
        start = stop


class _Rows:
    """One statistic of the cases that the spread is learnt from, filled in part by part."""

    def __init__(self, cases: int) -> None:
        self.values = np.full((cases, 0), np.nan, np.float32)

    def add(self, place: slice, values: NDArray[np.float32]) -> None:
        if self.values.shape[1] == 0 and values.shape[1]:
            self.values = np.full((len(self.values), values.shape[1]), np.nan, np.float32)
        if len(values) and values.shape[1] == self.values.shape[1]:
            self.values[place] = values


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """The value that ``share`` of the weights do not exceed, between two values as numpy does it.

    With equal weights it is ``numpy.quantile``: of few cases, the next value above may be an
    outlier, to which nothing else should be compared. 1 where it is zero, NaN where no value is
    known.
    """
    known = np.isfinite(values) & (weights > 0)
    if not known.any():
        return float("nan")
    order = np.argsort(values[known], kind="stable")
    own = weights[known][order]
    below = np.cumsum(own) - own
    found = float(np.interp(share * below[-1], below, values[known][order]))
    return found if found > 0 else 1.0
