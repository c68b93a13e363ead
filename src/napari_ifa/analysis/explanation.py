"""A case on its cohort's scale: maps in patient space, from all features or from chosen ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.case_activation import CaseActivation, predict_masked
from napari_ifa.analysis.fit.cohort_fit import NOT_KEPT, CohortFit, compared
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import PAPER, CommonScale, ScaleChoice
from napari_ifa.analysis.store import Analysis
from napari_ifa.errors import AnalysisError
from napari_ifa.models.targets import LOGIT, OTHERS, RUNNER_UP, Target, target_key
from napari_ifa.volumes import FeatureGrid, Volume


@dataclass(frozen=True, eq=False)
class Explanation:
    """A case's class activation and answer, for one class and one choice of features.

    Attributes
    ----------
    volume : the image explained.
    case : what the network made of it.
    analysis : gives the common scale; None where there is none.
    class_idx : the class explained.
    mask : the features kept.
    choice : how the common scale is made.
    target : what the class is compared with, see `models.targets`.
    """

    volume: Volume
    case: CaseActivation
    analysis: Analysis | None
    class_idx: int
    mask: FeatureMask
    choice: ScaleChoice = PAPER
    target: str = LOGIT

    def __post_init__(self) -> None:
        if self.target not in self.case.activations:
            raise AnalysisError(AnalysisProblem.TARGET_NOT_RUN, target=self.target)
        if self.target == target_key(self.class_idx):
            raise AnalysisError(AnalysisProblem.SAME_CLASS, name=self.class_names[self.class_idx])

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class."""
        return self.case.classifier.class_names

    @property
    def features(self) -> int:
        """Features of the target layer."""
        return self.case.features

    @property
    def grid(self) -> FeatureGrid:
        """Where the features lie in the patient."""
        return self.case.grid

    @property
    def logits(self) -> NDArray[np.float64]:
        """``[C]``, the model's own output."""
        return self.case.logits

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say about the model, this case and its map; one sentence each."""
        without = self.case.classifier.no_probabilities
        said = (f"{without[0].upper()}{without[1:]}.",) if without else ()
        return (*said, *self.case.classifier.notes, *self.case.notes, *self.map_notes)

    @cached_property
    def fit(self) -> CohortFit | None:
        """Whether anything was seen in which the case differs from the cohort of the scale.

        None without an analysis. It never blocks an explanation.
        """
        if self.analysis is None:
            return None
        reference = self.analysis.reference
        if reference is None or self.case.measured is None:
            return NOT_KEPT
        return compared(
            reference,
            self.case.measured,
            self.analysis.place_of(self.case.content),
            self.case.classifier.modality,
        )

    @property
    def probabilities(self) -> NDArray[np.float64] | None:
        """``[C]``; None where the model has none, see `Classifier.no_probabilities`."""
        return self.case.classifier.probabilities(self.logits)

    @property
    def contributions(self) -> NDArray[np.float64]:
        """``[F]``: each feature's contribution to the class explained, in logits."""
        return np.asarray(self.case.contributions_to(self.target)[:, self.class_idx])

    @property
    def weighted_features(self) -> NDArray[np.float32]:
        """``[F, *grid]``: every feature times its weight for the class explained."""
        return self.case.weighted_features(self.class_idx, self.target)

    @cached_property
    def map_notes(self) -> tuple[str, ...]:
        """What is to be known about the map and its scale, one sentence each."""
        found = []
        layer = self.case.classifier.target_layer
        if bool(self.case.activation.silent[0]):
            found.append(
                f"Every feature of layer '{layer}' is exactly zero in this image: the map is zero"
                " everywhere, for every class, and shows nothing of what the answer rests on."
            )
        elif not self.weighted_features.any():
            found.append(
                f"The weights of layer '{layer}' are exactly zero for class '{self._class_name}':"
                " the map is zero everywhere and shows nothing of what the answer rests on."
            )
        if self.scale is not None and self.scale.note:
            found.append(self.scale.note)
        return tuple(found)

    @property
    def follows_contributions(self) -> bool:
        """Whether masked logits are exact sums of contributions, so that no pass is needed."""
        return self.case.offset is not None

    def select(
        self,
        class_idx: int | str | None = None,
        mask: FeatureMask | None = None,
        choice: ScaleChoice | None = None,
        target: Target | None = None,
    ) -> Explanation:
        """The same case for another class, other features, on another scale, against others.

        The network does not run again.

        Raises
        ------
        AnalysisError
            Where the mask has another number of features, or the target is the class itself or is
            none that this case was run for.
        """
        classifier = self.case.classifier
        chosen = self.class_idx if class_idx is None else classifier.class_index(class_idx)
        kept = self.mask if mask is None else mask
        if kept.keep.shape != (self.features,):
            raise other_features(kept, self.features)
        compared = self.target if target is None else target_key(classifier.target(target))
        return replace(
            self, class_idx=chosen, mask=kept, choice=choice or self.choice, target=compared
        )

    @cached_property
    def masked_logits(self) -> NDArray[np.float64]:
        """``[C]``, what the model answers from the kept features alone.

        Instant where ``follows_contributions``; otherwise one pass through the network.
        """
        if self.mask.keep.all():
            return self.logits
        if self.case.offset is not None:
            kept = self.case.contributions[self.mask.keep].sum(axis=0)
            return np.asarray(self.case.offset + kept)
        return predict_masked(self.case, [self.mask])[0]

    @cached_property
    def masked_probabilities(self) -> NDArray[np.float64] | None:
        """``[C]``; None where the model has none."""
        return self.case.classifier.probabilities(self.masked_logits)

    @cached_property
    def scale(self) -> CommonScale | None:
        """The cohort's scale for this class; None without an analysis."""
        if self.analysis is None:
            return None
        return self.analysis.of_target(self.target).scaled(self.class_idx, self.choice)

    @cached_property
    def largest(self) -> float:
        """Where colours end without a common scale: the map's greatest magnitude, in logits.

        Of all features, so that maps of fewer stay comparable with it; 1 where the map is zero.
        """
        return float(np.abs(self.weighted_features.sum(axis=0, dtype=np.float64)).max()) or 1.0

    @cached_property
    def activation_map(self) -> NDArray[np.float32]:
        """The class activation of the kept features on the feature grid, three-dimensional."""
        kept: NDArray[np.float32] = self.weighted_features[self.mask.keep].sum(
            axis=0, dtype=np.float32
        )
        return kept

    @cached_property
    def class_activation(self) -> Volume:
        """The class activation on the image's grid, in logits; NaN outside the field of view."""
        array = self.grid.onto(self.volume).volume(self.activation_map)
        return self.volume.with_array(array, f"class activation, {self._class_name}")

    @cached_property
    def s_cam(self) -> Volume:
        """S-CAM (FS-S-CAM for chosen features) on the image's grid: space first, then tanh.

        Raises
        ------
        AnalysisError
            Without an analysis there is no common scale.
        """
        if self.scale is None:
            raise AnalysisError(AnalysisProblem.NO_ANALYSIS)
        array = self.scale(self.class_activation.array)
        return self.volume.with_array(array, f"S-CAM, {self._class_name}")

    @property
    def compared_with(self) -> str:
        """What the class is compared with, in words; empty for the logit itself."""
        if self.target == LOGIT:
            return ""
        rival = self.case.rival(self.target, self.class_idx)
        if self.target == OTHERS and len(self.class_names) == 2:
            return self.class_names[1 - self.class_idx]
        name = "" if rival is None else self.class_names[rival]
        return {OTHERS: "all others", RUNNER_UP: f"the runner-up, {name}"}.get(self.target, name)

    @property
    def sides(self) -> tuple[str, str]:
        """What blue and red speak for: ``("against X", "for X")``, ``("for Y", "for X")``."""
        name, other = self.class_names[self.class_idx], self.compared_with
        return f"for {other}" if other else f"against {name}", f"for {name}"

    @property
    def _class_name(self) -> str:
        name = self.class_names[self.class_idx]
        return f"{name} against {self.compared_with}" if self.compared_with else name


def other_features(mask: FeatureMask, features: int) -> AnalysisError:
    """The error where a mask is for another number of features than a layer has."""
    return AnalysisError(AnalysisProblem.OTHER_FEATURES, given=mask.keep.size, features=features)
