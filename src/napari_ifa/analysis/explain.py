"""Run one image through a model, on its cohort's scale where there is an analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, cast

from napari_ifa.analysis.case_activation import CaseActivation
from napari_ifa.analysis.explanation import Explanation, other_features
from napari_ifa.analysis.given import Source, given_analysis, given_classifier, given_volume
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.analysis.scale import Basis, Form, ScaleChoice, Scope
from napari_ifa.analysis.store import Analysis
from napari_ifa.errors import AnalysisError, ExplanationError
from napari_ifa.memory import memory_said
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.preprocessing import is_flat
from napari_ifa.models.targets import LOGIT, Target, target_key
from napari_ifa.volumes import Volume, check_complete

if TYPE_CHECKING:
    import torch
    from torch import nn


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
    form: Form = "paper",
    target: Target | None = None,
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
    basis, low, high, scope, form : of the common scale, see `ScaleChoice`.
    target : what the class is compared with, see `models.targets`, or a class by name or number;
        that of the analysis by default, or without one ``"logit"``.
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
    from napari_ifa.cam import CutNetwork, class_activations

    classifier = given_classifier(classifier)
    analysis = None if analysis is None else given_analysis(analysis)
    # What cannot be is said before the network runs.
    chosen_class = None if class_idx is None else classifier.class_index(class_idx)
    if mask is not None and classifier.features not in (None, mask.keep.size):
        raise other_features(mask, classifier.features or 0)
    choice = ScaleChoice(form, basis, scope, low, high)
    compared: Target = LOGIT if analysis is None else analysis.targets_run[-1]
    if target is not None:
        compared = classifier.target(target)
    if compared == chosen_class and chosen_class is not None:
        raise AnalysisError(AnalysisProblem.SAME_CLASS, name=classifier.class_names[chosen_class])
    volume = given_volume(volume)
    if not allow_missing:
        check_complete(volume, ExplanationError)
    if volume.source.computed:
        raise ExplanationError(AnalysisProblem.PARAMETRIC_MAP)
    if analysis is not None:
        analysis.check(classifier)
        if method is not None and method != analysis.method:
            raise AnalysisError(
                AnalysisProblem.OTHER_METHOD, method=method, made_with=analysis.method
            )
        analysis = analysis.of_target(compared)
    chosen_method = analysis.method if analysis is not None else method or "gradcam"
    with _misfit_said(classifier, volume):
        prepared = classifier.prepare(volume)
    network_input = prepared.image.as_tensor().float()[None].to(classifier.device)
    if volume.is_colour and _takes_grey(classifier, network_input):
        raise ExplanationError(AnalysisProblem.IN_COLOUR)
    # A network that cuts volumes into slices begins with a 2D convolution as well.
    with (
        _misfit_said(classifier, volume) if is_flat(volume) else nullcontext(),
        CutNetwork(classifier.network, classifier.target_layer, early=True) as cut,
    ):
        activations = class_activations(
            cut,
            network_input,
            None,
            chosen_method,
            "all",
            targets_run(classifier, chosen_method, compared),
            progress=progress,
            stop=stop,
        )
    case = CaseActivation.of(classifier, volume, prepared, network_input, activations)
    explanation = Explanation(
        volume=volume,
        case=case,
        analysis=analysis,
        class_idx=(int(case.logits.argmax()) if chosen_class is None else chosen_class),
        mask=FeatureMask.all(case.features),
        choice=choice,
        target=target_key(compared),
    )
    return explanation if mask is None else explanation.select(mask=mask)


def targets_run(classifier: Classifier, method: str, asked: Target) -> list[Target]:
    """What a case is compared with in one pass: all that costs nothing, and what is asked for."""
    from napari_ifa.cam import GRADIENT_METHODS

    targets = [*classifier.targets, asked]
    if len(classifier.targets) > 1 and method in GRADIENT_METHODS:
        linear = GRADIENT_METHODS[method].linear
        targets += range(len(classifier.class_names)) if linear else ()
    return list(dict.fromkeys([LOGIT, *targets]))


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
            raise ExplanationError(AnalysisProblem.TOO_FLAT, found=kind) from error
        if not flat and isinstance(first, nn.Conv2d):
            raise ExplanationError(AnalysisProblem.NOT_FLAT) from error
        raise
