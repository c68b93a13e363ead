"""What a run of cases adds to an analysis; shards merge, travel and wait in files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution, fractions_of
from napari_ifa.analysis.fine_counts import fine_arrays, fine_of_arrays
from napari_ifa.analysis.fit.statistics import CaseStatistics
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.position import PositionStatistics
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.disk import whole_file

#: The accumulators of `Sums` that hold something of every class.
_STATISTICS: dict[str, type[Any]] = {
    **dict.fromkeys(("all", "true", "correct"), ContributionStatistics),
    "position": PositionStatistics,
}


@dataclass(frozen=True, eq=False)
class Rows:
    """One row per case that was analysed; see the file's variables of the same names.

    Attributes
    ----------
    position : ``[n]`` place in the cohort.
    content : ``[n]`` uint64, what tells one network input from another.
    group : ``[n]`` uint64, pseudonyms of what the cases belong to; 0 where it is not known.
    logits, activation_sum, activation_minimum, activation_maximum : ``[n, C]``.
    contribution : ``[n, F]``, or ``[n, 0]`` where profiles are left out.
    """

    position: NDArray[np.int64]
    content: NDArray[np.uint64]
    group: NDArray[np.uint64]
    logits: NDArray[np.float64]
    activation_sum: NDArray[np.float64]
    activation_minimum: NDArray[np.float64]
    activation_maximum: NDArray[np.float64]
    contribution: NDArray[np.floating]

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        """All rows in order."""
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, eq=False)
class Sums:
    """The accumulators of any set of cases.

    Attributes
    ----------
    distribution : of the class activation of every voxel.
    all, true, correct : contributions over all cases, over those of the class, and over those of
        the class that are answered rightly.
    position : of the features' centres over the cases of each class.
    """

    distribution: Distribution
    all: ContributionStatistics
    true: ContributionStatistics
    correct: ContributionStatistics
    position: PositionStatistics

    def merged(self, other: Sums) -> Sums:
        """Of both sets of cases."""
        return Sums(**{name: own.merged(vars(other)[name]) for name, own in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Shard:
    """The outcome of one run of cases.

    Attributes
    ----------
    number : which run it is.
    sums, rows, measured : None where every case was skipped; the last is for the reference that
        other cases are compared with.
    skipped : the cases that could not be analysed.
    files : what its images' files were when it was begun, see `ShardTask`.
    """

    number: int
    sums: Sums | None
    rows: Rows | None
    measured: CaseStatistics | None
    skipped: tuple[SkippedCase, ...] = ()
    files: str = ""

    def save(self, path: Path) -> None:
        """Write the shard as plain arrays; the file appears whole or not at all."""
        arrays: dict[str, Any] = {
            "number": np.array(self.number),
            "files": np.array(self.files, str),
            "skipped_position": np.array([s.position for s in self.skipped], np.int64),
            "skipped_id": np.array([s.id for s in self.skipped], str),
            "skipped_reason": np.array([s.reason for s in self.skipped], str),
        }
        if self.rows is not None and self.sums is not None and self.measured is not None:
            for kind, table in (("rows", self.rows), ("measured", self.measured)):
                arrays |= {f"{kind}_{name}": column for name, column in vars(table).items()}
            arrays |= _distribution_arrays(self.sums.distribution)
            for name in _STATISTICS:
                arrays |= _statistics_arrays(name, getattr(self.sums, name))
        with whole_file(path, None) as part, part.open("wb") as stream:
            np.savez(stream, **arrays)

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Read a shard.

        Raises
        ------
        OSError, ValueError, KeyError
            Where the file is missing or damaged.
        """
        with np.load(path, allow_pickle=False) as stored:
            columns = (stored[f"skipped_{name}"].tolist() for name in ("position", "id", "reason"))
            skipped = tuple(SkippedCase(*row) for row in zip(*columns, strict=True))
            number, files = int(stored["number"]), str(stored["files"])
            rows = _columns_of(Rows, "rows", stored)
            if rows is None:
                return cls(number, None, None, None, skipped, files)
            found = {name: _statistics_of(name, stored) for name in _STATISTICS}
            sums = Sums(_distribution_of(stored), **found)
            measured = _columns_of(CaseStatistics, "measured", stored)
            return cls(number, sums, rows, measured, skipped, files)


def cases_in(path: Path) -> int:
    """How many cases a shard's file is of, the skipped ones among them; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        analysed = stored["rows_position"].size if "rows_position" in stored else 0
        return int(analysed + stored["skipped_position"].size)


_Columns = TypeVar("_Columns", Rows, CaseStatistics)


def load_rows(path: Path) -> Rows | None:
    """The rows of a shard's file alone, for its sums may be far larger; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return _columns_of(Rows, "rows", stored)


def load_measured(path: Path) -> CaseStatistics | None:
    """What a shard's file holds for the reference alone; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return _columns_of(CaseStatistics, "measured", stored)


def _columns_of(kind: type[_Columns], name: str, stored: Any) -> _Columns | None:
    if "rows_position" not in stored:
        return None
    return kind(*(stored[f"{name}_{field.name}"] for field in fields(kind)))


def _distribution_arrays(distribution: Distribution) -> dict[str, NDArray[Any]]:
    row, column = np.nonzero(distribution.counts)
    assert distribution.fine is not None, "what is counted here is counted in fine bins too"
    return {
        **fine_arrays(distribution.fine),
        "bins": distribution.bins,
        "count_class": row.astype(np.int32),
        "count_bin": column.astype(np.int32),
        "count": distribution.counts[row, column],
        "minimum": distribution.minimum,
        "maximum": distribution.maximum,
        "totals": distribution.totals.astype(str),
        "squares": distribution.squares.astype(str),
        "not_finite": distribution.not_finite,
    }


def _distribution_of(stored: Any) -> Distribution:
    bins, minimum = stored["bins"], stored["minimum"]
    counts = np.zeros((minimum.size, bins.size), np.int64)
    counts[stored["count_class"], stored["count_bin"]] = stored["count"]
    return Distribution(
        bins=bins,
        counts=counts,
        minimum=minimum,
        maximum=stored["maximum"],
        totals=fractions_of(stored["totals"]),
        squares=fractions_of(stored["squares"]),
        not_finite=stored["not_finite"],
        fine=fine_of_arrays(stored),
    )


def _statistics_arrays(name: str, statistics: Any) -> dict[str, NDArray[Any]]:
    """Only the columns of classes with a case: of a thousand classes, a shard meets few."""
    met = np.atleast_2d(statistics.cases).any(axis=0)
    return {f"{name}_met": met} | {
        f"{name}_{part}": column.compress(met, axis=_class_axis(column))
        for part, column in vars(statistics).items()
    }


def _statistics_of(name: str, stored: Any) -> Any:
    met = stored[f"{name}_met"]
    columns = []
    for field in fields(_STATISTICS[name]):
        kept = stored[f"{name}_{field.name}"]
        axis = _class_axis(kept)
        shape = (*kept.shape[:axis], met.size, *kept.shape[axis + 1 :])
        columns.append(np.zeros(shape, kept.dtype))
        columns[-1][(*(slice(None),) * axis, met)] = kept
    return _STATISTICS[name](*columns)


def _class_axis(column: NDArray[Any]) -> int:
    """Classes lie behind the features, if there are any."""
    return min(1, column.ndim - 1)
