"""What the answer is, worked out without any of the competitors."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pooled_linear(network: nn.Module, layer: str, linear: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features `[B, F, *grid]` and Grad CAM's weights `[C, F]` of a pooled linear head.

    Behind global average pooling over V voxels, ∂y_c/∂A_f(v) = W[c, f] / V at every voxel: the
    weights are read from the linear layer, and nothing is differentiated.
    """
    kept: list[Tensor] = []
    hook = network.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output)
    )
    with torch.no_grad():
        network(x)
    hook.remove()
    (features,) = kept
    matrix = network.get_submodule(linear).get_parameter("weight").detach()
    return features, matrix / features.shape[2:].numel()
