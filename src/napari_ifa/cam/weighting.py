"""The weights of a batch: held, or computed again from the graph when they would be too large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.gradients import Pass
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.memory import block_length, block_numbers, in_blocks
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.weights import GradientMethod
from napari_ifa.errors import ExplanationError

# Weights per voxel of several classes are held up to this many blocks; beyond, they are made anew.
_HELD_BLOCKS = 4


@dataclass(frozen=True, eq=False)
class HeldWeights:
    """`weights [B, K, F]` or `[B, K, F, *grid]`, in memory; may share it between cases, voxels."""

    weights: Tensor

    @property
    def per_voxel(self) -> bool:
        """Whether there is a weight per voxel, not one per feature."""
        return self.weights.ndim > 3

    @property
    def shared(self) -> bool:
        """Whether all cases have the same; one case's are repeated without being copied."""
        return len(self.weights) == 1 or self.weights.stride(0) == 0

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Columns of K with their weights `[B, k, F(, *grid)]`."""
        yield slice(0, self.weights.shape[1]), self.weights

    def column(self, k: int) -> Tensor:
        """Weights of the k-th explained class, `[B, F(, *grid)]`."""
        return self.weights[:, k]


@dataclass(frozen=True, eq=False)
class StreamedWeights:
    """Weights per voxel `[B, K, F, *grid]` that come from the head's graph, a block at a time."""

    result: Pass
    explained: Contrast
    method: GradientMethod
    per_voxel: bool = True
    shared: bool = False

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Columns of K with their weights `[B, k, F, *grid]`."""
        with full_precision(self.result.logits):
            for columns, gradients in self.result.gradients(self.explained):
                yield columns, self.method.weigh(self.result.features, gradients)

    def column(self, k: int) -> Tensor:
        """Weights of the k-th explained class, `[B, F, *grid]`."""
        with full_precision(self.result.logits):
            ((_, gradients),) = self.result.gradients(self.explained.columns(slice(k, k + 1)))
            return self.method.weigh(self.result.features, gradients)[:, 0]

    @property
    def weights(self) -> Tensor:
        """All of them at once, `[B, K, F, *grid]`."""
        return torch.cat([weights for _, weights in self.blocks()], 1)


@dataclass(frozen=True, eq=False)
class ComparedWeights:
    """Weights of a method that is linear in the gradient, for contrasts of the classes.

    `logits` are the weights of all classes' logits.
    """

    logits: HeldWeights | StreamedWeights
    explained: Contrast

    @property
    def per_voxel(self) -> bool:
        """Whether there is a weight per voxel, not one per feature."""
        return self.logits.per_voxel

    @property
    def shared(self) -> bool:
        """Whether all cases have the same."""
        return self.logits.shared and self.explained.is_shared

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        """Columns of K with their weights `[B, k, F(, *grid)]`, one column at a time."""
        for k in range(self.explained.count):
            yield slice(k, k + 1), self.column(k)[:, None]

    def column(self, k: int) -> Tensor:
        """Weights of the k-th explained class, `[B, F(, *grid)]`."""
        column = self.explained.columns(slice(k, k + 1))
        if isinstance(self.logits, StreamedWeights):
            return replace(self.logits, explained=column).column(0)
        return column.values(self.logits.weights)[:, 0]

    @property
    def weights(self) -> Tensor:
        """All of them at once, `[B, K, F(, *grid)]`."""
        if isinstance(self.logits, StreamedWeights):
            return replace(self.logits, explained=self.explained).weights
        weights = self.logits.weights
        if self.shared:
            one = self.explained.of_case(0).values(weights[:1])
            return one.expand(len(weights), *one.shape[1:])
        return self.explained.values(weights)


#: Where the weights of a class activation come from.
Source: TypeAlias = HeldWeights | StreamedWeights | ComparedWeights


def weights_from_graph(
    result: Pass, explained: Contrast, method: GradientMethod, layer: str
) -> HeldWeights | StreamedWeights:
    """Weights for what is explained, by backward passes through the head.

    ExplanationError if a case's gradient is exactly zero for all of them though its features are
    not: with features that are all zero the map is zero whatever the weights are.
    """
    held, streamed = [], False
    alive = ~result.features.flatten(1).any(1)
    limit = _HELD_BLOCKS * block_numbers(result.features.device)
    large = explained.count * result.features.numel() > limit
    for _, gradients in result.gradients(explained):
        alive |= gradients.flatten(1).any(1)
        if streamed and alive.all():
            break
        weights = method.weigh(result.features, gradients)
        streamed = large and weights.ndim > 3
        if not streamed:
            held.append(weights)
    if not alive.all():
        raise _zero_gradient(layer, alive)
    if streamed:
        return StreamedWeights(result, explained, method)
    return HeldWeights(held[0] if len(held) == 1 else torch.cat(held, 1))


def weights_from_jacobian(
    result: Pass, method: GradientMethod, layer: str, jacobian: Tensor, rows: Tensor
) -> HeldWeights:
    """The same from the constant Jacobian `[k, F, *grid or ones]` of an affine head.

    `rows [B, K]`, on the CPU, says which of its rows belongs to each chosen class.
    """
    if not jacobian[rows[:, 0]].flatten(1).any(1).all():  # the first class alone says it, usually
        alive = jacobian.flatten(1).any(1)[rows].any(1)
        if not alive.all():
            raise _zero_gradient(layer, alive)
    cases, grid = len(rows), result.features.shape[2:]
    if method.needs_features:

        def block(columns: slice) -> Tensor:
            gradients = jacobian[rows[:, columns]].expand(-1, -1, -1, *grid)
            return method.weigh(result.features, gradients)

        length = block_length(result.features.numel(), result.features.device)
        held = [w for _, w in in_blocks(rows.shape[1], length, block, what="classes")]
        return HeldWeights(held[0] if len(held) == 1 else torch.cat(held, 1))
    weights = method.weigh(result.features[:1], jacobian[None])[0]
    if bool((rows == rows[:1]).all()):  # the same classes for every case: nothing is copied
        if rows[0].tolist() != list(range(len(weights))):
            weights = weights[rows[0]]
        weights = weights.expand(cases, *[-1] * weights.ndim)
    else:
        weights = weights[rows]
    return HeldWeights(weights.expand(*weights.shape[:3], *grid) if weights.ndim > 3 else weights)


def _zero_gradient(layer: str, alive: Tensor) -> ExplanationError:
    cases = (~alive).nonzero().flatten().tolist()
    return ExplanationError(ExplanationProblem.ZERO_GRADIENT, layer=layer, cases=cases)
