"""Values that are no numbers are counted and named, never drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError


def check_finite(values: Tensor, what: str) -> None:
    """ExplanationError, with their number and cases, if any of `values [B, ...]` is NaN or inf."""
    if math.isfinite(float(values.sum())):  # one pass in the usual case, one kernel on a GPU
        return
    wrong = ~torch.isfinite(values)
    count = int(wrong.sum())
    if count:
        cases = wrong.flatten(1).any(1).nonzero().flatten().tolist()
        raise ExplanationError(
            ExplanationProblem.NOT_FINITE,
            found=count,
            values=values.numel(),
            what=what,
            cases=cases,
        )
