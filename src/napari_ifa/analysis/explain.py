"""One case on its cohort's scale: maps in patient space, from all features or from chosen ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.cohort_fit import NOT_KEPT, CohortFit
from napari_ifa.analysis.fit.comparison import compared
from napari_ifa.analysis.fit.header import Header
from napari_ifa.analysis.fit.statistics import CaseStatistics, intensity_quantiles
from napari_ifa.analysis.given import Source, given_analysis, given_classifier, given_volume
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.analysis.store import Analysis, Basis, Scope, checked_percentiles
from napari_ifa.cohorts.loading import content_of
from napari_ifa.errors import AnalysisError, ExplanationError
from napari_ifa.memory import memory_said
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import input_lps_affine, is_flat
from napari_ifa.volumes import FeatureGrid, Volume, missing_slices

if TYPE_CHECKING:
    import torch
    from torch import nn

    from napari_ifa.cam import ClassActivation


@memory_said(
    ExplanationError, "explain this image", "use a smaller image, method 'gradcam' or device cpu"
)
def explain(
    classifier: Classifier | Source,
    volume: Volume | Source,
    analysis: Analysis | Source | None = None,
    class_idx: int | str | None = None,
    mask: FeatureMask | None = None,
    method: str | None = None,
    basis: Basis = "voxels",
    *,
    low: float | None = None,
    high: float = 90,
    scope: Scope = "class",
    allow_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Explanation:
    """Run one image through a model and bring its class activation back to the image.

    Parameters
    ----------
    classifier, volume, analysis : or the paths that they are read from.
    analysis : gives the common scale and the method; without it there is no S-CAM.
    class_idx : class number or name; the predicted class by default.
    mask : the features to keep; all by default.
    method : id of a class activation method; the analysis's own, or ``"gradcam"``.
    basis : of the common scale: percentiles over all ``"voxels"`` of the cohort, or of its cases'
        ``"extremes"``, which suits evidence that fills a small part of the image.
    low, high, scope : of the common scale, see `Analysis.scale`.
    allow_missing : explain an image of which slices are missing, too; they are blank in it.
    progress : called with passes done and passes in all, by the methods that need many.
    stop : asked between such passes; True ends the work.

    Raises
    ------
    AnalysisMismatchError
        The analysis was made with another model.
    Cancelled
        ``stop`` returned True.
    ExplanationError
        The image does not fit the network, its position is lost on the way, or slices are missing.
    TypeError
        Something else than a model, an image or an analysis was given.
    """
    from napari_ifa.cam import CutNetwork, class_activation
    from napari_ifa.models.reach import feature_steps

    classifier = given_classifier(classifier)
    analysis = None if analysis is None else given_analysis(analysis)
    # What cannot be is said before the network runs.
    chosen_class = None if class_idx is None else classifier.class_index(class_idx)
    _check_features(classifier, mask)
    if analysis is not None:
        checked_percentiles(low, high, basis, scope)
    volume = given_volume(volume)
    if volume.report.missing and not allow_missing:
        raise ExplanationError(missing_slices(volume))
    if volume.source.computed:
        raise ExplanationError(
            "This is a parametric map, values that were computed from an image; open that image to"
            " explain it."
        )
    if analysis is not None:
        analysis.check(classifier)
        if method is not None and method != analysis.method:
            raise AnalysisError(
                f"The analysis was made with '{analysis.method}'; its scale does not hold for"
                f" '{method}'."
            )
    chosen_method = analysis.method if analysis is not None else method or "gradcam"
    with _misfit_said(classifier, volume):
        prepared = classifier.prepare(volume)
    image = prepared.image
    network_input = image.as_tensor().float()[None].to(classifier.device)
    if volume.is_colour and _takes_grey(classifier, network_input):
        raise ExplanationError(
            "The model takes grey images and this one is in colour; open a grey one, or choose a"
            " model for colours."
        )
    # A network that cuts volumes into slices begins with a 2D convolution as well.
    with (
        _misfit_said(classifier, volume) if is_flat(volume) else nullcontext(),
        CutNetwork(classifier.network, classifier.target_layer, early=True) as cut,
    ):
        activation = class_activation(
            cut,
            network_input,
            method=chosen_method,
            class_idx="all",
            progress=progress,
            stop=stop,
        )
    shape = activation.grid
    grid = FeatureGrid.from_network_input(
        input_lps_affine(image),
        tuple(image.shape[1:]),
        shape,
        feature_steps(classifier.network, network_input, classifier.target_layer, shape),
    )
    values = network_input[0].cpu().contiguous()
    measured = CaseStatistics.of(
        [intensity_quantiles(values)], [Header.of(volume, image)], activation
    )
    case = CaseActivation(
        classifier,
        network_input,
        activation,
        grid,
        prepared.notes,
        measured,
        content_of(values),
    )
    explanation = Explanation(
        volume=volume,
        case=case,
        analysis=analysis,
        class_idx=(int(case.logits.argmax()) if chosen_class is None else chosen_class),
        mask=FeatureMask.all(case.features),
        basis=basis,
        low=low,
        high=high,
        scope=scope,
    )
    return explanation if mask is None else explanation.select(mask=mask)


def _check_features(classifier: Classifier, mask: FeatureMask | None) -> None:
    if mask is not None and classifier.features not in (None, mask.keep.size):
        raise _other_features(mask, classifier.features or 0)


def _other_features(mask: FeatureMask, features: int) -> AnalysisError:
    return AnalysisError(
        f"The feature mask is for {mask.keep.size} features; this layer has {features}."
    )


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
        rest: NDArray[np.float64] = self.logits - self.contributions.sum(axis=0)
        return rest

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
    basis, low, high, scope : of the common scale, see `Analysis.scale`.
    """

    volume: Volume
    case: CaseActivation
    analysis: Analysis | None
    class_idx: int
    mask: FeatureMask
    basis: Basis = "voxels"
    low: float | None = None
    high: float = 90
    scope: Scope = "class"

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
        column: NDArray[np.float64] = self.case.contributions[:, self.class_idx]
        return column

    @property
    def weighted_features(self) -> NDArray[np.float32]:
        """``[F, *grid]``: every feature times its weight for the class explained."""
        return self.case.weighted_features(self.class_idx)

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
        basis: Basis | None = None,
    ) -> Explanation:
        """The same case for another class, other features or on a scale of another basis.

        The network does not run again.

        Raises
        ------
        AnalysisError
            Where the mask has another number of features.
        """
        classifier = self.case.classifier
        chosen = self.class_idx if class_idx is None else classifier.class_index(class_idx)
        kept = self.mask if mask is None else mask
        if kept.keep.shape != (self.features,):
            raise _other_features(kept, self.features)
        return replace(self, class_idx=chosen, mask=kept, basis=basis or self.basis)

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
        return self.analysis.scale(
            self.class_idx, self.low, self.high, basis=self.basis, scope=self.scope
        )

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
            raise AnalysisError(
                "There is no common scale without a cohort's analysis; run or open one."
            )
        array = self.scale(self.class_activation.array)
        return self.volume.with_array(array, f"S-CAM, {self._class_name}")

    @property
    def _class_name(self) -> str:
        return self.class_names[self.class_idx]


