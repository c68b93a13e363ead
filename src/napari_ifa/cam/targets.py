"""What is explained: a class, a class in a region of a segmentation, or a number of one's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.regions import Region, region_weights
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import mapped

#: Takes what the network returned for one case (without the batch axis), gives one number.
Function: TypeAlias = Callable[[Any], Tensor]
ClassChoice: TypeAlias = (
    int | str | Sequence[int] | Tensor | np.ndarray | Function | Sequence[Function]
)


class HeadRefusedError(ExplanationError):
    """The part after the layer does not take a batch of another size than the network's input."""


@dataclass(frozen=True, eq=False)
class Reading:
    """How the logits of B cases are read from what the network returned.

    `key` names the entry of a tuple or dict. `region [B, C or 1, *spatial]` weighs the voxels of a
    segmentation. `functions`, one per case, take the place of classes.
    """

    key: int | str | None = None
    region: Tensor | None = None
    functions: tuple[Function, ...] = ()

    @classmethod
    def of(
        cls,
        output: Any,
        key: int | str | None,
        region: Region | None,
        block: slice,
        batch: int,
    ) -> Reading:
        """The reading of classes for the block of a batch whose unchanged output this is."""
        if region is None:
            return cls(key)
        return cls(key, region_weights(entry_of(output, key), region, block, batch))

    def values(self, output: Any, cases: Tensor) -> Tensor:
        """Logits `[n, C]` of n rows of output; `cases [n]` says whose rows they are.

        HeadRefusedError where the output has another number of rows.
        """
        if self.functions:
            return self._function_values(output, cases)
        rows = entry_of(output, self.key)
        if self.region is None:
            rows = logits_of(rows, None, len(cases))
        if len(rows) != len(cases):
            raise HeadRefusedError(
                ExplanationProblem.ROWS_OF_LOGITS, found=len(rows), cases=len(cases)
            )
        return rows if self.region is None else self._in_region(rows, self.region[cases])

    @staticmethod
    def _in_region(voxels: Tensor, region: Tensor) -> Tensor:
        # Outside of the region a logit may be infinite, as where classes are masked away.
        inside = torch.where(region > 0, voxels, torch.zeros_like(voxels))
        return (inside * region).flatten(2).sum(-1)

    def _function_values(self, output: Any, cases: Tensor) -> Tensor:
        if self.key is not None or isinstance(output, Tensor):
            output = entry_of(output, self.key)
        values = []
        for row, case in enumerate(cases.tolist()):
            try:
                value = self.functions[case](_row(output, row))
            except Exception as error:
                raise ExplanationError(
                    ExplanationProblem.FUNCTION_FAILS, error=type(error).__name__, complaint=error
                ) from error
            if not isinstance(value, Tensor) or value.numel() != 1:
                found = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise ExplanationError(ExplanationProblem.FUNCTION_RESULT, found=found)
            values.append(value.reshape(1))
        return torch.stack(values)

    def part(self, block: slice) -> Reading:
        """The reading of some of its cases."""
        region = None if self.region is None else self.region[block]
        return Reading(self.key, region, self.functions[block])

    def joined(self, other: Reading) -> Reading:
        """The reading of this one's cases followed by the other's."""
        regions = [part.region for part in (self, other) if part.region is not None]
        return Reading(
            self.key,
            torch.cat(regions) if len(regions) > 1 else None,
            self.functions + other.functions,
        )


def functions_of(class_idx: ClassChoice, cases: int) -> tuple[Function, ...]:
    """The functions given instead of classes, one per case; none if classes were given."""
    if callable(class_idx):
        return (class_idx,) * cases
    if isinstance(class_idx, list | tuple) and class_idx and all(map(callable, class_idx)):
        if len(class_idx) != cases:
            raise ExplanationError(
                ExplanationProblem.FUNCTIONS_PER_CASE, cases=cases, found=len(class_idx)
            )
        return tuple(class_idx)
    return ()


