"""One run of cases through a model: a pure function of the model and the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.fit.statistics import CaseStatistics, Seen
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.position import PositionStatistics, centres, exact_type
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.shard import Rows, Shard, Sums
from napari_ifa.cohorts.batches import Batches, BatchSize, ReadCase
from napari_ifa.cohorts.cohort import Case
from napari_ifa.cohorts.skipped import SkippedCase, SkippedCases
from napari_ifa.cohorts.truth import cases_of_class, decisive, predicted_classes
from napari_ifa.errors import AnalysisError
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Stop
from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from torch import Tensor

    from napari_ifa.cam import ClassActivation

Profiles = Literal["float32", "float16", "none"]
#: A case with what an analysis keeps of its image.
SeenCase: TypeAlias = ReadCase[Seen]

#: Numbers that wait to be counted together, 16 MiB of float32.
_WAITING_NUMBERS = 2**22


def seen(case: Case, volume: Volume, prepared: MetaTensor) -> Seen:
    """What an analysis keeps of a case while its image is at hand."""
    return Seen.of(volume, prepared)


@dataclass(frozen=True)
class PassOptions:
    """What is the same for all shards of an analysis.

    ``batch_size`` None takes what suits the inputs' size; ``profiles`` is how the cases'
    contribution profiles are kept; more than ``most_skipped`` cases may not fail.
    """

    method: str = "gradcam"
    batch_size: int | None = None
    profiles: Profiles = "float32"
    most_skipped: int = 0


@dataclass(frozen=True, eq=False)
class ShardTask:
    """A run of cases.

    Attributes
    ----------
    number : which run it is.
    positions : the cases' places in the cohort.
    labels : their class numbers, ``[n]``.
    files : differs where one of their files is another or has changed.
    """

    number: int
    positions: tuple[int, ...]
    cases: tuple[Case, ...]
    labels: NDArray[np.int64]
    files: str = ""


def compute_shard(
    classifier: Classifier,
    task: ShardTask,
    inputs: Iterator[SeenCase | SkippedCase],
    options: PassOptions,
    *,
    progress: Callable[[int], None] | None = None,
    stop: Stop | None = None,
) -> Shard:
    """Take the task's cases from ``inputs``, which yields them in their order.

    ``progress`` is told how many more cases are done; ``stop`` is asked before every case.

    Raises
    ------
    CohortError
        More cases failed than may be skipped.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork, class_activation

    labels = dict(zip(task.positions, task.labels.tolist(), strict=True))
    sums = _RunningSums(classifier.output_activation)
    skipped = SkippedCases(options.most_skipped)
    size = BatchSize(options.batch_size)
    batches: Batches[Seen] = Batches(classifier.device, size, skipped, progress, stop)
    # Cut anew for every shard: what is learnt about the head depends on the first batch, and a
    # shard must not depend on those before it.
    with CutNetwork(classifier.network, classifier.target_layer, early=True) as cut:

        def compute(images: Tensor, batch: list[SeenCase]) -> _BatchSums:
            activation = class_activation(
                cut, images, method=options.method, class_idx="all", stop=stop
            )
            own = [labels[case.position] for case in batch]
            return _BatchSums.of(
                activation, batch, own, classifier.output_activation, options.profiles
            )

        for _, found in batches.computed(islice(inputs, len(task.cases)), compute):
            sums.add(found)
    return Shard(task.number, *sums.finished(), tuple(skipped.cases), task.files)


