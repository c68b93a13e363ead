"""What is known of a preprocessing's transforms: which say where they move an image to.

MONAI's transforms write every move into the affine, with the exceptions that are named here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.volumes.volume import Affine

if TYPE_CHECKING:
    from monai.data import MetaTensor

#: Transforms of MONAI that move voxels, or drop the type that tracks them, without noting it;
#: named without "Rand" before or the dictionary suffix behind.
_UNTRACKED = (
    "2DElastic",
    "3DElastic",
    "CoarseShuffle",
    "GridDistortion",
    "GridPatch",
    "GridSplit",
    "SmoothDeform",
    "ToCupy",
    "ToNumpy",
    "ToPIL",
    "Transpose",
)
#: Transforms of MONAI that run somebody else's function.
_FOREIGN = ("Lambda", "TorchVision", "TorchIO", "CuCIM")


def plain_name(step: Any) -> str:
    """The name of a transform's class without "Rand" before or the dictionary suffix behind."""
    return type(step).__name__.removeprefix("Rand").removesuffix("d")


def loses_position(step: Any) -> bool:
    """Whether a transform is known to leave nothing of where the image lies."""
    from torch import nn

    if isinstance(step, nn.Module):
        return True
    if not _is_monais(step):
        return False
    return plain_name(step) in _UNTRACKED or any(map(loses_position, _inside(step)))


def is_unannounced(step: Any) -> bool:
    """Whether a transform may move the image without saying so: its code is not MONAI's."""
    from napari_ifa.models.opened_image import OpenedImage

    if isinstance(step, OpenedImage):
        return False
    return (
        not _is_monais(step)
        or plain_name(step) in _FOREIGN
        or any(map(is_unannounced, _inside(step)))
    )


def is_random(step: Any) -> bool:
    """Whether a transform draws lots."""
    from monai.transforms import RandomizableTrait

    return isinstance(step, RandomizableTrait) or any(map(is_random, _inside(step)))


def run_alike(step: Any, data: Any) -> Any:
    """What a transform makes of the data, with the same lots each time it is run."""
    from monai.transforms import Randomizable

    with _same_lots():
        if isinstance(step, Randomizable):
            step.set_random_state(seed=0)
        return step(data)


def nearest_shift(before: MetaTensor, after: MetaTensor, said: Affine) -> Affine | None:
    """``[4, 4]`` over voxels of the image before: how far its nearest voxels lie beside the affine.

    MONAI's affine has the voxels of a resized image at the middle of what they cover; PyTorch's
    mode ``nearest`` takes voxel ``floor(i · in / out)`` for voxel i (pytorch/pytorch#34808). The
    mean difference is half a step of the image less than it says, where the image shrinks to a
    whole part. None where nothing was resized so.

    Parameters
    ----------
    said : ``[4, 4]``, index after → index before, as the affines have it.
    """
    operations = after.applied_operations[len(before.applied_operations) :]
    if not any(_is_nearest(operation, before.ndim - 1) for operation in operations):
        return None
    shift = np.eye(4)
    sizes = before.shape[1:]
    for axis, size in enumerate(sizes[:3]):
        step = float(np.linalg.norm(said[:3, axis]))
        count = max(1, round(size / step))
        index = np.arange(count)
        taken = np.floor(index * (size / count))
        middle = (index + 0.5) * (size / count) - 0.5
        shift[axis, 3] = float((taken - middle).mean())
    return shift


def _is_nearest(operation: Any, spatial: int) -> bool:
    """Whether an operation that MONAI has noted is a resizing by PyTorch's mode ``nearest``."""
    from monai.transforms.utils import resolves_modes

    if not isinstance(operation, Mapping):
        return False
    info = operation.get("extra_info")
    if not isinstance(info, Mapping):
        return False
    name = str(operation.get("class", "")).removesuffix("d")
    if name in ("Resize", "Zoom", "RandZoom") and "mode" in info:
        found = resolves_modes(info["mode"], torch_interpolate_spatial_nd=spatial)[1]
        return bool(found == "nearest")
    return any(_is_nearest(value, spatial) for value in info.values())


def _inside(step: Any) -> list[Any]:
    """The transforms that a transform is made of."""
    inside = getattr(step, "transforms", None)
    return list(inside) if isinstance(inside, list | tuple) else []


def _is_monais(step: Any) -> bool:
    return type(step).__module__.startswith("monai.")


@contextmanager
def _same_lots() -> Iterator[None]:
    """The same lots for whoever draws them from torch, NumPy or Python; then all as before."""
    import torch

    python, numpys = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpys)
