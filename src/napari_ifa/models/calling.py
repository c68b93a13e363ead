"""Call a network that is somebody else's: its inputs, its complaints, and leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.errors import ExplanationError

# What torch and networks raise on an input they were not made for.
FORWARD_ERRORS = (RuntimeError, ValueError, IndexError, TypeError)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself: what DataParallel copies or torch.compile traces cannot be hooked.

    Raises ExplanationError for TorchScript, inside which no layer can be reached.
    """
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    network = getattr(network, "_orig_mod", network)
    if isinstance(network, torch.jit.ScriptModule):
        raise ExplanationError(
            "The network is a TorchScript program, whose layers cannot be reached: load it as a"
            " Python network with its weights."
        )
    return network


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[None]:
    """Eval mode with frozen parameters for the length of the block, then everything as before.

    Per-module training flags, `requires_grad` of every parameter and the contents of every buffer
    are put back, also when the block raises. Hooks are the business of whoever sets them.
    """
    training = [(module, module.training) for module in network.modules()]
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in network.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        network.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, flag in training:
            module.training = flag
        for parameter in trainable:
            parameter.requires_grad_(True)
        with torch.no_grad():
            for module, name, buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)
                module._buffers[name] = buffer


def call_network(network: nn.Module, inputs: Any) -> Any:
    """network(x) for a tensor, network(*x) for a tuple or list, network(**x) for a dict."""
    if isinstance(inputs, dict):
        return network(**inputs)
    if isinstance(inputs, tuple | list):
        return network(*inputs)
    return network(inputs)


def plain_inputs(inputs: Any, cases: slice | None = None) -> Any:
    """The inputs as plain tensors without history, all cases or the given ones.

    MONAI's MetaTensor is stripped of its metadata, which every operation would copy along, and an
    inference tensor is copied, because autograd may have to keep it for the backward pass.
    """
    if isinstance(inputs, Tensor):
        tensor = inputs.detach().as_subclass(Tensor)
        if tensor.is_inference():
            tensor = tensor.clone()
        return tensor if cases is None else tensor[cases]
    if isinstance(inputs, dict):
        return {key: plain_inputs(value, cases) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(plain_inputs(value, cases) for value in inputs)
    return inputs


def first_tensor(inputs: Any) -> Tensor:
    """The tensor that gives the batch its size, shape and device: the first among the inputs."""
    if isinstance(inputs, Tensor):
        return inputs
    values = inputs.values() if isinstance(inputs, dict) else inputs
    if isinstance(inputs, dict | tuple | list):
        for value in values:
            if isinstance(value, Tensor):
                return value
    raise ExplanationError(
        "The network's input must be a tensor, or a tuple or dict of tensors, not"
        f" {type(inputs).__name__}."
    )


def input_error(network: nn.Module, inputs: Any, error: Exception) -> ExplanationError:
    """torch's complaint about an input, as one sentence: what was given, what the network takes."""
    given = first_tensor(inputs)
    if isinstance(error, torch.OutOfMemoryError):
        return ExplanationError(
            f"There is not enough memory on {given.device} for a batch of {len(given)}: use a"
            " smaller batch."
        )
    convolution = next(
        (
            (name, module)
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        ),
        None,
    )
    if convolution is not None:
        name, first = convolution
        dims = len(first.kernel_size)
        if given.ndim != dims + 2 or given.shape[1] != first.in_channels:
            return ExplanationError(
                f"The network takes [batch, {first.in_channels}, {dims} spatial sizes] (its first"
                f" convolution is '{name}'), and the input has the shape {list(given.shape)}."
            )
    complaint = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ExplanationError(
        f"The network cannot process an input of shape {list(given.shape)}: {complaint}."
    )