@dataclass(frozen=True, eq=False)
class _BatchSums:
    """What one batch adds; the images' features are not kept.

    Attributes
    ----------
    labels : class numbers of the n cases.
    rows, measured : of the cases.
    maps : ``[C, n · voxels]``, every class activation.
    own : ``[n, F]``, contributions to the class that is explained.
    contributions : ``[n, C, F]``, to all classes; None where the weights are shared.
    weights, sums : ``[C, F]``, the same for all cases, and the features' sums ``[n, F]``; None
        where every case has other weights.
    centres : of the features.
    of_class : ``[n, C]``, which cases are of which class.
    """

    labels: list[int]
    rows: Rows
    measured: CaseStatistics
    maps: Tensor
    own: NDArray[np.float64]
    contributions: Tensor | None
    weights: Tensor | None
    sums: Tensor | None
    centres: NDArray[np.float64]
    of_class: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        activation: ClassActivation,
        batch: list[SeenCase],
        labels: list[int],
        output_activation: str,
        profiles: Profiles,
    ) -> _BatchSums:
        """Of a batch's class activation of all classes, and its cases' class numbers."""
        maps = activation.maps().flatten(2)
        logits = _numpy(activation.logits)
        known = np.array(labels)
        answered = predicted_classes(decisive(logits, output_activation))
        explained = np.where(known >= 0, known, answered)
        # Of a single output the profile is its own, whether it is present or absent.
        columns = np.minimum(explained, logits.shape[1] - 1).tolist()
        weights, contributions, sums = _shared_weights(activation), None, None
        if weights is None:
            contributions = activation.contributions()
            own = _numpy(contributions[range(len(columns)), columns])
        else:
            sums = activation.features.flatten(2).sum(-1)
            own = _numpy(weights[columns] * sums)
        kept = own[:, : 0 if profiles == "none" else None]
        at_hand = [case.kept for case in batch if case.kept is not None]
        return cls(
            labels=labels,
            rows=Rows(
                position=np.array([case.position for case in batch], np.int64),
                content=np.array([one.content for one in at_hand], np.uint64),
                group=np.array([case.group for case in batch], np.uint64),
                logits=logits,
                activation_sum=_numpy(maps.sum(2, dtype=exact_type(maps))),
                activation_minimum=_numpy(maps.amin(2)),
                activation_maximum=_numpy(maps.amax(2)),
                contribution=_stored(kept, profiles),
            ),
            measured=CaseStatistics.of(at_hand, activation),
            maps=maps.movedim(1, 0).flatten(1),
            own=own,
            contributions=contributions,
            weights=weights,
            sums=sums,
            centres=centres(activation.features),
            of_class=cases_of_class(known, logits.shape[1]),
        )


class _RunningSums:
    """Accumulates batches; what waits to be counted stays below a fixed size."""

    def __init__(self, output_activation: str) -> None:
        self._output_activation = output_activation
        self._maps: list[Tensor] = []
        self._contributions: list[Tensor] = []
        self._weights: Tensor | None = None
        self._sums: list[Tensor] = []
        self._own: list[NDArray[np.float64]] = []
        self._centres: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
        self._totals: dict[str, Any] = {}
        self._labels: list[int] = []
        self._rows: list[Rows] = []
        self._measured: list[CaseStatistics] = []

    def add(self, found: _BatchSums) -> None:
        """Another batch."""
        self._labels += found.labels
        self._own.append(found.own)
        self._rows.append(found.rows)
        self._measured.append(found.measured)
        self._centres.append((found.centres, found.of_class))
        if sum(part.size for part, _ in self._centres) >= _WAITING_NUMBERS:
            self._count_centres()
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

    def finished(self) -> tuple[Sums | None, Rows | None, CaseStatistics | None]:
        """All that was added; None without a case."""
        if not self._rows:
            return None, None, None
        self._count_maps()
        self._count_contributions()
        self._count_centres()
        rows = Rows.joined(self._rows)
        own, labels = np.concatenate(self._own), np.array(self._labels)
        of_class = cases_of_class(labels, rows.logits.shape[1])
        right = labels == predicted_classes(decisive(rows.logits, self._output_activation))
        true = ContributionStatistics.of_own(own, of_class)
        correct = ContributionStatistics.of_own(own, of_class & right[:, None])
        sums = Sums(**self._totals, true=true, correct=correct)
        return sums, rows, CaseStatistics.joined(self._measured)

    def _count_maps(self) -> None:
        import torch

        if self._maps:
            self._count("distribution", Distribution.of(torch.cat(self._maps, 1)))
            self._maps.clear()

    def _count_centres(self) -> None:
        if self._centres:
            parts = zip(*self._centres, strict=True)
            self._count("position", PositionStatistics.of(*map(np.concatenate, parts)))
            self._centres.clear()

    def _count_contributions(self) -> None:
        import torch

        if self._contributions:
            found = ContributionStatistics.of_all(torch.cat(self._contributions))
            self._count("all", found)
            self._contributions.clear()
        if self._weights is not None and self._sums:
            found = ContributionStatistics.of_shared(self._weights, torch.cat(self._sums))
            self._count("all", found)
            self._sums.clear()

    def _count(self, name: str, found: Any) -> None:
        before = self._totals.get(name)
        self._totals[name] = found if before is None else before.merged(found)


def _shared_weights(activation: ClassActivation) -> Tensor | None:
    """``[C, F]`` where they are the same for every case of the batch, as behind an affine head."""
    if activation.source.per_voxel:
        return None
    weights = activation.weights
    # The engine repeats one case's weights without copying them.
    return weights[0] if len(weights) == 1 or weights.stride(0) == 0 else None


def _stored(contributions: NDArray[np.float64], profiles: Profiles) -> NDArray[np.floating]:
    if profiles != "float16":
        return contributions.astype(np.float32)
    if contributions.size and np.abs(contributions).max() > np.finfo(np.float16).max:
        raise AnalysisError(AnalysisProblem.TOO_LARGE_FOR_FLOAT16)
    return contributions.astype(np.float16)


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().double().numpy())
