"""The weight functions alone, on numbers for paper."""

from __future__ import annotations

import pytest
import torch

from napari_ifa.cam import GRADIENT_METHODS
from napari_ifa.cam.weights import gradient_method
from napari_ifa.errors import ExplanationError

FEATURES = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])  # [1 case, 2 features, 2 voxels]
GRADIENTS = torch.tensor([[[[1.0, -3.0], [2.0, 6.0]]]])  # [1 case, 1 class, 2 features, 2 voxels]


def test_gradcam_is_the_signed_mean_of_the_gradient():
    assert gradient_method("gradcam").weigh(FEATURES, GRADIENTS).tolist() == [[[-1.0, 4.0]]]


def test_pixelwise_is_the_signed_gradient():
    weights = gradient_method("pixelwise").weigh(FEATURES, GRADIENTS)
    assert weights.tolist() == [[[[1.0, -3.0], [2.0, 6.0]]]]


def test_unknown_method_names_the_known_ones():
    with pytest.raises(ExplanationError, match=r"no method 'eigencam'.*gradcam, pixelwise"):
        gradient_method("eigencam")


def test_methods_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        GRADIENT_METHODS["mine"] = None  # type: ignore[index]
