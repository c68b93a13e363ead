"""One run of cases through a model: a pure function of the model and the cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.counting import BatchSums, Profiles, RunningSums, SeenCase
from napari_ifa.analysis.fit.statistics import Seen
from napari_ifa.analysis.shard import Shard
from napari_ifa.cohorts.batches import Batches, BatchSize
from napari_ifa.cohorts.cohort import Case
from napari_ifa.cohorts.skipped import SkippedCase, SkippedCases
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.targets import LOGIT, Target, target_key
from napari_ifa.progress import Stop
from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from torch import Tensor


def seen(case: Case, volume: Volume, prepared: MetaTensor) -> Seen:
    """What an analysis keeps of a case while its image is at hand."""
    return Seen.of(volume, prepared)


@dataclass(frozen=True)
class PassOptions:
    """What is the same for all shards of an analysis.

    ``batch_size`` None takes what suits the inputs' size; ``profiles`` is how the cases'
    contribution profiles are kept; more than ``most_skipped`` cases may not fail; ``targets`` is
    what a class is compared with.
    """

    method: str = "gradcam"
    batch_size: int | None = None
    profiles: Profiles = "float32"
    most_skipped: int = 0
    targets: tuple[Target, ...] = (LOGIT,)


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
    from napari_ifa.cam import CutNetwork, class_activations

    labels = dict(zip(task.positions, task.labels.tolist(), strict=True))
    sums = RunningSums([target_key(t) for t in options.targets], classifier.output_activation)
    skipped = SkippedCases(options.most_skipped)
    size = BatchSize(options.batch_size)
    batches: Batches[Seen] = Batches(classifier.device, size, skipped, progress, stop)
    # Cut anew for every shard: what is learnt about the head depends on the first batch, and a
    # shard must not depend on those before it.
    with CutNetwork(classifier.network, classifier.target_layer, early=True) as cut:

        def compute(images: Tensor, batch: list[SeenCase]) -> BatchSums:
            activations = class_activations(
                cut, images, None, options.method, "all", options.targets, stop=stop
            )
            own = [labels[case.position] for case in batch]
            return BatchSums.of(
                activations, batch, own, classifier.output_activation, options.profiles
            )

        for _, found in batches.computed(islice(inputs, len(task.cases)), compute):
            sums.add(found)
    return Shard(task.number, *sums.finished(), tuple(skipped.cases), task.files)
