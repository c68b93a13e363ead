"""ClassActivation: numbers worked out by hand, and the identities of the method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation
from napari_ifa.errors import ExplanationError

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
    with pytest.raises(ExplanationError, match="do not add up"):
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
    with pytest.raises(ExplanationError, match="needs 2 values"):
        result.maps([1, 0, 1])


def test_weighted_features_by_hand(by_hand):
    network = by_hand(pooled_head)
    for method in ("gradcam", "pixelwise"):
        result = class_activation(network, X, "features", method, "all")
        expected = torch.stack([X[0, 0] / 8, X[0, 0]])
        torch.testing.assert_close(result.weighted_features(1)[0], expected)


class OneConvolution(nn.Module):
    """The network of captum's own Grad CAM test: sums of 3 x 3 minus 50 and minus 75."""

    def __init__(self, inplace):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU(inplace)
        self.fc1 = nn.Linear(8, 4)
        self.conv1.weight = nn.Parameter(torch.ones(2, 1, 3, 3))
        self.conv1.bias = nn.Parameter(torch.tensor([-50.0, -75.0]))
        self.fc1.weight = nn.Parameter(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], 1))
        self.fc1.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x, more=None):
        x = self.relu1(self.conv1(x if more is None else x + more))
        return self.fc1(x.view(-1, 8)).relu()


@pytest.mark.parametrize("inplace", [False, True])
def test_captums_hand_calculated_case(inplace):
    # conv1 = [[-5, 4], [31, 40]] and [[-30, -21], [6, 15]]; behind the ReLU the gradients are
    # [[0, 1], [1, 1]] and [[0, 0], [-1, -1]]: weights 3/4 and -1/2.
    network = OneConvolution(inplace)
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    result = class_activation(network, image, "conv1", class_idx=0)
    torch.testing.assert_close(result.maps()[0, 0], torch.tensor([[11.25, 13.5], [20.25, 22.5]]))
    result = class_activation(network, image, "relu1", class_idx=0)
    # Gradients of ones, but for one more voxel: [[1, 1], [1, 1]] and [[1, -1], [-1, -1]].
    torch.testing.assert_close(result.maps()[0, 0], torch.tensor([[0.0, 4.0], [28.0, 32.5]]))
    two_inputs = (image, torch.ones(1, 1, 4, 4))
    result = class_activation(network, two_inputs, "conv1", class_idx=0)
    torch.testing.assert_close(result.maps()[0, 0], torch.tensor([[14.5, 19.0], [32.5, 37.0]]))


@pytest.mark.parametrize("head", ["linear", "flatten", "mlp", "conv"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_batch_is_its_cases_one_by_one(small_network, images, same, dims, head, method):
    network, batch = small_network(dims, head), images(dims, 4)
    together = class_activation(network, batch, "stage", method, "predicted")
    for i in range(4):
        alone = class_activation(network, batch[i : i + 1], "stage", method, "predicted")
        assert torch.equal(alone.class_idx[0], together.class_idx[i])
        same(together.maps()[i], alone.maps()[0])
        same(together.contributions()[i], alone.contributions()[0])


@pytest.mark.parametrize("head", ["linear", "flatten", "mlp", "conv"])
@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_all_classes_are_the_classes_one_by_one(small_network, images, same, head, method):
    network, batch = small_network(3, head), images(3, 2)
    every = class_activation(network, batch, "stage", method, "all")
    assert every.class_idx.tolist() == [[0, 1, 2], [0, 1, 2]]
    for c in range(3):
        one = class_activation(network, batch, "stage", method, c)
        same(every.maps()[:, c : c + 1], one.maps())
    mixed = class_activation(network, batch, "stage", method, [2, 0])
    same(mixed.maps()[0, 0], every.maps()[0, 2])
    same(mixed.maps()[1, 0], every.maps()[1, 0])


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_plane_is_volume_of_depth_one(small_network, images, same, head):
    class Flat(nn.Module):
        """The 2D network on `[B, 1, 1, H, W]`: the same weights with a depth of one."""

        def __init__(self, plane):
            super().__init__()
            self.before = nn.Sequential(plane.first, plane.stage)
            self.stage = nn.Identity()
            self.head = plane.head

        def forward(self, x):
            return self.head(self.stage(self.before(x[:, :, 0])[:, :, None]).squeeze(2))

    network, batch = small_network(2, head), images(2, 2)
    plane = class_activation(network, batch, "stage", class_idx="all")
    volume = class_activation(Flat(network), batch[:, :, None], "stage", class_idx="all")
    same(volume.maps()[:, :, 0], plane.maps())


@pytest.mark.parametrize("dims", [2, 3])
def test_pooled_linear_head_adds_up_to_the_logit(small_network, images, same, dims):
    network, batch = small_network(dims), images(dims, 3)
    gradcam = class_activation(network, batch, "stage", "gradcam", "all")
    pixelwise = class_activation(network, batch, "stage", "pixelwise", "all")
    same(gradcam.maps(), pixelwise.maps())
    same(gradcam.contributions().sum(-1) + network.head[-1].bias, gradcam.logits)
    same(gradcam.maps().flatten(2).sum(-1), gradcam.contributions().sum(-1))
    same(gradcam.offset, network.head[-1].bias.expand(3, 3))


@pytest.mark.parametrize("head", ["mlp", "conv"])
def test_activation_in_place_after_the_layer_changes_nothing(small_network, images, same, head):
    batch = images(3, 2)
    kept = class_activation(small_network(3, head), batch, "stage", class_idx="all")
    spoilt = class_activation(small_network(3, head, inplace=True), batch, "stage", class_idx="all")
    assert kept.features.min() < 0  # there is something to spoil
    same(spoilt.maps(), kept.maps())
    same(spoilt.features, kept.features)


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_masked_with_ones_is_unmasked(small_network, images, same, method):
    result = class_activation(small_network(2, "mlp"), images(2, 2), "stage", method, "all")
    same(result.maps(torch.ones(6)), result.maps())
    same(result.maps(torch.ones(2, 6))[:, 1], result.maps())
    split = torch.tensor([1.0, 0, 1, 0, 0, 1])
    same(result.maps(split) + result.maps(1 - split), result.maps())


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