def logits_of(output: Any, key: int | str | None = None, rows: int | None = None) -> Tensor:
    """The logits `[B, C]` in what the network returned.

    `[B]` and `[B, 1]` (regression, one output) have C = 1. Of a tuple or dict, `key` names the
    entry; it may be left out where only one entry is a tensor. Trailing axes of length one, as a
    fully convolutional head leaves them, are dropped. Where there is but one row, a network that
    squeezes its output may have dropped its axis. ExplanationError for anything else.
    """
    output = entry_of(output, key)
    if rows == 1 and (output.ndim == 0 or (output.ndim == 1 and len(output) > 1)):
        output = output.reshape(1, -1)
    if output.ndim == 0:
        raise ExplanationError(ExplanationProblem.SINGLE_NUMBER)
    logits = output.flatten(1) if output.ndim > 1 else output[:, None]
    if output.ndim > 2 and logits.shape[1] != output.shape[1]:
        raise ExplanationError(ExplanationProblem.MAP_OF_LOGITS, gives=list(output.shape[1:]))
    return logits


def entry_of(output: Any, key: int | str | None = None) -> Tensor:
    """The tensor that is explained: the output itself, or an entry of a tuple or dict."""
    if not isinstance(output, Tensor):
        output = _entry(output, key)
    elif key is not None:
        raise ExplanationError(ExplanationProblem.NO_SUCH_OUTPUT, asked=key)
    if not output.is_floating_point():
        raise ExplanationError(ExplanationProblem.NOT_LOGITS, found=output.dtype)
    return output


def _entry(output: Any, key: int | str | None) -> Tensor:
    if isinstance(output, dict):
        entries = dict(output)
    elif isinstance(output, tuple | list):
        entries = dict(enumerate(output))
    else:
        raise ExplanationError(ExplanationProblem.OUTPUT_TYPE, found=type(output).__name__)
    tensors = {name: value for name, value in entries.items() if isinstance(value, Tensor)}
    if key is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if key not in tensors:
        raise ExplanationError(ExplanationProblem.SEVERAL_OUTPUTS, outputs=list(tensors))
    return tensors[key]


def _row(output: Any, row: int) -> Any:
    if isinstance(output, Tensor):
        return output[row] if output.ndim else output
    return mapped(lambda value: _row(value, row), output)


def chosen_classes(logits: Tensor, class_idx: ClassChoice) -> Tensor:
    """The classes to explain, `[B, K]` (int64, on the logits' device).

    `class_idx` is a class for all cases (K = 1), one class per case as a sequence or tensor `[B]`
    (K = 1), several per case as a tensor `[B, K]` (the labels of a multi-label network),
    "predicted" for each case's largest logit (K = 1), or "all" (K = C).
    ExplanationError if a class does not exist or the number of rows is not the number of cases.
    """
    cases, classes = logits.shape
    if isinstance(class_idx, str):
        if class_idx == "all":
            return torch.arange(classes, device=logits.device).expand(cases, classes)
        if class_idx == "predicted":
            return logits.argmax(1, keepdim=True)
        raise ExplanationError(ExplanationProblem.CLASS_TYPE, found=class_idx)
    chosen = _numbers(class_idx)  # checked where it is given, which spares a GPU the questions
    if chosen.ndim == 0:
        chosen = chosen.expand(cases)
    if chosen.ndim > 2 or len(chosen) != cases or not chosen.numel():
        raise ExplanationError(
            ExplanationProblem.CLASSES_PER_CASE, cases=cases, found=list(chosen.shape)
        )
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if wrong.numel():
        has = "1 output, class 0" if classes == 1 else f"{classes} classes, 0 to {classes - 1}"
        raise ExplanationError(
            ExplanationProblem.NO_SUCH_CLASS, asked=int(wrong[0]), classes=classes, has=has
        )
    return chosen.to(logits.device).long().reshape(cases, -1)


def _numbers(class_idx: Any) -> Tensor:
    try:
        chosen = torch.as_tensor(class_idx)
    except (TypeError, ValueError, RuntimeError):
        chosen = torch.empty(0)
    if chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool:
        raise ExplanationError(ExplanationProblem.CLASS_NUMBER)
    return chosen
