"""Average increase and average drop: what a model answers to an image masked with its own map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_ifa.evaluation.numbers import Bools, Floats, Ints, Numbers
from napari_ifa.evaluation.statistics.certainty import interval_of_mean
from napari_ifa.evaluation.statistics.independence import Groups, of_some
from napari_ifa.evaluation.statistics.shares import of_share

if TYPE_CHECKING:
    from torch import Tensor

    from napari_ifa.cam import CutNetwork


def masked_input_logits(cut: CutNetwork, x: Tensor, maps: Tensor, classes: Ints) -> Floats:
    """Logits ``[B, C]`` of the images ``x [B, C, *spatial]``, each times its usual CAM.

    The usual CAM of ``classes [B]`` is the class activation on the image grid (linear
    interpolation), ReLU, and min-max over the image, so from 0 to 1; a constant one masks all.

    ``maps [B, C, *grid]`` are the class activations of the cut network's last run, of ``x``.
    """
    import torch

    from napari_ifa.cam.interpolation import resized
    from napari_ifa.cam.memory import in_blocks

    rows = torch.arange(len(x), device=x.device)
    chosen = torch.as_tensor(classes, device=x.device)
    with torch.no_grad():
        own = maps[rows, chosen][:, None].float()
        usual = resized(own, tuple(x.shape[2:])).relu_()
        axes = tuple(range(2, usual.ndim))
        usual -= usual.amin(axes, keepdim=True)
        usual /= usual.amax(axes, keepdim=True).clamp_min(torch.finfo(usual.dtype).tiny)
        masked = x * usual
    at_once = 1 if cut.mixes_cases(x) else len(x)
    blocks = in_blocks(
        len(x), at_once, lambda block: cut.scores(masked[block], rows[block]), what="cases"
    )
    return np.asarray(torch.cat([found for _, found in blocks]).double().cpu().numpy())


@dataclass(frozen=True)
class ClassDrop:
    """Average increase and drop over the cases of one predicted class, or of all.

    Attributes
    ----------
    name : of the class, or "all".
    n : cases.
    increase, increase_low, increase_high : share of cases that gain, and its 95 % interval
        (Wilson).
    drop, drop_low, drop_high : mean of the drops, and its 95 % interval (bootstrap).
    drop_interval : how that was found, or why there is none.
    """

    name: str
    n: int
    increase: float
    increase_low: float
    increase_high: float
    drop: float
    drop_low: float
    drop_high: float
    drop_interval: str


@dataclass(frozen=True, eq=False, repr=False)
class AverageDrop(Numbers):
    """Probabilities of the predicted class, of the image and of the image times its usual CAM.

    Average increase and drop of Chattopadhay et al. (Grad CAM++, WACV 2018).

    Attributes
    ----------
    probability, masked : ``[N]``.
    predicted : ``[N]`` class numbers.
    class_names : one per class.
    groups : ``[N]``, equal for cases of one patient; None where none are known.
    """

    probability: Floats
    masked: Floats
    predicted: Ints
    class_names: tuple[str, ...]
    groups: Groups = None

    @property
    def increase(self) -> Bools:
        """Which cases gain, ``[N]``: p_masked > p."""
        return np.asarray(self.masked > self.probability)

    @property
    def drop(self) -> Floats:
        """max(0, p - p_masked) / p of each case, ``[N]``; 0 where p itself is 0."""
        lost = np.clip(self.probability - self.masked, 0.0, None)
        return np.divide(lost, self.probability, out=np.zeros_like(lost), where=lost > 0)

    @property
    def by_class(self) -> tuple[ClassDrop, ...]:
        """One of each predicted class; of all cases at the end where there are several."""
        groups = [(self.class_names[c], self.predicted == c) for c in np.unique(self.predicted)]
        if len(groups) != 1:
            groups.append(("all", np.ones(len(self.predicted), bool)))
        return tuple(self._of(name, counted) for name, counted in groups)

    def _of(self, name: str, counted: Bools) -> ClassDrop:
        increase, drop = self.increase[counted], self.drop[counted]
        groups = of_some(self.groups, counted)
        share, mean = of_share(increase, groups), interval_of_mean(drop, groups)
        n, gained, lost = len(drop), float(increase.mean()), float(drop.mean())
        return ClassDrop(
            name, n, gained, share.low, share.high, lost, mean.low, mean.high, mean.method
        )
