"""From gradients to weights: each gradient method is one small function.

A function takes the features `[B, F, *grid]` and the gradients of k logits with respect to them,
`[B, k, F, *grid]`, and returns the weights: `[B, k, F]`, one number per feature, or
`[B, k, F, *grid]`, one per feature and voxel. Weights are signed and unscaled. To add a method,
write its function and its line in `GRADIENT_METHODS`.

Behind a pooled head the gradient is the same at every voxel, and a method that does not need the
features may be given grid axes of length one. Quotients are guarded relative to their own size,
never by an absolute number: the gradients of 3D networks are easily below 1e-7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor

# A sum that is this much smaller than the sum of its magnitudes has cancelled: what is left of it
# is rounding, and nothing can be divided by it.
_CANCELLED = 1e-6


@dataclass(frozen=True)
class GradientMethod:
    """A named weight function.

    `needs_features` says that the weights depend on the features, not on the gradients alone;
    where they do not and the head is affine, one case's weights hold for every case.
    `exact` says where the contributions are the features' exact shares of the logit: behind every
    "affine" head, only behind one that is "pooled" (its gradient is the same at every voxel), or
    "never". `pooled_head_only` says that the method is not defined behind any other head. `linear`
    says that the weights of a difference of logits are the difference of the logits' weights.
    """

    name: str
    weigh: Callable[[Tensor, Tensor], Tensor]
    needs_features: bool = False
    exact: Literal["affine", "pooled", "never"] = "never"
    pooled_head_only: bool = False
    linear: bool = False


def cam(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c = W[c, f] of the linear layer after global average pooling: CAM (Zhou et al., CVPR
    2016, eq. 2), read from the gradient, which there is W[c, f] / V at every one of V voxels.

    The maps are V times those of Grad CAM, and the contributions sum to V·(logit - bias).
    """
    return gradcam(features, gradients) * features[0, 0].numel()


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c = mean over voxels of G_f^c(v): Grad CAM (Selvaraju et al., ICCV 2017, eq. 1)."""
    values = gradients.flatten(3)
    return values[..., 0] if values.shape[-1] == 1 else values.mean(-1)


def gradcam_plus_plus(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c = Σ_v α·relu(G), α(v) = G(v)² / (2·G(v)² + S·G(v)³), S = Σ_u A(u): Grad CAM++
    (Chattopadhay et al., WACV 2018, eq. 19), without the factor exp(y): per-image scaling would
    hide it, a common scale does not.

    The sum runs over the features alone; the cube is that of the gradient at v itself. Divided by
    G², α is 1 / (2 + S·G), and only the voxels with G > 0 count: no power leaves the range of
    float32. Where a feature is negative the denominator can cancel, and α grows beyond every bound
    on either side of that. α is 0 where it is below 1e-6 of 2 + Σ_u |A(u)|·G, which is rounding.
    """
    total, magnitude = _sums(features)
    positive = gradients.flatten(3).relu()
    denominator = torch.addcmul(positive.new_tensor(2.0), total, positive)
    smallest = torch.addcmul(positive.new_tensor(2.0), magnitude, positive).mul_(_CANCELLED)
    denominator.masked_fill_(denominator.abs() <= smallest, torch.inf)
    return (positive / denominator).sum(-1)


def from_moments(features: Tensor, g1: Tensor, g2: Tensor, g3: Tensor, size: Tensor) -> Tensor:
    """The weights of Grad CAM++ from the means of G, G² and G³ over samples, `[B, k, F, *grid]`
    each: w = Σ_v α·relu(g1), α = g2 / (2·g2 + S·g3), S = Σ_u A(u), as `[B, k, F]`.

    The means are those of G/size, with `size [B, k, F]` positive: any size gives the same
    weights, but one near the largest |G| keeps the powers in the range of float32.

    The guard is that of `gradcam_plus_plus`: α is 0 where the denominator is at most 1e-6 of
    2·g2 + Σ_u |A(u)|·|g3|, and so where all the samples' gradients are 0.
    """
    total, magnitude = _sums(features)
    first, second, third = g1.flatten(3), g2.flatten(3), g3.flatten(3)
    denominator = (total * size[..., None] * third).add_(second, alpha=2)
    smallest = (magnitude * size[..., None] * third.abs()).add_(second, alpha=2).mul_(_CANCELLED)
    denominator.masked_fill_(denominator.abs() <= smallest, torch.inf)
    del smallest
    return (second / denominator).mul_(first.relu()).sum(-1) * size


def _sums(features: Tensor) -> tuple[Tensor, Tensor]:
    """Σ A and Σ |A| over the voxels, `[B, 1, F, 1]` each."""
    values = features.flatten(2)[:, None]
    size = torch.linalg.vector_norm(values, 1, dim=-1, keepdim=True)
    return values.sum(-1, keepdim=True), size


def xgradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c = Σ_v G·A / Σ_v A: XGrad CAM (Fu et al., BMVC 2020).

    A feature's contribution is Σ_v G·A, as with the pixel-wise method. For features of both signs
    the quotient is unstable; the weight is 0 where |Σ A| is at most 1e-6 of Σ |A|. Behind a pooled
    head that costs at most this millionth, behind any other it can cost the whole contribution:
    the contributions count as exact shares behind pooled heads only.
    """
    values = features.flatten(2)
    total = values.sum(-1)[:, None]
    size = torch.linalg.vector_norm(values, 1, dim=-1)[:, None]
    total = total.masked_fill(total.abs() <= _CANCELLED * size, torch.inf)
    return (values[:, None] * gradients.flatten(3)).sum(-1) / total


def layercam(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c(v) = relu(G_f^c(v)): Layer CAM (Jiang et al., IEEE TIP 2021, eq. 6)."""
    return gradients.relu()


def pixelwise(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c(v) = G_f^c(v): pixel-wise Grad CAM, known as HiResCAM (Draelos & Carin, 2020)."""
    return gradients


GRADIENT_METHODS = MappingProxyType(
    {
        method.name: method
        for method in (
            GradientMethod("cam", cam, pooled_head_only=True, linear=True),
            GradientMethod("gradcam", gradcam, exact="pooled", linear=True),
            GradientMethod("gradcam++", gradcam_plus_plus, needs_features=True),
            GradientMethod("xgradcam", xgradcam, needs_features=True, exact="pooled", linear=True),
            GradientMethod("layercam", layercam),
            GradientMethod("pixelwise", pixelwise, exact="affine", linear=True),
        )
    }
)
