"""A private copy of a network for many forward passes, with batch normalisation folded away."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_ifa.models.calling import FORWARD_ERRORS, call_network

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def folded(network: nn.Module, inputs: Any, channels_last: bool) -> nn.Module | None:
    """A copy of a network in eval mode that gives the same, up to rounding, in less time.

    A convolution whose output goes to a batch normalisation takes over its scale and shift, and
    weights are laid out with their channels last if asked. That its answers are the same is for
    the caller to check: a convolution's output may also go elsewhere. One forward of `inputs`
    finds the pairs. None if there is nothing to fold or the network cannot be copied.
    """
    try:
        private = copy.deepcopy(network)
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return None
    pairs = _pairs(private, inputs)
    if not pairs:
        return None
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(private.get_submodule(convolution), private.get_submodule(norm))
        private.set_submodule(convolution, fused)
        private.set_submodule(norm, nn.Identity())
    if channels_last:
        for parameter in private.parameters():
            if parameter.ndim in _CHANNELS_LAST:
                order = _CHANNELS_LAST[parameter.ndim]
                parameter.data = parameter.data.contiguous(memory_format=order)
    return private


def _pairs(network: nn.Module, inputs: Any) -> list[tuple[str, str]]:
    """Names of convolutions and of the norms that take their outputs, each called just once."""
    made: dict[int, tuple[str, Tensor]] = {}
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()
    handles = []

    def watch(name: str, module: nn.Module) -> None:
        def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1
            if isinstance(module, _NORMS) and args and id(args[0]) in made:
                pairs.append((made[id(args[0])][0], name))

        def after(_module: nn.Module, _args: Any, output: Any) -> None:
            made[id(output)] = (name, output)  # kept, or its id would be given to another

        handles.append(module.register_forward_pre_hook(before))
        if type(module) in _CONVOLUTIONS:
            handles.append(module.register_forward_hook(after))

    names = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    for name, module in network.named_modules():
        if type(module) in _CONVOLUTIONS + _NORMS and names[module] == 1 and _plain(module):
            watch(name, module)
    try:
        call_network(network, inputs)
    except FORWARD_ERRORS:
        return []
    finally:
        for handle in handles:
            handle.remove()
    return [pair for pair in pairs if all(calls[name] == 1 for name in pair)]


def _plain(module: nn.Module) -> bool:
    """Whether a module is just what its class says: no hooks or parametrisation, own statistics."""
    if module._forward_hooks or module._forward_pre_hooks or parametrize.is_parametrized(module):
        return False
    return not isinstance(module, _NORMS) or module.running_mean is not None
