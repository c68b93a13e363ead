"""Predictions with features switched off, and whether that tells the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.activation import mask_tensor
from napari_ifa.cam.features import CutNetwork, every_case, opened
from napari_ifa.cam.finite import check_finite
from napari_ifa.cam.memory import NoMemoryError, block_length
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.regions import Region
from napari_ifa.cam.targets import HeadRefusedError, Reading
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor, other_inputs, plain_inputs, same_answer

if TYPE_CHECKING:
    import numpy as np


def masked_logits(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    masks: Tensor | np.ndarray | None = None,
    *,
    fill: Tensor | np.ndarray | None = None,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
) -> Tensor:
    """Logits `[B, M, C]` with the target layer's features times each of the masks `[M, F]`.

    `fill`, `[F]` or `[M, F]`, is what a feature becomes in every voxel where its mask is 0, such as
    its mean over a cohort: m·A + (1 − m)·fill. Without it that is 0.

    One pass up to the layer; the masked copies ride through the rest as one large batch (in
    blocks, each with a pass, where that would not fit memory). Where the rest of the network
    cannot take a larger batch than the input has (a path around the layer), or mixes the cases of
    a batch, each mask has a pass of its own.

    The other arguments and the errors are those of `class_activation`; masks are bool or float.
    """
    with opened(network, target_layer, output, region, token_grid) as cut:
        return _masked_logits(cut, cut.prepared(x), masks, fill)


def _masked_logits(
    cut: CutNetwork,
    inputs: Any,
    masks: Tensor | np.ndarray | None,
    fill: Tensor | np.ndarray | None,
) -> Tensor:
    masks = mask_tensor(masks if masks is not None else []).to(first_tensor(inputs).device)
    if masks.ndim != 2 or not len(masks):
        raise ExplanationError(ExplanationProblem.MASK_SHAPE, found=list(masks.shape))
    offsets = _offsets(masks, fill)
    mixing, batch = cut.mixes_cases(inputs), len(first_tensor(inputs))
    with torch.inference_mode(False), torch.no_grad():
        if not mixing:
            reading = cut.reading(inputs)
            try:
                return _passed(cut, inputs, masks, offsets, reading, len(masks))
            except HeadRefusedError:
                return _passed(cut, inputs, masks, offsets, reading, 1)
        logits = []
        for i in range(batch):
            case = plain_inputs(inputs, slice(i, i + 1))
            logits.append(_passed(cut, case, masks, offsets, cut.reading(case, i, batch), 1))
        return torch.cat(logits)


def _offsets(masks: Tensor, fill: Tensor | np.ndarray | None) -> Tensor | None:
    """What is added to the masked features, `[M, F]`; None for nothing."""
    if fill is None:
        return None
    values = mask_tensor(fill).float().to(masks.device)
    if values.ndim == 1:
        values = values.expand(len(masks), -1)
    if values.shape != masks.shape:
        raise ExplanationError(
            ExplanationProblem.FILL_SHAPE, needed=list(masks.shape), found=list(values.shape)
        )
    return (1 - masks.to(values)) * values


def _passed(
    cut: CutNetwork,
    inputs: Any,
    masks: Tensor,
    offsets: Tensor | None,
    reading: Reading,
    limit: int,
) -> Tensor:
    """Logits `[B, M, C]`, of up to `limit` masks, or as many as fit, in a pass."""
    cases = len(first_tensor(inputs))
    block = masks

    def masked(features: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal block
        if masks.shape[1] != features.shape[1]:
            raise ExplanationError(
                ExplanationProblem.MASK_SIZE,
                needed=features.shape[1],
                layer=cut.layer,
                found=list(masks.shape),
            )
        most = min(limit, block_length(features.numel(), features.device))
        block = masks[done : done + most]
        axes = [1] * (features.ndim - 2)
        found = features[:, None] * block.to(features).reshape(*block.shape, *axes)
        if offsets is not None:
            added = offsets[done : done + most]
            found = found + added.to(features).reshape(*added.shape, *axes)
        rows = every_case(features).repeat_interleave(len(block))
        return found.flatten(0, 1), rows

    logits: list[Tensor] = []
    done = 0
    while done < len(masks):
        try:
            rows = cut.forward(inputs, masked, reading)
        except NoMemoryError:
            if len(block) == 1:
                raise
            # Memory may be short before the layer, where no other block is chosen.
            limit = len(block) // 2
            block = block[:limit]
            continue
        logits.append(rows.reshape(cases, len(block), -1))
        done += len(block)
    found = torch.cat(logits, 1)
    check_finite(found, "the logits with masked features")
    return found


def bypassed(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layer: str | nn.Module | None = None,
    *,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
) -> bool:
    """Whether the logits depend on the input even while the features of the layer stay the same.

    True means that a path around the target layer (a skip connection, a gate, a class token)
    carries part of the answer, so that switching features off does not show all of it. Two forward
    passes of the first case: of `x`, and of noise with the features that `x` has.
    """
    kept = torch.empty(0)

    def keep(features: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal kept
        kept = features.clone()
        return features, every_case(features)

    def again(features: Tensor) -> tuple[Tensor, Tensor]:
        return kept.clone(), every_case(features)

    with opened(network, target_layer, output, region, token_grid) as cut:
        inputs = cut.prepared(x)
        case = plain_inputs(inputs, slice(0, 1))
        with torch.inference_mode(False), torch.no_grad():
            reading = cut.reading(case, 0, len(first_tensor(inputs)))
            one = cut.forward(case, keep, reading)
            other = cut.forward(other_inputs(case), again, reading)
    check_finite(one, "the network's logits")
    return not same_answer(one, other)
