"""Class activation of one batch: features, weights, maps, contributions, masked predictions.

Importing this package imports torch.
"""

from __future__ import annotations

from napari_ifa.cam.activation import ClassActivation, class_activation
from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.masking import bypassed, masked_logits
from napari_ifa.cam.weights import GRADIENT_METHODS

__all__ = [
    "GRADIENT_METHODS",
    "ClassActivation",
    "CutNetwork",
    "bypassed",
    "class_activation",
    "masked_logits",
]
