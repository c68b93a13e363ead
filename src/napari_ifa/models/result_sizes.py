"""How many bytes the result of one of torch's operations has at most, told by its arguments.

torch can tell it as well, by running the operation on tensors without values. But those rules are
written in Python: they take as long as many operations themselves, and the first of them imports
torch's compiler, which takes seconds. So the operations of common networks and transforms are
told here, and torch is asked about the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from napari_ifa.models.calling import tensors_in

#: Bytes that an element has at least here: whole numbers may become floats of 32 bits.
_FLOAT = 4
#: The result has no more elements than the arguments together, and no larger ones.
_NO_MORE = frozenset(
    (
        *("_log_softmax", "_softmax", "amax", "amin", "cat", "clone", "flip", "lift_fresh", "mean"),
        *("norm", "roll", "rot90", "stack", "std", "var"),
    )
)
#: So too, but of whole numbers or floats of 64 bits, or with indices or statistics beside them.
_NO_MORE_OF_64 = frozenset(
    (
        *("_to_copy", "all", "allclose", "any", "argmax", "argmin", "cumsum", "gather", "isin"),
        *("max", "median", "min", "native_batch_norm", "native_group_norm", "native_layer_norm"),
        *("prod", "sort", "sum", "topk"),
    )
)
#: Pools; those of the greatest value give its place beside it.
_POOLS = frozenset(
    ("avg_pool2d", "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices")
)
_RESIZING = ("upsample_", "_adaptive_avg_pool")


def most_bytes(func: Any, args: Sequence[Any]) -> int | None:
    """The most bytes of ``func(*args)``; None where it is not known here."""
    name = func._schema.name.partition("::")[2]
    tensors = list(tensors_in(args))
    element = max([_FLOAT, *(tensor.element_size() for tensor in tensors)])
    values: int | None
    try:
        if torch.Tag.pointwise in func.tags:
            # torch's own function imports its compiler.
            values = math.prod(np.broadcast_shapes(*(tuple(one.shape) for one in tensors)))
        elif name in _NO_MORE or name in _NO_MORE_OF_64:
            values = sum(tensor.numel() for tensor in tensors)
            element = element if name in _NO_MORE else 2 * max(8, element)
        else:
            values = _most_values(name, args)
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError):
        return None  # arguments that do not fit, which the operation itself will say
    return None if values is None else element * max(0, values)


def _most_values(name: str, args: Sequence[Any]) -> int | None:
    first: Any = args[0] if args else None
    if name == "convolution":
        return _of_convolution(*args)
    if name in _POOLS:
        # With a stride of at least 1, each axis is at most as long as padded; then the indices.
        around = 2 * max(args[3], default=0) if len(args) > 3 else 0
        return 3 * math.prod(first.shape[:2]) * math.prod(n + around for n in first.shape[2:])
    if name.startswith(_RESIZING):
        return math.prod(first.shape[:2]) * math.prod(args[1])
    if name in ("mm", "bmm"):
        return first.numel() // max(1, first.shape[-1]) * args[1].shape[-1]
    if name == "addmm":
        return args[1].shape[0] * args[2].shape[1]
    if name in ("grid_sampler_2d", "grid_sampler_3d"):
        return math.prod(first.shape[:2]) * math.prod(args[1].shape[1:-1])
    if name == "affine_grid_generator":
        return args[1][0] * math.prod(args[1][2:]) * 3
    if name == "nonzero":
        return 2 * first.numel() * max(1, first.ndim)
    if name == "repeat":
        return first.numel() * math.prod(args[1])
    return None


def _of_convolution(
    images: torch.Tensor,
    weight: torch.Tensor,
    _bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> int:
    rank = weight.ndim - 2
    values = images.shape[0] * (groups * weight.shape[1] if transposed else weight.shape[0])
    for axis, kernel in enumerate(weight.shape[2:]):
        step, around, apart, behind = (
            int(told[axis] if len(told) == rank else told[0])
            for told in (stride, padding, dilation, output_padding)
        )
        size, width = images.shape[2 + axis], apart * (kernel - 1)
        if transposed:
            size = (size - 1) * step - 2 * around + width + behind + 1
        else:
            size = (size + 2 * around - width - 1) // step + 1
        values *= max(0, size)
    return values
