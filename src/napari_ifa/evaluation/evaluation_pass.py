"""What an evaluation takes from each case: a few numbers per case, class and feature mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.scale import CommonScale
from napari_ifa.cohorts.batches import ReadCase, mask_problems_said
from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.truth import decisive, predicted_classes
from napari_ifa.evaluation.measures.average_drop import masked_input_logits
from napari_ifa.evaluation.measures.consistency import map_sums
from napari_ifa.evaluation.measures.localisation import Localisation, localised, on_image_grid
from napari_ifa.evaluation.measures.masked_accuracy import batch_masked_logits
from napari_ifa.evaluation.numbers import Bools, Floats, Ints
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import input_lps_affine
from napari_ifa.reading import read_volume
from napari_ifa.volumes import FeatureGrid, Volume
from napari_ifa.volumes.volume import Affine

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from torch import Tensor

    from napari_ifa.cam import ClassActivation, CutNetwork
    from napari_ifa.models.reach import Steps

#: Masks whose logits are kept: all features, the principal ones, the others.
SETS = 3


@dataclass(frozen=True, eq=False)
class Lesion:
    """A case's lesion mask, with the image that it was drawn on.

    Attributes
    ----------
    volume : the image as it was opened.
    mask : ``[I, P, L]`` bool on the image's grid.
    input_affine : index of the network's input → LPS mm, ``[4, 4]``.
    """

    volume: Volume
    mask: Bools
    input_affine: Affine


MarkedCase: TypeAlias = ReadCase[Lesion | None]


def lesion_of(case: Case, volume: Volume, prepared: MetaTensor) -> Lesion | None:
    """A case's lesion mask; None where it has none."""
    if case.mask is None:
        return None
    with mask_problems_said():
        mask = on_image_grid(read_volume(case.mask), volume)
    return Lesion(volume, mask, input_lps_affine(prepared))


@dataclass(frozen=True, eq=False)
class BatchMeasures:
    """The measures of a batch of cases; maps and images are not kept.

    Attributes
    ----------
    size : spatial shape of the network's input.
    logits : ``[B, C]``.
    explained : ``[B, C]``, what the maps explain: the logits, or their differences to others.
    sums : ``[B, C, 4]``, of four kinds of map.
    answers : ``[B, M]``, the class number for each mask or, of a regression, the value.
    set_logits : ``[B, 3, C]``, of the first three masks.
    masked_inputs : ``[B, C]``, logits of the images times their usual CAMs; no column of a
        regression.
    found : of each case, the class explained and its localisation, None where the mask is empty;
        None without a lesion mask, or where that class has no map.
    """

    size: tuple[int, ...]
    logits: Floats
    explained: Floats
    sums: Floats
    answers: NDArray[Any]
    set_logits: NDArray[np.float32]
    masked_inputs: Floats
    found: tuple[tuple[int, Localisation | None] | None, ...]


@dataclass(frozen=True, eq=False)
class CaseMeasures:
    """Collects the measures of batches of cases.

    Attributes
    ----------
    labels : class number of every case of the cohort, -1 without one.
    masks : ``[M, F]``; the first three are all features, the principal ones and the others.
    scales : the common scale of every class; None where there is none.
    one_scale : that of all classes together, to pool their sums on.
    compared_class : that all are compared with, which no case is explained for.
    parts : the batches so far.
    steps : where the features lie in a network input of each size.
    """

    classifier: Classifier
    labels: Ints
    masks: Bools
    scales: Sequence[CommonScale | None]
    one_scale: CommonScale | None
    compared_class: int | None = None
    parts: list[BatchMeasures] = field(default_factory=list)
    steps: dict[tuple[int, ...], Steps | None] = field(default_factory=dict)

    @property
    def regression(self) -> bool:
        """Whether the model answers with values, not with classes."""
        return self.classifier.output_activation == "none"

    def of_batch(
        self,
        cut: CutNetwork,
        x: Tensor,
        of_logits: ClassActivation,
        compared: ClassActivation,
        batch: list[MarkedCase],
    ) -> BatchMeasures:
        """Of a batch: its images, the activations of their logits and of the target, the cases."""
        logits: Floats = of_logits.logits.double().cpu().numpy()
        maps = compared.maps()
        size = tuple(int(n) for n in x.shape[2:])
        explained = explained_classes(logits)
        masked_inputs = (
            np.empty((len(batch), 0))
            if self.classifier.no_probabilities
            else masked_input_logits(cut, x, maps, explained)
        )
        masked = batch_masked_logits(cut, x, of_logits, self.masks)
        answers = np.asarray(decisive(masked, self.classifier.output_activation))
        return BatchMeasures(
            size=size,
            logits=logits,
            explained=compared.values.double().cpu().numpy(),
            sums=map_sums(maps, size, self.scales, self.one_scale),
            answers=masked[..., 0].copy() if self.regression else _answered(answers),
            # A slice would keep all masks' logits alive.
            set_logits=answers[:, :SETS].copy(),
            masked_inputs=masked_inputs,
            found=tuple(
                self._localised(case, x[row : row + 1], maps[row], int(explained[row]))
                for row, case in enumerate(batch)
            ),
        )

    def joined(self, name: str) -> NDArray[Any]:
        """One of the measures of all cases, ``[N, …]``."""
        return np.concatenate([getattr(part, name) for part in self.parts])

    def _localised(
        self, case: MarkedCase, x: Tensor, maps: Tensor, predicted: int
    ) -> tuple[int, Localisation | None] | None:
        lesion = case.kept
        if lesion is None:
            return None
        label = int(self.labels[case.position])
        chosen = label if label >= 0 and len(maps) > 1 else predicted
        if chosen == self.compared_class:
            return None
        if not lesion.mask.any():
            return chosen, None
        shape, size = tuple(maps.shape[1:]), tuple(x.shape[2:])
        if size not in self.steps:
            from napari_ifa.models.reach import feature_steps

            layer = self.classifier.target_layer
            self.steps[size] = feature_steps(self.classifier.network, x, layer, shape)
        grid = FeatureGrid.from_network_input(lesion.input_affine, size, shape, self.steps[size])
        activation = maps[chosen].float().cpu().numpy().reshape(grid.shape)
        on_image = grid.onto(lesion.volume).volume(activation)
        return chosen, localised(on_image, lesion.mask, self.scales[chosen])


def explained_classes(logits: Floats) -> Ints:
    """The predicted class of each case of ``logits [N, C]``; of one output, that one."""
    if logits.shape[1] == 1:
        return np.zeros(len(logits), np.int64)
    return predicted_classes(logits)


def _answered(logits: NDArray[np.float32]) -> NDArray[np.int32]:
    """Class numbers ``[B, M]``."""
    cases, masks, classes = logits.shape
    return predicted_classes(logits.reshape(-1, classes)).reshape(cases, masks).astype(np.int32)
