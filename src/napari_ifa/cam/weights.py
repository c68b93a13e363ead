"""From gradients to weights: each gradient method is one small function.

A function takes the features `[B, F, *grid]` and the gradients of k logits with respect to them,
`[B, k, F, *grid]`, and returns the weights: `[B, k, F]`, one number per feature, or
`[B, k, F, *grid]`, one per feature and voxel. Weights are signed and unscaled. To add a method,
write its function and its line in `GRADIENT_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from napari_ifa.errors import ExplanationError


@dataclass(frozen=True)
class GradientMethod:
    """A named weight function.

    `needs_features` says that the weights depend on the features, not on the gradients alone;
    where they do not and the head is affine, one case's weights hold for every case.
    `exact` says where the contributions are the features' exact shares of the logit: behind every
    "affine" head, only behind one that is "pooled" (its gradient is the same at every voxel), or
    "never".
    """

    name: str
    weigh: Callable[[Tensor, Tensor], Tensor]
    needs_features: bool = False
    exact: Literal["affine", "pooled", "never"] = "never"


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c = mean over voxels of G_f^c(v): Grad CAM (Selvaraju et al., ICCV 2017, eq. 1)."""
    return gradients.flatten(3).mean(-1)


def pixelwise(features: Tensor, gradients: Tensor) -> Tensor:
    """w_f^c(v) = G_f^c(v): pixel-wise Grad CAM, known as HiResCAM (Draelos & Carin, 2020)."""
    return gradients


GRADIENT_METHODS = MappingProxyType(
    {
        method.name: method
        for method in (
            GradientMethod("gradcam", gradcam, exact="pooled"),
            GradientMethod("pixelwise", pixelwise, exact="affine"),
        )
    }
)


def gradient_method(name: str) -> GradientMethod:
    """The method of that name; ExplanationError, naming the known ones, if there is none."""
    try:
        return GRADIENT_METHODS[name]
    except KeyError:
        raise ExplanationError(
            f"There is no method '{name}': choose one of {', '.join(GRADIENT_METHODS)}."
        ) from None
