"""What is known of a preprocessing's transforms: which say where they move an image to.

MONAI's transforms write every move into the affine, with the exceptions that are named here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from napari_ifa.models.components import plain_name
from napari_ifa.models.opened_image import OpenedImage
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


def loses_position(step: Any) -> bool:
    """Whether a transform is known to leave nothing of where the image lies."""
    if isinstance(step, nn.Module):
        return True
    if not _is_monais(step):
        return False
    return plain_name(type(step)) in _UNTRACKED or any(map(loses_position, _inside(step)))


def is_unannounced(step: Any) -> bool:
    """Whether a transform may move the image without saying so: its code is not MONAI's."""
    if isinstance(step, OpenedImage):
        return False
    return (
        not _is_monais(step)
        or plain_name(type(step)) in _FOREIGN
        or any(map(is_unannounced, _inside(step)))
    )


def is_random(step: Any) -> bool:
    """Whether a transform draws lots."""
    from monai.transforms import RandomizableTrait

    return isinstance(step, RandomizableTrait) or any(map(is_random, _inside(step)))


def is_fused(chain: Any) -> bool:
    """Whether a chain runs lazily: moves are gathered and done in one step."""
    inside = (getattr(step, "lazy", False) for step in chain.flatten().transforms)
    return bool(chain.lazy) or (chain.lazy is None and any(lazy is True for lazy in inside))


def run(step: Any, data: Any) -> Any:
    """What a transform of a chain that is not lazy makes of the data."""
    from monai.transforms.traits import LazyTrait

    return step(data, lazy=False) if isinstance(step, LazyTrait) else step(data)


def run_alike(step: Any, data: Any) -> Any:
    """What a transform makes of the data, with the same lots each time it is run."""
    from monai.transforms import Randomizable

    with _same_lots():
        if isinstance(step, Randomizable):
            step.set_random_state(seed=0)
        return run(step, data)


def takes_nearest(before: MetaTensor, after: MetaTensor, step: Any = None) -> bool:
    """Whether what lies between two images has taken the nearest voxel, as MONAI has noted it."""
    operations = after.applied_operations[len(before.applied_operations) :]
    # Shrinks by the nearest voxel and grows again, and notes neither.
    low = plain_name(type(step)) == "SimulateLowResolution"
    return low or any(_is_nearest(operation, before.ndim - 1) for operation in operations)


def nearest_shift(
    run: Callable[[MetaTensor], MetaTensor], before: MetaTensor, said: Affine
) -> Affine:
    """``[4, 4]`` over voxels of the image before: what a nearest voxel lies beside the affine.

    MONAI's affine has a voxel of a resized image at the middle of what it covers. PyTorch takes
    voxel ``floor(i * in / out)`` for voxel i in mode ``nearest`` (pytorch/pytorch#34808), and a
    neighbour of the middle in ``nearest-exact`` and where a grid is sampled; the mean difference is
    up to half a step. It is read off images whose values are their own voxels' numbers. ``run`` is
    the transform, the same each time; ``said`` is ``[4, 4]``, index after → index before, as the
    affines have it.
    """
    shift = np.eye(4)
    sizes = before.shape[1:]
    for axis, size in enumerate(sizes):
        numbers = torch.arange(1.0, size + 1).reshape(
            [-1 if a == axis else 1 for a in range(len(sizes))]
        )
        ramp = before.to(torch.float32)
        ramp = run((ramp * 0).nan_to_num() + numbers)[0]
        taken = ramp.numpy(force=True).astype(float) - 1
        index = np.indices(taken.shape).reshape(taken.ndim, -1)
        three = np.zeros((4, index.shape[1]))
        three[: taken.ndim], three[3] = index, 1.0
        middle = said @ three
        # Away from the border, where a filter or a padding shows.
        inside = np.ones(index.shape[1], bool)
        for other, length in enumerate(sizes):
            margin = 0.1 * (length - 1)
            inside &= (middle[other] >= margin) & (middle[other] <= length - 1 - margin)
        if inside.any():
            shift[axis, 3] = float((taken.ravel() - middle[axis])[inside].mean())
    return shift


def _is_nearest(operation: Any, spatial: int) -> bool:
    """Whether an operation that MONAI has noted, or one inside it, takes the nearest voxel."""
    from monai.transforms.utils import resolves_modes

    if not isinstance(operation, Mapping):
        return False
    mode = operation.get("mode")
    if mode is not None:
        try:
            found = resolves_modes(mode, torch_interpolate_spatial_nd=spatial)[1]
        except (ValueError, TypeError, RuntimeError):  # a mode of padding
            found = mode
        if str(found) in ("nearest", "nearest-exact"):
            return True
    return any(_is_nearest(value, spatial) for value in operation.values())


def _inside(step: Any) -> list[Any]:
    """The transforms that a transform is made of."""
    inside = getattr(step, "transforms", None)
    return list(inside) if isinstance(inside, list | tuple) else []


def _is_monais(step: Any) -> bool:
    return type(step).__module__.startswith("monai.")


@contextmanager
def _same_lots() -> Iterator[None]:
    """The same lots for whoever draws them from torch, NumPy or Python; then all as before."""
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
