"""Smooth Grad CAM++: the gradients of Grad CAM++, averaged over noisy copies of the input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.gradients import Pass
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.masked_inputs import image_rows
from napari_ifa.cam.memory import block_numbers
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.sampling import Sampling, noise_field
from napari_ifa.cam.weights import from_moments
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor

# Three sums of gradients and what is added to them are held, of as many classes as fit into this
# many blocks: another group of classes costs the noisy passes once more.
HELD_BLOCKS = 16
# Of the largest gradient: features with smaller ones share its scale, for their own may be chance.
_SMALLEST_SCALE = 1e-6


def smooth_weights(
    cut: CutNetwork, inputs: Any, result: Pass, explained: Contrast, sampling: Sampling
) -> Tensor:
    """Weights `[B, K, F]` of Smooth Grad CAM++ (Omeiza et al., arXiv 1908.01224, eq. 9).

    The means of G, G² and G³ over noisy inputs take the place of Grad CAM++'s G, G² and G³; the
    features are those of the clean input. The noise has a standard deviation of `sampling.noise`
    times the range (largest minus smallest value) of each case's own image: a number in the units
    of the image would mean nothing beside Hounsfield units. The cases of a batch share the noise.
    """
    cases, device = len(result.features), result.features.device
    size = result.features.numel()
    length = max(1, HELD_BLOCKS * block_numbers(device) // (4 * size))
    groups = [
        explained.columns(slice(first, first + length))
        for first in range(0, explained.count, length)
    ]
    total = len(groups) * sampling.samples * cases
    done, zero = 0, bool(result.features.any())
    sampling.advance(done, total)
    weights = []
    for classes in groups:
        generator = sampling.generator()
        moments = _Moments(result.features, classes.count)
        for _ in range(sampling.samples):
            noisy = _noisy(inputs, sampling.noise, generator)
            with sampling.casting(device):
                one = cut.run(noisy, reading=result.reading)
            for columns, gradients in one.gradients(classes):
                moments.add(columns, gradients)
            done += cases
            sampling.advance(done, total)
        weights.append(moments.weights(sampling.samples))
        zero = zero and moments.zero
    if zero:
        raise ExplanationError(ExplanationProblem.ZERO_GRADIENT_OF_NOISE, layer=cut.layer)
    return torch.cat(weights, 1)


class _Moments:
    """Sums of G, G² and G³ over samples, for k classes: `[B, k, F, *grid]` each."""

    def __init__(self, features: Tensor, classes: int) -> None:
        self._features = features
        cases, channels, *grid = features.shape
        shape = (cases, classes, channels, *grid)
        self._sums = [features.new_zeros(shape) for _ in range(3)]
        # What G is divided by before it is raised to powers, which float32 could not hold.
        self._sizes = features.new_zeros(shape[:3])
        self.zero = True

    def add(self, columns: slice, gradients: Tensor) -> None:
        with full_precision(gradients):
            sizes = self._sizes[:, columns]
            if not bool(sizes.any()):
                own = torch.linalg.vector_norm(gradients.flatten(3), torch.inf, dim=-1)
                largest = own.amax(-1, keepdim=True)
                sizes.copy_(torch.maximum(own, _SMALLEST_SCALE * largest))
                sizes.masked_fill_(sizes == 0, 1)
            self.zero = self.zero and not bool(gradients.any())
            scaled = gradients / sizes.reshape(*sizes.shape, *[1] * (gradients.ndim - 3))
            power = scaled
            for total in self._sums:
                total[:, columns] += power
                power = power * scaled

    def weights(self, samples: int) -> Tensor:
        with full_precision(self._features):
            g1, g2, g3 = (total / samples for total in self._sums)
            return from_moments(self._features, g1, g2, g3, self._sizes)


def _noisy(inputs: Any, noise: float, generator: torch.Generator) -> Any:
    def change(images: Tensor) -> Tensor:
        flat = images.flatten(1)
        ranges = (flat.amax(1) - flat.amin(1)).reshape(-1, *[1] * (images.ndim - 1))
        field = noise_field(tuple(images.shape[1:]), generator).to(images)
        return images + noise * ranges * field

    first = first_tensor(inputs)
    return image_rows(inputs, torch.arange(len(first), device=first.device), change)
