"""One run of cases through a model: a pure function of the model and the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.fit.statistics import CaseStatistics
from napari_ifa.analysis.importance import ContributionStatistics
from napari_ifa.analysis.position import PositionStatistics, centres
from napari_ifa.analysis.shard import Rows, Shard, Skipped, Sums
from napari_ifa.cohorts.cohort import Case
from napari_ifa.cohorts.loading import Loaded
from napari_ifa.cohorts.truth import cases_of_class, decisive, predicted_classes
from napari_ifa.errors import AnalysisError, Cancelled, ExplanationError
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Stop

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork

Profiles = Literal["float32", "float16", "none"]

#: Numbers of a batch where its size is not given: more gains nothing on a CPU.
_BATCH_NUMBERS_CPU = 2**20
_BATCH_NUMBERS_GPU = 2**26
_LARGEST_BATCH = 64
#: Numbers that wait to be counted together, 16 MiB of float32.
_WAITING_NUMBERS = 2**22


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
    inputs: Iterator[Loaded],
    options: PassOptions,
    *,
    progress: Callable[[int], None] | None = None,
    stop: Stop | None = None,
) -> Shard:
    """Take the task's cases from ``inputs``, which yields them in their order.

    ``progress`` is told how many more cases are done; ``stop`` is asked before every batch.

    Raises
    ------
    CohortError
        More cases failed than may be skipped.
    Cancelled
        ``stop`` returned True.
    """
    from napari_ifa.cam import CutNetwork

    labels = dict(zip(task.positions, task.labels.tolist(), strict=True))
    sums = _RunningSums(options.profiles, classifier.output_activation)
    skipped: list[Skipped] = []
    # Cut anew for every shard: what is learnt about the head depends on the first batch, and a
    # shard must not depend on those before it.
    with CutNetwork(classifier.network, classifier.target_layer, early=True) as cut:
        for batch, failed in _batches(inputs, len(task.cases), classifier, options.batch_size):
            if stop is not None and stop():
                raise Cancelled("The analysis was stopped.")
            skipped += failed
            done = len(failed) + len(batch)
            for part, activation in _explained(cut, batch, classifier, options.method, stop):
                if isinstance(activation, str):
                    skipped.append(Skipped(part[0].position, activation))
                else:
                    sums.add(activation, part, [labels[item.position] for item in part])
            if len(skipped) > options.most_skipped:
                first = min(skipped, key=lambda case: case.position)
                name = task.cases[task.positions.index(first.position)].id
                raise first.too_many(name, len(skipped), options.most_skipped)
            if progress is not None:
                progress(done)
    skipped.sort(key=lambda case: case.position)
    return Shard(task.number, *sums.finished(), tuple(skipped), task.files)


def _batches(
    inputs: Iterator[Loaded], count: int, classifier: Classifier, size: int | None
) -> Iterator[tuple[list[Loaded], list[Skipped]]]:
    """Runs of inputs of one shape, each with the cases that failed on the way to it."""
    batch: list[Loaded] = []
    failed: list[Skipped] = []
    for _ in range(count):
        item = next(inputs)
        if item.image is None:
            failed.append(Skipped(item.position, item.reason))
            continue
        first = batch[0].image if batch else None
        if first is not None and (
            len(batch) >= (size or _fitting(first, classifier)) or item.image.shape != first.shape
        ):
            yield batch, failed
            batch, failed = [], []
        batch.append(item)
    if batch or failed:
        yield batch, failed


def _fitting(image: Tensor, classifier: Classifier) -> int:
    """How many inputs of this size go through the network together."""
    numbers = _BATCH_NUMBERS_CPU if classifier.device.type == "cpu" else _BATCH_NUMBERS_GPU
    return int(np.clip(numbers // max(1, image.numel()), 1, _LARGEST_BATCH))


def _explained(
    cut: CutNetwork, batch: list[Loaded], classifier: Classifier, method: str, stop: Stop | None
) -> Iterable[tuple[list[Loaded], ClassActivation | str]]:
    """The batch's class activation; or, where it fails, each case's own, or why it has none."""
    import torch

    from napari_ifa.cam import class_activation
    from napari_ifa.cam.memory import NoMemoryError

    if not batch:
        return
    images = [item.image for item in batch if item.image is not None]
    try:
        activation = class_activation(
            cut,
            torch.stack(images).to(classifier.device),
            method=method,
            class_idx="all",
            stop=stop,
        )
    except NoMemoryError:
        raise
    except ExplanationError as error:
        if len(batch) == 1:
            yield batch, str(error)
            return
    else:
        yield batch, activation
        return
    for item in batch:
        yield from _explained(cut, [item], classifier, method, stop)


class _RunningSums:
    """Accumulates batches; what waits to be counted stays below a fixed size."""

    def __init__(self, profiles: Profiles, output_activation: str) -> None:
        self._output_activation = output_activation
        self._profiles: Profiles = profiles
        self._maps: list[Tensor] = []
        self._contributions: list[Tensor] = []
        self._weights: Tensor | None = None
        self._sums: list[Tensor] = []
        self._distribution: Distribution | None = None
        self._all: ContributionStatistics | None = None
        self._own: list[NDArray[np.float64]] = []
        self._centres: list[tuple[NDArray[np.float64], NDArray[np.bool_]]] = []
        self._position: PositionStatistics | None = None
        self._labels: list[int] = []
        self._rows: list[Rows] = []
        self._measured: list[CaseStatistics] = []

    def add(self, activation: ClassActivation, batch: list[Loaded], labels: list[int]) -> None:
        """A batch's class activation of all classes, and its cases' class numbers."""
        maps = activation.maps().flatten(2)
        logits = activation.logits.double().cpu().numpy()
        known = np.array(labels)
        answered = predicted_classes(decisive(logits, self._output_activation))
        explained = np.where(known >= 0, known, answered)
        # Of a single output the profile is its own, whether it is present or absent.
        column = np.minimum(explained, logits.shape[1] - 1)
        own = self._contributed(activation, column.tolist())
        self._own.append(own)
        self._labels += labels
        of_class = cases_of_class(known, logits.shape[1])
        self._centres.append((centres(activation.features), of_class))
        if sum(part.size for part, _ in self._centres) >= _WAITING_NUMBERS:
            self._count_centres()
        kept = own[:, : 0 if self._profiles == "none" else None]
        self._rows.append(
            Rows(
                position=np.array([item.position for item in batch], np.int64),
                content=np.array([item.content for item in batch], np.uint64),
                group=np.array([item.group for item in batch], np.uint64),
                logits=logits,
                activation_sum=_numpy(maps.sum(2, dtype=_exact(maps))),
                activation_minimum=_numpy(maps.amin(2)),
                activation_maximum=_numpy(maps.amax(2)),
                contribution=_stored(kept, self._profiles),
            )
        )
        quantiles = [item.intensities for item in batch if item.intensities is not None]
        headers = [item.header for item in batch if item.header is not None]
        self._measured.append(CaseStatistics.of(quantiles, headers, activation))
        self._maps.append(maps.movedim(1, 0).flatten(1))
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
        assert self._distribution is not None
        assert self._all is not None
        assert self._position is not None
        rows = Rows.joined(self._rows)
        own, labels = np.concatenate(self._own), np.array(self._labels)
        of_class = cases_of_class(labels, rows.logits.shape[1])
        right = labels == predicted_classes(decisive(rows.logits, self._output_activation))
        true = ContributionStatistics.of_own(own, of_class)
        correct = ContributionStatistics.of_own(own, of_class & right[:, None])
        sums = Sums(self._distribution, self._all, true, correct, self._position)
        return sums, rows, CaseStatistics.joined(self._measured)

    def _contributed(self, activation: ClassActivation, columns: list[int]) -> NDArray[np.float64]:
        """Each case's contributions to one class, ``[B, F]``; those to all wait to be counted."""
        weights = _shared_weights(activation)
        if weights is None:
            contributions = activation.contributions()
            self._contributions.append(contributions)
            return _numpy(contributions[range(len(columns)), columns])
        sums = activation.features.flatten(2).sum(-1)
        if self._weights is not None and not self._weights.equal(weights):
            self._count_contributions()
        self._weights = weights
        self._sums.append(sums)
        return _numpy(weights[columns] * sums)

    def _count_maps(self) -> None:
        import torch

        if self._maps:
            found = Distribution.of(torch.cat(self._maps, 1))
            self._maps.clear()
            before = self._distribution
            self._distribution = found if before is None else before.merged(found)

    def _count_centres(self) -> None:
        if self._centres:
            parts = zip(*self._centres, strict=True)
            found = PositionStatistics.of(*(np.concatenate(part) for part in parts))
            self._centres.clear()
            before = self._position
            self._position = found if before is None else before.merged(found)

    def _count_contributions(self) -> None:
        import torch

        found = []
        if self._contributions:
            found.append(ContributionStatistics.of_all(torch.cat(self._contributions)))
            self._contributions.clear()
        if self._weights is not None and self._sums:
            found.append(ContributionStatistics.of_shared(self._weights, torch.cat(self._sums)))
            self._sums.clear()
        for part in found:
            self._all = part if self._all is None else self._all.merged(part)


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
        raise AnalysisError(
            "The contributions are too large for float16, which ends at 65504; keep the profiles"
            " as float32, or leave them out."
        )
    return contributions.astype(np.float16)


def _numpy(values: Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().double().numpy())


def _exact(values: Tensor) -> Any:
    """float64 where the device has it."""
    import torch

    return values.dtype if values.device.type == "mps" else torch.float64
