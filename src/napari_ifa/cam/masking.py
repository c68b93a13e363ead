"""Predictions with features switched off, and whether that tells the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.features import (
    CutNetwork,
    HeadRefusedError,
    check_own,
    each_case,
    every_case,
)
from napari_ifa.cam.memory import NoMemoryError, block_length
from napari_ifa.cam.regions import Region
from napari_ifa.cam.targets import Reading
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor

if TYPE_CHECKING:
    import numpy as np


def masked_logits(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    masks: Tensor | np.ndarray | None = None,
    *,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
) -> Tensor:
    """Logits `[B, M, C]` with the target layer's features times each of the masks `[M, F]`.

    One pass up to the layer; the masked copies ride through the rest as one large batch (in
    blocks, each with a pass, where that would not fit memory). Where the rest of the network
    cannot take a larger batch than the input has (a path around the layer), or mixes the cases of
    a batch, each mask has a pass of its own.

    The other arguments and the errors are those of `class_activation`; masks are bool or float.
    """
    if isinstance(network, CutNetwork):
        check_own(target_layer, output, region, token_grid)
        return _masked_logits(network, x, masks)
    with CutNetwork(
        network, target_layer, output=output, region=region, token_grid=token_grid
    ) as cut:
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
            reading = cut.reading(inputs)
            try:
                return _in_one_batch(cut, inputs, masks, reading)
            except HeadRefusedError:
                return _one_by_one(cut, inputs, masks, reading)
        return torch.cat(
            [
                _one_by_one(cut, case, masks, cut.reading(case, slice(i, i + 1)))
                for i, case in enumerate(each_case(inputs))
            ]
        )


def _one_by_one(cut: CutNetwork, inputs: Any, masks: Tensor, reading: Reading) -> Tensor:
    return torch.cat([_in_one_batch(cut, inputs, mask, reading) for mask in masks.split(1)], 1)


def _in_one_batch(cut: CutNetwork, inputs: Any, masks: Tensor, reading: Reading) -> Tensor:
    cases = len(first_tensor(inputs))
    block = masks

    def masked(features: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal block
        if masks.shape[1] != features.shape[1]:
            raise ExplanationError(
                f"A feature mask has {masks.shape[1]} values, and layer '{cut.layer}' has"
                f" {features.shape[1]} features."
            )
        most = min(limit, block_length(features.numel(), features.device))
        block = masks[done : done + most]
        weights = block.to(features).reshape(*block.shape, *[1] * (features.ndim - 2))
        rows = every_case(features).repeat_interleave(len(block))
        return (features[:, None] * weights).flatten(0, 1), rows

    logits: list[Tensor] = []
    done, limit = 0, len(masks)
    while done < len(masks):
        try:
            rows = cut.forward(inputs, masked, reading)
        except NoMemoryError:
            if len(block) == 1:
                raise
            limit = len(block) // 2
            continue
        logits.append(rows.reshape(cases, len(block), -1))
        done += len(block)
    return torch.cat(logits, 1)


def bypassed(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    *,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
) -> bool:
    """Whether the logits depend on the input even with all features of the layer at zero.

    True means that a path around the target layer (a skip connection) carries part of the answer,
    so that switching features off does not show all of it. Two forward passes of one case: the
    first of `x` and the same with its sign changed and its values mirrored.
    """
    if not isinstance(network, CutNetwork):
        with CutNetwork(
            network, target_layer, output=output, region=region, token_grid=token_grid
        ) as cut:
            return bypassed(cut, x)
    check_own(target_layer, output, region, token_grid)
    case = each_case(network.prepared(x))[0]
    with torch.inference_mode(False), torch.no_grad():
        reading = network.reading(case, slice(0, 1))
        one = network.forward(case, _nothing, reading)
        other = network.forward(_other(case), _nothing, reading)
    size = max(float(one.abs().max()), float(other.abs().max()))
    return not torch.allclose(one, other, rtol=0, atol=1e-5 * size)


def _nothing(features: Tensor) -> tuple[Tensor, Tensor]:
    return torch.zeros_like(features), every_case(features)


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
