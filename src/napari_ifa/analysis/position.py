"""Where in the field of view a feature is active, and how much that place varies over cases.

A marker, a tube or a label stands at the same place in every case of its class; a lesion does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.moments import merged_moments

if TYPE_CHECKING:
    import torch


def centres(features: torch.Tensor) -> NDArray[np.float64]:
    """Centre of each feature's |activation|, ``[B, F, *grid]`` to ``[B, F, axes]``.

    In shares of the field of view, 0 to 1 along each axis, at the middle of a voxel; NaN where the
    feature is zero everywhere.
    """
    import torch

    size = features.detach().abs()
    exact = exact_type(size)
    axes = range(2, size.ndim)
    result = []
    for axis in axes:
        rest = tuple(other for other in axes if other != axis)
        along = size.sum(rest, dtype=exact) if rest else size.to(exact)
        number = along.shape[-1]
        place = (torch.arange(number, dtype=exact, device=size.device) + 0.5) / number
        result.append((along @ place) / along.sum(-1))
    return np.asarray(torch.stack(result, -1).cpu().double().numpy())


def exact_type(values: torch.Tensor) -> torch.dtype:
    """float64 where the device has it, which Apple's GPUs have not."""
    import torch

    return values.dtype if values.device.type == "mps" else torch.float64


@dataclass(frozen=True, eq=False)
class PositionStatistics:
    """Centres over the cases of each class, mergeable among shards.

    Attributes
    ----------
    average : ``[F, C, axes]`` mean centre; 0 where there is none.
    deviations : ``[F, C]`` squared distances from it, summed.
    cases : ``[F, C]`` cases of the class in which the feature is active.
    """

    average: NDArray[np.float64]
    deviations: NDArray[np.float64]
    cases: NDArray[np.int64]

    @classmethod
    def of(cls, found: NDArray[np.float64], counted: NDArray[np.bool_]) -> PositionStatistics:
        """Of ``centres [B, F, axes]`` of cases that count for the classes of ``counted [B, C]``."""
        features, axes, classes = found.shape[1], found.shape[2], counted.shape[1]
        average = np.zeros((features, classes, axes))
        deviations = np.zeros((features, classes))
        cases = np.zeros((features, classes), np.int64)
        for c in np.flatnonzero(counted.any(axis=0)):
            own = found[counted[:, c]]
            active = np.asarray(np.isfinite(own).all(axis=2))
            cases[:, c] = active.sum(axis=0)
            known = np.where(active[..., None], own, 0.0)
            average[:, c] = known.sum(axis=0) / np.maximum(cases[:, c], 1)[:, None]
            apart = np.where(active[..., None], own - average[:, c], 0.0)
            deviations[:, c] = (apart**2).sum(axis=(0, 2))
        return cls(average, deviations, cases)

    def merged(self, other: PositionStatistics) -> PositionStatistics:
        """Of both sets of cases."""
        # Of a thousand classes, a shard meets few.
        met = np.asarray(other.cases.any(axis=0))
        average, deviations = self.average.copy(), self.deviations.copy()
        counts, more = self.cases[:, met, None], other.cases[:, met, None]
        nothing = np.zeros(average[:, met].shape)
        average[:, met], between = merged_moments(
            (counts, average[:, met], nothing), (more, other.average[:, met], nothing)
        )
        deviations[:, met] += other.deviations[:, met] + between.sum(axis=2)
        return PositionStatistics(average, deviations, self.cases + other.cases)

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard distance of the centres from their mean, ``[F, C]``; NaN below two cases."""
        degrees = np.where(self.cases > 1, self.cases - 1.0, np.nan)
        return np.asarray(np.sqrt(self.deviations / degrees))
