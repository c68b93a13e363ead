"""Whether a head is affine is found out by numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation

AFFINE = {
    "pool": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "flatten": [nn.Flatten(), nn.Linear(32, 3)],
    "normalised": [nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "deep": [nn.Conv2d(2, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)],
    "dropout": [nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
}
CURVED = {
    "relu": [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "relu6": [nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "max pool": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "softmax": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Softmax(1)],
    "sigmoid": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Sigmoid()],
    "tanh": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Tanh()],
    "hidden": [
        *[nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        *[nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)],
    ],
    "gelu": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 3)],
    "instance norm": [nn.InstanceNorm2d(2, affine=True), nn.Flatten(), nn.Linear(32, 3)],
}


class Unnamed(nn.Module):
    """Layers that only running them tells of, as functions are."""

    def __init__(self, layers):
        super().__init__()
        self._call = nn.Sequential(*layers).forward
        self._apply = lambda change: [layer._apply(change) for layer in layers] and self
        self.eval = self.train = lambda mode=True: [layer.eval() for layer in layers] and self

    def forward(self, x):
        return self._call(x)


def result_behind(layers, dtype, unnamed=False):
    torch.manual_seed(2)
    head = nn.Sequential(*layers)
    for module in head:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    head.to(dtype).requires_grad_(not unnamed)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), Unnamed(layers) if unnamed else head).to(dtype)
    x = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(4)).to(dtype)
    return class_activation(network, x, "0", "pixelwise", "all")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", AFFINE)
def test_affine_heads_are_recognised(name, dtype):
    result = result_behind(AFFINE[name], dtype)
    assert result.affine_head
    total = result.contributions().sum(-1)
    torch.testing.assert_close((result.logits - total)[0], (result.logits - total)[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unnamed", [False, True])
@pytest.mark.parametrize("name", CURVED)
def test_other_heads_are_not_taken_for_affine(name, unnamed, dtype):
    assert not result_behind(CURVED[name], dtype, unnamed).affine_head


def test_layer_behind_which_the_other_cases_differ_is_not_affine(small_network, images):
    """A head that is affine for the first case's offset only: a path around the layer."""

    class Around(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network
            self.stage = network.stage

        def forward(self, x):
            return self.network(x) + x.mean((2, 3))

    network = Around(small_network(2))
    assert not class_activation(network, images(2, 3), "stage").affine_head


class Counted(nn.Module):
    """Passes on, and counts the backward passes through it."""

    def __init__(self):
        super().__init__()
        self.backwards = 0

    def forward(self, x):
        if x.requires_grad:
            x = x.clone()
            x.register_hook(self._count)
        return x

    def _count(self, _gradient):
        self.backwards += 1


def pooled_network(*head):
    torch.manual_seed(2)
    counted = Counted()
    layers = [nn.Conv2d(1, 2, 1), counted, nn.AdaptiveAvgPool2d(1), *head, nn.Flatten()]
    return nn.Sequential(*layers).double(), counted


@pytest.mark.parametrize("head", [[nn.Flatten(), nn.Linear(2, 3)], [nn.Conv2d(2, 3, 1)]])
def test_the_matrix_behind_the_pooling_needs_no_backward_pass_of_the_classes(head, same):
    network, counted = pooled_network(*head)
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    result = class_activation(network, x, "0", "pixelwise", "all")
    assert result.affine_head
    assert result.additive
    assert counted.backwards == 3  # whether cases mix, twice, and one to check the matrix
    # Each weight is the matrix's own over 16 voxels, the same at every one of them.
    expected = head[-1].weight.detach().reshape(1, 3, 2, 1, 1) / 16
    same(result.weights, expected.expand(1, 3, 2, 4, 4))


def test_a_matrix_of_the_right_shape_that_is_not_the_head_is_not_taken(same):
    decoy = nn.Linear(2, 3)
    network, counted = pooled_network(nn.Flatten(), nn.Linear(2, 5), nn.Linear(5, 3))
    network.decoy = decoy.double()
    network.forward = nn.Sequential(*list(network.children())[:-1]).forward
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    result = class_activation(network, x, "0", "gradcam", "all")
    assert counted.backwards > 3
    first, second = network[4].weight.detach(), network[5].weight.detach()
    same(result.weights[0], second @ first / 16)


def test_sums_in_place_of_means_are_not_taken_for_pooling(by_hand):
    """Logits are the matrix times the sums over voxels, V times those behind average pooling."""
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    network = by_hand(lambda a: linear(a.sum((2, 3))))
    network.linear = linear
    result = class_activation(network, torch.ones(1, 1, 2, 2), "features", class_idx="all")
    assert result.weights.tolist() == [[[1.0, 0.0], [0.0, 2.0]]]


def test_head_with_neighbourhoods_is_not_probed(same):
    """Its convolution would be the only one of any network without an activation behind it."""
    head = [nn.Conv2d(2, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)]
    rows = []
    head[0].register_forward_hook(lambda module, args, output: rows.append(len(output)))
    result = result_behind(head, torch.float64)
    assert rows == [2]
    assert not result.affine_head
    same(result.contributions().sum(-1), (result.maps().flatten(2)).sum(-1))


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e5])
def test_small_logits_beside_large_ones_are_judged_by_their_own_size(by_hand, size):
    """Class 0 is linear and large; class 1 bends, by half of its own value."""
    network = by_hand(
        lambda a: torch.stack([size * a.sum((1, 2, 3)), (a[:, 0] - 1).relu().sum((1, 2))], 1)
    ).double()
    x = torch.tensor([[2.0, 0.5], [3.0, 0.0]], dtype=torch.float64).reshape(1, 1, 2, 2)
    for class_idx in (1, "all"):
        result = class_activation(network, x, "features", "pixelwise", class_idx)
        assert not result.affine_head
    straight = class_activation(network, x, "features", "pixelwise", 0)
    assert straight.class_idx.tolist() == [[0]]


def test_probes_do_not_change_the_scale_of_a_head_that_divides_by_its_largest_feature(same):
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Normalised()).double()
    x = torch.rand(1, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = class_activation(network, x, "0", class_idx="all")
    with torch.no_grad():
        same(found.logits, network.eval()(x))


class Normalised(nn.Module):
    """A linear layer on means, divided by the largest feature of the batch, without a gradient."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, a):
        return self.linear((a / a.detach().abs().amax()).mean((2, 3)))


def test_matrix_that_gradients_contradict_is_not_taken(same):
    class Reversal(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return -2 * gradient

    class Head(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(2, 3)

        def forward(self, a):
            return self.linear(Reversal.apply(a).mean((2, 3)))

    network = nn.Sequential(nn.Conv2d(1, 2, 1), Head()).double()
    x = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    result = class_activation(network, x, "0", class_idx="all")
    assert not result.affine_head
    same(result.weights[0], -2 * network[1].linear.weight.detach() / 16)


def test_logits_whose_terms_cancel_are_judged_by_the_size_of_the_terms(by_hand):
    """Features x and 2x: the two terms of the logit differ by their rounding only."""
    network = by_hand(lambda a: (a[:, :1] * 0.7 - a[:, 1:] * 0.35).mean((2, 3))).double()
    x = torch.rand(3, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    result = class_activation(network, x, "features", "pixelwise", "all")
    assert result.affine_head
    assert result.logits.abs().max() < 1e-12
