"""A private copy of a network for many forward passes, with batch normalisation folded away."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from contextlib import ExitStack
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_ifa.models.as_written import is_compiled
from napari_ifa.models.calling import CONVOLUTIONS, FORWARD_ERRORS, call_network, tensors_in

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CHANNELS_LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
# A copy may fail in any way that a module's own state does.
_COPY_ERRORS = (*FORWARD_ERRORS, copy.Error, pickle.PicklingError)


def folded(network: nn.Module, inputs: Any, channels_last: bool) -> nn.Module | None:
    """A copy of a network in eval mode that gives the same, up to rounding, in less time.

    A convolution whose output goes to a batch normalisation alone takes over its scale and shift,
    and weights are laid out with their channels last if asked. Two forwards of `inputs` find the
    pairs. None if there is nothing to fold, or the network cannot be copied: besides what Python
    refuses to copy, one with hooks, which would watch the copy in place of the network.
    """
    if not all(map(_without_hooks, network.modules())):
        return None
    pairs = _pairs(network, inputs)
    if not pairs or not _alone(network, inputs, pairs):
        return None
    try:
        private = copy.deepcopy(network)
    except _COPY_ERRORS:
        return None
    if _shared(network, private):
        return None
    for convolution, norm in pairs:
        fused = fuse_conv_bn_eval(
            cast("nn.Conv2d", private.get_submodule(convolution)),
            cast("nn.BatchNorm2d", private.get_submodule(norm)),
        )
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
    made: dict[int, tuple[str, Tensor, int]] = {}
    pairs: list[tuple[str, str]] = []
    calls: Counter[str] = Counter()

    def watch(name: str, module: nn.Module) -> None:
        def before(_module: nn.Module, args: tuple[Any, ...]) -> None:
            calls[name] += 1
            if not isinstance(module, _NORMS) or not args or id(args[0]) not in made:
                return
            convolution, output, version = made[id(args[0])]
            if output._version == version:  # else something was done to it in place
                pairs.append((convolution, name))

        def after(_module: nn.Module, _args: Any, output: Tensor) -> None:
            # Kept, or its id would be given to another.
            made[id(output)] = (name, output, output._version)

        hooks.callback(module.register_forward_pre_hook(before).remove)
        if type(module) in CONVOLUTIONS:
            hooks.callback(module.register_forward_hook(after).remove)

    names = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    with ExitStack() as hooks:
        for name, module in network.named_modules():
            if type(module) in CONVOLUTIONS + _NORMS and names[module] == 1 and _plain(module):
                watch(name, module)
        try:
            call_network(network, inputs)
        except FORWARD_ERRORS:
            return []
    return [pair for pair in pairs if all(calls[name] == 1 for name in pair)]


def _alone(network: nn.Module, inputs: Any, pairs: list[tuple[str, str]]) -> bool:
    """Whether no convolution's output goes anywhere but to its norm (to a skip connection, say).

    In a forward in which all others would get NaN in its place, there is none in what is returned.
    """
    outputs: dict[str, Tensor] = {}

    def watch(convolution: str, norm: str) -> None:
        def spoil(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
            outputs[norm] = output
            return torch.full_like(output, torch.nan)

        def give(_module: nn.Module, _args: Any) -> Tensor:
            return outputs.pop(norm)

        hooks.callback(network.get_submodule(convolution).register_forward_hook(spoil).remove)
        hooks.callback(network.get_submodule(norm).register_forward_pre_hook(give).remove)

    with ExitStack() as hooks:
        for pair in pairs:
            watch(*pair)
        try:
            returned = call_network(network, inputs)
        except FORWARD_ERRORS:
            return False
    return not any(bool(tensor.isnan().any()) for tensor in tensors_in(returned))


def _shared(network: nn.Module, private: nn.Module) -> bool:
    """Whether the copy holds a part of the network itself, as a `__deepcopy__` of its own may."""
    own = {*network.modules(), *network.parameters()}
    return not own.isdisjoint({*private.modules(), *private.parameters()})


def _without_hooks(module: nn.Module) -> bool:
    return not (module._forward_hooks or module._forward_pre_hooks or is_compiled(module))


def _plain(module: nn.Module) -> bool:
    """Whether a module is just what its class says: own statistics, and nothing set on it."""
    if module.training or "forward" in vars(module) or parametrize.is_parametrized(module):
        return False
    return not isinstance(module, _NORMS) or module.running_mean is not None
