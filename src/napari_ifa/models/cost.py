"""What building and trying a bundle's network may cost, known before it is spent.

A line of settings can ask for 10⁹ blocks, or for a layer of terabytes. How large a network may
be, its weights say: their file holds so many tensors and so many bytes, and the network that was
trained had no more. So a network that grows past its weights is stopped while it grows, and each
operation is asked for the size of its result before it runs.
"""

from __future__ import annotations

import copy
import math
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.memory import free_memory
from napari_ifa.models.calling import tensors_in
from napari_ifa.models.problems import BundleProblem, PreprocessingProblem
from napari_ifa.models.result_sizes import most_bytes
from napari_ifa.models.settings_file import nodes_in

# Measured on 20 networks of MONAI and torchvision, from DenseNet121 to SwinUNETR: for each tensor
# of the weights up to 1.1 parameters, 2 modules and 4 operations, for each byte 1.2 bytes.
_PARAMETERS = (2, 50)
_MODULES = (10, 500)
_OPERATIONS = (30, 1000)
_BYTES = (8, 2**25)
#: Entries in the arguments of one component, lists in lists counted each time they stand there.
_MOST_ARGUMENTS = 10_000
#: Characters of a text among them; MONAI looks for near names in time by the square of it.
_LONGEST_TEXT = 1000
#: A whole number among a network's arguments; flattened 3D features have some 2 · 10⁶.
_LARGEST_NUMBER = 2**23
#: Arguments of transforms that say how many or how wide, and the largest such number.
_COUNTS = (
    *("k", "k_divisible", "kernel_size", "margin", "num_bins", "num_cells", "num_classes"),
    *("num_control_points", "num_patches", "num_samples", "patch_size", "radius", "repeats"),
    *("spatial_border", "times", "window_length"),
)
_LARGEST_COUNT = 2**17
#: Values of the input that a network is tried on: 512 × 512 × 256 of one channel.
_LARGEST_INPUT = 2**26
#: Values that, even where each meets each, make no more than some MB.
_FEW = 1024
#: Bytes that all results of a forward pass have together: a minute or two of a processor's time.
_MOST_FORWARD_BYTES = 2**36
#: Bytes of results that a forward pass may make unasked: a second or two.
_SMALL_PASS_BYTES = 2**31


@dataclass(frozen=True)
class NetworkBudget:
    """How far a network may grow, by the number of tensors and the bytes of its weights' file."""

    tensors: int
    size: int

    @contextmanager
    def held(self) -> Iterator[None]:
        """Stop what is built in this block and this thread where it grows past the weights.

        BundleError says what there was too much of.
        """
        thread = threading.get_ident()
        found: Counter[str] = Counter()

        def count(what: str, most: int, *_: Any) -> None:
            # The hooks of torch are for all threads.
            if threading.get_ident() == thread:
                found[what] += 1
                if found[what] > most:
                    raise self._too_large(f"more than {most} {what}")

        def watch(size: int) -> None:
            count("steps to build it", self._most(_OPERATIONS))
            found["bytes"] += size
            if found["bytes"] > _BYTES[0] * self.size + _BYTES[1]:
                raise self._too_large(f"more than {found['bytes'] / 1e6:.0f} MB")

        hooks = nn.modules.module
        with ExitStack() as stack:
            for register, what, rule in (
                (hooks.register_module_parameter_registration_hook, "parameters", _PARAMETERS),
                (hooks.register_module_module_registration_hook, "parts", _MODULES),
            ):
                stack.callback(register(partial(count, what, self._most(rule))).remove)
            stack.enter_context(operations_watched(watch))
            yield

    def check_paths(self, network: nn.Module) -> None:
        """Refuse a network in which few modules stand in very many places."""
        most = self._most(_MODULES)
        places: dict[int, int] = {}

        def count(part: nn.Module) -> int:
            if id(part) not in places:
                places[id(part)] = 0  # a part inside itself ends here
                # `children` would leave out what stands there twice.
                inner = [child for child in part._modules.values() if child is not None]
                places[id(part)] = 1 + sum(count(child) for child in inner)
            return places[id(part)]

        if count(network) > most:
            raise self._too_large(f"more than {most} parts")

    def _most(self, rule: tuple[int, int]) -> int:
        return rule[0] * self.tensors + rule[1]

    def _too_large(self, what: str) -> BundleError:
        return BundleError(
            BundleProblem.NETWORK_TOO_LARGE,
            tensors=self.tensors,
            described=what,
            megabytes=self.size / 1e6,
        )