def predict_masked(case: CaseActivation, masks: list[FeatureMask]) -> NDArray[np.float64]:
    """Logits ``[M, C]`` of a case for several feature masks, by one pass through the network."""
    from napari_ifa.cam import masked_logits

    classifier = case.classifier
    stack = np.stack([mask.keep for mask in masks])
    return _numpy(
        masked_logits(classifier.network, case.network_input, classifier.target_layer, stack)[0]
    )


def _first_convolution(classifier: Classifier) -> nn.Module | None:
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return next((m for m in classifier.network.modules() if isinstance(m, kinds)), None)


def _takes_grey(classifier: Classifier, network_input: torch.Tensor) -> bool:
    """Whether the network fits the input but for its three colours, where it has one channel."""
    first = _first_convolution(classifier)
    if first is None or network_input.shape[1] != 3 or first.in_channels != 1:
        return False
    return len(cast("tuple[int, ...]", first.kernel_size)) == network_input.ndim - 2


@contextmanager
def _misfit_said(classifier: Classifier, volume: Volume) -> Iterator[None]:
    """Where an error comes of a picture for a 3D network, or a volume for a 2D one, say that.

    torch takes a picture for a volume without a batch, and complains of something else.
    """
    from torch import nn

    try:
        yield
    except ExplanationError as error:
        first = _first_convolution(classifier)
        flat = is_flat(volume)
        if flat and isinstance(first, nn.Conv3d):
            kind = "picture" if volume.is_picture else "single slice"
            raise ExplanationError(
                f"The model takes three-dimensional images and this is a {kind}; choose a model"
                " for pictures."
            ) from error
        if not flat and isinstance(first, nn.Conv2d):
            raise ExplanationError(
                "The model takes pictures (2D) and this is a three-dimensional image; choose a"
                " model for those."
            ) from error
        raise


def _numpy(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(tensor.double().cpu().numpy())
