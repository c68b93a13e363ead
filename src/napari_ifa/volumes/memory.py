"""Refuse an image that cannot fit this computer, before anything is allocated."""

from __future__ import annotations

from math import prod

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.memory import in_gib, total_memory
from napari_ifa.volumes.problems import ImageProblem

#: The rest is left to the system and the viewer.
_SHARE_OF_MEMORY = 0.8


def refuse_if_too_large(shape: tuple[int, ...], bytes_per_voxel: int, label: str) -> None:
    """Raise UnsupportedStudyError where ``shape`` cannot be held in this computer's memory."""
    needed = prod(int(n) for n in shape) * bytes_per_voxel
    total = total_memory()
    if needed > _SHARE_OF_MEMORY * total:
        size = " × ".join(str(int(n)) for n in shape)
        raise UnsupportedStudyError(
            ImageProblem.TOO_LARGE,
            shape=tuple(int(n) for n in shape),
            bytes_needed=needed,
            label=label,
            size=size,
            needed=in_gib(needed),
            total=in_gib(total),
        )
