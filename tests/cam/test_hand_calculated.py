"""captum's own hand-calculated Grad CAM cases, as numbers: its tests/attr/layer/test_grad_cam.py.

captum multiplies weights and features, sums over the features unless told otherwise, and applies
a ReLU only if asked: `captums` does that with our result.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused


def captums(network, layer, x, *, sum_features=True, relu=False):
    """Our class activation of class 0 as captum returns it: `[B, 1 or F, *grid]`."""
    result = class_activation(network, x, layer, "gradcam", class_idx=0)
    attributions = result.maps() if sum_features else result.weighted_features(0)
    return attributions.relu() if relu else attributions


class OneConvolution(nn.Module):
    """Sums of 3 x 3 minus 50 and minus 75, ReLU, and a linear layer of ones and minus ones."""

    def __init__(self, inplace=False):
        super().__init__()
        self.whole_input = nn.Identity()  # its output is what captum calls the input of conv1
        self.conv1 = nn.Conv2d(1, 2, 3)
        self.relu1 = nn.ReLU(inplace)
        self.fc1 = nn.Linear(8, 4)
        self.relu2 = nn.ReLU(inplace)
        self.conv1.weight = nn.Parameter(torch.ones(2, 1, 3, 3))
        self.conv1.bias = nn.Parameter(torch.tensor([-50.0, -75.0]))
        self.fc1.weight = nn.Parameter(torch.cat([torch.ones(4, 5), -torch.ones(4, 3)], 1))
        self.fc1.bias = nn.Parameter(torch.zeros(4))

    def forward(self, x, more=None):
        x = self.whole_input(x if more is None else x + more)
        return self.relu2(self.fc1(self.relu1(self.conv1(x)).view(-1, 8)))


class Vectors(nn.Module):
    """Features without a grid, put on one: two equal voxels, of which the next layer has the mean.

    The gradient at each voxel is then half of that of the vector, so that the map's sum over the
    two voxels is captum's number for the vector.
    """

    def __init__(self, inplace=False, two_branches=False):
        super().__init__()
        self.linear0 = nn.Conv1d(3, 3, 1, bias=False)
        self.linear0.weight = nn.Parameter(torch.eye(3)[..., None])
        self.linear1, self.linear1_alt = self._ones_to_four(), self._ones_to_four()
        self.first_relu, self.second_relu = nn.ReLU(inplace), nn.ReLU(inplace)
        self.unused_relu = nn.ReLU()
        self.linear2 = nn.Linear(4, 2)
        self.linear2.weight = nn.Parameter(torch.ones(2, 4))
        self.linear2.bias = nn.Parameter(torch.tensor([-1.0, 1.0]))
        self.two_branches = two_branches

    @staticmethod
    def _ones_to_four():
        layer = nn.Conv1d(3, 4, 1)
        layer.weight = nn.Parameter(torch.ones(4, 3, 1))
        layer.bias = nn.Parameter(torch.tensor([-10.0, 1.0, 1.0, 1.0]))
        return layer

    def forward(self, x):
        hidden = self.linear0(x).mean(2, keepdim=True).expand(-1, -1, 2)
        self.unused_relu(hidden)
        if not self.two_branches:
            return self.linear2(self.first_relu(self.linear1(hidden)).mean(2))
        both = self.first_relu(self.linear1(hidden)) + self.second_relu(self.linear1_alt(x))
        return self.linear2(both.mean(2))


def vector(*values):
    return torch.tensor([values])[..., None].expand(-1, -1, 2)


def sixteen(middle=5.0):
    """0 to 15 in a square, with another number in place of the 5."""
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    image[0, 0, 1, 1] = middle
    return image


@pytest.fixture(params=[False, True], ids=["out of place", "in place"])
def inplace(request):
    return request.param


def test_simple_input_without_convolution(inplace):
    # Every one of the four sums has gradient 1 for 100: 4 · 100.
    found = captums(Vectors(inplace), "linear0", vector(0.0, 100.0, 0.0))
    assert found.sum(2).tolist() == [[400.0]]


def test_layer_with_two_outputs_is_explained_one_by_one(inplace):
    # relu(6 - 10) and three times 6 + 1, in either branch.
    network, x = Vectors(inplace, two_branches=True), vector(0.0, 6.0, 0.0)
    for branch in ("first_relu", "second_relu"):
        assert captums(network, branch, x).sum(2).tolist() == [[21.0]]


def test_simple_input_with_a_convolution(inplace):
    # conv1 = [[-5, 4], [31, 40]] and [[-30, -21], [6, 15]]; behind the ReLU the gradients are
    # [[0, 1], [1, 1]] and [[0, 0], [-1, -1]]: weights 3/4 and -1/2.
    found = captums(OneConvolution(inplace), "conv1", sixteen())
    assert found.tolist() == [[[[11.25, 13.5], [20.25, 22.5]]]]


def test_channels_apart(inplace):
    found = captums(OneConvolution(inplace), "conv1", sixteen(), sum_features=False)
    assert found.tolist() == [
        [[[-3.75, 3.0], [23.25, 30.0]], [[15.0, 10.5], [-3.0, -7.5]]]  # 3/4 and -1/2 of conv1
    ]


def test_frozen_parameters(inplace):
    network = OneConvolution(inplace).requires_grad_(False)
    assert captums(network, "conv1", sixteen()).tolist() == [[[[11.25, 13.5], [20.25, 22.5]]]]


def test_layer_that_is_a_relu(inplace):
    # Gradients of ones, and [[1, -1], [-1, -1]]: weights 1 and -1/2 of the rectified features.
    found = captums(OneConvolution(inplace), "relu1", sixteen())
    assert found.tolist() == [[[[0.0, 4.0], [28.0, 32.5]]]]


@pytest.mark.parametrize("relu", [False, True])
def test_input_of_the_layer(inplace, relu):
    # 9 below the 5 make conv1 = [[-14, -5], [22, 31]] and [[-39, -30], [-3, 6]]: of the first only
    # the lower two pass the ReLU, of the second the last, with gradient -1. Each stands for 3 x 3
    # of 16 voxels: weight (9 + 9 - 9) / 16.
    x = sixteen(-4.0)
    found = captums(OneConvolution(inplace), "whole_input", x.clone().requires_grad_(), relu=relu)
    expected = 0.5625 * x
    assert torch.equal(found, expected.relu() if relu else expected)
    assert (found < 0).any() != relu


def test_two_inputs(inplace):
    # The ones add 9 to every sum: conv1 = [[4, 13], [40, 49]] and [[-21, -12], [15, 24]]; the
    # gradients are all 1, and [[0, 0], [-1, -1]]: weights 1 and -1/2.
    inputs = (sixteen(), torch.ones(1, 1, 4, 4))
    found = captums(OneConvolution(inplace), "conv1", inputs)
    assert found.tolist() == [[[[14.5, 19.0], [32.5, 37.0]]]]


def test_unused_layer_is_said_where_captum_gives_zeros():
    with refused(ExplanationError, Problem.NO_GRADIENT, layer="unused_relu"):
        captums(Vectors(), "unused_relu", vector(0.0, 6.0, 0.0))


def test_gradcam_plus_plus_of_a_gradient_that_varies_over_the_voxels(by_hand):
    # Features x = 1, 2 and 2x = 2, 4; the logit is half the square of the first one's voxels and
    # the second one's last voxel, so that G = 1, 2 and 0, 1. S = 3 and 6:
    # 1/(2 + 3·1) + 2/(2 + 3·2) = 9/20 and 1/(2 + 6·1) = 1/8.
    def head(features):
        return (features[:, :1] ** 2 / 2).sum((2, 3)) + features[:, 1:, 0, 1]

    x = torch.tensor([[1.0, 2.0]]).reshape(1, 1, 1, 2)
    found = class_activation(by_hand(head), x, "features", "gradcam++")
    torch.testing.assert_close(found.weights, torch.tensor([[[9 / 20, 1 / 8]]]))
    torch.testing.assert_close(found.contributions(), torch.tensor([[[27 / 20, 6 / 8]]]))
    still = class_activation(by_hand(head), x, "features", "smoothgradcam++", samples=3, noise=0.0)
    torch.testing.assert_close(still.weights, found.weights)
