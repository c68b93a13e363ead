"""Class activation: signed, unscaled maps on the feature grid, and each feature's share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.gradients import Pass, blocks
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.targets import ClassChoice, chosen_classes
from napari_ifa.cam.weights import GradientMethod, gradient_method
from napari_ifa.errors import ExplanationError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class ClassActivation:
    """The class activation of a batch: B cases, K explained classes each, F features.

    Holds features and weights; maps and sums are computed when asked for, so that F x K x V
    numbers are never held at once (V voxels), unless the weights themselves are per voxel.

    Attributes
    ----------
    logits : `[B, C]`.
    features : `[B, F, *grid]`, the output of the target layer.
    weights : `[B, K, F]`, or `[B, K, F, *grid]` for a method with a weight per voxel. May share
        memory between cases and voxels: not for writing.
    class_idx : `[B, K]`, the explained classes.
    method, layer : the names of the method and the target layer.
    affine_head : the logits are an affine function of the features, the same for every case.
    additive : the contributions are the features' exact shares of the logit, so that switching
        features off changes the logit by just their contributions (see `masked_logits`).
    """

    logits: Tensor
    features: Tensor
    weights: Tensor
    class_idx: Tensor
    method: str
    layer: str
    affine_head: bool
    additive: bool

    @property
    def grid(self) -> tuple[int, ...]:
        """Shape of the feature grid."""
        return tuple(self.features.shape[2:])

    def maps(self, mask: Tensor | np.ndarray | None = None) -> Tensor:
        """a_c(v) = Σ_f m_f·w_f^c(v)·A_f(v), in logits: `[B, K, *grid]`.

        `mask` is bool or float, `[F]` for one map, or `[M, F]` for the maps of M feature masks:
        `[B, M, K, *grid]`. Class activation and FS-CAM of Li et al. (arXiv 2407.01142, eq. 5).
        """
        masks = None if mask is None else self._masks(mask)
        with full_precision(self.features):
            if self.weights.ndim == 3:
                weights = self.weights
                if masks is not None:
                    weights = (
                        weights * masks if masks.ndim == 1 else weights[:, None] * masks[:, None]
                    )
                maps = weights.flatten(1, -2) @ self.features.flatten(2)
                return maps.reshape(*weights.shape[:-1], *self.grid)
            per_class = []
            for k in range(self.weights.shape[1]):
                weighted = self.weighted_features(k).flatten(2)
                one = weighted.sum(1) if masks is None else masks @ weighted
                per_class.append(one.reshape(*one.shape[:-1], *self.grid))
            return torch.stack(per_class, 1 if masks is None else masks.ndim)

    def contributions(self) -> Tensor:
        """k_f^c = Σ_v w_f^c(v)·A_f(v), in logits: `[B, K, F]`.

        Their sum over the features is the sum of the map over the voxels.
        """
        if self.weights.ndim == 3:
            return self.weights * self.features.flatten(2).sum(-1)[:, None]
        columns = range(self.weights.shape[1])
        return torch.stack([self.weighted_features(k).flatten(2).sum(-1) for k in columns], 1)

    def weighted_features(self, k: int) -> Tensor:
        """w_f^c(v)·A_f(v) of the k-th explained class: `[B, F, *grid]`."""
        weights = self.weights[:, k]
        grid_axes = [1] * (self.features.ndim - weights.ndim)
        return weights.reshape(*weights.shape, *grid_axes) * self.features

    @property
    def offset(self) -> Tensor | None:
        """The part of the logit that no feature brings, `[B, K]`; None if not `additive`."""
        if not self.additive:
            return None
        return self.logits.gather(1, self.class_idx) - self.contributions().sum(-1)

    def masked_logits(self, mask: Tensor | np.ndarray) -> Tensor:
        """Logits of the explained classes with masked features, without a network pass.

        offset + Σ_f m_f·k_f: `[B, K]` for a mask `[F]`, `[B, M, K]` for masks `[M, F]`. Exact, but
        only there if `additive`; else ExplanationError, and `cam.masked_logits` runs the network.
        """
        offset = self.offset
        if offset is None:
            raise ExplanationError(
                "The contributions do not add up to the logits in this network: the masked"
                " prediction needs a pass of the network."
            )
        masks = self._masks(mask)
        with full_precision(self.features):
            if masks.ndim == 1:
                return offset + self.contributions() @ masks
            return offset[:, None] + (self.contributions() @ masks.T).movedim(-1, 1)

    def _masks(self, mask: Tensor | np.ndarray) -> Tensor:
        masks = torch.as_tensor(mask).to(self.features)
        if masks.ndim not in (1, 2) or masks.shape[-1] != self.features.shape[1]:
            raise ExplanationError(
                f"A feature mask needs {self.features.shape[1]} values, one per feature of layer"
                f" '{self.layer}', and this one has the shape {list(masks.shape)}."
            )
        return masks


def class_activation(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layers: str | nn.Module | None = None,
    method: str = "gradcam",
    class_idx: ClassChoice = "predicted",
    *,
    output: int | str | None = None,
) -> ClassActivation:
    """The class activation of a batch, signed and unscaled, in one forward pass.

    A batch gives the same result as its cases one by one. Works under `torch.no_grad`,
    `torch.inference_mode` and autocast; results are detached.

    Parameters
    ----------
    network : a classifier or regressor, left exactly as it was; or an open `CutNetwork`, which
        keeps target layer, output and what is known about the head over a cohort.
    x : `[B, C, *spatial]` with 1, 2 or 3 spatial axes, as the network takes it; a tuple is passed
        as positional and a dict as keyword arguments.
    target_layers : dotted name or module; None takes the recommendation of
        `models.layers.candidate_layers`, which costs one more forward of one case.
    method : a name in `GRADIENT_METHODS` (Li et al., arXiv 2407.01142).
    class_idx : a class, one class per case, "predicted", or "all".
    output : index or key of the logits where the network returns a tuple or dict.

    Raises
    ------
    ExplanationError
        In one sentence: a layer, class or input that does not fit, values that are not finite,
        logits that do not depend on the layer (a zero map is never drawn for a zero gradient).
    """
    if isinstance(network, CutNetwork):
        if target_layers is not None or output is not None:
            raise ExplanationError("The target layer and output of a CutNetwork are its own.")
        return _activation(network, x, gradient_method(method), class_idx)
    weigher = gradient_method(method)
    with CutNetwork(network, target_layers, output=output) as cut:
        return _activation(cut, x, weigher, class_idx)


def _activation(
    cut: CutNetwork, x: Any, method: GradientMethod, class_idx: ClassChoice
) -> ClassActivation:
    result = cut.run(x)
    chosen = chosen_classes(result.logits, class_idx)
    classes: list[int] = chosen.unique().tolist()
    jacobian = cut.constant_jacobian(result, classes)
    with full_precision(result.logits), torch.no_grad():
        if jacobian is None:
            weights = _weights(result, method, result.gradients(chosen), cut.layer)
        else:
            rows = torch.searchsorted(
                torch.tensor(classes, device=chosen.device), chosen.contiguous()
            )
            weights = _weights_of_affine_head(result, method, jacobian, rows, cut.layer)
    pooled = jacobian is not None and jacobian[0, 0].numel() == 1
    return ClassActivation(
        logits=result.logits,
        features=result.features,
        weights=weights,
        class_idx=chosen,
        method=method.name,
        layer=cut.layer,
        affine_head=jacobian is not None,
        additive=jacobian is not None
        and (method.exact == "affine" or (method.exact == "pooled" and pooled)),
    )


def _weights(
    result: Pass,
    method: GradientMethod,
    gradients: Iterator[tuple[slice, Tensor]],
    layer: str,
) -> Tensor:
    """Weights `[B, K, F(, *grid)]` from gradients, a block of classes at a time."""
    weights = []
    zero = True
    for _, gradient in gradients:
        zero = zero and not gradient.any()
        weights.append(method.weigh(result.features, gradient))
    if zero:
        raise _zero_gradient(layer)
    return weights[0] if len(weights) == 1 else torch.cat(weights, 1)


def _weights_of_affine_head(
    result: Pass, method: GradientMethod, jacobian: Tensor, rows: Tensor, layer: str
) -> Tensor:
    """The same from the constant Jacobian `[k, F, *grid or ones]`; `rows [B, K]` index into it."""
    cases, grid = len(rows), result.features.shape[2:]
    if method.needs_features:
        per_case = jacobian.expand(*jacobian.shape[:2], *grid)
        gradients = (
            (columns, per_case[rows[:, columns]])
            for columns in blocks(rows.shape[1], result.features.numel())
        )
        return _weights(result, method, gradients, layer)
    if not jacobian.any():
        raise _zero_gradient(layer)
    weights = method.weigh(result.features[:1], jacobian[None])[0]
    if bool((rows == rows[:1]).all()):  # the same classes for every case: nothing is copied
        weights = weights[rows[0]].expand(cases, *[-1] * weights.ndim)
    else:
        weights = weights[rows]
    return weights.expand(*weights.shape[:3], *grid) if weights.ndim > 3 else weights


def _zero_gradient(layer: str) -> ExplanationError:
    return ExplanationError(
        f"The gradient with respect to layer '{layer}' is exactly zero for the chosen class:"
        " the answer does not depend on this layer here, so choose another layer."
    )