@contextmanager
def operations_watched(
    watch: Callable[[int], None], foreseen: bool = True, ask: int = 0
) -> Iterator[None]:
    """Call `watch` with the bytes of the result of each of torch's operations before it runs.

    Of this thread's operations in the block. What changes a tensor in place, is a view of one or
    cannot become large has 0 bytes. What has at most `ask` bytes may be given too many. With
    `foreseen` False the result itself is measured, for tensors without values.
    """

    class Watched(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            # torch would import its compiler, which takes seconds, to leave it out here.
            return False

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            kwargs = kwargs or {}
            new = _makes_new(func)
            if foreseen:
                watch(0 if not new or _is_small(args) else _foreseen_bytes(func, args, kwargs, ask))
            result = func(*args, **kwargs)
            if not foreseen:
                watch(_bytes_of(result) if new else 0)
            return result

    with Watched():
        yield


@cache
def _makes_new(func: Any) -> bool:
    """Whether the operation makes a tensor; to ask its schema takes as long as to run it."""
    return not (func._schema.is_mutable or func.is_view)


def _is_small(args: Any) -> bool:
    """Whether few values and small numbers go in, so that at most some MB can come out.

    An image's affine takes most of the operations of a transform.
    """
    values, factor = 0, 1.0
    for argument in nodes_in(args):
        if isinstance(argument, torch.Tensor):
            values += argument.numel()
        elif isinstance(argument, int | float):
            factor = factor * max(1, abs(argument))
        if values > _FEW or not factor <= _FEW:
            return False
    return True


def _foreseen_bytes(func: Any, args: Any, kwargs: dict[str, Any], ask: int) -> int:
    """By the arguments; by running the operation without values where that may be more than `ask`.

    0 where torch cannot tell it.
    """
    most = most_bytes(func, args)
    if most is not None and most <= ask:
        return most

    def without_values(tensor: torch.Tensor) -> torch.Tensor:
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    try:
        args, kwargs = tree_map_only(torch.Tensor, without_values, (args, dict(kwargs)))
        if any(argument.name == "device" for argument in func._schema.arguments):
            kwargs["device"] = torch.device("meta")
        return _bytes_of(func(*args, **kwargs))
    except Exception:
        # Sizes that no tensor has, sparse or quantised tensors, results that depend on values:
        # what is wrong, the operation itself says.
        return 0


def _bytes_of(result: Any) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors_in(result))


def check_input(shape: Sequence[int]) -> None:
    """Refuse an input ``[B, C, *spatial]`` that no network is tried on."""
    if math.prod(shape) > _LARGEST_INPUT:
        raise BundleError(
            BundleProblem.INPUT_TOO_LARGE, shape=list(shape), millions=_LARGEST_INPUT / 1e6
        )


class _MayBeLarge(Exception):
    """A pass that has to be asked for before it goes on."""


def affordable_pass(network: nn.Module, example: torch.Tensor) -> Any:
    """What a network makes of an input, or a refusal where memory or time do not suffice.

    A pass that turns out to be large is stopped, and its whole cost is told before it starts anew.
    """
    made = 0

    def watch(size: int) -> None:
        nonlocal made
        made += size
        if made > _SMALL_PASS_BYTES:
            raise _MayBeLarge

    with torch.no_grad():
        try:
            with operations_watched(watch, ask=_SMALL_PASS_BYTES):
                return network(example)
        except _MayBeLarge:
            _check_forward(network, list(example.shape))
        return network(example)


