"""The contributions of every feature to every class of one case, behind two kinds of head."""

from __future__ import annotations

import torch
from monai.visualize import GradCAM as MonaiGradCAM
from torch import Tensor, nn
from torchcam.methods import GradCAM as TorchcamGradCAM

from napari_ifa.cam import class_activation
from tests.benchmarks import gradcams, networks
from tests.benchmarks.measuring import (
    Call,
    Line,
    Settings,
    difference,
    interleaved,
    memory_line,
    peak_memory,
    time_line,
)
from tests.benchmarks.reference import pooled_linear

FORWARD, OURS, MONAI, TORCHCAM = (
    "one forward without gradients",
    "napari-ifa",
    "MONAI's loop over classes",
    "torch-cam, one forward, graph retained",
)
AFFINE_REACH, MLP_REACH, MLP_MEMORY_REACH = 1.15, 1.0, 0.6
MONAI_CLASSES = 3


def affine_head(settings: Settings) -> list[Line]:
    """C = 1000 behind pooling and a linear layer: hardly more than the forward pass."""
    classes, row = 1000, "all classes, affine head"
    size = (224, 224)
    network, layer = networks.resnet18_2d(classes), networks.RESNET_LAYER
    x = networks.image(3, *size, device=settings.device)
    case = f"ResNet18 2D, {size[0]}², C = {classes}"

    def copy() -> nn.Module:
        return networks.copy_of(network, settings.device)

    prepare = {
        FORWARD: lambda: gradcams.forward(copy(), layer, x, 0),
        OURS: lambda: _ours(copy(), layer, x),
    }
    # One forward is short, so that more rounds cost nothing and steady the ratio.
    measured = interleaved(
        {name: build() for name, build in prepare.items()}, 4 * settings.rounds, settings.device
    )
    features, matrix = pooled_linear(copy(), layer, networks.RESNET_LINEAR, x)
    sums = features.flatten(2).sum(-1)
    lines = [
        time_line(
            measured,
            OURS,
            FORWARD,
            row=row,
            case=case,
            reach=AFFINE_REACH,
            difference=difference(measured.results[OURS], matrix * sums[:, None]),
            note="difference: to the linear layer's weights times the mean features",
        )
    ]
    few = interleaved(
        {OURS: prepare[OURS](), MONAI: _monai(copy(), layer, x)}, settings.rounds, settings.device
    )
    lines.append(
        time_line(
            few.scaled(MONAI, classes / MONAI_CLASSES),
            OURS,
            MONAI,
            row=row,
            case=case,
            reach=None,
            difference=difference(few.results[OURS][:, :MONAI_CLASSES], few.results[MONAI]),
            note=f"MONAI's time estimated from {MONAI_CLASSES} classes",
        )
    )
    peaks = {name: peak_memory(build, settings.device) for name, build in prepare.items()}
    lines.append(
        memory_line(
            peaks[OURS],
            peaks[FORWARD],
            row=f"{row}, peak memory",
            case=case,
            against=FORWARD,
            reach=None,
        )
    )
    return lines


def mlp_head(settings: Settings) -> list[Line]:
    """C = 5 behind a hidden layer, against the best a peer can do: one forward, C backwards."""
    classes, row = 5, "all classes, MLP head"
    size = (64,) * 3 if settings.quick else (96,) * 3
    network, layer = networks.resnet18_3d_mlp(classes), networks.RESNET_LAYER
    x = networks.image(1, *size, device=settings.device)
    case = f"ResNet18 3D, {size[0]}³, C = {classes}"

    def copy() -> nn.Module:
        return networks.copy_of(network, settings.device)

    prepare = {
        FORWARD: lambda: gradcams.forward(copy(), layer, x, 0),
        OURS: lambda: _ours(copy(), layer, x),
        TORCHCAM: lambda: _torchcam(copy(), layer, x, classes),
    }
    measured = interleaved(
        {name: build() for name, build in prepare.items()}, settings.rounds, settings.device
    )
    peaks = {name: peak_memory(build, settings.device) for name, build in prepare.items()}
    compared = difference(measured.results[OURS], measured.results[TORCHCAM])
    return [
        time_line(
            measured,
            OURS,
            TORCHCAM,
            row=row,
            case=case,
            reach=MLP_REACH,
            difference=compared,
        ),
        time_line(
            measured,
            OURS,
            FORWARD,
            row=row,
            case=case,
            reach=None,
            difference=compared,
            note="difference: to torch-cam",
        ),
        memory_line(
            peaks[OURS],
            peaks[TORCHCAM],
            row=f"{row}, peak memory",
            case=case,
            against=TORCHCAM,
            reach=MLP_MEMORY_REACH,
            difference=compared,
        ),
    ]


def _ours(network: nn.Module, layer: str, x: Tensor) -> Call:
    return lambda: class_activation(network, x, layer, class_idx="all").contributions()


def _monai(network: nn.Module, layer: str, x: Tensor) -> Call:
    """A forward and a backward of the whole network per class, the first few classes only."""
    hooked = MonaiGradCAM(nn_module=network, target_layers=layer).nn_module

    def call() -> Tensor:
        columns = []
        for index in range(MONAI_CLASSES):
            _, (features,), (gradient,) = hooked(x, class_idx=index)
            columns.append(_contributions(gradient.flatten(2).mean(-1), features.detach()))
        return torch.stack(columns, 1)

    return call


def _torchcam(network: nn.Module, layer: str, x: Tensor, classes: int) -> Call:
    extractor = TorchcamGradCAM(network, layer, input_shape=tuple(x.shape[1:]))

    def call() -> Tensor:
        scores = network(x)
        columns = []
        for index in range(classes):
            # Its public call returns maps alone: take its weights, which costs it less.
            (weights,) = extractor._get_weights(index, scores, retain_graph=index < classes - 1)
            columns.append(_contributions(weights, extractor.hook_a[0]))
        return torch.stack(columns, 1)

    return call


def _contributions(weights: Tensor, features: Tensor) -> Tensor:
    return weights * features.flatten(2).sum(-1)
