"""Maps on another grid, by linear interpolation."""

from __future__ import annotations

from torch import Tensor, nn

_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def resized(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """`[B, K, *grid]` at `[B, K, *size]`: linear interpolation by the half-voxel rule."""
    return nn.functional.interpolate(maps, size, mode=_LINEAR[len(size)], align_corners=False)
