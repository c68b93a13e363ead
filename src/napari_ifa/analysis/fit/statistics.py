"""What is measured of a case to see whether it fits a cohort; shards of an analysis carry it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.header import Header

if TYPE_CHECKING:
    from monai.data import MetaTensor
    from torch import Tensor

    from napari_ifa.cam import ClassActivation
    from napari_ifa.volumes import Volume

#: The statistics of a case, and what a reader calls them.
STATISTICS = {
    "intensities": "intensities",
    "early": "early features",
    "features": "features",
}
#: Of the network's input, for each of its channels.
QUANTILES = (0.01, 0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95, 0.99)
#: Added to a deviation before its logarithm: an empty image has none.
_LEAST_DEVIATION = 1e-6
#: Voxels of an input that its quantiles are taken from, at most.
_MOST_VOXELS = 2**18


def intensity_quantiles(image: Tensor) -> NDArray[np.float32]:
    """Nine quantiles of each channel of an input ``[C, *spatial]``, ``[9 · C]``.

    Of a large input every k-th voxel counts, for a k that has no factor in common with its rows.
    """
    values = image.detach().cpu().numpy().reshape(len(image), -1)
    step = -(-values.shape[1] // _MOST_VOXELS)
    while step > 1 and any(np.gcd(step, int(size)) > 1 for size in image.shape[1:]):
        step += 1
    found = np.quantile(values[:, ::step], QUANTILES, axis=1)
    return np.asarray(found.T.ravel(), np.float32)


def content_of(image: Tensor) -> int:
    """64 bits of the hash of an input ``[C, *spatial]`` on the CPU; equal for equal inputs."""
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(image.numpy().data)
    return int.from_bytes(digest.digest(), "little")


@dataclass(frozen=True, eq=False)
class Seen:
    """A few numbers of an image and of what the network sees of it, kept while it is at hand.

    Attributes
    ----------
    content : equal for two cases whose inputs are equal.
    intensities : quantiles of the input, see `intensity_quantiles`.
    header : what the case's file says of it.
    """

    content: int
    intensities: NDArray[np.float32]
    header: Header

    @classmethod
    def of(cls, volume: Volume, prepared: MetaTensor) -> Seen:
        """Of an opened image and the network's input ``[C, *spatial]`` with its affine."""
        image = prepared.as_tensor().float().contiguous()
        return cls(content_of(image), intensity_quantiles(image), Header.of(volume, prepared))


@dataclass(frozen=True, eq=False)
class CaseStatistics:
    """Measured of n cases.

    Attributes
    ----------
    intensities : ``[n, 9 · C]``, see `intensity_quantiles`.
    early : ``[n, 2 · E]``, mean and logarithm of the deviation of the first layers' channels;
        ``[n, 0]`` where the network has no such layer.
    features : ``[n, F]``, means of the target layer's features.
    modality, axes : ``[n]``, see `Header`; empty where the file says nothing.
    angle : ``[n]``; NaN where the file says nothing.
    spacing, size : ``[n, 3]``, the same.
    """

    intensities: NDArray[np.float32]
    early: NDArray[np.float32]
    features: NDArray[np.float32]
    modality: NDArray[np.str_]
    axes: NDArray[np.str_]
    angle: NDArray[np.float64]
    spacing: NDArray[np.float64]
    size: NDArray[np.float64]

    @classmethod
    def of(cls, batch: Sequence[Seen], activation: ClassActivation) -> CaseStatistics:
        """Of the cases of one batch: what was measured of their inputs, and what a pass gave."""
        headers = [case.header for case in batch]
        intensities = np.array([case.intensities for case in batch], np.float32)
        nothing = (np.nan,) * 3
        early = np.zeros((len(batch), 0), np.float32)
        if activation.early is not None:
            mean, deviation = np.moveaxis(_numbers(activation.early), 1, 0)
            early = np.concatenate([mean, np.log(deviation + _LEAST_DEVIATION)], axis=1)
        return cls(
            intensities=intensities.reshape(len(batch), -1),
            early=early,
            features=_numbers(activation.features.flatten(2).mean(2)),
            modality=np.array([header.modality for header in headers], str),
            axes=np.array([header.axes for header in headers], str),
            angle=np.array([np.nan if h.angle is None else h.angle for h in headers]),
            spacing=np.array([h.spacing or nothing for h in headers], float),
            size=np.array([h.size or nothing for h in headers], float),
        )

    @classmethod
    def joined(cls, parts: Iterable[CaseStatistics]) -> CaseStatistics:
        """All of them in order; a statistic that a part lacks is NaN in it."""
        rows = list(map(vars, parts))
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        for name in STATISTICS:
            columns[name] = _of_one_width(columns[name])
        return cls(**{name: np.concatenate(column) for name, column in columns.items()})

    @property
    def headers(self) -> list[Header]:
        """One per case."""
        return [
            Header(
                modality=str(modality),
                axes=str(axes),
                angle=None if np.isnan(angle) else float(angle),
                spacing=_triple(spacing),
                size=_triple(size),
            )
            for modality, axes, angle, spacing, size in zip(
                self.modality, self.axes, self.angle, self.spacing, self.size, strict=True
            )
        ]


def _of_one_width(parts: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The parts ``[n, d]`` with the d that most of them have; the others are NaN."""
    widths = Counter(part.shape[1] for part in parts if part.shape[1])
    # Of equally frequent ones the smaller, so that their order does not matter.
    width = max(sorted(widths), key=widths.__getitem__, default=0)
    return [
        part if part.shape[1] == width else np.full((len(part), width), np.nan, np.float32)
        for part in parts
    ]


def _numbers(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy())


def _triple(values: NDArray[np.float64]) -> tuple[float, float, float] | None:
    if np.isnan(values).any():
        return None
    a, b, c = values.tolist()
    return a, b, c
