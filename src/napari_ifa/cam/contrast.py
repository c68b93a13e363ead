"""For and against *what*: the logit of a class alone, or its difference to that of other classes.

Behind a softmax a logit does not say what speaks for its class: with the same function of the
features added to every logit all probabilities stay, and every map changes (Srinivas & Fleuret,
ICLR 2021). Differences of logits stay too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.errors import ExplanationError
from napari_ifa.models.targets import LOGIT, OTHERS, RUNNER_UP, TARGETS, Target

#: What stands in `Contrast.against` where it is no class.
_MEAN, _NOTHING = -1, -2


@dataclass(frozen=True, eq=False)
class Contrast:
    """The K linear functions of a case's C logits that are explained, for each of B cases.

    Attributes
    ----------
    classes : `[B, K]`, the classes that are explained.
    against : `[B, K]`, the class whose logit is subtracted, or what stands for all or for none.
    """

    classes: Tensor
    against: Tensor

    @classmethod
    def of(cls, logits: Tensor, classes: Tensor, target: Target = LOGIT) -> Contrast:
        """The contrast of `classes [B, K]` with a target, of cases with these logits `[B, C]`.

        ExplanationError where there is no such target, or only one logit.
        """
        if target == LOGIT:
            return cls(classes, torch.full_like(classes, _NOTHING))
        count = logits.shape[1]
        if count < 2:
            raise ExplanationError(ExplanationProblem.NOTHING_TO_COMPARE)
        if target == OTHERS:
            return cls(classes, torch.full_like(classes, _MEAN))
        if target == RUNNER_UP:
            first, second = logits.topk(2).indices.split(1, 1)
            return cls(classes, torch.where(classes == first, second, first))
        if isinstance(target, str | bool) or not 0 <= target < count:
            raise ExplanationError(
                ExplanationProblem.NO_SUCH_TARGET,
                asked=target,
                targets=", ".join(map(str, TARGETS)),
            )
        return cls(classes, torch.full_like(classes, target))

    @classmethod
    def joined(cls, parts: Sequence[Contrast]) -> Contrast:
        """The columns of several contrasts of the same cases, side by side."""
        return cls(
            torch.cat([part.classes for part in parts], 1),
            torch.cat([part.against for part in parts], 1),
        )

    @property
    def count(self) -> int:
        """K."""
        return self.classes.shape[1]

    def columns(self, part: slice) -> Contrast:
        """Some of the K functions."""
        return Contrast(self.classes[:, part], self.against[:, part])

    @property
    def is_shared(self) -> bool:
        """Whether the functions are the same for every case."""
        parts = (self.classes, self.against)
        return all(bool((part == part[:1]).all()) for part in parts)

    def of_case(self, case: int) -> Contrast:
        """The functions of one case."""
        return Contrast(self.classes[case : case + 1], self.against[case : case + 1])

    def rows(self, count: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """The functions' coefficients for `count` logits, `[B, K, C]`."""
        own = torch.nn.functional.one_hot(self.classes, count)
        rows = own.to(dtype)
        mean = (self.against == _MEAN)[..., None]
        if bool(mean.any()):
            rows = torch.where(mean & (own == 0), -1 / (count - 1), rows)
        against = self.against.clamp(min=0)[..., None]
        return rows.scatter_add(2, against, -(self.against >= 0)[..., None].to(rows))

    def values(self, of_classes: Tensor, dim: int = 1, cases: Tensor | None = None) -> Tensor:
        """The functions of what is there of all C classes, along `dim`, where they have K places.

        `of_classes [n, …, C, …]` is anything that is linear in the logits: logits, weights, maps.
        `cases [n]` says whose they are; each is another case without it.
        """
        axes = [1] * (of_classes.ndim - 1)
        axes[dim - 1] = self.count

        def along(numbers: Tensor) -> Tensor:
            return (numbers if cases is None else numbers[cases]).reshape(-1, *axes)

        def taken(classes: Tensor) -> Tensor:
            return torch.take_along_dim(of_classes, along(classes), dim)

        def where(chosen: Tensor, different: Tensor, values: Tensor) -> Tensor:
            return different if chosen.all() else torch.where(along(chosen), different, values)

        count = of_classes.shape[dim]
        values = of_classes if self._is_every(count) else taken(self.classes)
        if (to_mean := self.against == _MEAN).any():
            others = (of_classes.sum(dim, keepdim=True) - values) / (count - 1)
            values = where(to_mean, values - others, values)
        if (to_class := self.against >= 0).any():
            values = where(to_class, values - taken(self.against.clamp(min=0)), values)
        return values

    def _is_every(self, count: int) -> bool:
        """Whether the classes are all of them, in their order."""
        every = torch.arange(count, device=self.classes.device)
        return self.count == count and bool((self.classes == every).all())