def _check_forward(network: nn.Module, shape: Sequence[int]) -> None:
    """Refuse an input for which a forward pass needs more memory or time than there is.

    A copy of the network runs on tensors without values. Where it cannot, nothing is known
    beforehand, and the pass itself says what is wrong.
    """
    available, total = free_memory(), 0

    def watch(size: int) -> None:
        nonlocal total
        total += size
        if size > available // 2 or total > _MOST_FORWARD_BYTES:
            raise BundleError(
                BundleProblem.PASS_TOO_LARGE, shape=list(shape), gigabytes=max(size, total) / 1e9
            )

    try:
        memo: dict[int, Any] = {
            id(tensor): nn.Parameter(tensor.detach().to("meta"), requires_grad=False)
            for tensor in network.parameters()
        }
        memo |= {id(buffer): buffer.to("meta") for buffer in network.buffers()}
        with torch.no_grad():
            without_values = copy.deepcopy(network, memo)
            with operations_watched(watch, foreseen=False):
                without_values(torch.zeros(shape, device="meta"))
    except BundleError:
        raise
    except Exception:
        return


@contextmanager
def images_bounded() -> Iterator[None]:
    """Stop preprocessing in this block before it makes an image that no memory holds.

    ExplanationError says how large it would be.
    """
    available = free_memory()

    def watch(size: int) -> None:
        if size > available:
            raise ExplanationError(
                PreprocessingProblem.TOO_LARGE, gigabytes=size / 1e9, free=available / 1e9
            )

    with operations_watched(watch, ask=available):
        yield


def check_arguments(arguments: Any, name: str, where: str, largest: int = _LARGEST_NUMBER) -> None:
    """Refuse arguments that are very many, or hold a long text or a number beyond `largest`.

    Lists that stand in several places through references are counted in each.
    """
    for seen, node in enumerate(nodes_in(arguments), start=1):
        if seen > _MOST_ARGUMENTS:
            raise BundleError(
                BundleProblem.TOO_MANY_ARGUMENTS, name=name, where=where, most=_MOST_ARGUMENTS
            )
        if isinstance(node, str) and len(node) > _LONGEST_TEXT:
            raise BundleError(
                BundleProblem.ARGUMENT_TOO_LONG,
                name=name,
                where=where,
                length=len(node),
                most=_LONGEST_TEXT,
            )
        if isinstance(node, int) and abs(node) > largest:
            raise BundleError(
                BundleProblem.ARGUMENT_TOO_LARGE,
                name=name,
                where=where,
                found=node,
                number=_short(node),
                most=largest,
            )


def check_transform(arguments: Mapping[str, Any], name: str, where: str) -> None:
    """Refuse a transform that would make an image, or a number of things, that is out of reach.

    Other numbers of a transform are values of the image or places in it, and may be large.
    """
    check_arguments(arguments, name, where, largest=sys.maxsize)
    counts = {key: arguments[key] for key in _COUNTS if key in arguments}
    check_arguments(counts, name, where, _LARGEST_COUNT)
    sizes = arguments.get("spatial_size")
    axes: list[Any] = list(sizes) if isinstance(sizes, list | tuple) else [sizes, sizes]
    if all(isinstance(size, int | float) for size in axes):
        values = math.prod([max(1.0, float(size)) for size in axes])
        if values > _LARGEST_INPUT:
            raise BundleError(
                BundleProblem.IMAGES_TOO_LARGE,
                name=name,
                where=where,
                size=axes,
                millions=_LARGEST_INPUT / 1e6,
            )


def _short(number: int) -> str:
    text = str(number)
    return text if len(text) <= 20 else f"{text[:3]}… with {len(text.lstrip('-'))} digits"
