"""Transformers: from tokens `[B, T, E]` to features on a grid `[B, E, *grid]`, and back.

A vision transformer cuts the image into patches and lines them up, often behind one or more class
or register tokens (Dosovitskiy et al., ICLR 2021; Darcet et al., ICLR 2024). Swin transformers keep
the grid, with the channels last: `[B, *grid, E]` (Liu et al., ICCV 2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import CONVOLUTIONS, first_tensor
from napari_ifa.models.problems import NetworkProblem

# More tokens than these in front of the patches are another grid, not class and register tokens.
_MOST_CLASS_TOKENS = 16

#: Layers that work on axis 1, transposed convolutions among them, and what their width is called.
_FIRST_AXIS = {_ConvNd: "out_channels", nn.GroupNorm: "num_channels", _NormBase: "num_features"}
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)


@dataclass(frozen=True)
class TokenLayout:
    """Where the voxels of the grid are in a layer's output.

    `grid` is the shape of the feature grid and `first` the number of class and register tokens in
    front of the patches, which are in row-major order. With `channels_last` the output is
    `[B, *grid, E]` instead of `[B, T, E]`.
    """

    grid: tuple[int, ...]
    first: int = 0
    channels_last: bool = False

    def fold(self, output: Tensor) -> Tensor:
        """The features `[B, E, *grid]` in the layer's output; class tokens are left out."""
        if self.channels_last:
            return output.movedim(-1, 1)
        return output[:, self.first :].transpose(1, 2).unflatten(2, self.grid)

    def unfold(self, features: Tensor, output: Tensor, cases: Tensor) -> Tensor:
        """The layer's output with other features: `[n, T, E]`, or `[n, *grid, E]`.

        `features [n, E, *grid]` are n rows, and `cases [n]` says which case of `output [B, T, E]`
        each belongs to: its class tokens are that case's own, without a gradient.
        """
        if self.channels_last:
            return features.movedim(1, -1)
        patches = features.flatten(2).transpose(1, 2)
        if not self.first:
            return patches
        front = output[:, : self.first].detach()[cases.to(output.device)]
        return torch.cat([front.to(patches), patches], 1)


def token_layout(
    network: nn.Module,
    inputs: Any,
    shape: Sequence[int],
    token_grid: Sequence[int] | None = None,
    layer: nn.Module | None = None,
) -> TokenLayout | None:
    """How a layer's output of this shape holds the feature grid; None for `[B, F, *grid]`.

    None as well for what is neither (a vector per case, say). Nothing is run: the grid comes from
    the size of the `inputs` and the patch embedding, a convolution, a stem of them, or a linear
    layer on patches. The `layer` itself settles whether channels are first or last where sizes do
    not. ExplanationError where the grid of tokens cannot be inferred, or the one that the user
    gives, `token_grid`, does not fit them.
    """
    given = first_tensor(inputs)
    image, dims = tuple(given.shape[2:]), given.ndim - 2
    if len(shape) == dims + 2 and dims > 1:
        if not _channels_last(network, shape, image, layer):
            return None
        grid = tuple(shape[1:-1])
        if math.prod(grid) < 2:
            raise ExplanationError(NetworkProblem.SINGLE_VOXEL, gives=list(shape))
        return TokenLayout(grid, channels_last=True)
    if len(shape) != 3 or dims < 1:
        return None
    if token_grid is not None:
        return _given_layout(shape[1], tuple(token_grid))
    # In one dimension [B, F, L] and [B, T, E] look alike; only a layer on the last axis tells.
    if dims == 1 and not _on_last_axis(shape, layer):
        return None
    layouts = {
        TokenLayout(grid, shape[1] - math.prod(grid))
        for grid in _embedding_grids(network, given.shape[1], image)
        if 0 <= shape[1] - math.prod(grid) <= _MOST_CLASS_TOKENS and math.prod(grid) > 1
    }
    fewest = min((layout.first for layout in layouts), default=0)
    fitting = [layout for layout in layouts if layout.first == fewest]
    if len(fitting) == 1:
        return fitting[0]
    if dims == 1:
        return None
    raise ExplanationError(NetworkProblem.TOKEN_GRID, tokens=shape[1], image=list(image))


def _given_layout(tokens: int, grid: tuple[int, ...]) -> TokenLayout:
    first = tokens - math.prod(grid)
    if not 0 <= first <= max(_MOST_CLASS_TOKENS, math.prod(grid)):
        raise ExplanationError(
            NetworkProblem.TOKEN_GRID_DOES_NOT_FIT,
            grid=tuple(grid),
            tokens=tokens,
            needed=math.prod(grid),
        )
    return TokenLayout(grid, first)


