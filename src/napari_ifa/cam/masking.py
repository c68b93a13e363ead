"""Predictions with features switched off, and whether that tells the whole story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.features import CutNetwork, HeadRefusedError, each_case
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor

if TYPE_CHECKING:
    import numpy as np


# Numbers in the masked features of one pass: 64 MiB of float32.
_BLOCK_SIZE = 2**24


def masked_logits(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    masks: Tensor | np.ndarray | None = None,
    *,
    output: int | str | None = None,
) -> Tensor:
    """Logits `[B, M, C]` with the target layer's features times each of the masks `[M, F]`.

    One pass up to the layer; the masked copies ride through the rest as one large batch (in
    blocks, each with a pass, where that would not fit memory). Where the rest of the network
    cannot take a larger batch than the input has (a path around the layer), or mixes the cases of
    a batch, each mask has a pass of its own.

    Network, layer, input, output and errors are those of `class_activation`; masks are bool or
    float.
    """
    if isinstance(network, CutNetwork):
        if target_layer is not None or output is not None:
            raise ExplanationError("The target layer and output of a CutNetwork are its own.")
        return _masked_logits(network, x, masks)
    with CutNetwork(network, target_layer, output=output) as cut:
        return _masked_logits(cut, x, masks)


def _masked_logits(cut: CutNetwork, x: Any, masks: Tensor | np.ndarray | None) -> Tensor:
    inputs = cut.prepared(x)
    masks = torch.as_tensor(masks if masks is not None else [], device=first_tensor(inputs).device)
    if masks.ndim != 2 or not len(masks):
        raise ExplanationError(
            f"Feature masks must be [masks, features], not of shape {list(masks.shape)}."
        )
    mixing = cut.mixes_cases(inputs)
    with torch.inference_mode(False), torch.no_grad():
        if not mixing:
            try:
                return _in_one_batch(cut, inputs, masks)
            except HeadRefusedError:
                return _one_by_one(cut, inputs, masks)
        return torch.cat([_one_by_one(cut, case, masks) for case in each_case(inputs)])


def _one_by_one(cut: CutNetwork, inputs: Any, masks: Tensor) -> Tensor:
    return torch.cat([_in_one_batch(cut, inputs, mask) for mask in masks.split(1)], 1)


def _in_one_batch(cut: CutNetwork, inputs: Any, masks: Tensor) -> Tensor:
    cases = len(first_tensor(inputs))
    block = masks

    def masked(features: Tensor) -> Tensor:
        nonlocal block
        if masks.shape[1] != features.shape[1]:
            raise ExplanationError(
                f"A feature mask has {masks.shape[1]} values, and layer '{cut.layer}' has"
                f" {features.shape[1]} features."
            )
        block = masks[done : done + max(1, _BLOCK_SIZE // features.numel())]
        weights = block.to(features).reshape(*block.shape, *[1] * (features.ndim - 2))
        return (features[:, None] * weights).flatten(0, 1)

    logits: list[Tensor] = []
    done = 0
    while done < len(masks):
        rows = cut.forward(inputs, masked)
        logits.append(rows.reshape(cases, len(block), -1))
        done += len(block)
    return torch.cat(logits, 1)


def bypassed(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    *,
    output: int | str | None = None,
) -> bool:
    """Whether the logits depend on the input even with all features of the layer at zero.

    True means that a path around the target layer (a skip connection) carries part of the answer,
    so that switching features off does not show all of it. Two forward passes of one case: the
    first of `x` and the same with its sign changed and its values mirrored.
    """
    if not isinstance(network, CutNetwork):
        with CutNetwork(network, target_layer, output=output) as cut:
            return bypassed(cut, x)
    case = each_case(network.prepared(x))[0]
    with torch.inference_mode(False), torch.no_grad():
        one = network.forward(case, torch.zeros_like)
        other = network.forward(_other(case), torch.zeros_like)
    size = max(float(one.abs().max()), float(other.abs().max()))
    return not torch.allclose(one, other, rtol=0, atol=1e-5 * size)


def _other(inputs: Any) -> Any:
    """Inputs of the same shapes and sizes of values, but others."""
    if isinstance(inputs, Tensor):
        if not inputs.is_floating_point():
            return inputs
        axes = tuple(range(2, inputs.ndim))
        return 1 - inputs.flip(axes) if axes else 1 - inputs
    if isinstance(inputs, dict):
        return {key: _other(value) for key, value in inputs.items()}
    return tuple(_other(value) for value in inputs) if isinstance(inputs, tuple) else inputs
