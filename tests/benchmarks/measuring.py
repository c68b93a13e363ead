"""How a benchmark measures: competitors in turns, exact peaks of memory, one line per result."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

Call = Callable[[], Any]
MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """What all rows share: the device, how many rounds, and whether small cases will do."""

    device: torch.device
    rounds: int
    quick: bool


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of the ratios of single rounds (all three equal for exact numbers)."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: np.ndarray) -> Spread:
        lower, median, upper = np.percentile(values, [25, 50, 75])
        return cls(float(median), float(lower), float(upper))


@dataclass(frozen=True)
class Line:
    """One line of the table.

    `ratio` is this project's time or memory over the other's, so that smaller is better, and
    `reach` the largest that meets the aim (None where there is no aim). `ours` and `other` are
    medians, in seconds or MiB as `unit` says. `difference` is the largest difference between the
    two results over the largest value of the other's (None where the other has no such result).
    """

    row: str
    case: str
    against: str
    ratio: Spread
    reach: float | None
    unit: str
    ours: float
    other: float
    difference: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.reach is None else self.ratio.median <= self.reach


@dataclass(frozen=True)
class Times:
    """Seconds of each competitor, one value per round."""

    seconds: Mapping[str, np.ndarray]
    results: Mapping[str, Any] = field(repr=False)

    def ratio(self, ours: str, other: str) -> Spread:
        return Spread.of(self.seconds[ours] / self.seconds[other])

    def scaled(self, name: str, factor: float) -> Times:
        """The same with one competitor's times multiplied, for a share of its work."""
        return Times({**self.seconds, name: self.seconds[name] * factor}, self.results)

    def median(self, name: str) -> float:
        return float(np.median(self.seconds[name]))


def interleaved(calls: Mapping[str, Call], rounds: int, device: torch.device) -> Times:
    """Time the calls in turns, `rounds` times each, after one round that does not count.

    The order is drawn anew each round (seeded), so that none always follows the same other, whose
    caches and freed memory it would inherit. A ratio is taken within a round, where the machine was
    in about the same state for both.
    """
    random = np.random.default_rng(0)
    results = {name: call() for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name in random.permutation(list(calls)):
            gc.collect()
            with _in_order(device):
                begin = time.perf_counter()
                kept = calls[name]()
                _synchronize(device)
                seconds[name].append(time.perf_counter() - begin)
            del kept
    return Times({name: np.array(values) for name, values in seconds.items()}, results)


def peak_memory(build: Callable[[], Call], device: torch.device) -> int:
    """The most bytes of tensors a call holds at once, beyond what was held before it.

    `build` makes the call anew: a first one is run and dropped, so that what a library allocates
    once (cuBLAS workspaces) does not count, and a fresh one is measured, so that nothing of an
    earlier call can be freed in it.

    On the CPU this adds up the allocator events of the torch profiler, which is exact and the same
    on every run. The resident size of a process is neither: it also holds what the C library keeps
    for later, and pages of an earlier peak.
    """
    build()()
    call = build()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        kept = call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        kept = call()
    del kept
    recorded = profiler.profiler
    assert recorded is not None
    return highest_sum(
        (event.start_ns(), event.nbytes())
        for event in recorded.kineto_results.events()
        if event.name() == "[memory]"
    )


def highest_sum(changes: Iterator[tuple[int, int]] | Sequence[tuple[int, int]]) -> int:
    """The highest running sum of (time, bytes) changes, in the order of their times."""
    ordered = [size for _, size in sorted(changes, key=lambda change: change[0])]
    return int(np.cumsum([0, *ordered]).max())


def time_line(
    times: Times, ours: str, other: str, *, row: str, case: str, reach: float | None, **more: Any
) -> Line:
    """The line of two competitors' times."""
    return Line(
        row=row,
        case=case,
        against=other,
        ratio=times.ratio(ours, other),
        reach=reach,
        unit="s",
        ours=times.median(ours),
        other=times.median(other),
        **more,
    )


def memory_line(ours: int, other: int, **more: Any) -> Line:
    """The line of two peaks in bytes."""
    ratio = ours / other
    spread = Spread(ratio, ratio, ratio)
    return Line(ratio=spread, unit="MiB", ours=ours / MIB, other=other / MIB, **more)


def difference(ours: Tensor, other: Tensor) -> float:
    """The largest difference of two results over the largest value of the other's."""
    ours, other = ours.detach().double().cpu(), other.detach().double().cpu()
    assert ours.shape == other.shape, (ours.shape, other.shape)
    return float((ours - other).abs().max() / other.abs().max())


@contextmanager
def _in_order(device: torch.device) -> Iterator[None]:
    """Nothing queued before the block runs inside it, and no collector interrupts it."""
    _synchronize(device)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
