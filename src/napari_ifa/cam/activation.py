"""Class activation: signed, unscaled maps on the feature grid, and each feature's share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.weighting import Source
from napari_ifa.errors import ExplanationError
from napari_ifa.models.targets import Target

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class ClassActivation:
    """The class activation of a batch: B cases, K explained classes each, F features.

    Holds features and weights; maps and sums are computed when asked for, so that F x K x V
    numbers (V voxels) are never held at once. Weights per voxel of many classes are not held
    either, but made anew from the head's graph.

    Attributes
    ----------
    logits : `[B, C]`; of functions that were explained in place of classes, their values `[B, 1]`.
        They are the network's, whatever the target.
    features : `[B, F, *grid]`, the output of the target layer.
    source : the weights, see `weights`.
    explained : the explained classes, and what they are compared with.
    target : what each class is compared with: `"logit"` (nothing: the logit itself), `"others"`,
        `"runner-up"`, or the number of a class.
    method, layer : the names of the method and the target layer.
    affine_head : the logits are an affine function of the features, as far as the cases seen tell
        the same for every case (a path around the layer may change it from case to case).
    additive : the contributions are the features' exact shares of what is explained, so that
        switching features off changes that by just their contributions (see `masked_logits`).
    early : `[B, 2, E]`, mean and deviation of an early layer's channels over all places; None where
        they were not taken (see `CutNetwork`) or no layer gives them.
    of_logits : the class activation of all classes' logits, of which this one is a difference;
        None where it was computed by itself.
    """

    logits: Tensor
    features: Tensor
    source: Source
    explained: Contrast
    target: Target
    method: str
    layer: str
    affine_head: bool
    additive: bool
    early: Tensor | None = None
    of_logits: ClassActivation | None = None

    @property
    def class_idx(self) -> Tensor:
        """`[B, K]`, the explained classes."""
        return self.explained.classes

    @property
    def values(self) -> Tensor:
        """What is explained, `[B, K]`: logits, or differences of logits."""
        return self.explained.values(self.logits)

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the feature grid."""
        return tuple(self.features.shape[2:])

    @property
    def silent(self) -> Tensor:
        """Cases whose features are all exactly zero, bool `[B]`: so is every map of theirs."""
        return ~self.features.flatten(1).any(1)

    @property
    def weights(self) -> Tensor:
        """`[B, K, F]`, or `[B, K, F, *grid]` for a method with a weight per voxel.

        May share memory between cases and voxels: not for writing. Of many classes, weights per
        voxel are made when asked for.
        """
        return self.source.weights

    def maps(self, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """a_c(v) = Σ_f m_f·w_f^c(v)·A_f(v), in logits: `[B, K, *grid]`.

        `mask` is bool or float, `[F]` for one map, or `[M, F]` for the maps of M feature masks:
        `[B, M, K, *grid]`. Class activation and FS-CAM of Li et al. (arXiv 2407.01142, eq. 5).
        """
        if self.of_logits is not None:
            maps = self.of_logits._unmasked if mask is None else self.of_logits.maps(mask)
            return self.explained.values(maps, maps.ndim - len(self.grid) - 1)
        masks = None if mask is None else self._masks(mask)
        if self.source.per_voxel:
            if masks is None:
                return self._summed[0]
            with full_precision(self.features):
                parts = [
                    masks @ (weights[:, k] * self.features).flatten(2)
                    for _, weights in self.source.blocks()
                    for k in range(weights.shape[1])
                ]
            maps = torch.stack(parts, masks.ndim)
            return maps.reshape(*maps.shape[:-1], *self.grid)
        with full_precision(self.features):
            weights = self.weights
            if masks is not None:
                weights = weights * masks if masks.ndim == 1 else weights[:, None] * masks[:, None]
            maps = weights.flatten(1, -2) @ self.features.flatten(2)
            return maps.reshape(*weights.shape[:-1], *self.grid)

    def contributions(self) -> Tensor:
        """k_f^c = Σ_v w_f^c(v)·A_f(v), in logits: `[B, K, F]`.

        Their sum over the features is the sum of the map over the voxels.
        """
        if self.of_logits is not None:
            return self.explained.values(self.of_logits.contributions())
        if self.source.per_voxel:
            return self._summed[1]
        return self.weights * self.features.flatten(2).sum(-1)[:, None]

    def weighted_features(self, k: int) -> Tensor:
        """w_f^c(v)·A_f(v) of the k-th explained class: `[B, F, *grid]`."""
        weights = self.source.column(k)
        grid_axes = [1] * (self.features.ndim - weights.ndim)
        return weights.reshape(*weights.shape, *grid_axes) * self.features

    @cached_property
    def _unmasked(self) -> Tensor:
        return self.maps()

    @cached_property
    def _summed(self) -> tuple[Tensor, Tensor]:
        """Maps and contributions of weights per voxel, which are gone through once for both."""
        maps, contributions = [], []
        for _, weights in self.source.blocks():
            for k in range(weights.shape[1]):
                weighted = weights[:, k] * self.features
                maps.append(weighted.sum(1))
                contributions.append(weighted.flatten(2).sum(-1))
        return torch.stack(maps, 1), torch.stack(contributions, 1)

    @property
    def offset(self) -> Tensor | None:
        """What no feature brings of what is explained, `[B, K]`; None if not `additive`."""
        if not self.additive:
            return None
        return self.values - self.contributions().sum(-1)

    def masked_logits(self, mask: Tensor | np.ndarray) -> Tensor:
        """What is explained, logits or their differences, with masked features, without a pass.

        offset + Σ_f m_f·k_f: `[B, K]` for a mask `[F]`, `[B, M, K]` for masks `[M, F]`. Exact, but
        only there if `additive`; else ExplanationError, and `cam.masked_logits` runs the network.
        """
        offset = self.offset
        if offset is None:
            raise ExplanationError(ExplanationProblem.NOT_ADDITIVE)
        masks = self._masks(mask)
        with full_precision(self.features):
            if masks.ndim == 1:
                return offset + self.contributions() @ masks
            return offset[:, None] + (self.contributions() @ masks.T).movedim(-1, 1)

    def _masks(self, mask: Tensor | np.ndarray) -> Tensor:
        masks = mask_tensor(mask).to(self.features)
        if masks.ndim not in (1, 2) or masks.shape[-1] != self.features.shape[1]:
            raise ExplanationError(
                ExplanationProblem.MASK_SIZE,
                needed=self.features.shape[1],
                layer=self.layer,
                found=list(masks.shape),
            )
        return masks


def mask_tensor(mask: Any) -> Tensor:
    """Feature masks as a tensor; ExplanationError if they are no numbers."""
    try:
        return torch.as_tensor(mask)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ExplanationError(ExplanationProblem.MASK_TYPE, found=type(mask).__name__) from error
