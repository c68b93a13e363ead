"""Call a network that is somebody else's: its inputs, its complaints, and leave it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from napari_ifa.errors import ExplanationError
from napari_ifa.models.as_written import as_written
from napari_ifa.models.problems import NetworkProblem
from napari_ifa.plain import reason

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# What torch and networks raise on an input they were not made for.
FORWARD_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)


def unwrapped(network: nn.Module) -> nn.Module:
    """The network itself: what DataParallel copies or torch.compile traces cannot be hooked.

    Raises ExplanationError for what is no network, for one whose parameters are not there yet, for
    TorchScript, inside which no layer can be reached, and for a part of the network that is copied
    to several devices.
    """
    if not isinstance(network, nn.Module):
        raise ExplanationError(NetworkProblem.NOT_A_NETWORK, found=type(network).__name__)
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        network = network.module
    network = getattr(network, "_orig_mod", network)
    if isinstance(network, torch.jit.ScriptModule):
        raise ExplanationError(NetworkProblem.TORCHSCRIPT)
    for name, part in network.named_modules():
        if isinstance(part, nn.DataParallel) and len(part.device_ids) > 1:
            raise ExplanationError(
                NetworkProblem.SEVERAL_DEVICES, part=name, devices=len(part.device_ids)
            )
        for own, tensor in chain(part._parameters.items(), part._buffers.items()):
            if is_lazy(tensor):
                raise ExplanationError(NetworkProblem.LAZY, part=f"{name}.{own}".lstrip("."))
    return network


@contextmanager
def undisturbed(network: nn.Module) -> Iterator[list[nn.Module]]:
    """Eval mode with frozen parameters for the length of the block, then everything as before.

    Per-module training flags, `requires_grad` of every parameter and the contents of every buffer
    are put back, also when the block raises. Hooks are the business of whoever sets them. Meanwhile
    parts are neither checkpointed nor compiled, see `as_written`. Gives the network's modules: a
    walk through hundreds of them is not to be repeated.
    """
    modules = list(network.modules())
    training = [(module, module.training) for module in modules]
    trainable = [parameter for parameter in parameters_of(modules) if parameter.requires_grad]
    buffers = [
        (module, name, buffer)
        for module in modules
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    contents = _contents([buffer for _, _, buffer in buffers])
    try:
        if any(flag for _, flag in training):
            network.eval()
        for parameter in trainable:
            parameter.requires_grad_(False)
        with as_written(modules):
            yield modules
    finally:
        for module, flag in training:
            if module.training != flag:
                module.training = flag
        for parameter in trainable:
            parameter.requires_grad_(True)
        for module, name, buffer in buffers:
            module._buffers[name] = buffer
        _put_back(contents)


def parameters_of(modules: list[nn.Module]) -> Iterator[nn.Parameter]:
    """The modules' own parameters; those that several share come several times."""
    for module in modules:
        for parameter in module._parameters.values():
            if parameter is not None:
                yield parameter


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
    inference tensor is copied, because autograd may have to keep it for the backward pass. Which
    tensors are cut into cases, `of_cases` says.
    """
    batch = None if cases is None else len(first_tensor(inputs))

    def plain(value: Any) -> Any:
        if isinstance(value, Tensor):
            tensor = value.detach().as_subclass(Tensor)
            if tensor.is_inference():
                tensor = tensor.clone()
            if cases is None or batch is None:
                return tensor
            return of_cases(tensor, cases, batch)
        return mapped(plain, value)

    return plain(inputs)


def of_cases(tensor: Tensor, cases: slice | Tensor, batch: int) -> Tensor:
    """The given cases of a tensor, or all of it, where its first axis is not `batch` long.

    That is shared by the cases: a prompt, a step in time. One whose first axis happens to be as
    long as the batch cannot be told from a tensor with a row per case, and is taken for one.
    """
    return tensor[cases] if tensor.ndim and len(tensor) == batch else tensor


def mapped(change: Callable[[Any], Any], inputs: Any) -> Any:
    """The same dict or tuple with each entry changed; what is neither stays as it is."""
    if isinstance(inputs, dict):
        return {key: change(value) for key, value in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(map(change, inputs))
    return inputs


def tensors_in(values: Any) -> Iterator[Tensor]:
    """The tensors among inputs or outputs, in dicts and tuples at any depth."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        for value in values.values():
            yield from tensors_in(value)
    elif isinstance(values, tuple | list):
        for value in values:
            yield from tensors_in(value)


def first_tensor(inputs: Any) -> Tensor:
    """The tensor that gives the batch its size, shape and device: the (first) image.

    Of several tensors it is the one with the most axes, the first of those. ExplanationError if
    there is none, or only single numbers.
    """
    image = max(tensors_in(inputs), key=Tensor.dim, default=None)
    if image is None:
        raise ExplanationError(NetworkProblem.INPUT_TYPE, found=type(inputs).__name__)
    if not image.ndim:
        raise ExplanationError(NetworkProblem.INPUT_SINGLE_NUMBER)
    return image


def input_error(network: nn.Module, inputs: Any, error: Exception) -> ExplanationError:
    """torch's complaint about an input, as one sentence: what was given, what the network takes."""
    given = first_tensor(inputs)
    convolution = next(
        (
            (name, module)
            for name, module in network.named_modules()
            if isinstance(module, CONVOLUTIONS)
        ),
        None,
    )
    if convolution is not None:
        name, first = convolution
        dims = len(first.kernel_size)
        if given.ndim != dims + 2 or given.shape[1] != first.in_channels:
            return ExplanationError(
                NetworkProblem.INPUT_SHAPE,
                channels=first.in_channels,
                dims=dims,
                given=list(given.shape),
                convolution=name,
            )
    complaint = reason(error)
    if isinstance(error, KeyError | AttributeError):  # which only name a thing
        complaint = f"{type(error).__name__} {complaint}"
    return ExplanationError(
        NetworkProblem.INPUT_FAILS, given=list(given.shape), complaint=complaint
    )


def same_answer(one: Tensor, other: Tensor) -> bool:
    """Whether two answers are the same up to rounding."""
    size = max(float(one.abs().max()), float(other.abs().max()))
    return torch.allclose(one, other, rtol=0, atol=1e-5 * size)


def other_inputs(inputs: Any) -> Any:
    """Inputs of the same shapes and about the same range, but others: always the same ones."""
    generator = torch.Generator("cpu").manual_seed(0)

    def noise(given: Any) -> Any:
        if not isinstance(given, Tensor):
            return mapped(noise, given)
        if given.dtype == torch.bool or given.is_complex() or not given.numel():
            return ~given if given.dtype == torch.bool else given
        random = torch.rand(given.shape, generator=generator, device="cpu", dtype=torch.float32)
        low, high = given.min(), given.max()
        if given.is_floating_point():
            constant = low == high  # then a range around it
            start = torch.where(constant, low - 1, low)
            return start + random.to(given) * torch.where(constant, 2, high - low)
        # Whole numbers stay among those that there are, for they may stand in a table.
        steps = (random.to(given.device) * (high - low + 1)).to(given.dtype)
        return (low + steps).clamp(max=high)

    return noise(inputs)
