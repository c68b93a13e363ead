"""Which layers of a network can carry a class activation, and which one to take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import (
    FORWARD_ERRORS,
    call_network,
    first_tensor,
    input_error,
    plain_inputs,
    undisturbed,
    unwrapped,
)

# These change no feature in eval mode, or only the grid: the layer before them is the one to name.
_PASSED_OVER = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.Identity,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)


@dataclass(frozen=True)
class CandidateLayer:
    """A layer whose output is F features on a grid of more than one voxel.

    `name` is the dotted name, `channels` F, `grid` the spatial shape for the probed input.
    One candidate of a network is `recommended`; `reason` says why, or why not, in one phrase.
    """

    name: str
    channels: int
    grid: tuple[int, ...]
    recommended: bool
    reason: str


@dataclass
class _Call:
    """What one module gave back in the probing forward."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    handed_on: bool  # a container's output that is the very tensor of its last child


def candidate_layers(network: nn.Module, example: Any) -> list[CandidateLayer]:
    """The layers with spatial output, in the order in which the network finishes them.

    `example` is one input as the network takes it: `[B, C, *spatial]`, or a tuple (positional) or
    dict (keyword arguments) of tensors. One forward of its first case; the network is left as it
    was. A module that is called more than once in a forward is no candidate: its output is not one
    tensor.

    The recommendation is the last spatial layer before the grid is pooled or flattened away, named
    by its outermost block (`layer4`, not `layer4.1.bn2`). Everything after it is then as simple as
    this network allows; for global pooling and a linear layer the head is affine in the features,
    and the contributions of the features add up to the logit.

    Raises
    ------
    ExplanationError
        The network fails on the example or has no spatial layer.
    """
    calls = _finished_calls(unwrapped(network), example)
    times: dict[str, int] = {}
    for call in calls:
        times[call.name] = times.get(call.name, 0) + 1

    spatial_dims = first_tensor(example).ndim - 2
    spatial = [call for call in calls if _is_spatial(call.shape, spatial_dims)]
    candidates = [call for call in spatial if times[call.name] == 1]
    if not candidates:
        raise ExplanationError(
            "No layer of the network gives features on a grid: class activation needs a network"
            " with spatial layers, such as convolutions, and an input large enough for them."
        )
    best = _recommended(candidates)
    after = calls[calls.index(best) + 1 :]
    following = next((call.name for call in after if not call.handed_on), None)
    return [
        CandidateLayer(
            name=call.name,
            channels=call.shape[1],
            grid=call.shape[2:],
            recommended=call is best,
            reason=_reason(call, best, calls, following),
        )
        for call in candidates
    ]


def _finished_calls(network: nn.Module, example: Any) -> list[_Call]:
    """Every module's output shape in one forward of the first case, in order of completion."""
    calls: list[_Call] = []
    previous: list[Any] = [None]

    def note(name: str) -> Any:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                handed_on = output is previous[0] and any(module.children())
                calls.append(_Call(name, module, tuple(output.shape), handed_on))
                previous[0] = output

        return hook

    handles = [
        module.register_forward_hook(note(name)) for name, module in network.named_modules() if name
    ]
    try:
        with torch.inference_mode(False), torch.no_grad(), undisturbed(network):
            call_network(network, plain_inputs(example, slice(0, 1)))
    except FORWARD_ERRORS as error:
        raise input_error(network, example, error) from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _is_spatial(shape: tuple[int, ...], spatial_dims: int) -> bool:
    return len(shape) == spatial_dims + 2 and math.prod(shape[2:]) > 1


def _recommended(candidates: list[_Call]) -> _Call:
    """The last candidate that computes features, under its outermost name."""
    kept = [call for call in candidates if not isinstance(call.module, _PASSED_OVER)]
    return (kept or candidates)[-1]


def _reason(call: _Call, best: _Call, calls: list[_Call], following: str | None) -> str:
    if call is best:
        ahead = f", followed by {following}" if following else ""
        return f"last layer with a spatial output{ahead}"
    position, best_position = calls.index(call), calls.index(best)
    if position > best_position:
        return f"only pools or passes on the output of {best.name}"
    if all(later.handed_on for later in calls[position + 1 : best_position + 1]):
        return f"the same output as {best.name}"
    if call.name.startswith(f"{best.name}."):
        return f"inside {best.name}"
    return f"earlier than {best.name}, so more of the network lies behind it"
