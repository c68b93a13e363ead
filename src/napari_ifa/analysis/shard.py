"""What a run of cases adds to an analysis; shards merge, travel and wait in files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution, moments_of_text, moments_text
from napari_ifa.analysis.fine_counts import fine_arrays, fine_of_arrays
from napari_ifa.analysis.fit.statistics import CaseStatistics
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.position import PositionStatistics
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.disk import whole_file


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
        columns = zip(*(part.columns().values() for part in parts), strict=True)
        return cls(*(np.concatenate(column) for column in columns))

    def columns(self) -> dict[str, NDArray[Any]]:
        """The columns by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


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
        return Sums(
            self.distribution.merged(other.distribution),
            self.all.merged(other.all),
            self.true.merged(other.true),
            self.correct.merged(other.correct),
            self.position.merged(other.position),
        )


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
            arrays |= {f"rows_{name}": column for name, column in self.rows.columns().items()}
            measured = self.measured.columns()
            arrays |= {f"measured_{name}": column for name, column in measured.items()}
            arrays |= _distribution_arrays(self.sums.distribution)
            for name in ("all", "true", "correct"):
                arrays |= _statistics_arrays(name, getattr(self.sums, name))
            arrays |= _position_arrays(self.sums.position)
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
            skipped = tuple(
                SkippedCase(int(position), str(name), str(reason))
                for position, name, reason in zip(
                    *(stored[f"skipped_{name}"] for name in ("position", "id", "reason")),
                    strict=True,
                )
            )
            number, files = int(stored["number"]), str(stored["files"])
            rows = _rows_of(stored)
            if rows is None:
                return cls(number, None, None, None, skipped, files)
            all_cases, true, correct = (
                _statistics_of(name, stored) for name in ("all", "true", "correct")
            )
            sums = Sums(_distribution_of(stored), all_cases, true, correct, _position_of(stored))
            return cls(number, sums, rows, _measured_of(stored), skipped, files)


def cases_in(path: Path) -> int:
    """How many cases a shard's file is of, the skipped ones among them; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        analysed = stored["rows_position"].size if "rows_position" in stored else 0
        return int(analysed + stored["skipped_position"].size)


def load_rows(path: Path) -> Rows | None:
    """The rows of a shard's file alone, for its sums may be far larger; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return _rows_of(stored)


def load_measured(path: Path) -> CaseStatistics | None:
    """What a shard's file holds for the reference alone; errors as `Shard.load`."""
    with np.load(path, allow_pickle=False) as stored:
        return _measured_of(stored)


def _measured_of(stored: Any) -> CaseStatistics | None:
    if "rows_position" not in stored:
        return None
    return CaseStatistics(*(stored[f"measured_{field.name}"] for field in fields(CaseStatistics)))


def _rows_of(stored: Any) -> Rows | None:
    if "rows_position" not in stored:
        return None
    return Rows(*(stored[f"rows_{field.name}"] for field in fields(Rows)))


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
        "totals": moments_text(distribution.totals),
        "squares": moments_text(distribution.squares),
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
        totals=moments_of_text(stored["totals"]),
        squares=moments_of_text(stored["squares"]),
        not_finite=stored["not_finite"],
        fine=fine_of_arrays(stored),
    )


def _statistics_arrays(name: str, statistics: ContributionStatistics) -> dict[str, NDArray[Any]]:
    """Only the columns of classes with a case: of a thousand classes, a shard meets few."""
    met = statistics.cases > 0
    return {
        f"{name}_average": statistics.average[:, met],
        f"{name}_deviations": statistics.deviations[:, met],
        f"{name}_positive": statistics.positive[:, met],
        f"{name}_cases": statistics.cases,
    }


def _statistics_of(name: str, stored: Any) -> ContributionStatistics:
    cases = stored[f"{name}_cases"]
    columns = {}
    for column in ("average", "deviations", "positive"):
        kept = stored[f"{name}_{column}"]
        columns[column] = np.zeros((kept.shape[0], cases.size), kept.dtype)
        columns[column][:, cases > 0] = kept
    return ContributionStatistics(cases=cases, **columns)


def _position_arrays(position: PositionStatistics) -> dict[str, NDArray[Any]]:
    met = np.asarray(position.cases.any(axis=0))
    return {
        "position_met": met,
        "position_average": position.average[:, met],
        "position_deviations": position.deviations[:, met],
        "position_cases": position.cases[:, met],
    }


def _position_of(stored: Any) -> PositionStatistics:
    met = stored["position_met"]
    columns = []
    for name in ("average", "deviations", "cases"):
        kept = stored[f"position_{name}"]
        column = np.zeros((kept.shape[0], met.size, *kept.shape[2:]), kept.dtype)
        column[:, met] = kept
        columns.append(column)
    return PositionStatistics(*columns)
