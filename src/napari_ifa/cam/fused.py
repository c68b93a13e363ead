"""Several target layers in one map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ifa.cam.activation import ClassActivation
from napari_ifa.cam.interpolation import resized


@dataclass(frozen=True, eq=False)
class FusedActivation:
    """The class activations of one batch at several target layers.

    Attributes
    ----------
    layers : one class activation per target layer, in the order they were named.
    image_size : spatial size of the network's input.
    """

    layers: tuple[ClassActivation, ...]
    image_size: tuple[int, ...]

    @property
    def logits(self) -> Tensor:
        """`[B, C]`."""
        return self.layers[0].logits

    @property
    def class_idx(self) -> Tensor:
        """`[B, K]`, the explained classes."""
        return self.layers[0].class_idx

    def maps(self) -> Tensor:
        """The mean over the layers of their maps on the image grid: `[B, K, *image_size]`.

        Each is brought there by linear interpolation (half-voxel rule). Signed and unscaled, in
        logits: a layer with larger class activations weighs more.
        """
        return torch.stack([resized(layer.maps(), self.image_size) for layer in self.layers]).mean(
            0
        )
