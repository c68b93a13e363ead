"""Class activations of other packages, raw: before their ReLU and their per-image scaling.

Peers are second opinions for the formulas and the other side of the benchmarks. Every function here
takes a network in eval mode, leaves it as it was, and `class_idx` is a class for all cases or one
per case.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

# The operators that torchvision describes when it is imported, even if its compiled part did not
# load.
_DESCRIBED = ("nms", "qnms")
# Scales by a power of two, exactly, so that an absolute eps beside a sum vanishes.
_BEYOND_EPS = 2.0**60


@functools.cache
def usable_torchvision() -> ModuleType:
    """torchvision, also where its compiled part does not fit the installed torch.

    A torchvision built for CUDA beside a torch built for the CPU fails on import with "operator
    torchvision::nms does not exist", though its networks and transforms need no operator of its
    own. The missing ones are then declared, without code: calling them stays an error.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    declared = torch.library.Library("torchvision", "FRAGMENT")
    for name in _DESCRIBED:
        declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = importlib.import_module("torchvision")
    module._declared_operators = declared  # they go when this object goes
    return module


def pytorch_grad_cam() -> ModuleType:
    """The package pytorch_grad_cam, which imports torchvision."""
    usable_torchvision()
    return importlib.import_module("pytorch_grad_cam")


def captum_weighted_features(
    network: nn.Module, layer: str, x: Any, class_idx: int | list[int], method: str = "gradcam"
) -> Tensor:
    """captum's signed w·A per feature, `[B, F, *grid]`; `method` is gradcam or pixelwise."""
    from captum.attr import LayerGradCam, LayerGradientXActivation

    kind = {"gradcam": LayerGradCam, "pixelwise": LayerGradientXActivation}[method]
    options = {"attr_dim_summation": False} if method == "gradcam" else {}
    explainer = kind(network, network.get_submodule(layer))
    return explainer.attribute(x, target=class_idx, **options).detach()


def torchcam_map(
    kind: str,
    network: nn.Module,
    layer: str,
    x: Tensor,
    class_idx: int | list[int],
    eps: float = 0.0,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """torch-cam's weights `[B or 1, F]` or `[B, F, *grid]`, and its raw map `[B, *grid]`.

    `kind` is the name of a class in torchcam.methods, `options` are those of its constructor.
    `eps` is what it adds to a denominator, 1e-8 if it were not told.
    """
    from torchcam import methods

    divides = kind in ("GradCAMpp", "SmoothGradCAMpp", "XGradCAM")
    with getattr(methods, kind)(network, layer, **options) as explainer:
        with torch.enable_grad():
            scores = network(x)
            more = {"eps": eps} if divides else {}
            (weights,) = explainer._get_weights(class_idx, scores, **more)
        # Once is enough: a method that samples would answer differently the second time.
        explainer._get_weights = lambda *_, **__: [weights]
        explainer._relu = False
        (found,) = explainer.compute_cams(class_idx, scores, normalized=False)
    return weights.detach(), found.detach()


def grad_cam_map(
    kind: str, network: nn.Module, layer: str, x: Tensor, class_idx: int | list[int]
) -> tuple[Tensor, Tensor]:
    """pytorch-grad-cam's weights `[B, F]` and its raw map `[B, *grid]`.

    `kind` is the name of a class in pytorch_grad_cam. Its absolute eps is made to vanish: a weight
    of XGradCAM does not change when all features are multiplied by a number, and one of
    GradCAMPlusPlus is multiplied by the number by which the gradients are multiplied and the
    features divided.
    """
    image = x.detach().requires_grad_()
    classes = torch.as_tensor(class_idx).expand(len(x))
    with getattr(pytorch_grad_cam(), kind)(network, [network.get_submodule(layer)]) as explainer:
        collected = explainer.activations_and_grads
        scores = collected(image).gather(1, classes[:, None])
        # Its own forward() calls backward() and so leaves a .grad on every parameter.
        torch.autograd.grad(scores.sum(), image)
        features = collected.activations[0].numpy()
        gradients = collected.gradients[0].numpy()
        if kind == "GradCAMPlusPlus":
            arguments = (image, None, None, features / _BEYOND_EPS, gradients * _BEYOND_EPS)
            weights = explainer.get_cam_weights(*arguments) / _BEYOND_EPS
            found = explainer.get_cam_image(*arguments)
        else:
            arguments = (image, None, None, features * _BEYOND_EPS, gradients)
            weights = explainer.get_cam_weights(*arguments)
            found = explainer.get_cam_image(*arguments) / _BEYOND_EPS
    return torch.from_numpy(weights), torch.from_numpy(found)
