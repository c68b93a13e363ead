"""Methods that weigh a feature by what the network answers to a perturbed input.

Score CAM and its relatives show the network the image through each feature's map in turn: F
forward passes, whatever the number of classes. Smooth Grad CAM++ shows it noisy images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.gradients import Pass
from napari_ifa.cam.masked_forward import Change, MaskedForward, unchanged
from napari_ifa.cam.masked_inputs import varying
from napari_ifa.cam.memory import in_blocks
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.sampling import Progress, Sampling, Stop, noise_field
from napari_ifa.cam.smoothing import smooth_weights
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import first_tensor

#: What each sample makes of masks `[r, 1, *size]`, from settings, size and a source of noise.
Changes = Callable[[Sampling, tuple[int, ...], torch.Generator], Iterator[Change]]


@dataclass(frozen=True)
class PerturbationMethod:
    """A named method with the number of samples and the noise of its paper.

    `changes` says what its samples make of a mask; None for the method that changes the image.
    `noise` is None for a method without any, and then `samples` of 1 means that nothing is sampled.
    """

    name: str
    samples: int
    noise: float | None
    changes: Changes | None


def once(sampling: Sampling, size: tuple[int, ...], generator: torch.Generator) -> Iterator[Change]:
    """x ∘ M_f: Score CAM (Wang et al., CVPRW 2020, eq. 6 and 7)."""
    yield unchanged


def noisy(
    sampling: Sampling, size: tuple[int, ...], generator: torch.Generator
) -> Iterator[Change]:
    """x ∘ (M_f + δ_i), δ_i ~ N(0, σ²) at each voxel: SS-CAM (Wang et al., arXiv 2006.14255).

    Sample i of every feature and case has the same noise δ_i, so that scores differ because masks
    do, and equal maps weigh the same. Nothing is clipped.
    """
    for _ in range(sampling.samples):
        yield partial(_plus, sampling.noise * noise_field((1, 1, *size), generator))


def rising(
    sampling: Sampling, size: tuple[int, ...], generator: torch.Generator
) -> Iterator[Change]:
    """x ∘ (i/n)·M_f for i from 1 to n: IS-CAM (Naidu et al., arXiv 2010.03023)."""
    for i in range(1, sampling.samples + 1):
        yield partial(torch.mul, other=i / sampling.samples)


PERTURBATION_METHODS = MappingProxyType(
    {
        method.name: method
        for method in (
            PerturbationMethod("scorecam", 1, None, once),
            PerturbationMethod("ss-cam", 35, 2.0, noisy),
            PerturbationMethod("is-cam", 10, None, rising),
            PerturbationMethod("smoothgradcam++", 4, 0.3, None),
        )
    }
)


def perturbation_weights(
    cut: CutNetwork,
    inputs: Any,
    result: Pass,
    explained: Contrast,
    method: PerturbationMethod,
    *,
    samples: int | None = None,
    noise: float | None = None,
    seed: int = 0,
    autocast: torch.dtype | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Tensor:
    """Weights `[B, K, F]` for what is explained, the same ones for a seed.

    `inputs` and `result` are `cut.prepared(x)` and the last `cut.run` of them; for the settings,
    which take the place of the method's own, and the errors see `class_activation`. The noise of
    ss-cam is beside masks from 0 to 1, that of smoothgradcam++ beside an image's range.
    """
    if (samples is not None and method.samples == 1) or (noise is not None and not method.noise):
        what = "samples" if method.noise or noise is None else "noise"
        raise ExplanationError(
            ExplanationProblem.SETTING_NOT_USED, method=method.name, setting=what
        )
    sampling = Sampling(
        method.samples if samples is None else samples,
        (method.noise or 0.0) if noise is None else noise,
        seed,
        autocast,
        progress,
        stop,
    )
    with torch.inference_mode(False):
        if method.changes is None:
            return smooth_weights(cut, inputs, result, explained, sampling)
        with torch.no_grad():
            return _score_weights(cut, inputs, result, explained, method.changes, sampling)


def _score_weights(
    cut: CutNetwork,
    inputs: Any,
    result: Pass,
    explained: Contrast,
    changes: Changes,
    sampling: Sampling,
) -> Tensor:
    """softmax over f of the mean score of the masked inputs, `[B, K, F]`.

    Score CAM subtracts the score of a baseline from each, which is the same for all features and
    so cancels in the softmax: it is not computed. A constant map makes no mask; its weight is 0,
    and it stands outside the softmax, which is computed in float32 or wider. Of a case whose
    features are all zero, every weight is 0.
    """
    features, size = result.features, tuple(first_tensor(inputs).shape[2:])
    alive = varying(features, size)
    rows = alive.nonzero()
    silent = ~features.flatten(1).any(1)
    flat = (~alive.any(1) & ~silent).nonzero().flatten().tolist()
    if flat:
        raise ExplanationError(ExplanationProblem.CONSTANT_FEATURES, layer=cut.layer, cases=flat)
    if not len(rows):
        return features.new_zeros((len(features), explained.count, features.shape[1]))
    masked = MaskedForward(cut, inputs, features, sampling)
    length = masked.rows_at_once(rows)
    scores = torch.zeros(
        (*alive.shape, explained.count),
        dtype=torch.promote_types(features.dtype, torch.float32),
        device=features.device,
    )
    done, total = 0, len(rows) * sampling.samples
    sampling.advance(done, total)
    for change in changes(sampling, size, sampling.generator()):

        def score(block: slice, change: Change = change) -> Tensor:
            logits = masked.logits(rows[block], change)
            return explained.values(logits, cases=rows[block, 0])

        longest = 1
        for block, found in in_blocks(len(rows), length, score, what="masked inputs"):
            _check_finite(found, rows[block])
            scores[tuple(rows[block].T)] += found.to(scores.dtype)
            longest = max(longest, len(found))
            done += len(found)
            sampling.advance(done, total)
        length = longest  # less than before where memory was short
    scores = (scores / sampling.samples).masked_fill_(~alive[..., None], -torch.inf)
    weights = scores.softmax(1).masked_fill(silent[:, None, None], 0)
    return weights.movedim(1, 2).to(features.dtype)


def _check_finite(scores: Tensor, rows: Tensor) -> None:
    wrong = ~torch.isfinite(scores).all(1)
    count = int(wrong.sum())
    if count:
        case, feature = rows[wrong][0].tolist()
        raise ExplanationError(
            ExplanationProblem.SCORES_NOT_FINITE,
            found=count,
            scores=len(scores),
            case=case,
            feature=feature,
        )


def _plus(field: Tensor, masks: Tensor) -> Tensor:
    return masks + field.to(masks)
