"""The part of a segmentation that is explained: one number per class from a map of logits.

y_c is the mean of class c's logits over the region. Seg-Grad-CAM (Vinogradova et al., AAAI 2020)
sums them; the mean keeps regions of different sizes comparable.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError

#: A mask of the output's spatial size for all cases or each, or "predicted".
Region: TypeAlias = Tensor | np.ndarray | str


def region_weights(voxels: Tensor, region: Region, block: slice, batch: int) -> Tensor:
    """Weights `[b, C or 1, *spatial]` that sum to one over the region of each case.

    Parameters
    ----------
    voxels : `[n, C, *spatial]`, the network's output; its first rows are the cases of `block`, a
        part of a batch of that many cases.
    region : a mask `[*spatial]`, `[B, *spatial]` or `[B, 1, *spatial]`, for every class; or
        "predicted": for each class the voxels where its logit is the largest (above zero, where
        there is but one class). The weights of a class that is predicted nowhere are all zero.

    ExplanationError if the network does not return a map, or the mask does not fit it or is empty.
    """
    if voxels.ndim < 3 or voxels.shape[2:].numel() < 2:
        raise ExplanationError(ExplanationProblem.REGION_WITHOUT_MAP, gives=list(voxels.shape[1:]))
    voxels = voxels.detach()[: block.stop - block.start]
    if isinstance(region, str):
        if region != "predicted":
            raise ExplanationError(ExplanationProblem.REGION_TYPE, found=region)
        inside = _predicted(voxels)
    else:
        inside = _given(voxels, region, block, batch)
    weights = inside.to(voxels)
    sizes = weights.flatten(2).sum(-1).clamp(min=1)
    return weights / sizes.reshape(*sizes.shape, *[1] * (voxels.ndim - 2))


def _predicted(voxels: Tensor) -> Tensor:
    if voxels.shape[1] == 1:
        return voxels > 0
    classes = torch.arange(voxels.shape[1], device=voxels.device)
    return voxels.argmax(1, keepdim=True) == classes.reshape(-1, *[1] * (voxels.ndim - 2))


def _given(voxels: Tensor, region: Tensor | np.ndarray, block: slice, batch: int) -> Tensor:
    try:
        values = torch.as_tensor(region, device=voxels.device).as_subclass(Tensor)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplanationError(
            ExplanationProblem.REGION_TYPE, found=type(region).__name__
        ) from error
    if values.is_floating_point() and not bool(values.isfinite().all()):
        raise ExplanationError(ExplanationProblem.REGION_NOT_FINITE)
    mask, spatial = values != 0, voxels.shape[2:]
    if mask.shape == spatial:
        mask = mask[None].expand(batch, *spatial)
    if mask.shape not in ((batch, *spatial), (batch, 1, *spatial)):
        raise ExplanationError(
            ExplanationProblem.REGION_SHAPE,
            needed=list(spatial),
            cases=batch,
            found=list(mask.shape),
        )
    mask = mask.reshape(batch, 1, *spatial)[block]
    empty = ~mask.flatten(1).any(1)
    if bool(empty.any()):
        case = block.start + int(empty.nonzero()[0])
        raise ExplanationError(ExplanationProblem.REGION_EMPTY, case=case)
    return mask


def check_predicted(weights: Tensor, chosen: Tensor) -> None:
    """ExplanationError if a class of `chosen [B, K]` has no voxel in its case's region."""
    if weights.shape[1] == 1:
        filled = weights.flatten(1).any(1)[:, None].expand_as(chosen)
    else:
        filled = weights.flatten(2).any(2).gather(1, chosen)
    missing = (~filled).nonzero()
    if len(missing):
        case, column = missing[0].tolist()
        raise ExplanationError(
            ExplanationProblem.CLASS_NOT_PREDICTED, asked=int(chosen[case, column]), case=case
        )
