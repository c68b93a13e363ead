"""What the network made of one case, for every class; explanations of the case share it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.statistics import CaseStatistics, Seen
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import PreparedInput, input_lps_affine
from napari_ifa.volumes import FeatureGrid, Volume

if TYPE_CHECKING:
    import torch

    from napari_ifa.cam import ClassActivation


@dataclass(frozen=True, eq=False)
class CaseActivation:
    """What the network made of one case, for every class; explanations of the case share it.

    Attributes
    ----------
    classifier, network_input : what was run, and on what (``[1, C, *spatial]``).
    activation : of all classes, for this one case.
    grid : where the features lie in the patient.
    notes : what there is to say about what the preprocessing did to this image; sentences.
    measured : what of it is compared with a cohort.
    content : what tells its input from another.
    """

    classifier: Classifier
    network_input: torch.Tensor
    activation: ClassActivation
    grid: FeatureGrid
    notes: tuple[str, ...] = ()
    measured: CaseStatistics | None = None
    content: int = 0
    _weighted: dict[int, NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        volume: Volume,
        prepared: PreparedInput,
        network_input: torch.Tensor,
        activation: ClassActivation,
    ) -> CaseActivation:
        """Of an image, the network's input made of it, and the activation of all classes."""
        from napari_ifa.models.reach import feature_steps

        image, shape = prepared.image, activation.grid
        steps = feature_steps(classifier.network, network_input, classifier.target_layer, shape)
        seen = Seen.of(volume, image)
        return cls(
            classifier,
            network_input,
            activation,
            FeatureGrid.from_network_input(
                input_lps_affine(image), tuple(image.shape[1:]), shape, steps
            ),
            prepared.notes,
            CaseStatistics.of([seen], activation),
            seen.content,
        )

    @property
    def features(self) -> int:
        """Features of the target layer."""
        return int(self.activation.features.shape[1])

    @cached_property
    def logits(self) -> NDArray[np.float64]:
        """``[C]``, the model's own output."""
        return _numpy(self.activation.logits[0])

    @cached_property
    def contributions(self) -> NDArray[np.float64]:
        """``[F, C]``: how much each feature adds to each class activation's sum, in logits."""
        return _numpy(self.activation.contributions()[0]).T

    @cached_property
    def offset(self) -> NDArray[np.float64] | None:
        """``[C]``: what the logits are without any feature; None where they are no exact sums."""
        if not self.activation.additive:
            return None
        return np.asarray(self.logits - self.contributions.sum(axis=0))

    @cached_property
    def bypassed(self) -> bool:
        """Whether part of the answer goes around the target layer; two passes, when first asked.

        If so, switching features off does not show all that the answer rests on.
        """
        from napari_ifa.cam import bypassed

        return bypassed(self.classifier.network, self.network_input, self.classifier.target_layer)

    def weighted_features(self, class_idx: int) -> NDArray[np.float32]:
        """``[F, *grid]``: every feature times its weight for a class, in three dimensions."""
        if class_idx not in self._weighted:
            weighted = self.activation.weighted_features(class_idx)[0].float().cpu().numpy()
            self._weighted[class_idx] = weighted.reshape(self.features, *self.grid.shape)
        return self._weighted[class_idx]


def predict_masked(case: CaseActivation, masks: Sequence[FeatureMask]) -> NDArray[np.float64]:
    """Logits ``[M, C]`` of a case for several feature masks, by one pass through the network."""
    from napari_ifa.cam import masked_logits

    classifier = case.classifier
    stack = np.stack([mask.keep for mask in masks])
    return _numpy(
        masked_logits(classifier.network, case.network_input, classifier.target_layer, stack)[0]
    )


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    # Apple's GPUs have no float64.
    return np.asarray(tensor.cpu().double().numpy())
