"""ClassActivation: numbers worked out by hand, and the identities of the method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_ifa.cam import class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused

# x, so that the features are x and 2x; their sums over the voxels are 12 and 24.
X = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 1, 2, 2)


def pooled_head(features):
    """Means 3 and 6; logits 3 - 6 + 1 = -2 and 0.5*3 + 2*6 + 0 = 13.5."""
    weight = torch.tensor([[1.0, -1.0], [0.5, 2.0]]).to(features)
    return features.mean((2, 3)) @ weight.T + torch.tensor([1.0, 0.0]).to(features)


def flat_head(features):
    """One logit, 1*x1 + 2*x2 + 3*x3 + 4*x4 of the first feature, plus 5: 38 + 5 = 43."""
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).to(features)
    return (features[:, 0] * weight).flatten(1).sum(1, keepdim=True) + 5


def square_head(features):
    """One logit, half the square of the first feature's sum: 12^2 / 2 = 72, gradient 12."""
    return features[:, :1].sum((2, 3)) ** 2 / 2


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_pooled_linear_head_by_hand(by_hand, method):
    result = class_activation(by_hand(pooled_head), X, "features", method, "all")

    torch.testing.assert_close(result.logits, torch.tensor([[-2.0, 13.5]]))
    # weights W / 4: (1/4)x - (1/4)2x = -x/4 and (1/8)x + (1/2)2x = 9x/8
    torch.testing.assert_close(result.maps()[0, 0], torch.tensor([[-0.25, -0.5], [-0.75, -1.5]]))
    torch.testing.assert_close(result.maps()[0, 1], torch.tensor([[1.125, 2.25], [3.375, 6.75]]))
    torch.testing.assert_close(result.contributions(), torch.tensor([[[3.0, -6.0], [1.5, 12.0]]]))
    torch.testing.assert_close(result.offset, torch.tensor([[1.0, 0.0]]))  # the biases
    assert result.affine_head
    assert result.additive


def test_flat_linear_head_by_hand(by_hand):
    network = by_hand(flat_head)
    gradcam = class_activation(network, X, "features", "gradcam")
    pixelwise = class_activation(network, X, "features", "pixelwise")

    # Grad CAM averages the gradient 1, 2, 3, 4 to 2.5 and so misses the logit ...
    torch.testing.assert_close(gradcam.maps()[0, 0], torch.tensor([[2.5, 5.0], [7.5, 15.0]]))
    torch.testing.assert_close(gradcam.contributions(), torch.tensor([[[30.0, 0.0]]]))
    assert gradcam.affine_head
    assert not gradcam.additive
    assert gradcam.offset is None
    # ... pixel-wise Grad CAM does not.
    torch.testing.assert_close(pixelwise.maps()[0, 0], torch.tensor([[1.0, 4.0], [9.0, 24.0]]))
    torch.testing.assert_close(pixelwise.contributions(), torch.tensor([[[38.0, 0.0]]]))
    torch.testing.assert_close(pixelwise.offset, torch.tensor([[5.0]]))


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_curved_head_by_hand(by_hand, method):
    result = class_activation(by_hand(square_head), X, "features", method)

    torch.testing.assert_close(result.logits, torch.tensor([[72.0]]))
    torch.testing.assert_close(result.maps()[0, 0], torch.tensor([[12.0, 24.0], [36.0, 72.0]]))
    torch.testing.assert_close(result.contributions(), torch.tensor([[[144.0, 0.0]]]))
    assert not result.affine_head
    assert result.offset is None
    with refused(ExplanationError, Problem.NOT_ADDITIVE):
        result.masked_logits([1, 0])


def test_masks_by_hand(by_hand):
    result = class_activation(by_hand(pooled_head), X, "features", class_idx="all")

    first_only = result.maps(np.array([True, False]))
    torch.testing.assert_close(first_only[0, 0], X[0, 0] / 4)
    many = result.maps([[1.0, 0.0], [0.0, 0.5]])
    assert many.shape == (1, 2, 2, 2, 2)  # case, mask, class, grid
    torch.testing.assert_close(many[:, 0], first_only)
    torch.testing.assert_close(many[0, 1, 1], X[0, 0] / 2)  # half of (1/2)2x
    # The logits are bias + contributions of what is kept: 1 + 3 and 0 + 1.5; 1 - 3 and 0 + 6.
    torch.testing.assert_close(
        result.masked_logits([[1.0, 0.0], [0.0, 0.5]]), torch.tensor([[[4.0, 1.5], [-2.0, 6.0]]])
    )
    torch.testing.assert_close(result.masked_logits([0, 1]), torch.tensor([[-5.0, 12.0]]))
    with refused(ExplanationError, Problem.MASK_SIZE, needed=2, found=[3]):
        result.maps([1, 0, 1])


def test_weighted_features_by_hand(by_hand):
    network = by_hand(pooled_head)
    for method in ("gradcam", "pixelwise"):
        result = class_activation(network, X, "features", method, "all")
        expected = torch.stack([X[0, 0] / 8, X[0, 0]])
        torch.testing.assert_close(result.weighted_features(1)[0], expected)


def test_single_output_is_one_class(small_network, images):
    result = class_activation(small_network(2, "one output"), images(2, 3), "stage")
    assert result.logits.shape == (3, 1)
    assert result.maps().shape == (3, 1, 4, 4)


def test_pixelwise_weights_of_a_pooled_head_take_no_memory(small_network, images):
    result = class_activation(small_network(3), images(3, 4), "stage", "pixelwise", "all")
    assert result.weights.shape == (4, 3, 6, 4, 4, 4)
    assert result.weights.untyped_storage().nbytes() <= 3 * 6 * 8


def test_result_cannot_be_changed(small_network, images):
    result = class_activation(small_network(2), images(2), "stage")
    with pytest.raises(AttributeError):
        result.logits = None  # type: ignore[misc]
