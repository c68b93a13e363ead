"""What the network made of one case, for every class; explanations of the case share it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.statistics import CaseStatistics, Seen
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import PreparedInput, input_lps_affine
from napari_ifa.models.targets import LOGIT, target_key
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
    activations : of all classes, for this one case; by what they are compared with.
    grid : where the features lie in the patient.
    notes : what there is to say about what the preprocessing did to this image; sentences.
    measured : what of it is compared with a cohort.
    content : what tells its input from another.
    """

    classifier: Classifier
    network_input: torch.Tensor
    activations: Mapping[str, ClassActivation]
    grid: FeatureGrid
    notes: tuple[str, ...] = ()
    measured: CaseStatistics | None = None
    content: int = 0
    _weighted: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        classifier: Classifier,
        volume: Volume,
        prepared: PreparedInput,
        network_input: torch.Tensor,
        activations: Sequence[ClassActivation],
    ) -> CaseActivation:
        """Of an image, the network's input made of it, and the activations of all classes."""
        from napari_ifa.models.reach import feature_steps

        activation = activations[0]
        image, shape = prepared.image, activation.grid
        steps = feature_steps(classifier.network, network_input, classifier.target_layer, shape)
        seen = Seen.of(volume, image)
        return cls(
            classifier,
            network_input,
            {target_key(one.target): one for one in activations},
            FeatureGrid.from_network_input(
                input_lps_affine(image), tuple(image.shape[1:]), shape, steps
            ),
            prepared.notes,
            CaseStatistics.of([seen], activation),
            seen.content,
        )

    @property
    def activation(self) -> ClassActivation:
        """Of the classes' logits."""
        return self.activations[LOGIT]

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
        return self.contributions_to(LOGIT)

    def contributions_to(self, target: str) -> NDArray[np.float64]:
        """``[F, C]``: the same of the classes compared with a target."""
        return _numpy(self.activations[target].contributions()[0]).T

    def rival(self, target: str, class_idx: int) -> int | None:
        """The one class that a class is compared with; None where there are none or several."""
        against = int(self.activations[target].explained.against[0, class_idx])
        return against if against >= 0 else None

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

    def weighted_features(self, class_idx: int, target: str = LOGIT) -> NDArray[np.float32]:
        """``[F, *grid]``: every feature times its weight for a class, in three dimensions."""
        key = target, class_idx
        if key not in self._weighted:
            weighted = self.activations[target].weighted_features(class_idx)[0]
            self._weighted[key] = (
                weighted.float().cpu().numpy().reshape(self.features, *self.grid.shape)
            )
        return self._weighted[key]


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
