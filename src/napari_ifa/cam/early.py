"""What the first layers make of an input, taken while the network runs anyway.

They see texture, noise and contrast before the network has learnt to look past them, so that their
channels tell an unusual image from the usual ones. Taken are the first convolution that is called,
or in a network without one the first linear layer that is applied to tokens, and the first
activation behind it: a convolution's mean is little more than the image's own, and a constant image
or noise shows in what is positive of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation

from napari_ifa.models.calling import CONVOLUTIONS

_LAYERS = (*CONVOLUTIONS, nn.Linear)
_ACTIVATIONS: tuple[type[nn.Module], ...] = tuple(
    kind
    for name in activation.__all__
    if (kind := getattr(activation, name)) is not nn.MultiheadAttention
)


class EarlyChannels:
    """Mean and deviation of the first layers' channels over all places, for each case.

    ::

        early = EarlyChannels(network.modules())
        with early.watched(len(x)):
            network(x)
        early.found  # [B, 2, E], or None

    A network that cuts its cases into slices gives several rows for a case, which count together.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules: list[nn.Module] = [
            module for module in modules if isinstance(module, (*_LAYERS, *_ACTIVATIONS))
        ]
        self._cases = 0
        self._parts: list[Tensor] = []
        self._axes = 0
        self._closed = False
        # Whether the rows of a case are known to lie side by side.
        self._in_order = False
        #: Rows that the layers gave for each case.
        self.rows_per_case = 0

    @property
    def found(self) -> Tensor | None:
        """`[B, 2, E]` of the last pass; None where no layer gave whole rows for each case."""
        return torch.cat(self._parts, 2) if self._parts else None

    @contextmanager
    def watched(self, cases: int) -> Iterator[None]:
        """Look at what runs inside the block: one forward pass of so many cases."""
        self._cases, self._parts, self._closed, self.rows_per_case = cases, [], False, 0
        with ExitStack() as stack:
            for module in self._modules:
                stack.callback(module.register_forward_hook(self._see).remove)
            yield

    def of_cases(self, cases: int, first: Callable[[], object]) -> Tensor | None:
        """What the last pass gave of so many cases; None where rows may be those of other cases.

        `first` runs the network on the first case alone, to see whether its rows are the first.
        """
        found = self.found
        if found is None or cases == 1 or self.rows_per_case <= 1 or self._in_order:
            return found
        with torch.no_grad(), self.watched(1):
            first()
        alone = self.found
        self._in_order = alone is not None and torch.allclose(alone[0], found[0], 1e-3, 1e-3)
        if not self._in_order:
            self._modules = []
        return found if self._in_order else None

    def _see(self, module: nn.Module, _args: Any, output: Any) -> None:
        if self._closed or not isinstance(output, Tensor) or not output.is_floating_point():
            return
        # A gradient says that the target layer, behind which made-up rows are added, came before.
        if output.requires_grad:
            self._closed = True
        elif not self._parts:
            if isinstance(module, _LAYERS):
                self._take(_channels_second(module, output))
                self._axes = output.ndim if isinstance(module, CONVOLUTIONS) else 0
        elif isinstance(module, _ACTIVATIONS):
            # Behind a patch embedding it is that of a wide layer inside a block: not an early one.
            if output.ndim == self._axes:
                self._take(output)
            self._closed = True

    def _take(self, values: Tensor | None) -> None:
        if values is None:
            return
        rows = len(values) // self._cases
        if len(values) % self._cases or self.rows_per_case not in (0, rows):
            self._closed = True
            return
        self.rows_per_case = rows
        values = values.detach().float().unflatten(0, (self._cases, rows))
        over = [axis for axis in range(values.ndim) if axis not in (0, 2)]
        variance, mean = torch.var_mean(values, dim=over, correction=0)
        self._parts.append(torch.stack([mean, variance.sqrt()], 1))


def _channels_second(module: nn.Module, output: Tensor) -> Tensor | None:
    """The layer's output as `[rows, E, *places]`; None where it has no places to go over."""
    if isinstance(module, CONVOLUTIONS):
        batched = output.ndim == len(module.kernel_size) + 2
        return output if batched else None
    return output.movedim(-1, 1) if output.ndim > 2 else None
