"""Masked inputs: the image times one feature's map, brought to the image's size and to [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from napari_ifa.cam.interpolation import resized
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor, mapped, of_cases

_CHANNELS_LAST = {2: torch.channels_last, 3: torch.channels_last_3d}
# A map whose range is below this many roundings of its largest value is constant: its range is
# rounding, which min-max would blow up to a mask.
_ROUNDINGS = 8


def varying(features: Tensor, size: tuple[int, ...]) -> Tensor:
    """Which features `[B, F, *grid]` can be made a mask of: `[B, F]`, False for constant maps.

    Linear interpolation to as many or more voxels keeps a map that varies varying; to fewer, it
    may not, so that the map is judged at the size of the mask.
    """
    if any(given < wanted for wanted, given in zip(features.shape[2:], size, strict=True)):
        features = resized(features, size)
    flat = features.flatten(2)
    low, high = flat.amin(-1), flat.amax(-1)
    rounding = _ROUNDINGS * torch.finfo(flat.dtype).eps
    return high - low > rounding * torch.maximum(low.abs(), high.abs())


def feature_masks(features: Tensor, rows: Tensor, size: tuple[int, ...]) -> Tensor:
    """M_f of Score CAM (Wang et al., CVPRW 2020, eq. 5 and 8): `[r, 1, *size]`, from 0 to 1.

    `rows [r, 2]` are case and feature of each mask. The map is brought to the image's size by
    linear interpolation (half-voxel rule) and min-max scaled there, in this order: interpolation
    can miss the extremes of the grid.
    """
    masks = resized(features[rows[:, 0], rows[:, 1]][:, None], size)
    axes = tuple(range(2, masks.ndim))
    masks -= masks.amin(axes, keepdim=True)
    masks /= masks.amax(axes, keepdim=True)
    return masks


def image_rows(inputs: Any, cases: Tensor, change: Callable[[Tensor], Tensor]) -> Any:
    """Inputs of `len(cases)` rows, each row's image changed; what is no image is repeated.

    Images are the floating-point tensors of the first image's spatial size: in a network of
    several inputs, each modality. `cases` says whose rows they are; `change` takes and gives
    `[n, C, *spatial]`. What the cases share (see `of_cases`) goes along whole. ExplanationError if
    no input is an image.
    """
    batch, _, *spatial = first_tensor(inputs).shape
    images = 0

    def rows_of(value: Any) -> Any:
        nonlocal images
        if not isinstance(value, Tensor):
            return mapped(rows_of, value)
        rows = of_cases(value, cases, batch)
        per_case = value.ndim > 2 and len(value) == batch and list(value.shape[2:]) == spatial
        if not per_case or not value.is_floating_point():
            return rows
        images += 1
        return change(rows)

    changed = rows_of(inputs)
    if not images:
        raise ExplanationError(ExplanationProblem.IMAGE_TYPE, found=first_tensor(inputs).dtype)
    return changed


def product(images: Tensor, masks: Tensor, channels_last: bool) -> Tensor:
    """`images [r, C, *spatial]` times `masks [r, 1, *spatial]`, in the order of memory asked for.

    An image of one channel has both orders at once, and the convolutions take the one that its
    strides spell, so that it must be made with them.
    """
    masks = masks.to(images)
    if not channels_last:
        return images * masks
    order = _CHANNELS_LAST[images.ndim - 2]
    return torch.mul(images, masks, out=torch.empty_like(images, memory_format=order))
