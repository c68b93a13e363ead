"""One pass over cases: read ahead by threads, batched, computed, and skipped where it must be.

Whatever goes through a cohort goes through here, so that every work skips the same cases for the
same reasons. Memory holds a batch and the cases read ahead of it, whatever the size of the cohort.
"""

from __future__ import annotations

import copy
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_ifa.cohorts.cohort import Case, Cohort
from napari_ifa.cohorts.groups import group_numbers, group_of
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.cohorts.skipped import (
    SkippedCase,
    SkippedCases,
    check_not_empty,
    most_skipped,
    none_usable,
)
from napari_ifa.errors import AnalysisError, Cancelled, CohortError, ExplanationError, IfaError
from napari_ifa.memory import lacks_memory, memory_said
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop
from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

Kept = TypeVar("Kept")
Result = TypeVar("Result")
#: What to keep of a case while its image is at hand: the opened image, and the network's input
#: ``[C, *spatial]`` with its affine. It runs in a reader's thread. What `mask_problems_said` raises
#: leaves out the case's lesion mask alone; any other error leaves out the case.
Keep: TypeAlias = Callable[[Case, Volume, "MetaTensor"], Kept]

#: Inputs that wait for the network beside those that are being read.
_AHEAD = 2
_MOST_THREADS = 4


@dataclass(frozen=True, eq=False)
class ReadCase(Generic[Kept]):
    """A case as it goes into the network.

    Attributes
    ----------
    position : the case's place in the cohort.
    case : what the cohort says of it.
    image : ``[C, *spatial]`` float32 on the CPU, every value finite.
    group : the pseudonym of what the case belongs to, such as its patient; see ``groups``.
    kept : what the caller's function made of it; None where its lesion mask could not be used.
    """

    position: int
    case: Case
    image: torch.Tensor
    group: int
    kept: Kept | None = None


#: What is done with ``images [B, C, *spatial]`` and their cases, and what it gives, batch by batch.
Compute: TypeAlias = Callable[["torch.Tensor", list[ReadCase[Kept]]], Result]
Computed: TypeAlias = Iterator[tuple[list[ReadCase[Kept]], Result]]


