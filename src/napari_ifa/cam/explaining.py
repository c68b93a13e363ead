"""From a network and a batch to class activations: the method, the target layers, the classes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.activation import ClassActivation
from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.features import CutNetwork, opened
from napari_ifa.cam.fused import FusedActivation
from napari_ifa.cam.gradients import Pass
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.memory import lack_of_memory_named
from napari_ifa.cam.perturbation import (
    PERTURBATION_METHODS,
    PerturbationMethod,
    perturbation_weights,
)
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.regions import Region, check_predicted
from napari_ifa.cam.targets import ClassChoice, chosen_classes, functions_of
from napari_ifa.cam.weighting import (
    ComparedWeights,
    HeldWeights,
    Source,
    StreamedWeights,
    weights_from_graph,
    weights_from_jacobian,
)
from napari_ifa.cam.weights import GRADIENT_METHODS, GradientMethod
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor
from napari_ifa.models.targets import LOGIT, TARGETS, Target

#: The ids of all methods, those by gradients first.
METHODS: tuple[str, ...] = (*GRADIENT_METHODS, *PERTURBATION_METHODS)


def class_activation(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layers: str | nn.Module | None = None,
    method: str = "gradcam",
    class_idx: ClassChoice = "predicted",
    target: Target = LOGIT,
    *,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
    samples: int | None = None,
    noise: float | None = None,
    seed: int = 0,
    autocast: torch.dtype | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> ClassActivation:
    """The class activation of a batch, signed and unscaled, in one forward pass.

    A batch gives the same result as its cases one by one. Works under `torch.no_grad`,
    `torch.inference_mode` and autocast; results are detached. The methods that perturb the input
    (`PERTURBATION_METHODS`) need further passes, F of them for Score CAM.

    Parameters
    ----------
    network : a classifier, regressor or segmentation network, left exactly as it was; or an open
        `CutNetwork`, which keeps target layer, output and what is known about the head over a
        cohort.
    x : `[B, C, *spatial]` with 1, 2 or 3 spatial axes, as the network takes it; a tuple is passed
        as positional and a dict as keyword arguments.
    target_layers : dotted name or module; None takes the recommendation of
        `models.layers.candidate_layers`, which costs one more forward of one case. For several
        layers see `fused_class_activation`.
    method : a name in `METHODS` (Li et al., arXiv 2407.01142).
    class_idx : a class, one class per case, several per case `[B, K]`, "predicted", or "all"; or a
        function, or one per case, from what the network returned for one case to the one number
        that is explained.
    target : what the class is compared with: "logit", nothing, so that y_c itself is explained;
        "others", y_c minus the mean of all other logits; "runner-up", y_c minus the largest other
        logit of the case; or the number of a class d, y_c - y_d. Behind a softmax only differences
        of logits say what speaks for a class (Srinivas & Fleuret, ICLR 2021).
    output : index or key of the logits where the network returns a tuple or dict.
    region : for a segmentation network, where its class is explained: a mask of the output's
        spatial size, for all cases or each, or "predicted" for the voxels where the class wins.
    token_grid : the grid of a transformer's tokens, where it cannot be inferred.
    samples, noise, seed : of the methods that sample; their own numbers by default.
    autocast : the type in which perturbed inputs run, `torch.float16` or `torch.bfloat16`; by
        default that of the caller.
    progress : called with perturbed passes done and passes in all.
    stop : asked between blocks of perturbed passes; True ends the work.

    Raises
    ------
    ExplanationError
        In one sentence: a layer, class or input that does not fit, values that are not finite,
        logits that do not depend on the layer (a zero map is never drawn for a zero gradient).
    Cancelled
        `stop` returned True.
    """
    (found,) = class_activations(
        network,
        x,
        target_layers,
        method,
        class_idx,
        (target,),
        output=output,
        region=region,
        token_grid=token_grid,
        samples=samples,
        noise=noise,
        seed=seed,
        autocast=autocast,
        progress=progress,
        stop=stop,
    )
    return found


def class_activations(
    network: nn.Module | CutNetwork,
    x: Any,
    target_layers: str | nn.Module | None = None,
    method: str = "gradcam",
    class_idx: ClassChoice = "predicted",
    targets: Sequence[Target] = TARGETS,
    *,
    output: int | str | None = None,
    region: Region | None = None,
    token_grid: Sequence[int] | None = None,
    **options: Any,
) -> tuple[ClassActivation, ...]:
    """The class activations of a batch for several targets, in one forward pass.

    Of a method that is linear in the gradient all follow from the logits' own, at no cost. Other
    arguments and errors are those of `class_activation`.
    """
    chosen_method = _method(method)
    settings = {"samples", "noise", "autocast"} & {k for k, v in options.items() if v is not None}
    if isinstance(chosen_method, GradientMethod) and settings:
        raise ExplanationError(
            ExplanationProblem.SETTING_NOT_USED, method=method, setting="samples, noise or autocast"
        )
    if isinstance(target_layers, list | tuple):
        raise ExplanationError(ExplanationProblem.SEVERAL_LAYERS)
    with (
        lack_of_memory_named(first_tensor(x).device),
        opened(network, target_layers, output, region, token_grid) as cut,
    ):
        return _activations(cut, x, chosen_method, class_idx, targets, options)


def fused_class_activation(
    network: nn.Module,
    x: Any,
    target_layers: Sequence[str | nn.Module],
    method: str = "gradcam",
    class_idx: ClassChoice = "predicted",
    **options: Any,
) -> FusedActivation:
    """The class activations at several target layers, and the mean of their maps on the image grid.

    One pass per layer; arguments and errors are those of `class_activation`.
    """
    if isinstance(target_layers, str | nn.Module) or not target_layers:
        raise ExplanationError(ExplanationProblem.NO_LAYERS)
    activations = [
        class_activation(network, x, layer, method, class_idx, **options) for layer in target_layers
    ]
    return FusedActivation(tuple(activations), tuple(first_tensor(x).shape[2:]))


def _method(name: str) -> GradientMethod | PerturbationMethod:
    """The method of that name; ExplanationError, with the near or all names, if there is none."""
    name = str(name)
    method = GRADIENT_METHODS.get(name) or PERTURBATION_METHODS.get(name)
    if method is None:
        near = difflib.get_close_matches(name.lower(), METHODS, n=2, cutoff=0.7)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ExplanationError(
            ExplanationProblem.NO_SUCH_METHOD,
            asked=name,
            near=near,
            hint=hint,
            methods=", ".join(METHODS),
        )
    return method


def _activations(
    cut: CutNetwork,
    x: Any,
    method: GradientMethod | PerturbationMethod,
    class_idx: ClassChoice,
    targets: Sequence[Target],
    options: dict[str, Any],
) -> tuple[ClassActivation, ...]:
    functions = functions_of(class_idx, len(first_tensor(x)))
    result = cut.run(x, cut.explaining(functions) if functions else None)
    chosen = _chosen(result, class_idx)
    contrasts = [Contrast.of(result.logits, chosen, target) for target in targets]
    # A difference of logits needs those of all classes; linear methods have its map from theirs.
    compared = any(target != LOGIT for target in targets)
    linear = isinstance(method, GradientMethod) and method.linear
    base_classes = chosen_classes(result.logits, "all") if compared and linear else chosen
    base = Contrast.of(result.logits, base_classes)
    # On the CPU, where questions about a few numbers cost nothing.
    known = base_classes.cpu()
    classes: list[int] = known.unique().tolist()
    jacobian = cut.constant_jacobian(result, classes)
    pooled = jacobian is not None and jacobian[0, 0].numel() == 1

    def activation(
        source: Source,
        explained: Contrast,
        target: Target,
        of_logits: ClassActivation | None = None,
    ) -> ClassActivation:
        exact = method.exact if isinstance(method, GradientMethod) else "never"
        return ClassActivation(
            logits=result.logits,
            features=result.features,
            source=source,
            explained=explained,
            target=target,
            method=method.name,
            layer=cut.layer,
            affine_head=jacobian is not None,
            additive=jacobian is not None and (exact == "affine" or (exact == "pooled" and pooled)),
            early=result.early,
            of_logits=of_logits,
        )

    if isinstance(method, PerturbationMethod):
        # One weight for each column, so that all targets share the passes.
        joined = Contrast.joined(contrasts)
        weights = perturbation_weights(cut, cut.prepared(x), result, joined, method, **options)
        sources: list[Source] = [HeldWeights(part) for part in weights.split(chosen.shape[1], 1)]
        return tuple(map(activation, sources, contrasts, targets))
    if method.pooled_head_only and not pooled:
        raise ExplanationError(
            ExplanationProblem.HEAD_NOT_POOLED, method=method.name, layer=cut.layer
        )

    def weighed(explained: Contrast) -> HeldWeights | StreamedWeights:
        # The rows of a constant Jacobian are those of logits.
        if jacobian is None or explained is not base:
            return weights_from_graph(result, explained, method, cut.layer)
        among = torch.tensor(classes, device="cpu")
        rows = torch.searchsorted(among, known.contiguous())
        return weights_from_jacobian(result, method, cut.layer, jacobian, rows)

    with full_precision(result.logits), torch.no_grad():
        if linear and compared:
            of_logits = weighed(base)
            whole = activation(of_logits, base, LOGIT)
            return tuple(
                activation(ComparedWeights(of_logits, contrast), contrast, target, whole)
                for contrast, target in zip(contrasts, targets, strict=True)
            )
        return tuple(
            activation(weighed(base if target == LOGIT else contrast), contrast, target)
            for contrast, target in zip(contrasts, targets, strict=True)
        )


def _chosen(result: Pass, class_idx: ClassChoice) -> Tensor:
    """The classes to explain, `[B, K]`; the one column there is where functions are explained."""
    if result.reading.functions:
        return chosen_classes(result.logits, 0)
    region = result.reading.region
    if region is not None and isinstance(class_idx, str) and class_idx == "predicted":
        raise ExplanationError(ExplanationProblem.CLASS_NEEDED)
    chosen = chosen_classes(result.logits, class_idx)
    if region is not None:
        check_predicted(region, chosen)
    return chosen
