"""What a run of cases adds to an analysis; shards merge, travel and wait in files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
#: What a distribution has one number of for every class.
_PER_CLASS = ("minimum", "maximum", "totals", "squares", "not_finite")
#: Of these the exact fractions, which are kept as texts.
_EXACT = ("totals", "squares")


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
        """Write the shard as plain arrays; the file appears whole or not at all.

        All targets lie in the same arrays, since many small ones take longer than the numbers.
        """
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
            arrays |= _prefixed("target_", _stacked(list(self.cases.targets.values())))
            sums = list(self.counted.targets.values())
            arrays |= _distribution_arrays([one.distribution for one in sums])
            for name in _CONTRIBUTIONS:
                arrays |= _statistics_arrays(name, *(getattr(one, name) for one in sums))
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
            number, files = int(stored["number"]), str(stored["files"])
            skipped, cases = _skipped_of(stored), _cases_of(stored)
            if cases is None:
                return cls(number, None, None, None, skipped, files)
            measured = _columns_of(CaseStatistics, "measured_", stored)
            return cls(number, _counted_of(stored), cases, measured, skipped, files)


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


def load_counted(path: Path) -> tuple[tuple[SkippedCase, ...], tuple[Rows, Counted] | None]:
    """A shard's skipped cases and, if there are others, what is added up; errors as `Shard.load`.

    Of the rows those of no target.
    """
    with np.load(path, allow_pickle=False) as stored:
        skipped = _skipped_of(stored)
        if "rows_position" not in stored:
            return skipped, None
        return skipped, (_columns_of(Rows, "rows_", stored), _counted_of(stored))


def load_rows(path: Path) -> dict[str, NDArray[Any]] | None:
    """The columns of a shard's cases alone, for its sums may be far larger.

    Those of `TargetRows` are of all targets, along a new first axis. Errors as of `Shard.load`.
    """
    with np.load(path, allow_pickle=False) as stored:
        if "rows_position" not in stored:
            return None
        kinds = {"rows_": Rows, "target_": TargetRows}
        return {
            field.name: stored[f"{prefix}{field.name}"]
            for prefix, kind in kinds.items()
            for field in fields(kind)
        }


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


def _stacked(targets: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """The columns of all targets, which are of one length, along a new first axis."""
    return {name: np.stack([vars(one)[name] for one in targets]) for name in vars(targets[0])}


def _skipped_of(stored: Any) -> tuple[SkippedCase, ...]:
    columns = (stored[f"skipped_{name}"].tolist() for name in ("position", "id", "reason"))
    return tuple(SkippedCase(*row) for row in zip(*columns, strict=True))


def _cases_of(stored: Any) -> CaseRows | None:
    if "rows_position" not in stored:
        return None
    columns = vars(_columns_of(TargetRows, "target_", stored)).values()
    rows = (TargetRows(*row) for row in zip(*columns, strict=True))
    targets = dict(zip(stored["targets"].tolist(), rows, strict=True))
    return CaseRows(_columns_of(Rows, "rows_", stored), targets)


def _counted_of(stored: Any) -> Counted:
    (position,) = _statistics_of(PositionStatistics, "position", stored)
    parts = (_statistics_of(ContributionStatistics, name, stored) for name in _CONTRIBUTIONS)
    sums = (Sums(*row) for row in zip(_distributions_of(stored), *parts, strict=True))
    return Counted(position, dict(zip(stored["targets"].tolist(), sums, strict=True)))


def _columns_of(kind: type[_Columns], prefix: str, stored: Any) -> _Columns:
    return kind(*(stored[f"{prefix}{field.name}"] for field in fields(kind)))


def _distribution_arrays(targets: Sequence[Distribution]) -> dict[str, NDArray[Any]]:
    """Of all targets, one behind the other where their lengths differ."""
    occupied = [np.nonzero(one.counts) for one in targets]
    counts = [one.counts[places] for one, places in zip(targets, occupied, strict=True)]
    lengths = [(one.bins.size, own.size) for one, own in zip(targets, counts, strict=True)]
    per_class = {name: np.stack([vars(one)[name] for one in targets]) for name in _PER_CLASS}
    assert all(one.fine for one in targets), "what is counted here is counted in fine bins too"
    return {
        **fine_arrays([row for one in targets for row in one.fine or ()]),
        "lengths": np.array(lengths, np.int64),
        "bins": np.concatenate([one.bins for one in targets]),
        "count_class": np.concatenate([row for row, _ in occupied]).astype(np.int32),
        "count_bin": np.concatenate([column for _, column in occupied]).astype(np.int32),
        "count": np.concatenate(counts),
        **per_class,
        **{name: per_class[name].astype(str) for name in _EXACT},
    }


def _distributions_of(stored: Any) -> list[Distribution]:
    names = ("lengths", "bins", "count_class", "count_bin", "count", *_PER_CLASS, *FINE)
    own = {name: stored[name] for name in names}
    targets, classes = own["minimum"].shape
    fine = np.split(np.array([None, *fine_of_arrays(own)], dtype=object)[1:], targets)
    ends = np.cumsum(own["lengths"], axis=0)
    found = []
    for number, (start, end) in enumerate(zip(ends - own["lengths"], ends, strict=True)):
        bins, places = slice(start[0], end[0]), slice(start[1], end[1])
        counts = np.zeros((classes, end[0] - start[0]), np.int64)
        counts[own["count_class"][places], own["count_bin"][places]] = own["count"][places]
        per_class = {name: own[name][number] for name in _PER_CLASS}
        per_class |= {name: fractions_of(per_class[name]) for name in _EXACT}
        found.append(Distribution(own["bins"][bins], counts, **per_class, fine=tuple(fine[number])))
    return found


def _statistics_arrays(name: str, *targets: Any) -> dict[str, NDArray[Any]]:
    """Only the columns of classes with a case: of a thousand classes, a shard meets few.

    Which these are is the same for every target.
    """
    met = np.atleast_2d(targets[0].cases).any(axis=0)
    return {f"{name}_met": met} | {
        f"{name}_{part}": column.compress(met, axis=_class_axis(column))
        for part, column in _stacked(targets).items()
    }


def _statistics_of(kind: type[_Statistics], name: str, stored: Any) -> Iterator[_Statistics]:
    """Of every target."""
    met = stored[f"{name}_met"]

    def whole(kept: NDArray[Any]) -> NDArray[Any]:
        place: int = _class_axis(kept)
        column = np.zeros((*kept.shape[:place], met.size, *kept.shape[place + 1 :]), kept.dtype)
        column[(*(slice(None),) * place, met)] = kept
        return column

    columns = (whole(stored[f"{name}_{field.name}"]) for field in fields(kind))
    return (kind(*row) for row in zip(*columns, strict=True))


def _class_axis(column: NDArray[Any]) -> int:
    """Classes lie behind the targets, and behind the features, if there are any."""
    return 2 if column.ndim > 2 else 1
