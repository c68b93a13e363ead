"""The network that is explained, with everything that makes its answer reproducible."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.errors import BundleError
from napari_ifa.models.preprocessing import Preprocessing
from napari_ifa.volumes.volume import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor

OutputActivation = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True)
class BundleSource:
    """Where a model was loaded from, and as what, so that another process can load it too."""

    folder: Path
    device: str | None = None
    trust: bool = False


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its preprocessing, class names and the layer whose features are explained.

    Attributes
    ----------
    network : in evaluation mode, on ``device``.
    class_names : one per output.
    target_layer : dotted name of the layer whose output holds the features.
    output_activation : how logits become probabilities; ``"none"`` for regression.
    weights_sha256, network_definition, preprocessing_definition : what identifies the model.
    referred_definition : the entries of the configuration that the two definitions refer to.
    code_sha256 : of the bundle's own Python files that run; empty where none does.
    source : the bundle; None for a model that was made in Python.
    """

    network: torch.nn.Module
    class_names: tuple[str, ...]
    target_layer: str
    preprocessing: Preprocessing
    device: torch.device
    name: str = ""
    output_activation: OutputActivation = "softmax"
    weights_sha256: str = ""
    network_definition: str = ""
    preprocessing_definition: str = ""
    referred_definition: str = ""
    code_sha256: str = ""
    source: BundleSource | None = None

    def preprocess(self, volume: Volume) -> MetaTensor:
        """The network's input ``[C, *spatial]`` with its index → RAS affine, on the CPU."""
        return self.preprocessing(volume)

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities from logits ``[..., C]``, by the bundle's own output activation."""
        values = np.asarray(logits, dtype=float)
        if self.output_activation == "none":
            return values
        if self.output_activation == "sigmoid":
            return 0.5 * (1.0 + np.tanh(0.5 * values))
        exponent = np.exp(values - values.max(axis=-1, keepdims=True))
        result: NDArray[np.float64] = exponent / exponent.sum(axis=-1, keepdims=True)
        return result

    def class_index(self, name_or_index: str | int) -> int:
        """The index of a class given by name or number.

        Raises
        ------
        BundleError
            Where the model has no such class; the message lists those it has.
        """
        count = len(self.class_names)
        # A number is a number, also where classes are called "1", "2", "3".
        if isinstance(name_or_index, int | np.integer):
            if 0 <= name_or_index < count:
                return int(name_or_index)
        elif name_or_index in self.class_names:
            return self.class_names.index(name_or_index)
        text = str(name_or_index)
        if isinstance(name_or_index, str) and text.isdecimal() and int(text) < count:
            return int(text)
        known = ", ".join(f"{i} '{name}'" for i, name in enumerate(self.class_names))
        raise BundleError(f"The model has no class '{text}'; it has {known}.")

    def identity(self) -> dict[str, str]:
        """What an analysis must share with a model to be valid for it, as named texts."""
        return {
            "weights": self.weights_sha256,
            "network": self.network_definition,
            "layer": self.target_layer,
            "preprocessing": self.preprocessing_definition,
            "class names": ", ".join(self.class_names),
            "settings": self.referred_definition,
            "code": self.code_sha256,
        }
