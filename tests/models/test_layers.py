"""Which layers can carry a class activation, and which one is recommended."""

from __future__ import annotations

import pytest
import torch
from monai.networks.nets import (
    DenseNet121,
    EfficientNetBN,
    SEResNet50,
    resnet10,
    resnet50,
)
from torch import nn

from napari_ifa.errors import ExplanationError
from napari_ifa.models.layers import CandidateLayer, candidate_layers


def recommended(network, example):
    (best,) = [layer for layer in candidate_layers(network, example) if layer.recommended]
    return best


def test_candidates_of_a_plain_network():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )
    assert candidate_layers(network, torch.zeros(1, 1, 9, 9)) == [
        CandidateLayer(
            "0.0", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer(
            "0.1", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer(
            "0", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer("1.0", 6, (3, 3), False, "inside 1"),
        CandidateLayer("1.1", 6, (3, 3), False, "the same output as 1"),
        CandidateLayer("1", 6, (3, 3), True, "last layer with a spatial output, followed by 2"),
    ]


# MONAI's classifiers: how to make one, its spatial axes, and the recommended layer on inputs of 64.
MONAI = {
    "ResNet": (
        lambda: resnet10(n_input_channels=1, num_classes=2),
        CandidateLayer(
            "layer4", 512, (4, 4, 4), True, "last layer with a spatial output, followed by avgpool"
        ),
    ),
    "bottleneck ResNet": (
        lambda: resnet50(spatial_dims=2, n_input_channels=1, num_classes=2),
        CandidateLayer(
            "layer4", 2048, (4, 4), True, "last layer with a spatial output, followed by avgpool"
        ),
    ),
    "DenseNet": (
        lambda: DenseNet121(2, 1, 2, init_features=16, growth_rate=8),
        CandidateLayer(
            "class_layers.relu",
            256,
            (2, 2),
            True,
            "last layer with a spatial output, followed by class_layers.pool",
        ),
    ),
    "SEResNet": (
        lambda: SEResNet50(spatial_dims=2, in_channels=1, num_classes=2),
        CandidateLayer(
            "layer4",
            2048,
            (2, 2),
            True,
            "last layer with a spatial output, followed by adaptive_avg_pool",
        ),
    ),
    # Its last activation is one module with its first, so the layer before it is the last one left.
    "EfficientNet": (
        lambda: EfficientNetBN("efficientnet-b0", pretrained=False, in_channels=1, num_classes=2),
        CandidateLayer(
            "_bn1", 1280, (2, 2), True, "last layer with a spatial output, followed by _swish"
        ),
    ),
}


@pytest.mark.parametrize("family", MONAI)
def test_recommended_layer_of_monai_classifiers(family):
    make, expected = MONAI[family]
    assert recommended(make(), torch.zeros(1, 1, *[64] * len(expected.grid))) == expected


def test_dropout_and_pooling_at_the_end_are_passed_over():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Dropout2d(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )
    layers = candidate_layers(network, torch.zeros(1, 1, 8, 8))
    assert [layer.name for layer in layers] == ["0", "1", "2"]
    assert [layer.recommended for layer in layers] == [True, False, False]
    assert layers[2].reason == "only pools or passes on the output of 0"


def test_activation_in_place_has_an_output_of_its_own():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    layers = candidate_layers(network, torch.zeros(1, 1, 8, 8))
    assert [layer.recommended for layer in layers] == [False, True]
    assert layers[0].reason.startswith("earlier than 1")


def test_layer_called_twice_is_no_candidate():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            return self.act(self.conv(self.act(x))).mean((2, 3))

    assert [layer.name for layer in candidate_layers(Twice(), torch.zeros(1, 1, 8, 8))] == ["conv"]


def test_network_without_a_grid_is_refused():
    with pytest.raises(ExplanationError, match="No layer"):
        candidate_layers(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.zeros(1, 1, 8, 8))


def test_example_that_does_not_fit_is_refused():
    network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU())
    with pytest.raises(ExplanationError, match=r"takes \[batch, 1, 3 spatial sizes\]"):
        candidate_layers(network, torch.zeros(1, 3, 8, 8, 8))


@pytest.mark.parametrize("channels", [1, 2])  # one that fits and one that fails
def test_network_is_left_as_it_was(channels):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        candidate_layers(network, torch.ones(2, channels, 8, 8))
    except ExplanationError:
        assert channels == 2
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
