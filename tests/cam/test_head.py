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
    "deep": [nn.Conv2d(2, 5, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)],
    "dropout": [nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
}
CURVED = {
    "relu": [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "relu6": [nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "max pool": [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 3)],
    "softmax": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Softmax(1)],
    "sigmoid": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Sigmoid()],
    "tanh": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3), nn.Tanh()],
    "one hidden": [
        *[nn.AdaptiveAvgPool2d(1), nn.Flatten()],
        *[nn.Linear(2, 1), nn.ReLU(), nn.Linear(1, 3)],
    ],
    "gelu": [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4), nn.GELU(), nn.Linear(4, 3)],
    "instance norm": [nn.InstanceNorm2d(2, affine=True), nn.Flatten(), nn.Linear(32, 3)],
}


def result_behind(layers, dtype):
    torch.manual_seed(2)
    head = nn.Sequential(*layers)
    for module in head:
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    network = nn.Sequential(nn.Conv2d(1, 2, 1), head).to(dtype)
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
@pytest.mark.parametrize("name", CURVED)
def test_other_heads_are_not_taken_for_affine(name, dtype):
    assert not result_behind(CURVED[name], dtype).affine_head


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
