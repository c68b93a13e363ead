"""The network that is explained, with everything that makes its answer reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.errors import BundleError
from napari_ifa.models.answers import NOT_TOLD, VALUES, OutputActivation, ToldActivation
from napari_ifa.models.preprocessing import PreparedInput, Preprocessing
from napari_ifa.models.problems import BundleProblem
from napari_ifa.models.targets import LOGIT, OTHERS, RUNNER_UP, Target, possible_targets
from napari_ifa.volumes.volume import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor


@dataclass(frozen=True)
class BundleSource:
    """Where a model was loaded from, and as what, so that another process can load it too."""

    folder: Path
    device: str | None = None
    trust: bool = False
    output_activation: ToldActivation | None = None


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its preprocessing, class names and the layer whose features are explained.

    Attributes
    ----------
    network : in evaluation mode, on ``device``.
    class_names : one per output.
    target_layer : dotted name of the layer whose output holds the features.
    output_activation : how outputs become probabilities. ``"identity"`` where the network ends in
        an activation of its own, so that its outputs are probabilities; ``"none"`` for values (a
        regression); ``"unknown"`` where nothing says it, so that there are none.
    weights_sha256, network_definition, preprocessing_definition : what identifies the model.
    referred_definition : the entries of the configuration that the two definitions refer to.
    code_sha256 : of the bundle's own Python files that run; empty where none does.
    source : the bundle; None for a model that was made in Python.
    features : those of the target layer; None where they were not counted.
    notes : what there is to say about the model's answers and its preprocessing; sentences.
    modality : of the images that it is made for, in the bundle's own word; empty where unknown.
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
    features: int | None = None
    notes: tuple[str, ...] = ()
    modality: str = ""

    def preprocess(self, volume: Volume) -> MetaTensor:
        """The network's input ``[C, *spatial]`` with its index → RAS affine, on the CPU."""
        return self.preprocessing(volume)

    def prepare(self, volume: Volume) -> PreparedInput:
        """The same, with what there is to say about what the preprocessing did to the image."""
        return self.preprocessing.prepared(volume)

    def probabilities(self, logits: ArrayLike) -> NDArray[np.float64] | None:
        """Probabilities from logits ``[..., C]``; None where the model has none.

        They are never made up: see ``output_activation``, and ``no_probabilities`` for the reason.
        """
        values = np.asarray(logits, dtype=float)
        if self.output_activation in ("none", "unknown"):
            return None
        if self.output_activation == "identity":
            return values
        if self.output_activation == "sigmoid":
            return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)))
        exponent = np.exp(values - values.max(axis=-1, keepdims=True))
        result: NDArray[np.float64] = exponent / exponent.sum(axis=-1, keepdims=True)
        return result

    @property
    def no_probabilities(self) -> str:
        """Why the model has no probabilities, for a table or a legend; empty where it has."""
        return {"none": VALUES, "unknown": NOT_TOLD}.get(self.output_activation, "")

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
        raise BundleError(
            BundleProblem.NO_SUCH_CLASS, asked=text, classes=self.class_names, known=known
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """What a class can be compared with beside another class, see `models.targets`."""
        return possible_targets(self.output_activation, len(self.class_names))

    def target(self, asked: str | int) -> Target:
        """A target by its name, or by the name or number of the class that is compared with.

        Raises
        ------
        BundleError
            Where the model's outputs stand alone, or it has no such class.
        """
        if asked == RUNNER_UP and self.targets == (LOGIT, OTHERS):
            return OTHERS
        if asked in self.targets:
            return asked
        if len(self.targets) == 1:
            raise BundleError(BundleProblem.OUTPUTS_STAND_ALONE, asked=asked)
        try:
            return self.class_index(asked)
        except BundleError as error:
            raise BundleError(
                BundleProblem.NO_SUCH_TARGET,
                asked=asked,
                targets=", ".join(map(str, self.targets)),
                known=error.facts["known"],
            ) from error

    def wanted_targets(self, asked: Sequence[str | int] | None) -> tuple[Target, ...]:
        """The logit, and the targets asked for or else all there are; errors as of `target`."""
        if isinstance(asked, str):
            asked = [asked]
        wanted = self.targets if asked is None else map(self.target, asked)
        return tuple(dict.fromkeys([LOGIT, *wanted]))

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
