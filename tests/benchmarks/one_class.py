"""One class of one 3D case: Grad CAM against one forward pass, and against the peers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

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

FORWARD, OURS, KEPT_OPEN = "one forward without gradients", "napari-ifa", "napari-ifa, kept open"
COMPETITORS = {
    FORWARD: gradcams.forward,
    OURS: gradcams.ours,
    KEPT_OPEN: gradcams.ours_kept_open,
    "MONAI": gradcams.monai,
    "pytorch-grad-cam": gradcams.pytorch_grad_cam,
    "torch-cam": gradcams.torchcam,
    "captum": gradcams.captum,
}
# Largest ratio of our time to theirs.
REACH = {"MONAI": 0.5, "pytorch-grad-cam": 0.5, "torch-cam": 1.0, "captum": 1.0}
FORWARD_REACH, MEMORY_REACH = 1.10, 1.15
INDEX = 1


@dataclass(frozen=True)
class Case:
    """A network with its target layer and linear layer, and one input for it."""

    name: str
    network: nn.Module
    layer: str
    linear: str
    x: Tensor

    def call(self, competitor: str) -> Call:
        """What is timed: the competitor with a network of its own."""
        network = networks.copy_of(self.network, self.x.device)
        return COMPETITORS[competitor](network, self.layer, self.x, INDEX)

    def expected(self) -> Tensor:
        """The map `[B, *grid]` from the linear layer's weights, without any of the competitors."""
        network = networks.copy_of(self.network, self.x.device)
        features, weights = pooled_linear(network, self.layer, self.linear, self.x)
        return torch.einsum("f,bf...->b...", weights[INDEX], features)


def times(settings: Settings) -> list[Line]:
    """Time of one call of `class_activation(...).maps()` against all others."""
    return [line for case in _cases(settings) for line in _times(case, settings)]


def _times(case: Case, settings: Settings) -> list[Line]:
    calls = {name: case.call(name) for name in COMPETITORS}
    measured = interleaved(calls, settings.rounds, settings.device)
    results = measured.results

    def line(ours: str, other: str, reach: float | None, off: float, note: str = "") -> Line:
        return time_line(
            measured,
            ours,
            other,
            row="one class",
            case=case.name,
            reach=reach,
            difference=off,
            note=note,
        )

    expected = case.expected()
    of_weights = "difference: to the map from the linear layer's weights"
    lines = [line(OURS, FORWARD, FORWARD_REACH, difference(results[OURS], expected), of_weights)]
    for peer, reach in REACH.items():
        lines.append(line(OURS, peer, reach, difference(results[OURS], results[peer])))
    off = difference(results[KEPT_OPEN], expected)
    return [
        *lines,
        line(KEPT_OPEN, FORWARD, None, off, f"a further case of a cohort; {of_weights}"),
    ]


def memory(settings: Settings) -> list[Line]:
    """Peak memory of that call against the forward pass, and a peer's to compare."""
    lines = []
    for case in _cases(settings):
        peaks = {
            name: peak_memory(lambda case=case, name=name: case.call(name), settings.device)
            for name in (OURS, FORWARD, "torch-cam")
        }
        for other, reach in ((FORWARD, MEMORY_REACH), ("torch-cam", None)):
            lines.append(
                memory_line(
                    peaks[OURS],
                    peaks[other],
                    row="one class, peak memory",
                    case=case.name,
                    against=other,
                    reach=reach,
                )
            )
    return lines


def _cases(settings: Settings) -> list[Case]:
    size = (64,) * 3 if settings.quick else (96,) * 3
    x = networks.image(1, *size, device=settings.device)
    return [
        Case(
            f"ResNet18 3D, {size[0]}³",
            networks.resnet18_3d(),
            networks.RESNET_LAYER,
            networks.RESNET_LINEAR,
            x,
        ),
        Case(
            f"DenseNet121 3D, {size[0]}³",
            networks.densenet121_3d(),
            networks.DENSENET_LAYER,
            networks.DENSENET_LINEAR,
            x,
        ),
    ]
