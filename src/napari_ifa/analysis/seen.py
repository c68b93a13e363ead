"""What is kept of a case while its image is at hand, to compare it with other cases."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.fit.header import Header
from napari_ifa.analysis.fit.statistics import intensity_quantiles
from napari_ifa.volumes import Volume

if TYPE_CHECKING:
    import torch
    from monai.data import MetaTensor


@dataclass(frozen=True, eq=False)
class Seen:
    """A few numbers of an image and of what the network sees of it.

    Attributes
    ----------
    content : equal for two cases whose inputs are equal.
    intensities : quantiles of the input, see ``fit.statistics``.
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


def content_of(image: torch.Tensor) -> int:
    """64 bits of the hash of an input ``[C, *spatial]`` on the CPU; equal for equal inputs."""
    digest = hashlib.blake2b(repr(tuple(image.shape)).encode(), digest_size=8)
    digest.update(image.numpy().data)
    return int.from_bytes(digest.digest(), "little")
