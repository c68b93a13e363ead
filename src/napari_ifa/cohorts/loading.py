"""The network's inputs in the cohort's order, read ahead by threads while the network computes."""

from __future__ import annotations

import copy
import hashlib
import os
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from napari_ifa.analysis.fit.header import Header
from napari_ifa.analysis.fit.statistics import intensity_quantiles
from napari_ifa.cohorts.cohort import Case
from napari_ifa.cohorts.groups import UNKNOWN, group_of
from napari_ifa.errors import CohortError, IfaError
from napari_ifa.memory import memory_said
from napari_ifa.models.classifier import Classifier

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from napari_ifa.models.preprocessing import Preprocessing

#: Inputs that wait for the network beside those that are being read.
_AHEAD = 2
_MOST_THREADS = 4


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case as the network takes it, or why it cannot be.

    Attributes
    ----------
    position : the case's place in the cohort.
    image : ``[C, *spatial]`` float32 on the CPU; None where the case cannot be used.
    content : equal for two cases whose inputs are equal.
    group : the pseudonym of what the case belongs to, see ``groups``.
    intensities : quantiles of the image, see ``fit.statistics``.
    header : what the case's file says of it.
    reason : one sentence, where the case cannot be used.
    """

    position: int
    image: torch.Tensor | None
    content: int = 0
    group: int = UNKNOWN
    intensities: NDArray[np.float32] | None = None
    header: Header | None = None
    reason: str = ""


def loaded_cases(
    classifier: Classifier, cases: Iterable[tuple[int, Case]], threads: int | None = None
) -> Generator[Loaded, None, None]:
    """Cases with their places in the cohort, opened and preprocessed, in their order.

    ``threads`` read at the same time; by default one for every two processors, up to four.
    """
    number = threads or min(_MOST_THREADS, max(1, (os.cpu_count() or 1) // 2))
    local = threading.local()
    key = classifier.identity()["weights"]

    def load(position: int, case: Case) -> Loaded:
        # A chain of transforms holds its random state, so every thread has its own.
        if not hasattr(local, "preprocessing"):
            local.preprocessing = copy.deepcopy(classifier.preprocessing)
        return _loaded(local.preprocessing, key, position, case)

    with ThreadPoolExecutor(number, thread_name_prefix="ifa-loader") as pool:
        rest = iter(cases)
        waiting: deque[Future[Loaded]] = deque(
            pool.submit(load, *entry) for entry in islice(rest, number + _AHEAD)
        )
        try:
            while waiting:
                ready = waiting.popleft().result()
                waiting.extend(pool.submit(load, *entry) for entry in islice(rest, 1))
                yield ready
        finally:
            for future in waiting:
                future.cancel()


def _loaded(preprocessing: Preprocessing, key: str, position: int, case: Case) -> Loaded:
    try:
        with memory_said(CohortError, "read the image", "read fewer at a time"):
            volume = case.read()
            group = group_of(case, volume, key)
            prepared = preprocessing(volume)
            header = Header.of(volume, prepared)
            image = prepared.as_tensor().float().contiguous()
    except IfaError as error:
        return Loaded(position, None, reason=str(error))
    except Exception as error:
        # One odd file must not end the work on a cohort, and its message may name a patient.
        text = getattr(error, "strerror", None) or type(error).__name__
        return Loaded(position, None, reason=f"The image cannot be read: {text}.")
    wrong = image.numel() - int(image.isfinite().sum())
    if wrong:
        reason = f"{wrong} of {image.numel()} values that the network would see are not finite."
        return Loaded(position, None, reason=reason)
    return Loaded(
        position, image, content_of(image), group, intensity_quantiles(image), header=header
    )


def content_of(image: torch.Tensor) -> int:
    """64 bits of the hash of an input ``[C, *spatial]`` on the CPU; equal for equal inputs."""
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(image.numpy().data)
    return int.from_bytes(digest.digest(), "little")
