"""Score CAM of one 3D case with 512 features against torch-cam's."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchcam.methods import ScoreCAM as TorchcamScoreCAM

from napari_ifa.cam import class_activation
from tests.benchmarks import networks
from tests.benchmarks.measuring import Call, Line, Settings, difference, interleaved, time_line

OURS, TORCHCAM = "napari-ifa", "torch-cam"
REACH = 1 / 1.5
INDEX = 1


def times(settings: Settings) -> list[Line]:
    """512 masked forward passes each; the results are equal, and are compared.

    torch-cam scales a mask to [0, 1] before it is resized, method.md after. The two agree where
    resizing keeps the extremes, and it does where the image is an odd multiple of the feature grid:
    the middle of each cell is then a voxel of the image. 26³ over 2³ and 45³ over 3³ are such.
    Features that are constant on the grid weigh nothing here and are scored by torch-cam, so the
    weights are compared over the other features, scaled to a sum of one.
    """
    size = (26,) * 3 if settings.quick else (45,) * 3
    network = networks.resnet18_3d()
    x = networks.image(1, *size, device=settings.device)
    calls = {
        name: prepare(networks.copy_of(network, settings.device), networks.RESNET_LAYER, x)
        for name, prepare in {OURS: _ours, TORCHCAM: _torchcam}.items()
    }
    measured = interleaved(calls, 1 if settings.quick else 3, settings.device)
    ours, features = measured.results[OURS]
    other, _ = measured.results[TORCHCAM]
    flat = features.flatten(2)
    alive = flat.amax(-1) > flat.amin(-1)
    return [
        time_line(
            measured,
            OURS,
            TORCHCAM,
            row="Score CAM",
            case=f"ResNet18 3D, {size[0]}³, F = {ours.shape[-1]}",
            reach=REACH,
            difference=difference(_shares(ours, alive), _shares(other, alive)),
            note=f"weights of the {int(alive.sum())} features that are not constant",
        )
    ]


def _shares(weights: Tensor, alive: Tensor) -> Tensor:
    kept = weights * alive
    return kept / kept.sum(-1, keepdim=True)


def _ours(network: nn.Module, layer: str, x: Tensor) -> Call:
    def call() -> tuple[Tensor, Tensor]:
        result = class_activation(network, x, layer, method="scorecam", class_idx=INDEX)
        return result.weights[:, 0], result.features

    return call


def _torchcam(network: nn.Module, layer: str, x: Tensor) -> Call:
    extractor = TorchcamScoreCAM(network, layer, input_shape=tuple(x.shape[1:]))

    def call() -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            network(x)
        (weights,) = extractor._get_weights(INDEX)
        return weights, extractor.hook_a[0]

    return call
