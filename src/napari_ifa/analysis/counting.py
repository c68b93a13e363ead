"""What batches of cases add to an analysis, target by target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.cohort_scale import CASE_PERCENTAGES
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.fit.statistics import CaseStatistics, Seen
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.position import PositionStatistics, centres, exact_type
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import CaseRows, Counted, Rows, Sums, TargetRows, joined_rows
from napari_ifa.cohorts.batches import ReadCase
from napari_ifa.cohorts.truth import cases_of_class, decisive, predicted_classes
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import ClassActivation

Profiles = Literal["float32", "float16", "none"]
#: A case with what an analysis keeps of its image.
SeenCase: TypeAlias = ReadCase[Seen]

#: Numbers that wait to be counted together, 16 MiB of float32.
_WAITING_NUMBERS = 2**22
#: Of more classes the cases' own quantiles are not kept: they would be most of the file.
_MOST_CLASSES = 32


@dataclass(frozen=True, eq=False)
class _TargetSums:
    """What one batch adds to one target.

    Attributes
    ----------
    rows : of the n cases.
    maps : ``[C, n · voxels]``, every class activation.
    own : ``[n, F]``, contributions to the class that is explained.
    contributions : ``[n, C, F]``, to all classes; None where the weights are shared.
    weights, sums : ``[C, F]``, the same for all cases, and the features' sums ``[n, F]``; None
        where every case has other weights.
    """

    rows: TargetRows
    maps: Tensor
    own: NDArray[np.float64]
    contributions: Tensor | None
    weights: Tensor | None
    sums: Tensor | None

    @classmethod
    def of(cls, activation: ClassActivation, columns: list[int], profiles: Profiles) -> _TargetSums:
        """Of a batch's class activation of all classes; ``columns`` are the cases' own ones."""
        maps = activation.maps().flatten(2)
        weights, contributions, sums = _shared_weights(activation), None, None
        if weights is None:
            contributions = activation.contributions()
            own = _numpy(contributions[range(len(columns)), columns])
        else:
            sums = activation.features.flatten(2).sum(-1)
            own = _numpy(weights[columns] * sums)
        kept = own[:, : 0 if profiles == "none" else None]
        return cls(
            rows=TargetRows(
                activation_sum=_numpy(maps.sum(2, dtype=exact_type(maps))),
                activation_minimum=_numpy(maps.amin(2)),
                activation_maximum=_numpy(maps.amax(2)),
                activation_quantiles=_quantiles(maps),
                contribution=_stored(kept, profiles),
            ),
            maps=maps.movedim(1, 0).flatten(1),
            own=own,
            contributions=contributions,
            weights=weights,
            sums=sums,
        )


class _RunningTarget:
    """Accumulates batches of one target; what waits to be counted stays below a fixed size."""

    def __init__(self) -> None:
        self._maps: list[Tensor] = []
        self._contributions: list[Tensor] = []
        self._weights: Tensor | None = None
        self._sums: list[Tensor] = []
        self._own: list[NDArray[np.float64]] = []
        self._totals: dict[str, Any] = {}
        self._rows: list[TargetRows] = []

    def add(self, found: _TargetSums) -> None:
        """Another batch."""
        self._own.append(found.own)
        self._rows.append(found.rows)
        if found.contributions is not None:
            self._contributions.append(found.contributions)
        if found.weights is not None and found.sums is not None:
            if self._weights is not None and not self._weights.equal(found.weights):
                self._count_contributions()
            self._weights = found.weights
            self._sums.append(found.sums)
        self._maps.append(found.maps)
        if sum(part.numel() for part in self._maps) >= _WAITING_NUMBERS:
            self._count_maps()
        waiting = (*self._contributions, *self._sums)
        if sum(part.numel() for part in waiting) >= _WAITING_NUMBERS:
            self._count_contributions()

    def finished(
        self, of_class: NDArray[np.bool_], right: NDArray[np.bool_]
    ) -> tuple[Sums, TargetRows]:
        """All that was added; which cases ``[n, C]`` are of which class, which right ``[n]``."""
        self._count_maps()
        self._count_contributions()
        own = np.concatenate(self._own)
        true = ContributionStatistics.of_own(own, of_class)
        correct = ContributionStatistics.of_own(own, of_class & right[:, None])
        return Sums(**self._totals, true=true, correct=correct), joined_rows(TargetRows, self._rows)

    def _count_maps(self) -> None:
        import torch

        if self._maps:
            _count(self._totals, "distribution", Distribution.of(torch.cat(self._maps, 1)))
            self._maps.clear()

    def _count_contributions(self) -> None:
        import torch

        if self._contributions:
            found = ContributionStatistics.of_all(torch.cat(self._contributions))
            _count(self._totals, "all", found)
            self._contributions.clear()
        if self._weights is not None and self._sums:
            found = ContributionStatistics.of_shared(self._weights, torch.cat(self._sums))
            _count(self._totals, "all", found)
            self._sums.clear()


@dataclass(frozen=True, eq=False)
class BatchSums:
    """What one batch adds; the images' features are not kept.

    Attributes
    ----------
    labels : class numbers of the n cases.
    rows, measured : of the cases.
    centres : of the features.
    of_class : ``[n, C]``, which cases are of which class.
    targets : one per target.
    """

    labels: list[int]
    rows: Rows
    measured: CaseStatistics
    centres: NDArray[np.float64]
    of_class: NDArray[np.bool_]
    targets: tuple[_TargetSums, ...]

    @classmethod
    def of(
        cls,
        activations: Sequence[ClassActivation],
        batch: list[SeenCase],
        labels: list[int],
        output_activation: str,
        profiles: Profiles,
    ) -> BatchSums:
        """Of a batch's class activations of all classes, and its cases' class numbers."""
        first = activations[0]
        logits = _numpy(first.logits)
        known = np.array(labels)
        answered = predicted_classes(decisive(logits, output_activation))
        explained = np.where(known >= 0, known, answered)
        # Of a single output the profile is its own, whether it is present or absent.
        columns = np.minimum(explained, logits.shape[1] - 1).tolist()
        at_hand = [case.kept for case in batch if case.kept is not None]
        return cls(
            labels=labels,
            rows=Rows(
                position=np.array([case.position for case in batch], np.int64),
                content=np.array([one.content for one in at_hand], np.uint64),
                group=np.array([case.group for case in batch], np.uint64),
                logits=logits,
            ),
            measured=CaseStatistics.of(at_hand, first),
            centres=centres(first.features),
            of_class=cases_of_class(known, logits.shape[1]),
            targets=tuple(_TargetSums.of(one, columns, profiles) for one in activations),
        )


class RunningSums:
    """Accumulates the batches of a shard."""

    def __init__(self, targets: Sequence[str], output_activation: str) -> None:
        self._output_activation = output_activation
        self._targets = {name: _RunningTarget() for name in targets}
        self._centres: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
        self._totals: dict[str, Any] = {}
        self._labels: list[int] = []
        self._rows: list[Rows] = []
        self._measured: list[CaseStatistics] = []

    def add(self, found: BatchSums) -> None:
        """Another batch."""
        self._labels += found.labels
        self._rows.append(found.rows)
        self._measured.append(found.measured)
        self._centres.append((found.centres, found.of_class))
        if sum(part.size for part, _ in self._centres) >= _WAITING_NUMBERS:
            self._count_centres()
        for running, one in zip(self._targets.values(), found.targets, strict=True):
            running.add(one)

    def finished(self) -> tuple[Counted | None, CaseRows | None, CaseStatistics | None]:
        """All that was added; None without a case."""
        if not self._rows:
            return None, None, None
        self._count_centres()
        rows, labels = joined_rows(Rows, self._rows), np.array(self._labels)
        of_class = cases_of_class(labels, rows.logits.shape[1])
        right = labels == predicted_classes(decisive(rows.logits, self._output_activation))
        found = {name: one.finished(of_class, right) for name, one in self._targets.items()}
        return (
            Counted(self._totals["position"], {name: sums for name, (sums, _) in found.items()}),
            CaseRows(rows, {name: of_target for name, (_, of_target) in found.items()}),
            CaseStatistics.joined(self._measured),
        )

    def _count_centres(self) -> None:
        if self._centres:
            parts = zip(*self._centres, strict=True)
            found = PositionStatistics.of(*map(np.concatenate, parts))
            _count(self._totals, "position", found)
            self._centres.clear()


def _count(totals: dict[str, Any], name: str, found: Any) -> None:
    before = totals.get(name)
    totals[name] = found if before is None else before.merged(found)


def _quantiles(maps: Tensor) -> NDArray[np.float32]:
    """``[n, C, 9]`` of maps ``[n, C, voxels]``, each the value of the nearest rank."""
    if maps.shape[1] > _MOST_CLASSES:
        return np.empty((*maps.shape[:2], 0), np.float32)
    ranks = [round((maps.shape[2] - 1) * p / 100) for p in CASE_PERCENTAGES]
    if maps.device.type == "cpu":  # numpy sorts eight times as fast
        return np.sort(maps.detach().numpy(), axis=2)[..., ranks].astype(np.float32)
    return np.asarray(maps.sort(2).values[..., ranks].float().cpu().numpy())


def _shared_weights(activation: ClassActivation) -> Tensor | None:
    """``[C, F]`` where they are the same for every case of the batch, as behind an affine head."""
    if activation.source.per_voxel:
        return None
    return activation.weights[0] if activation.source.shared else None


def _stored(contributions: NDArray[np.float64], profiles: Profiles) -> NDArray[np.floating]:
    if profiles != "float16":
        return contributions.astype(np.float32)
    if contributions.size and np.abs(contributions).max() > np.finfo(np.float16).max:
        raise AnalysisError(AnalysisProblem.TOO_LARGE_FOR_FLOAT16)
    return contributions.astype(np.float16)


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().double().numpy())