def _channels_last(
    network: nn.Module, shape: Sequence[int], image: tuple[int, ...], layer: nn.Module | None
) -> bool:
    """Whether an output with as many axes as the image is `[B, *grid, E]`, not `[B, F, *grid]`.

    The widths of the layers inside say so, and for a layer without any those of its witness. Where
    they fit both, it is the grid that is more like the image in its proportions, as a square one is
    to a square image.
    """
    witness = network if layer is None else _witness(network, layer)
    first, last = _first_axis_widths(witness), _last_axis_widths(witness)
    if shape[-1] not in last:
        return False
    one, other = _distortion(image, shape[2:]), _distortion(image, shape[1:-1])
    if layer is not None and witness is not layer and layer in witness.modules():
        # It may be in front of that width, which is as long as the axis by chance.
        return shape[1] not in first and (other < one or (other == one and not first))
    if shape[1] not in first and shape[1] not in last:
        return True
    return other < one or (other == one and not first)


def _witness(network: nn.Module, layer: nn.Module) -> nn.Module:
    """The module whose widths tell how a layer's output lies in memory.

    The layer itself, if it has any. One that has none (an activation, a pool, a drop path) passes
    on what it is given: by the layer before it in a Sequential, else by one of those around it.
    """
    if _has_widths(layer):
        return layer
    name = next((name for name, module in network.named_modules() if module is layer), "")
    while name:
        name, _, child = name.rpartition(".")
        around = network.get_submodule(name)
        if isinstance(around, nn.Sequential):
            children = dict(around.named_children())
            before = list(children.values())[: list(children).index(child)]
            nearest = next(filter(_has_widths, reversed(before)), None)
            if nearest is not None:
                return nearest
        elif _has_widths(around):
            return around
    return layer


def _has_widths(module: nn.Module) -> bool:
    return bool(_first_axis_widths(module) or _last_axis_widths(module))


def _on_last_axis(shape: Sequence[int], layer: nn.Module | None) -> bool:
    return (
        layer is not None
        and shape[-1] in _last_axis_widths(layer)
        and shape[1] not in _first_axis_widths(layer)
    )


def _last_axis_widths(module: nn.Module) -> set[int]:
    """The widths of the layers inside that work on the last axis."""
    widths = set()
    for part in module.modules():
        if isinstance(part, nn.Linear):
            widths.add(part.out_features)
        elif isinstance(part, nn.LayerNorm) and len(part.normalized_shape) == 1:
            widths.add(part.normalized_shape[0])
    return widths


def _first_axis_widths(module: nn.Module) -> set[int]:
    """The widths of the layers inside that work on axis 1."""
    return {
        getattr(part, width)
        for part in module.modules()
        for kind, width in _FIRST_AXIS.items()
        if isinstance(part, kind)
    }


def _distortion(image: Sequence[int], grid: Sequence[int]) -> float:
    """How much the axes differ in their ratio to the image's, 1 for not at all."""
    ratios = [size / max(1, voxels) for size, voxels in zip(image, grid, strict=True)]
    return max(ratios) / min(ratios)


def _embedding_grids(
    network: nn.Module, channels: int, image: tuple[int, ...]
) -> Iterator[tuple[int, ...]]:
    """The grids that the network's possible patch embeddings make of an image."""
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS) or type(module) is nn.Sequential:
            stem = [part for part in module.modules() if isinstance(part, CONVOLUTIONS + _POOLS)]
            first = stem[0] if stem else None
            if isinstance(first, CONVOLUTIONS) and first.in_channels == channels:
                grid = _after(stem, image)
                if grid is not None:
                    yield grid
        patch = _patch_size(module, len(image))
        if patch is not None and any(
            isinstance(part, nn.Linear) and part.in_features == channels * math.prod(patch)
            for part in module.modules()
        ):
            yield tuple(size // step for size, step in zip(image, patch, strict=True))


def _after(stem: Sequence[nn.Module], image: tuple[int, ...]) -> tuple[int, ...] | None:
    """The grid after convolutions and pools one behind the other; None if they do not fit."""
    grid = image
    for part in stem:
        kernel, stride, padding, dilation = (
            _per_axis(getattr(part, name), len(image))
            for name in ("kernel_size", "stride", "padding", "dilation")
        )
        if kernel is None or stride is None or dilation is None:
            return None
        if padding is None:  # "valid" or "same"
            if part.padding == "same":  # which goes with a stride of one only
                continue
            padding = (0,) * len(image)
        axes = zip(grid, kernel, stride, padding, dilation, strict=True)
        grid = tuple((size + 2 * p - d * (k - 1) - 1) // s + 1 for size, k, s, p, d in axes)
        if min(grid) < 1:
            return None
    return grid


def _patch_size(module: nn.Module, dims: int) -> tuple[int, ...] | None:
    """The patch size that a module states, itself or in einops' Rearrange right inside it."""
    stated = _per_axis(getattr(module, "patch_size", None), dims)
    if stated is not None:
        return stated
    for part in module.children():
        lengths = getattr(part, "axes_lengths", None)
        if lengths and len(lengths) == dims:
            return tuple(lengths[name] for name in sorted(lengths))
    return None


def _per_axis(value: Any, dims: int) -> tuple[int, ...] | None:
    """One whole number for each axis, from one for all or one each; None for anything else."""
    if isinstance(value, int):
        return (value,) * dims
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == dims:
        return tuple(value) if all(isinstance(number, int) for number in value) else None
    return None
