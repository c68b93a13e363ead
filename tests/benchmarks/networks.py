"""The networks and inputs of the benchmarks, seeded, in eval mode, parameters trainable.

Batch normalisation has settled on random images, so that features and logits have the size that
they have in a trained network. Parameters keep `requires_grad`, as users' networks have it.
"""

from __future__ import annotations

import copy

import torch
from monai.networks.nets import DenseNet121, resnet18
from torch import Tensor, nn

# The last stage's output, which both networks pool and hand to their linear layer.
RESNET_LAYER, RESNET_LINEAR = "layer4", "fc"
DENSENET_LAYER, DENSENET_LINEAR = "class_layers.relu", "class_layers.out"


def resnet18_3d(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    network = resnet18(spatial_dims=3, n_input_channels=1, num_classes=classes)
    return _settled(network, (1, 32, 32, 32))


def densenet121_3d(classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    network = DenseNet121(spatial_dims=3, in_channels=1, out_channels=classes)
    return _settled(network, (1, 32, 32, 32))


def resnet18_2d(classes: int = 1000) -> nn.Module:
    """ResNet18 as ImageNet's is: three channels, a first stride of two."""
    torch.manual_seed(0)
    network = resnet18(
        spatial_dims=2,
        n_input_channels=3,
        num_classes=classes,
        conv1_t_stride=2,
        bias_downsample=False,
    )
    return _settled(network, (3, 64, 64))


def resnet18_3d_mlp(classes: int = 5) -> nn.Module:
    """ResNet18 with a hidden layer behind the pooling, so that its head is not affine."""
    network = resnet18_3d()
    torch.manual_seed(1)
    network.fc = nn.Sequential(nn.Linear(512, 256), nn.ReLU(inplace=True), nn.Linear(256, classes))
    return network


def image(*size: int, device: torch.device) -> Tensor:
    """One case `[1, *size]`, seeded and between 0 and 1."""
    generator = torch.Generator().manual_seed(2)
    return torch.rand((1, *size), generator=generator).to(device)


def copy_of(network: nn.Module, device: torch.device) -> nn.Module:
    """Equal weights, own modules: no competitor meets another's hooks or gradients."""
    return copy.deepcopy(network).to(device)


def _settled(network: nn.Module, size: tuple[int, ...]) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.rand((4, *size), generator=generator))
    return network.eval()
