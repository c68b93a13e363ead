"""Which layers of a network can carry a class activation, and which one to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import unwrapped
from napari_ifa.models.probing import Call, probed
from napari_ifa.models.problems import NetworkProblem
from napari_ifa.models.recommendation import recommended_call


@dataclass(frozen=True)
class CandidateLayer:
    """A layer whose output is F features on a grid of more than one voxel.

    `name` is the dotted name, `channels` F, `grid` the spatial shape for the probed input; tokens
    are counted as folded. One candidate of a network is `recommended`; `reason` says why, or why
    not, in one phrase.
    """

    name: str
    channels: int
    grid: tuple[int, ...]
    recommended: bool
    reason: str


def candidate_layers(
    network: nn.Module,
    example: Any,
    output: int | str | None = None,
    token_grid: Sequence[int] | None = None,
) -> list[CandidateLayer]:
    """The layers with spatial output, in the order in which the network finishes them.

    `example` is one input as the network takes it: `[B, C, *spatial]`, or a tuple (positional) or
    dict (keyword arguments) of tensors. One forward of its first case, two more of a classifier for
    each layer that is tried, and one with gradients for transformers and for networks with several
    outputs; the network is left as it was. A module that is called more than once in a forward is
    no candidate: its output is not one tensor.
    `output` names the logits among several outputs, `token_grid` the grid of a transformer's
    tokens where it cannot be inferred.

    The recommendation is the layer to start with:

    * in a classifier the last spatial layer that every path to the answer goes through, named by
      its outermost block (`layer4`, not `layer4.1.bn2`). Everything after it is then as simple as
      this network allows; for global pooling and a linear layer the head is affine in the
      features, and the contributions of the features add up to the logit. In a transformer that
      pools its patch tokens this is the output of the last block, or of the norm behind it, and
      never the norm or the branch inside a block, which the residual path goes around;
    * in a transformer with a class token, which no layer is free of, the last norm or block on
      whose patch tokens the answer depends: behind the attention of the last block only the class
      token goes on to the answer;
    * in a segmentation network the bottleneck, the last layer on the coarsest grid. What comes
      later is ever more the segmentation itself (Vinogradova et al., AAAI 2020).

    Raises
    ------
    ExplanationError
        The network fails on the example, or has no spatial layer.
    """
    network = unwrapped(network)
    probe = probed(network, example, output, token_grid)
    if not probe.candidates and probe.repeated:
        raise ExplanationError(NetworkProblem.LAYERS_CALLED_AGAIN, layer=probe.repeated[-1])
    if not probe.candidates:
        raise ExplanationError(NetworkProblem.NO_GRID)
    best, why, behind = recommended_call(probe)
    return [
        CandidateLayer(
            name=call.name,
            channels=call.channels,
            grid=call.grid,
            recommended=call is best,
            reason=why if call is best else _reason(call, best, probe.calls, behind),
        )
        for call in probe.candidates
    ]


def _reason(call: Call, best: Call, calls: list[Call], behind: str) -> str:
    position, best_position = calls.index(call), calls.index(best)
    if position > best_position:
        return behind
    if all(later.handed_on for later in calls[position + 1 : best_position + 1]):
        return f"the same output as {best.name}"
    if call.name.startswith(f"{best.name}."):
        return f"inside {best.name}"
    return f"earlier than {best.name}, so more of the network lies behind it"