@dataclass(frozen=True)
class BatchSize:
    """How many cases of one shape go through the network together.

    It depends on the images and the kind of device alone, not on what memory is free, so that the
    same cases make the same batches. Where memory is short after all, a batch is halved.

    Attributes
    ----------
    given : a number of cases; None for as many as suit the device and the images.
    numbers_cpu, numbers_gpu : numbers of a batch's images where it is not given.
    most : cases of such a batch.
    """

    given: int | None = None
    numbers_cpu: int = 2**20
    numbers_gpu: int = 2**26
    most: int = 64

    def __post_init__(self) -> None:
        if self.given is not None and self.given < 1:
            raise AnalysisError(CohortProblem.NO_BATCH, size=self.given)

    def of(self, image: torch.Tensor, device: torch.device) -> int:
        """Cases of the shape of ``image [C, *spatial]``."""
        if self.given is not None:
            return self.given
        numbers = self.numbers_cpu if device.type == "cpu" else self.numbers_gpu
        return min(max(numbers // max(1, image.numel()), 1), self.most)


def read_ahead(
    classifier: Classifier,
    cases: Iterable[tuple[int, Case]],
    keep: Keep[Kept] | None = None,
    threads: int | None = None,
) -> Generator[ReadCase[Kept] | SkippedCase, None, None]:
    """Cases with their places in the cohort, opened and preprocessed, in their order.

    A `SkippedCase` comes in the place of a case that cannot be used, and before one whose lesion
    mask cannot be.

    Parameters
    ----------
    keep : see `Keep`; nothing is kept by default.
    threads : read at the same time; by default one for every two processors, up to four.
    """
    number = threads or min(_MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))
    local = threading.local()

    def read(position: int, case: Case) -> list[ReadCase[Kept] | SkippedCase]:
        # A chain of transforms holds its random state, so every thread has its own.
        if not hasattr(local, "preprocessing"):
            local.preprocessing = copy.deepcopy(classifier.preprocessing)
        try:
            return _read(local.preprocessing, key, position, case, keep)
        except Exception as error:
            return [SkippedCase(position, case.id, str(_said(error, "image")))]

    key = classifier.identity()["weights"]
    with ThreadPoolExecutor(number, thread_name_prefix="ifa-reader") as pool:
        rest = iter(cases)
        waiting: deque[Future[list[ReadCase[Kept] | SkippedCase]]] = deque(
            pool.submit(read, *entry) for entry in islice(rest, number + _AHEAD)
        )
        try:
            while waiting:
                ready = waiting.popleft().result()
                waiting.extend(pool.submit(read, *entry) for entry in islice(rest, 1))
                yield from ready
        finally:
            for future in waiting:
                future.cancel()


def _read(
    preprocessing: Callable[[Volume], MetaTensor],
    key: str,
    position: int,
    case: Case,
    keep: Keep[Kept] | None,
) -> list[ReadCase[Kept] | SkippedCase]:
    with memory_said(CohortError, "read the image", "use a computer with more memory"):
        volume = case.read()
        group = group_of(case, volume, key)
        prepared = preprocessing(volume)
        image = prepared.as_tensor().float().contiguous()
        wrong = image.numel() - int(image.isfinite().sum())
        if wrong:
            raise CohortError(CohortProblem.NOT_FINITE, values=wrong, of=image.numel())
        try:
            kept = None if keep is None else keep(case, volume, prepared)
        except _MaskError as error:
            left_out = SkippedCase(position, case.id, str(error), mask_alone=True)
            return [left_out, ReadCase(position, case, image, group)]
    return [ReadCase(position, case, image, group, kept)]


class _MaskError(CohortError):
    """The case's lesion mask cannot be used, and the case can."""


@contextmanager
def mask_problems_said() -> Iterator[None]:
    """What fails in this block is the case's lesion mask alone.

    Raises
    ------
    CohortError
        Which leaves out the mask and not the case, where a `Keep` raises it.
    """
    try:
        with memory_said(CohortError, "read the lesion mask", "use a computer with more memory"):
            yield
    except Exception as error:
        said = _said(error, "lesion mask")
        raise _MaskError(str(said), said.kind, **said.facts) from error


def _said(error: Exception, what: str) -> IfaError:
    if isinstance(error, IfaError):
        return error
    # One odd file must not end the work on a cohort, and its message may name a patient.
    reason = getattr(error, "strerror", None) or type(error).__name__
    return CohortError(CohortProblem.UNREADABLE, what=what, reason=reason)


@dataclass(eq=False)
class Batches(Generic[Kept]):
    """Batches of one shape through a function; those that fail are halved or taken one by one.

    Attributes
    ----------
    skipped : takes the cases that fail.
    advance : told how many more cases are done, the skipped ones among them.
    stop : asked before every case that is read; True ends the work.
    fitting : cases that fit memory, where more did not.
    """

    device: torch.device
    size: BatchSize
    skipped: SkippedCases
    advance: Callable[[int], None] | None = None
    stop: Stop | None = None
    fitting: int | None = None

    def computed(
        self,
        inputs: Iterable[ReadCase[Kept] | SkippedCase],
        compute: Compute[Kept, Result],
    ) -> Computed[Kept, Result]:
        """What ``compute(images [B, C, *spatial], cases)`` gives, batch by batch, in order.

        A batch that does not fit memory is halved. Where the network cannot take a case of a
        batch, its cases are tried one by one, and those that fail are skipped. ``compute`` may be
        called again for the same cases, so it keeps nothing.

        Raises
        ------
        CohortError
            More cases failed than may be skipped; one is named.
        Cancelled
            ``stop`` returned True.
        """
        batch: list[ReadCase[Kept]] = []
        skipped = 0
        for item in inputs:
            if self.stop is not None and self.stop():
                raise Cancelled(CohortProblem.STOPPED)
            if isinstance(item, SkippedCase):
                self.skipped.add(item)
                skipped += not item.mask_alone
                continue
            if batch and not self._takes(batch, item):
                yield from self._parts(batch, compute)
                self._done(len(batch) + skipped)
                batch, skipped = [], 0
            batch.append(item)
        if batch:
            yield from self._parts(batch, compute)
        self._done(len(batch) + skipped)

    def _takes(self, batch: list[ReadCase[Kept]], item: ReadCase[Kept]) -> bool:
        first = batch[0].image
        most = self.size.of(first, self.device)
        fits = len(batch) < min(most, self.fitting or most)
        return fits and item.image.shape == first.shape

    def _done(self, cases: int) -> None:
        if cases and self.advance is not None:
            self.advance(cases)

    def _parts(
        self, batch: list[ReadCase[Kept]], compute: Compute[Kept, Result]
    ) -> Computed[Kept, Result]:
        result = self._tried(batch, compute)
        if not isinstance(result, _Failure):
            yield batch, result
            return
        if len(batch) == 1:
            self.skipped.add(SkippedCase(batch[0].position, batch[0].case.id, result.reason))
            return
        step = len(batch) // 2 if result.of_memory else 1
        if result.of_memory:
            self.fitting = step
        for start in range(0, len(batch), step):
            yield from self._parts(batch[start : start + step], compute)

    def _tried(
        self, batch: list[ReadCase[Kept]], compute: Compute[Kept, Result]
    ) -> Result | _Failure:
        import torch

        from napari_ifa.cam.memory import NoMemoryError

        try:
            return compute(torch.stack([case.image for case in batch]).to(self.device), batch)
        except Exception as error:
            # The error itself does not leave: its traceback would keep the batch in memory.
            if isinstance(error, NoMemoryError) or lacks_memory(error):
                return _Failure(of_memory=True)
            if isinstance(error, ExplanationError):
                return _Failure(str(error))
            raise


@dataclass(frozen=True)
class _Failure:
    reason: str = (
        "There is not enough memory for this image, even alone: use a smaller image or a device"
        " with more memory."
    )
    of_memory: bool = False


@dataclass(eq=False)
class CohortPass(Generic[Kept]):
    """Goes through a cohort in its order, once for each call of ``computed``.

    Attributes
    ----------
    keep : see `Keep`; nothing is kept by default.
    skip_up_to : share of the cohort's cases that may be skipped.
    progress : called with cases done and cases in all.
    stop : asked before every case; True ends the work.
    positions : places in the cohort of the cases to take; all by default.
    skipped : the cases that could not be used in the last pass.
    used : places in the cohort of those that could, ``[N]``, in the order of what was computed.
    groups : ``[N]``, equal for cases of one patient; None where no patient is known.
    """

    classifier: Classifier
    cohort: Cohort
    keep: Keep[Kept] | None = None
    size: BatchSize = BatchSize()
    skip_up_to: float = 0.05
    progress: Progress | None = None
    stop: Stop | None = None
    positions: Sequence[int] | None = None
    skipped: tuple[SkippedCase, ...] = ()
    used: tuple[int, ...] = ()
    groups: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        check_not_empty(self.cohort)
        most_skipped(self.skip_up_to, len(self.cohort))

    def computed(self, compute: Compute[Kept, Result]) -> Computed[Kept, Result]:
        """As `Batches.computed`, of the chosen cases.

        Raises
        ------
        CohortError
            More cases failed than may be skipped, or all; one is named.
        Cancelled
            ``stop`` returned True.
        """
        skipped = SkippedCases(most_skipped(self.skip_up_to, len(self.cohort)))
        positions = range(len(self.cohort)) if self.positions is None else self.positions
        used: list[int] = []
        pseudonyms: list[int] = []
        done = 0

        def advance(cases: int) -> None:
            nonlocal done
            done += cases
            if self.progress is not None:
                self.progress(done, len(positions))

        batches: Batches[Kept] = Batches(
            self.classifier.device, self.size, skipped, advance, self.stop
        )
        cases = ((position, self.cohort.cases[position]) for position in positions)
        with closing(read_ahead(self.classifier, cases, self.keep)) as inputs:
            for part, result in batches.computed(inputs, compute):
                used += [case.position for case in part]
                pseudonyms += [case.group for case in part]
                yield part, result
        self.skipped, self.used = tuple(skipped.cases), tuple(used)
        self.groups = group_numbers(np.array(pseudonyms, np.uint64))
        if not used and skipped.cases:
            raise none_usable(skipped.cases)
