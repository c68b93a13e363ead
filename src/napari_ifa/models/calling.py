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

# Attributes that turn gradient checkpointing on: MONAI's (SwinUNETR, AutoencoderKL; VQVAE),
# torchvision's (DenseNet), timm's, and that of the transformers library.
_CHECKPOINTING = (
    "use_checkpoint",
    "use_checkpointing",
    "memory_efficient",
    "grad_checkpointing",
    "gradient_checkpointing",
)
# Modules that checkpoint the one module inside them: MONAI's CheckpointUNet, torch.distributed.
_CHECKPOINTING_WRAPPERS = ("ActivationCheckpointWrapper", "CheckpointWrapper")


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself: what DataParallel copies or torch.compile traces cannot be hooked.

    Raises ExplanationError for TorchScript, inside which no layer can be reached, and for a part
    of the network that is copied to several devices.
    """
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    network = getattr(network, "_orig_mod", network)
    for name, part in network.named_modules():
        if isinstance(part, nn.DataParallel) and len(part.device_ids) > 1:
            raise ExplanationError(
                f"The network's part '{name}' is a DataParallel over {len(part.device_ids)}"
                f" devices, whose copies cannot be watched: put '{name}.module' in its place."
            )
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
    are put back, also when the block raises. Hooks are the business of whoever sets them. Gradient
    checkpointing is off meanwhile: it would run parts of the network again in the backward pass,
    then without the hooks.
    """
    modules = list(network.modules())
    training = [(module, module.training) for module in modules]
    trainable = [parameter for parameter in network.parameters() if parameter.requires_grad]
    buffers = [
        (module, name, buffer)
        for module in modules
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    contents = _contents([buffer for _, _, buffer in buffers])
    checkpointing = [
        (module, name)
        for module in modules
        for name in _CHECKPOINTING
        if vars(module).get(name) is True
    ]
    wrappers = [
        (module, vars(module).get("forward"))
        for module in modules
        if type(module).__name__ in _CHECKPOINTING_WRAPPERS
    ]
    try:
        if any(flag for _, flag in training):
            network.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        for module, name in checkpointing:
            setattr(module, name, False)
        for module, _ in wrappers:
            # On the instance, before the method of the class; a module there would be registered.
            vars(module)["forward"] = next(module.children()).__call__
        yield
    finally:
        for module, name in checkpointing:
            setattr(module, name, True)
        for module, forward in wrappers:
            vars(module).pop("forward", None)
            if forward is not None:
                vars(module)["forward"] = forward
        for module, flag in training:
            if module.training != flag:
                module.training = flag
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, name, buffer in buffers:
            module._buffers[name] = buffer
        _put_back(contents)


def _contents(buffers: list[Tensor]) -> list[tuple[list[Tensor], Tensor]]:
    """Buffers of one kind together, with a copy of their contents in one tensor.

    A network has hundreds of small buffers, and each copy and comparison has its price on a GPU.
    """
    groups: dict[tuple[Any, ...], list[Tensor]] = {}
    for buffer in buffers:
        # What is not plain memory (sparse, quantised) is on its own.
        plain = buffer.layout == torch.strided and not buffer.is_quantized
        key = (buffer.dtype, buffer.device, None if plain else id(buffer))
        groups.setdefault(key, []).append(buffer.detach())
    return [(group, _side_by_side(group)) for group in groups.values()]


def _side_by_side(group: list[Tensor]) -> Tensor:
    if len(group) == 1:
        return group[0].clone()
    # Into a tensor of their own type: autocast would choose another, or refuse.
    together = group[0].new_empty(sum(buffer.numel() for buffer in group))
    return torch.cat([buffer.flatten() for buffer in group], out=together)


def _put_back(contents: list[tuple[list[Tensor], Tensor]]) -> None:
    with torch.no_grad():
        for group, before in contents:
            if torch.equal(_side_by_side(group), before):
                continue
            if len(group) == 1:
                group[0].copy_(before)
                continue
            parts = before.split([buffer.numel() for buffer in group])
            for buffer, part in zip(group, parts, strict=True):
                buffer.copy_(part.reshape(buffer.shape))


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
