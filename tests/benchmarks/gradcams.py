"""Grad CAM of one class by each competitor: signed maps on the feature grid, `[B, *grid]`.

Each function prepares its competitor with a network of its own and returns the call that is timed.
The peers' ReLU, scaling and resizing are left out: the signed map can then be compared, and
they are timed for no more work than this project does.
"""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import LayerGradCam
from monai.visualize import GradCAM as MonaiGradCAM
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchcamGradCAM

from napari_ifa.cam import CutNetwork, class_activation
from tests import peers
from tests.benchmarks.measuring import Call


def forward(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    """The measure of all: the network's answer without gradients, and no map."""

    def call() -> Tensor:
        with torch.no_grad():
            return network(x)

    return call


def ours(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    """All that a single call does: the network is prepared and put back in it."""
    return lambda: class_activation(network, x, layer, class_idx=index).maps()[:, 0]


def ours_kept_open(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    """A further case of a cohort, with the network prepared once."""
    cut = CutNetwork(network, layer).__enter__()
    return lambda: class_activation(cut, x, class_idx=index).maps()[:, 0]


def monai(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    hooked = MonaiGradCAM(nn_module=network, target_layers=layer).nn_module

    def call() -> Tensor:
        # What its compute_map does, less the ReLU.
        _, (features,), (gradient,) = hooked(x, class_idx=index)
        weights = gradient.flatten(2).mean(-1)
        return (weights.reshape(*weights.shape, *[1] * (x.ndim - 2)) * features).sum(1).detach()

    return call


def torchcam(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    extractor = TorchcamGradCAM(network, layer, input_shape=tuple(x.shape[1:]))
    extractor._relu = False

    def call() -> Tensor:
        return extractor(index, network(x), normalized=False)[0]

    return call


def captum(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    attribution = LayerGradCam(network, network.get_submodule(layer))
    return lambda: attribution.attribute(x, target=index)[:, 0].detach()


def pytorch_grad_cam(network: nn.Module, layer: str, x: Tensor, index: int) -> Call:
    peer = peers.pytorch_grad_cam()
    target = peer.utils.model_targets.ClassifierOutputTarget

    class SignedGradCAM(peer.GradCAM):
        """Its forward, backward and weighted sum, then neither ReLU nor resizing."""

        def compute_cam_per_layer(self, input_tensor: Tensor, targets: Any, eigen_smooth: bool):
            collected = self.activations_and_grads
            return self.get_cam_image(
                input_tensor,
                self.target_layers[0],
                targets,
                collected.activations[0].cpu().numpy(),
                collected.gradients[0].cpu().numpy(),
                eigen_smooth,
            )

        def aggregate_multi_layers(self, maps: Any) -> Tensor:
            return torch.from_numpy(maps)

    extractor = SignedGradCAM(network, [network.get_submodule(layer)])
    targets = [target(index)] * len(x)
    return lambda: extractor(x, targets)
