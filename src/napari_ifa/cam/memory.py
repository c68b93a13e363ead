"""Work in blocks that fit memory: how large they may be, and what to do when they do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError
from napari_ifa.memory import lacks_memory

Result = TypeVar("Result")


class NoMemoryError(ExplanationError):
    """A computation that did not fit memory; in smaller parts it may."""


#: Numbers in a block on the CPU, 16 MiB of float32: larger blocks fall out of the cache.
CPU_BLOCK = 2**22
# Shares of a GPU's free memory. Of a block there are up to ten intermediate results (Grad CAM++),
# beside several blocks that are held; of a pass whose peak was measured there is nothing more.
_SHARE_OF_BLOCK = 1 / 64
_SHARE_OF_PASS = 1 / 4


def block_numbers(device: torch.device) -> int:
    """How many numbers of float32 one block of intermediate results may hold on this device."""
    if device.type != "cuda":
        return CPU_BLOCK
    return int(_free(device) * _SHARE_OF_BLOCK) // 4


def block_length(size: int, device: torch.device) -> int:
    """How many things of `size` numbers each go into one block; at least one."""
    return max(1, block_numbers(device) // max(1, size))


def rows_that_fit(peak: int, device: torch.device) -> int:
    """How many rows go through a GPU at a time, where one holds `peak` bytes at most."""
    return max(1, int(_free(device) * _SHARE_OF_PASS) // max(1, peak))


def _free(device: torch.device) -> int:
    """Bytes of a GPU that are free, or held by torch without being used."""
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def lack_of_memory_named(device: torch.device) -> Iterator[None]:
    """NoMemoryError, one sentence, for torch's own complaint where no smaller block was tried."""
    try:
        yield
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        raise NoMemoryError(
            ExplanationProblem.NO_MEMORY, device=str(device), work="this class activation"
        ) from error


def in_blocks(
    count: int, length: int, compute: Callable[[slice], Result], *, what: str
) -> Iterator[tuple[slice, Result]]:
    """`compute(block)` for slices of up to `length` that together cover `count` things, in order.

    A block that runs out of memory is halved and tried again, and the later ones keep that length.
    NoMemoryError, which says how much of `what` was tried ("cases", "classes"), if even a block
    of one does not fit.
    """
    start = 0
    while start < count:
        block = slice(start, min(count, start + length))
        try:
            result = compute(block)
        except (RuntimeError, NoMemoryError) as error:
            if not isinstance(error, NoMemoryError) and not lacks_memory(error):
                raise
            held = block.stop - block.start
            if held == 1:
                raise NoMemoryError(
                    ExplanationProblem.NO_MEMORY_FOR_ONE, what=what, count=count
                ) from error
            length = held // 2
            continue
        yield block, result
        start = block.stop
