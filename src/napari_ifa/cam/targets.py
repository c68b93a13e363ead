"""What is explained: which logit of which case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from napari_ifa.errors import ExplanationError

ClassChoice: TypeAlias = int | str | Sequence[int] | Tensor | np.ndarray


def logits_of(output: Any, key: int | str | None = None) -> Tensor:
    """The logits `[B, C]` in what the network returned.

    `[B]` and `[B, 1]` (regression, one output) have C = 1. Of a tuple or dict, `key` names the
    entry; it may be left out where only one entry is a tensor. Trailing axes of length one, as a
    fully convolutional head leaves them, are dropped. ExplanationError for anything else.
    """
    if not isinstance(output, Tensor):
        output = _entry(output, key)
    if output.ndim == 0:
        raise ExplanationError("The network returns a single number, not one logit per case.")
    logits = output.flatten(1) if output.ndim > 1 else output[:, None]
    if output.ndim > 2 and logits.shape[1] != output.shape[1]:
        raise ExplanationError(
            f"The network returns a map of {list(output.shape[1:])} for each case, not one logit"
            " per class: class activation explains classifiers and regressors."
        )
    if not logits.is_floating_point():
        raise ExplanationError(
            f"The network returns {logits.dtype} values, not logits: explain the network without"
            " the step that turns logits into classes."
        )
    return logits


def _entry(output: Any, key: int | str | None) -> Tensor:
    if isinstance(output, dict):
        entries = dict(output)
    elif isinstance(output, tuple | list):
        entries = dict(enumerate(output))
    else:
        raise ExplanationError(f"The network returns {type(output).__name__}, not a tensor.")
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
    if key is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if key not in tensors:
        raise ExplanationError(
            "The network returns several outputs: name the one with the logits, one of"
            f" {', '.join(map(repr, tensors))}."
        )
    return tensors[key]


def chosen_classes(logits: Tensor, class_idx: ClassChoice) -> Tensor:
    """The classes to explain, `[B, K]` (int64, on the logits' device).

    `class_idx` is a class for all cases (K = 1), one class per case as a sequence or tensor `[B]`
    (K = 1), "predicted" for each case's largest logit (K = 1), or "all" (K = C).
    ExplanationError if a class does not exist or the number of classes is not the number of cases.
    """
    cases, classes = logits.shape
    if isinstance(class_idx, str):
        if class_idx == "all":
            return torch.arange(classes, device=logits.device).expand(cases, classes)
        if class_idx == "predicted":
            return logits.argmax(1, keepdim=True)
        raise ExplanationError(
            f"The class must be a number, one number per case, 'predicted' or 'all', not"
            f" '{class_idx}'."
        )
    chosen = torch.as_tensor(class_idx, device=logits.device)
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise ExplanationError("A class is a whole number, from 0 to the number of classes - 1.")
    if chosen.ndim == 0:
        chosen = chosen.expand(cases)
    if chosen.shape != (cases,):
        raise ExplanationError(
            f"One class per case is needed: {cases} cases, and classes of shape"
            f" {list(chosen.shape)}."
        )
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if wrong.numel():
        raise ExplanationError(
            f"There is no class {int(wrong[0])}: the network has {classes} "
            + ("output, class 0." if classes == 1 else f"classes, 0 to {classes - 1}.")
        )
    return chosen.long()[:, None]
