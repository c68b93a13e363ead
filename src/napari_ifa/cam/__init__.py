"""Class activation of one batch: features, weights, maps, contributions, masked predictions.

Importing this package imports torch.
"""

from __future__ import annotations

from napari_ifa.cam.activation import ClassActivation
from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.explaining import (
    METHODS,
    class_activation,
    class_activations,
    fused_class_activation,
)
from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.fused import FusedActivation
from napari_ifa.cam.masking import bypassed, masked_logits
from napari_ifa.cam.perturbation import PERTURBATION_METHODS
from napari_ifa.cam.weights import GRADIENT_METHODS

__all__ = [
    "GRADIENT_METHODS",
    "METHODS",
    "PERTURBATION_METHODS",
    "ClassActivation",
    "Contrast",
    "CutNetwork",
    "FusedActivation",
    "bypassed",
    "class_activation",
    "class_activations",
    "fused_class_activation",
    "masked_logits",
]
