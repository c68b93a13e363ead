"""Which part of the input a layer's grid spans: arithmetic over the steps of one forward pass.

A layer's output has the same field of view as the input, by the half-voxel rule, as long as every
step on the way to it keeps the field of view. Pooling and convolutions without padding, and strides
that do not divide their input, do not: they leave out voxels at the border. From those steps the
place of each feature voxel follows exactly. With padding the half-voxel rule stays, though by
arithmetic the centres of the kernels are up to half a feature voxel away from it: in trained
networks they are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from napari_ifa.models.calling import call_network, first_tensor, plain_inputs, undisturbed

#: Where feature voxel i lies along one axis, in input voxels: at ``spacing · i + start``.
Steps = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class _Axis:
    """Where a grid of ``size`` voxels lies along one axis of the input.

    ``whole`` says that it has the input's field of view by the half-voxel rule. ``before`` and
    ``after`` are voxels of padding that were added to it and belong to the next step.
    """

    size: int
    spacing: float = 1.0
    start: float = 0.0
    whole: bool = True
    before: int = 0
    after: int = 0

    def stepped(self, out: int, kernel: int, stride: int, padding: int) -> _Axis:
        """After a step whose kernel spans so many voxels, dilation included."""
        width = out * stride
        if width >= self.size:  # padded, if only by a pool that rounds up
            return self.resized(out)
        # From the border of the first voxel's own stride, at the centre of its kernel.
        low = (kernel - stride) / 2 - (self.before + padding) - 0.5
        return self._at(out, float(stride), min(max(low, -0.5), self.size - 0.5 - width))

    def resized(self, out: int) -> _Axis:
        """With other voxels in the same field of view."""
        return replace(self._at(out, self.size / out, -0.5), whole=self.whole)

    def padded(self, before: int, after: int) -> _Axis:
        """With voxels added at both ends, or cut off where they are negative."""
        if before < 0 or after < 0:
            kept = self._at(self.size + min(0, before) + min(0, after), 1.0, -0.5 - min(0, before))
            return kept.padded(max(0, before), max(0, after))
        return replace(self, before=self.before + before, after=self.after + after)

    @property
    def step(self) -> tuple[float, float]:
        return self.spacing, self.start - self.before * self.spacing

    def _at(self, out: int, stride: float, low: float) -> _Axis:
        start = self.start + self.spacing * (low + stride / 2)
        return _Axis(out, self.spacing * stride, start, whole=False)


def feature_steps(network: nn.Module, inputs: Any, layer: str, grid: Sequence[int]) -> Steps | None:
    """Where the features of a layer lie in the input; None for the half-voxel rule.

    One forward pass of the first case, up to the layer; the network is left as it was. None as
    well where the way to the layer has a step that says nothing of places, such as tokens that are
    merged: then the features are taken to share the input's field of view. `inputs` are
    `[B, C, *spatial]`, or a tuple or dict of tensors; `grid` is the shape of the feature grid.
    """
    case = plain_inputs(inputs, slice(0, 1))
    watched = _Watched(tuple(first_tensor(case).shape[2:]))
    handle = network.get_submodule(layer).register_forward_hook(_end)
    try:
        with torch.inference_mode(False), torch.no_grad(), undisturbed(network), watched:
            call_network(network, case)
    except _Reached:
        pass
    finally:
        handle.remove()
    found = watched.grids.get(tuple(grid))
    if found is None or all(axis.whole and not (axis.before or axis.after) for axis in found):
        return None
    return tuple(axis.step for axis in found)


class _Reached(Exception):
    """The layer is done."""


def _end(_module: nn.Module, _args: Any, _output: Any) -> None:
    raise _Reached


class _Watched(TorchDispatchMode):
    """Notes the place of every new grid that a step makes of a known one.

    Grids are known by their shape: branches that meet again have the same one, and where their
    steps differ, as around a residual block, the first branch counts.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.grids: dict[tuple[int, ...], tuple[_Axis, ...]] = {
            shape: tuple(_Axis(size) for size in shape)
        }
        self._dims = len(shape)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch asks this of every mode; yes would import its compiler, seconds for one pass.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        given, made = args[0] if args else None, found[0] if isinstance(found, tuple) else found
        if isinstance(given, Tensor) and isinstance(made, Tensor):
            before, after = tuple(given.shape[2:]), tuple(made.shape[2:])
            fits = given.ndim == made.ndim == self._dims + 2
            if fits and before in self.grids and after not in self.grids:
                axes = _stepped(self.grids[before], func, args, after)
                if axes is not None:
                    self.grids[after] = axes
        return found


def _stepped(
    axes: tuple[_Axis, ...], func: Any, args: tuple[Any, ...], out: tuple[int, ...]
) -> tuple[_Axis, ...] | None:
    """The axes after one of torch's operations; None for one that says nothing of places."""
    name = func.overloadpacket.__name__
    if name == "convolution" and not args[6]:
        return _kernel_steps(axes, out, args[1].shape[2:], *args[3:6])
    if name.startswith(("max_pool", "avg_pool")):
        kernel, given = args[1], dict(enumerate(args))
        dilation = given.get(4, 1) if name.startswith("max") else 1
        return _kernel_steps(axes, out, kernel, given.get(2) or kernel, given.get(3, 0), dilation)
    if name.startswith(("constant_pad", "reflection_pad", "replication_pad")):
        pads = [int(pad) for pad in args[1]]
        if len(pads) > 2 * len(axes):
            return None
        pads += [0] * (2 * len(axes) - len(pads))
        # Pairs, from the last axis on.
        ends = zip(axes, pads[-2::-2], pads[::-2], strict=True)
        return tuple(axis.padded(before, after) for axis, before, after in ends)
    if name == "slice" and len(args) > 2 and (args[4:] or (1,))[0] == 1:
        return _cut(axes, out, args[1], args[2] or 0)
    if name == "convolution" or "adaptive" in name or "upsample" in name:
        return tuple(axis.resized(size) for axis, size in zip(axes, out, strict=True))
    return None


def _kernel_steps(
    axes: tuple[_Axis, ...], out: tuple[int, ...], *numbers: Any
) -> tuple[_Axis, ...]:
    """After a convolution or pool of these kernel sizes, strides, paddings and dilations."""
    given = [[values] if isinstance(values, int) else list(values) for values in numbers]
    per_axis = [each * len(axes) if len(each) == 1 else each for each in given]
    return tuple(
        axis.stepped(size, dilation * (kernel - 1) + 1, stride, padding)
        for axis, size, kernel, stride, padding, dilation in zip(axes, out, *per_axis, strict=True)
    )


def _cut(
    axes: tuple[_Axis, ...], out: tuple[int, ...], dim: int, start: int
) -> tuple[_Axis, ...] | None:
    """After voxels were cut off along one axis of ``[B, F, *grid]``."""
    axis = (dim + len(axes) + 2) % (len(axes) + 2) - 2
    if axis < 0:
        return None
    size = axes[axis].size + axes[axis].before + axes[axis].after
    first = start + size if start < 0 else start
    cut = axes[axis].padded(-first, out[axis] + first - size)
    return tuple(cut if n == axis else old for n, old in enumerate(axes))
