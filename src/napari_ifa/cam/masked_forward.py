"""The network's answers to masked inputs, in as many rows at a time as suit the device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.features import CutNetwork
from napari_ifa.cam.head import full_precision
from napari_ifa.cam.masked_inputs import feature_masks, image_rows, product
from napari_ifa.cam.memory import block_length, rows_that_fit
from napari_ifa.cam.sampling import Sampling
from napari_ifa.errors import ExplanationError
from napari_ifa.memory import lacks_memory
from napari_ifa.models.calling import first_tensor, plain_inputs
from napari_ifa.models.folding import folded

#: What a sample makes of masks `[r, 1, *spatial]`.
Change = Callable[[Tensor], Tensor]

# From this many passes on, preparing a copy of the network for them pays.
_MANY_ROWS = 64
# With more rows in a forward pass no device is faster, and a wish to stop is heard later.
MOST_ROWS = 64
# On the CPU this many rows share the cost of bringing a large network's weights into the order of
# the convolutions, and a fifth of the length of a block leaves the cache no more than a few rows
# would. Measured on ResNet18, DenseNet121 and SegResNet: 25 rows of 32³, 9 of 45³, 8 of 64³, 4 of
# 96³ and 8 of 3 × 224² are within a tenth of the best for each.
_SHARING_ROWS = 8


class MaskedForward:
    """Forward passes of one batch's inputs, each row masked with one feature's map.

    On the CPU the images are laid out with their channels last in memory, which spares the
    convolutions of float32 a change of order before and after each. A network that cannot take
    that (it views features in the other order) gets them as they came. Many passes go through a
    copy of the network whose normalisations are folded into its convolutions, if it gives the same;
    not on CUDA, where a normalisation costs too little to pay for the copy (ResNet18, 512 passes).
    """

    def __init__(self, cut: CutNetwork, inputs: Any, features: Tensor, sampling: Sampling) -> None:
        self._cut = cut
        self._inputs = inputs
        self._features = features
        self._sampling = sampling
        first = first_tensor(inputs)
        self._size = tuple(first.shape[2:])
        self._numbers = first[0].numel()
        self._network: nn.Module | None = None
        self._channels_last = (
            first.device.type == "cpu" and first.dtype == torch.float32 and len(self._size) > 1
        )

    def logits(self, rows: Tensor, change: Change) -> Tensor:
        """Logits `[r, C]` for case and feature in each of the `rows [r, 2]`."""
        try:
            return self._logits(rows, change)
        except ExplanationError:
            if not self._channels_last:
                raise
            self._channels_last = False
            return self._logits(rows, change)

    def rows_at_once(self, rows: Tensor) -> int:
        """How many of these rows to pass at a time.

        One, where the network mixes the rows of a batch (a normalisation over the batch, before or
        after the layer), tried with one row alone and beside its negative; or where there is no
        memory for that trial.
        """
        try:
            length = min(self._fitting(rows[:1]), MOST_ROWS, len(rows))
            if length > 1:
                alone = self.logits(rows[:1], unchanged)
                beside = self.logits(rows[[0, 0]], _beside_negative)
                # Far above a network's rounding (on a GPU, TF32's), far below what mixing does.
                if not self._near(alone[0], beside[0], 0.25):
                    return 1
                many = len(rows) * self._sampling.samples >= _MANY_ROWS
                if many and self._features.device.type != "cuda":
                    self._fold(rows, beside)
            return length
        except RuntimeError as error:
            if not lacks_memory(error):
                raise
            return 1

    def _fold(self, rows: Tensor, beside: Tensor) -> None:
        """Take a folded copy of the network, if it too gives the logits `beside`."""
        with torch.inference_mode(False), torch.no_grad():
            image = plain_inputs(self._inputs, slice(0, 1))
            self._network = folded(self._cut.network, image, self._channels_last)
        if self._network is None:
            return
        same = False
        try:
            with suppress(ExplanationError):
                same = self._near(beside, self.logits(rows[[0, 0]], _beside_negative), 0.5)
        finally:
            if not same:
                self._network = None

    def _near(self, one: Tensor, other: Tensor, power: float) -> bool:
        """Whether logits agree to this power of the rounding."""
        eps = torch.finfo(self._sampling.autocast or one.dtype).eps
        return torch.allclose(one, other, rtol=0, atol=eps**power * float(one.abs().max()))

    def _fitting(self, row: Tensor) -> int:
        """Rows that fit memory; on a GPU as the peak of a single one tells."""
        device = self._features.device
        if device.type != "cuda":
            fitting = block_length(self._numbers, device)
            return max(fitting // 5, min(fitting, _SHARING_ROWS))
        held = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        self.logits(row, unchanged)
        peak = torch.cuda.max_memory_allocated(device) - held
        return rows_that_fit(peak, device)

    def _logits(self, rows: Tensor, change: Change) -> Tensor:
        with full_precision(self._features):
            masks = change(feature_masks(self._features, rows, self._size))
            inputs = image_rows(
                self._inputs,
                rows[:, 0],
                lambda images: product(images, masks, self._channels_last),
            )
        with self._sampling.casting(self._features.device):
            return self._cut.scores(inputs, rows[:, 0], self._network)


def unchanged(masks: Tensor) -> Tensor:
    """The masks as they are."""
    return masks


def _beside_negative(masks: Tensor) -> Tensor:
    return torch.stack([masks[0], -masks[1]])
