"""The cases of a cohort as batches that are ready for the network, with their lesion masks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.shard import Skipped, most_skipped
from napari_ifa.cohorts.cohort import Case, Cohort
from napari_ifa.cohorts.groups import UNKNOWN, group_of
from napari_ifa.errors import AnalysisError, Cancelled, CohortError, ExplanationError, IfaError
from napari_ifa.evaluation.measures.localisation import on_image_grid
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

Result = TypeVar("Result")

#: Cases that are read ahead of the network.
_AHEAD = 2
#: What a network holds while it runs, in inputs; a coarse guess, as memory is halved if short.
_INPUTS_HELD = 8
_LARGEST_BATCH = 16


@dataclass(frozen=True, eq=False)
class ReadCase:
    """A case as it goes into the network.

    Attributes
    ----------
    position : place in the cohort.
    image : ``[C, *spatial]``, the network's input with its affine.
    volume : the image as it was opened; kept only where there is a lesion mask to compare with.
    lesion : ``[I, P, L]`` bool on the image's grid; None without a usable mask.
    group : the pseudonym of what the case belongs to, such as its patient.
    """

    position: int
    image: MetaTensor
    volume: Volume | None = None
    lesion: NDArray[np.bool_] | None = None
    group: int = UNKNOWN


@dataclass(frozen=True)
class SkippedCase:
    """A case, or its lesion mask alone, that could not be used, and why in one sentence."""

    id: str
    reason: str
    mask_alone: bool = False


#: What became of a case: itself, why it or its mask cannot be used, or both.
_Loaded: TypeAlias = "tuple[ReadCase | None, SkippedCase | None]"


@dataclass(eq=False)
class CaseBatches:
    """Goes through a cohort once, in order.

    Memory holds a batch and the cases read ahead of it, whatever the size of the cohort.

    Attributes
    ----------
    batch_size : most cases at a time; None for a number that suits the device and the images.
    masks : whether lesion masks are read.
    progress : called with cases done and cases in all.
    stop : asked before every case.
    skip_up_to : share of the cases that may be skipped.
    skipped : what could not be used so far.
    """

    classifier: Classifier
    cohort: Cohort
    batch_size: int | None = None
    masks: bool = False
    progress: Progress | None = None
    stop: Stop | None = None
    skip_up_to: float = 0.05
    skipped: list[SkippedCase] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.cohort.cases:
            raise CohortError("The cohort holds no case; choose a split that does.")
        if self.batch_size is not None and self.batch_size < 1:
            raise AnalysisError(f"A batch of {self.batch_size} cases is none; give 1 or more.")

    def computed(
        self, compute: Callable[[torch.Tensor, list[ReadCase]], Result]
    ) -> Iterator[tuple[list[ReadCase], Result]]:
        """What ``compute(images [B, C, *spatial], cases)`` gives for batches of one shape.

        Where the network cannot explain a case of a batch, its cases are tried one by one, and
        those that fail are skipped.

        Raises
        ------
        CohortError
            More than 5 % of the cases cannot be used; one is named.
        Cancelled
            ``stop`` returned True.
        """
        done = 0
        for batch in self._batches():
            for part in self._parts(batch, compute):
                done += 1
                yield part
            if self.progress is not None:
                self.progress(batch[-1].position + 1, len(self.cohort))
        if not done:
            raise CohortError("No case of the cohort can be used; correct its images.")

    def _parts(
        self, batch: list[ReadCase], compute: Callable[[torch.Tensor, list[ReadCase]], Result]
    ) -> Iterator[tuple[list[ReadCase], Result]]:
        import torch

        from napari_ifa.cam.memory import NoMemoryError

        images = torch.stack([case.image.as_tensor().float() for case in batch])
        try:
            result = compute(images.to(self.classifier.device), batch)
        except NoMemoryError:
            raise
        except ExplanationError as error:
            if len(batch) == 1:
                self._skip(SkippedCase(self.cohort.cases[batch[0].position].id, str(error)))
                return
        else:
            yield batch, result
            return
        for case in batch:
            yield from self._parts([case], compute)

    def _batches(self) -> Iterator[list[ReadCase]]:
        batch: list[ReadCase] = []
        for case in self._read():
            if batch and (
                len(batch) >= self._size(batch[0]) or case.image.shape != batch[0].image.shape
            ):
                yield batch
                batch = []
            batch.append(case)
        if batch:
            yield batch

    def _size(self, first: ReadCase) -> int:
        from napari_ifa.cam.memory import block_length

        if self.batch_size is not None:
            return self.batch_size
        fitting = block_length(_INPUTS_HELD * first.image.numel(), self.classifier.device)
        return min(_LARGEST_BATCH, fitting)

    def _read(self) -> Iterator[ReadCase]:
        ahead: deque[Future[_Loaded]] = deque()
        waiting = iter(enumerate(self.cohort.cases))
        # One thread alone: a chain of transforms holds its random state.
        with ThreadPoolExecutor(1, thread_name_prefix="ifa-loader") as pool:
            try:
                ahead.extend(pool.submit(self._load, *case) for case in islice(waiting, _AHEAD))
                while ahead:
                    if self.stop is not None and self.stop():
                        raise Cancelled("The evaluation was stopped; nothing of it is kept.")
                    case, skipped = ahead.popleft().result()
                    ahead.extend(pool.submit(self._load, *case) for case in islice(waiting, 1))
                    if skipped is not None:
                        self._skip(skipped)
                    if case is not None:
                        yield case
            finally:
                for future in ahead:
                    future.cancel()

    def _load(self, position: int, case: Case) -> _Loaded:
        try:
            volume = case.read()
            image = self.classifier.preprocess(volume)
            group = group_of(case, volume, self.classifier.identity()["weights"])
        except (IfaError, OSError) as error:
            return None, SkippedCase(case.id, _reason(error))
        if not self.masks or case.mask is None:
            return ReadCase(position, image, group=group), None
        try:
            lesion = on_image_grid(read_volume(case.mask), volume)
        except (IfaError, OSError) as error:
            without = ReadCase(position, image, group=group)
            return without, SkippedCase(case.id, _reason(error), True)
        return ReadCase(position, image, volume, lesion, group), None

    def _skip(self, case: SkippedCase) -> None:
        self.skipped.append(case)
        most = most_skipped(self.skip_up_to, len(self.cohort))
        if len(self.skipped) > most:
            first = self.skipped[0]
            reason = f"its lesion mask: {first.reason}" if first.mask_alone else first.reason
            raise Skipped(0, reason).too_many(first.id, len(self.skipped), most)


def _reason(error: Exception) -> str:
    if isinstance(error, IfaError):
        return str(error)
    return f"The image cannot be read: {getattr(error, 'strerror', None) or 'unknown reason'}."
