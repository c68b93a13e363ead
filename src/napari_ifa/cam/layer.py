"""The target layer: found by name, and its output replaced while the network runs."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor
from napari_ifa.models.tokens import TokenLayout, token_layout

#: From the layer's features `[B, F, *grid]` to n rows that go on, and the case of each, `[n]`.
Substitute: TypeAlias = Callable[[Tensor], tuple[Tensor, Tensor]]


def layer_name(network: nn.Module, layer: str | nn.Module) -> str:
    """The dotted name of a module given by name or itself; ExplanationError if it has none."""
    # A module known by several names answers to each of them.
    names = dict(network.named_modules(remove_duplicate=False))
    names.pop("")
    if isinstance(layer, nn.Module):
        for name, module in names.items():
            if module is layer:
                return name
        raise ExplanationError(ExplanationProblem.FOREIGN_LAYER)
    if not isinstance(layer, str):
        raise ExplanationError(ExplanationProblem.LAYER_TYPE, found=type(layer).__name__)
    if layer in names:
        return layer
    near = difflib.get_close_matches(layer, names, n=3, cutoff=0.5)
    near = near or [name for name in names if "." not in name]
    hint = f": did you mean {' or '.join(map(repr, near))}?" if near else "."
    raise ExplanationError(ExplanationProblem.NO_SUCH_LAYER, asked=layer, near=near, hint=hint)


class Replacement:
    """A forward hook that gives the rest of the network other features than the layer's own.

    `cases [n]` is known after the forward: which case each of the n rows belongs to. Under
    autocast the part of the network behind the layer runs in float32, if its weights are.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str,
        inputs: Any,
        substitute: Substitute,
        token_grid: Sequence[int] | None = None,
    ) -> None:
        self._network = network
        self._layer = layer
        self._inputs = inputs
        self._substitute = substitute
        self._token_grid = token_grid
        self.cases: Tensor | None = None

    def __call__(self, module: nn.Module, _args: Any, output: Any) -> Tensor:
        if self.cases is not None:
            raise ExplanationError(ExplanationProblem.LAYER_CALLED_AGAIN, layer=self._layer)
        layout = self._layout(module, output)
        device = output.device.type
        if torch.is_autocast_enabled(device) and self._is_full():
            # Restored when the autocast block around the forward is left.
            torch.set_autocast_enabled(device, False)
            output = output.float()
        features = output if layout is None else layout.fold(output)
        rows, self.cases = self._substitute(features)
        return rows if layout is None else layout.unfold(rows, output, self.cases)

    def _is_full(self) -> bool:
        """Whether the weights are in full precision; half ones could not take a float32 input."""
        floats = (p for p in self._network.parameters() if p.is_floating_point())
        first = next(floats, None)
        return first is None or first.dtype in (torch.float32, torch.float64)

    def _layout(self, module: nn.Module, output: Any) -> TokenLayout | None:
        if not isinstance(output, Tensor):
            raise ExplanationError(
                ExplanationProblem.LAYER_OUTPUT_TYPE, layer=self._layer, found=type(output).__name__
            )
        given = first_tensor(self._inputs)
        shape = tuple(output.shape)
        if len(output) == len(given) and output.is_floating_point():
            layout = token_layout(self._network, self._inputs, shape, self._token_grid, module)
            if layout is not None:
                return layout
            if output.ndim == given.ndim and output.ndim > 2 and math.prod(shape[2:]) > 1:
                return None
        raise ExplanationError(
            ExplanationProblem.NO_GRID,
            layer=self._layer,
            gives=list(shape),
            given=list(given.shape),
        )
