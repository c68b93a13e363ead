"""Whether a network mixes the cases of a batch, so that it must see them one at a time.

A normalisation over the batch does, for instance, or a recurrence that runs over it. A case's map
would then depend on its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_ifa.cam.gradients import gradient_of

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def has_batch_statistics(modules: list[nn.Module]) -> bool:
    """Whether a normalisation takes its statistics from the batch, also in eval mode."""
    return any(
        isinstance(module, _BATCH_NORMS) and module.running_mean is None for module in modules
    )


def rows_mix(logits: Tensor, leaf: Tensor) -> bool:
    """Whether the first row of `logits [n, C]` depends on other rows of the leaf, or they on it.

    By the gradients of random sums: those of probabilities, which sum to one, would vanish.
    """
    weights = direction(logits)
    first, others = torch.zeros_like(logits), weights.expand_as(logits).clone()
    first[0], others[0] = weights, 0
    for vector, elsewhere in ((first, slice(1, None)), (others, slice(0, 1))):
        gradient = gradient_of(logits, leaf, vector)
        # A head may divide by the norm of a row of zeros; that NaN is that row's own.
        if gradient is not None and bool(torch.nan_to_num(gradient[elsewhere], nan=0.0).any()):
            return True
    return False


def direction(logits: Tensor) -> Tensor:
    """Random weights `[C]` of the classes, the same ones each time."""
    generator = torch.Generator("cpu").manual_seed(0)
    weights = torch.randn(logits.shape[1], generator=generator, device="cpu", dtype=torch.float32)
    return weights.to(logits)
