"""How a method that perturbs the input samples: how often, how strongly, from which seed."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import Cancelled, ExplanationError
from napari_ifa.progress import Progress, Stop


@dataclass(frozen=True)
class Sampling:
    """The settings of one run of a perturbation method.

    `samples` are averaged; `noise` is the standard deviation, in the unit that the method gives it;
    `autocast` is the type in which the perturbed inputs run, None for the caller's own.
    """

    samples: int
    noise: float = 0.0
    seed: int = 0
    autocast: torch.dtype | None = None
    progress: Progress | None = None
    stop: Stop | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.samples, Integral) or self.samples < 1:
            raise ExplanationError(ExplanationProblem.SAMPLES, found=self.samples)
        number = isinstance(self.noise, Real)
        if not (number and math.isfinite(self.noise) and self.noise >= 0):
            raise ExplanationError(ExplanationProblem.NOISE, found=self.noise)
        if not isinstance(self.seed, Integral) or not 0 <= self.seed < 2**64:
            raise ExplanationError(ExplanationProblem.SEED, found=self.seed)
        if self.autocast not in (None, torch.float16, torch.bfloat16):
            raise ExplanationError(ExplanationProblem.AUTOCAST, found=self.autocast)

    def generator(self) -> torch.Generator:
        """A new source of noise, the same one each time."""
        return torch.Generator("cpu").manual_seed(int(self.seed))

    def casting(self, device: torch.device) -> AbstractContextManager[object]:
        """The autocast block for a forward pass; none of its own if none was asked for."""
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.autocast)

    def advance(self, done: int, total: int) -> None:
        """Tell how many of the forward passes are done; Cancelled, if the rest is not wanted."""
        if self.progress is not None:
            self.progress(done, total)
        if done < total and self.stop is not None and self.stop():
            raise Cancelled(ExplanationProblem.STOPPED, done=done, total=total)


def noise_field(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard normal noise.

    Drawn on the CPU in float32, whatever the network's device and type, so that a seed means the
    same noise, and an explanation the same maps, for each.
    """
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
