"""What a run of cases adds to an analysis; shards merge, travel and wait in files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from napari_ifa.analysis.variables import FINE
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.disk import whole_file

#: The accumulators of `Sums` that hold contributions of every class.
_CONTRIBUTIONS = ("all", "true", "correct")
#: Before the names of what is of one target.
_OF_TARGET = "{target}:"


@dataclass(frozen=True, eq=False)
class TargetRows:
    """What one row per case holds of one target; see the file's variables of the same names.

    Attributes
    ----------
    activation_sum, activation_minimum, activation_maximum : ``[n, C]``.
    activation_quantiles : ``[n, C, 9]`` at `CASE_PERCENTAGES`; ``[n, C, 0]`` of many classes.
    contribution : ``[n, F]``, or ``[n, 0]`` where profiles are left out.
    """

    activation_sum: NDArray[np.float64]
    activation_minimum: NDArray[np.float64]
    activation_maximum: NDArray[np.float64]
    activation_quantiles: NDArray[np.float32]
    contribution: NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Rows:
    """One row per case that was analysed; see the file's variables of the same names.

    Attributes
    ----------
    position : ``[n]`` place in the cohort.
    content : ``[n]`` uint64, what tells one network input from another.
    group : ``[n]`` uint64, pseudonyms of what the cases belong to; 0 where it is not known.
    logits : ``[n, C]``.
    """

    position: NDArray[np.int64]
    content: NDArray[np.uint64]
    group: NDArray[np.uint64]
    logits: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sums:
    """The accumulators of one target over any set of cases.

    Attributes
    ----------
    distribution : of the class activation of every voxel.
    all, true, correct : contributions over all cases, over those of the class, and over those of
        the class that are answered rightly.
    """

    distribution: Distribution
    all: ContributionStatistics
    true: ContributionStatistics
    correct: ContributionStatistics

    def merged(self, other: Sums) -> Sums:
        """Of both sets of cases."""
        return Sums(**{name: own.merged(vars(other)[name]) for name, own in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Counted:
    """What is added up over cases.

    Attributes
    ----------
    position : of the features' centres over the cases of each class.
    targets : by the name of the target.
    """

    position: PositionStatistics
    targets: Mapping[str, Sums]

    def merged(self, other: Counted) -> Counted:
        """Of both sets of cases."""
        return Counted(
            self.position.merged(other.position),
            {name: sums.merged(other.targets[name]) for name, sums in self.targets.items()},
        )


@dataclass(frozen=True, eq=False)
class CaseRows:
    """What is kept of every case, and what of it is one target's."""

    rows: Rows
    targets: Mapping[str, TargetRows]


@dataclass(frozen=True, eq=False)
class Shard:
    """The outcome of one run of cases.

    Attributes
    ----------
    number : which run it is.
    counted, cases, measured : None where every case was skipped; the last is for the reference that
        other cases are compared with.
    skipped : the cases that could not be analysed.
    files : what its images' files were when it was begun, see `ShardTask`.
    """

    number: int
    counted: Counted | None
    cases: CaseRows | None
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
        if self.cases is not None and self.counted is not None and self.measured is not None:
            arrays["targets"] = np.array(list(self.cases.targets), str)
            arrays |= _prefixed("rows_", vars(self.cases.rows))
            arrays |= _prefixed("measured_", vars(self.measured))
            arrays |= _statistics_arrays("position", self.counted.position)
            for target, rows in self.cases.targets.items():
                sums = self.counted.targets[target]
                own = _prefixed("rows_", vars(rows)) | _distribution_arrays(sums.distribution)
                for name in _CONTRIBUTIONS:
                    own |= _statistics_arrays(name, getattr(sums, name))
                arrays |= _prefixed(_OF_TARGET.format(target=target), own)
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
            cases = _cases_of(stored)
            if cases is None:
                return cls(number, None, None, None, skipped, files)
            position = _statistics_of(PositionStatistics, "position", stored)
            counted = Counted(position, {name: _sums_of(name, stored) for name in cases.targets})
            measured = _columns_of(CaseStatistics, "measured_", stored)
            return cls(number, counted, cases, measured, skipped, files)


def cases_in(path: Path) -> int:
    """How many cases a shard's file is of, the skipped ones among them; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        analysed = stored["rows_position"].size if "rows_position" in stored else 0
        return int(analysed + stored["skipped_position"].size)


_Columns = TypeVar("_Columns", Rows, TargetRows, CaseStatistics)
_Statistics = TypeVar("_Statistics", ContributionStatistics, PositionStatistics)


def joined_rows(kind: type[_Columns], parts: Iterable[_Columns]) -> _Columns:
    """All rows in order."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return kind(*(np.concatenate(column) for column in columns))


def load_rows(path: Path) -> CaseRows | None:
    """The rows of a shard's file alone, for its sums may be far larger; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return _cases_of(stored)


def load_measured(path: Path) -> CaseStatistics | None:
    """What a shard's file holds for the reference alone; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return (
            None
            if "rows_position" not in stored
            else _columns_of(CaseStatistics, "measured_", stored)
        )


def _prefixed(prefix: str, arrays: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _cases_of(stored: Any) -> CaseRows | None:
    if "rows_position" not in stored:
        return None
    targets = {
        name: _columns_of(TargetRows, f"{_OF_TARGET.format(target=name)}rows_", stored)
        for name in stored["targets"].tolist()
    }
    return CaseRows(_columns_of(Rows, "rows_", stored), targets)


def _sums_of(target: str, stored: Any) -> Sums:
    prefix = _OF_TARGET.format(target=target)
    return Sums(
        _distribution_of(prefix, stored),
        *(_statistics_of(ContributionStatistics, f"{prefix}{n}", stored) for n in _CONTRIBUTIONS),
    )


def _columns_of(kind: type[_Columns], prefix: str, stored: Any) -> _Columns:
    return kind(*(stored[f"{prefix}{field.name}"] for field in fields(kind)))


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


def _distribution_of(prefix: str, stored: Any) -> Distribution:
    names = ("bins", "count_class", "count_bin", "count", "minimum", "maximum", "totals", "squares")
    own = {name: stored[f"{prefix}{name}"] for name in (*names, "not_finite", *FINE)}
    counts = np.zeros((own["minimum"].size, own["bins"].size), np.int64)
    counts[own["count_class"], own["count_bin"]] = own["count"]
    return Distribution(
        bins=own["bins"],
        counts=counts,
        minimum=own["minimum"],
        maximum=own["maximum"],
        totals=fractions_of(own["totals"]),
        squares=fractions_of(own["squares"]),
        not_finite=own["not_finite"],
        fine=fine_of_arrays(own),
    )


def _statistics_arrays(name: str, statistics: Any) -> dict[str, NDArray[Any]]:
    """Only the columns of classes with a case: of a thousand classes, a shard meets few."""
    met = np.atleast_2d(statistics.cases).any(axis=0)
    return {f"{name}_met": met} | {
        f"{name}_{part}": column.compress(met, axis=_class_axis(column))
        for part, column in vars(statistics).items()
    }


def _statistics_of(kind: type[_Statistics], name: str, stored: Any) -> _Statistics:
    met = stored[f"{name}_met"]

    def whole(kept: NDArray[Any]) -> NDArray[Any]:
        if kept.ndim == 1:
            column = np.zeros(met.size, kept.dtype)
            column[met] = kept
        else:
            column = np.zeros((len(kept), met.size, *kept.shape[2:]), kept.dtype)
            column[:, met] = kept
        return column

    return kind(*(whole(stored[f"{name}_{field.name}"]) for field in fields(kind)))


def _class_axis(column: NDArray[Any]) -> int:
    """Classes lie behind the features, if there are any."""
    return 1 if column.ndim > 1 else 0
