"""One forward pass of an example, watched: what each module gives, and what the answer needs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.errors import ExplanationError
from napari_ifa.memory import lacks_memory
from napari_ifa.models.calling import (
    FORWARD_ERRORS,
    call_network,
    first_tensor,
    input_error,
    other_inputs,
    plain_inputs,
    same_answer,
    undisturbed,
)
from napari_ifa.models.problems import NetworkProblem
from napari_ifa.models.tokens import TokenLayout, token_layout


@dataclass(frozen=True, eq=False)
class Call:
    """What one module took and gave in the probing forward.

    `entered` is the shape of its first argument, empty if that is no tensor. `handed_on` marks a
    container's output that is the very tensor of its last child, `rearranged` a view of the output
    of the module before. `layout` is how tokens are folded, None for `[B, F, *grid]`.
    """

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    entered: tuple[int, ...]
    handed_on: bool
    rearranged: bool
    layout: TokenLayout | None

    @property
    def channels(self) -> int:
        return self.shape[1] if self.layout is None else self.shape[-1]

    @property
    def grid(self) -> tuple[int, ...]:
        return self.shape[2:] if self.layout is None else self.layout.grid

    @property
    def voxels(self) -> int:
        return math.prod(self.grid)


@dataclass(frozen=True, eq=False)
class Probe:
    """The calls of one forward in the order in which they ended, and the shape of the answer.

    `inputs` are those of the first case, and `output` names the answer among several outputs.
    `candidates` are the calls that give features on a grid, of modules that are called once, and
    `repeated` the names of modules that give such features more than once. `several_outputs`
    says that the network returns more than the answer.
    """

    network: nn.Module
    inputs: Any
    output: int | str | None
    calls: list[Call]
    candidates: list[Call]
    repeated: list[str]
    answer: tuple[int, ...]
    several_outputs: bool

    def reaching(self, candidates: Sequence[Call]) -> list[Call]:
        """Those candidates on whose grid the answer depends: their gradient is not exactly zero.

        One forward and one backward pass from the first candidate on, whose place noise takes, so
        that no example is too plain. Class and register tokens do not count. Empty if the gradient
        cannot be computed.
        """
        leaf: Tensor | None = None
        outputs: dict[str, Tensor] = {}
        generator = torch.Generator("cpu").manual_seed(0)
        wanted = {call.name for call in candidates}

        def start(name: str, _module: nn.Module, _args: Any, given: Tensor) -> Tensor | None:
            nonlocal leaf
            if name not in wanted:
                return None
            if leaf is None:
                leaf = outputs[name] = _noise_like(given, generator).requires_grad_()
                return leaf.clone()
            outputs[name] = given
            return None

        with torch.enable_grad():
            answer = self._answer_to(self.inputs, start)
            if answer is None or not answer.requires_grad:
                return []
            direction = _noise_like(answer, generator)
            linked = [call for call in candidates if outputs[call.name].requires_grad]
            try:
                gradients = torch.autograd.grad(
                    answer, [outputs[call.name] for call in linked], direction, allow_unused=True
                )
            except RuntimeError:
                return []
        return [
            call
            for call, gradient in zip(linked, gradients, strict=True)
            if gradient is not None
            and bool((gradient if call.layout is None else call.layout.fold(gradient)).any())
        ]

    def goes_around(self, call: Call) -> bool:
        """Whether the answer depends on the input even while a module's output stays the same.

        Two forward passes: of the inputs, and of other ones with the output that the module gave
        for the first. A path around the module (a residual one, a skip connection) then carries
        part of the answer.
        """
        kept: Tensor | None = None

        def hold(name: str, _module: nn.Module, _args: Any, given: Tensor) -> Tensor | None:
            nonlocal kept
            if name != call.name:
                return None
            if kept is None:
                kept = given.clone()
                return None
            return kept.clone()

        with torch.no_grad():
            one = self._answer_to(self.inputs, hold)
            other = self._answer_to(other_inputs(self.inputs), hold)
        if one is None or other is None or one.shape != other.shape:
            return False
        return not same_answer(one, other)

    def _answer_to(self, inputs: Any, note: Callable[..., Tensor | None]) -> Tensor | None:
        return _answer(_watched(self.network, inputs, note), self.output)


def probed(
    network: nn.Module, example: Any, output: int | str | None, token_grid: Sequence[int] | None
) -> Probe:
    """One forward of the example's first case; the network is left as it was.

    Raises ExplanationError if the network fails on the example.
    """
    inputs = plain_inputs(example, slice(0, 1))
    dims = first_tensor(inputs).ndim - 2
    calls: list[Call] = []
    previous: Tensor | None = None
    of_tokens: dict[tuple[int, ...], TokenLayout | None] = {}

    def layout_of(shape: tuple[int, ...], module: nn.Module) -> TokenLayout | None:
        if shape in of_tokens:
            return of_tokens[shape]
        try:
            layout = token_layout(network, inputs, shape, token_grid, module)
        except ExplanationError:
            layout = None
        if len(shape) == 3 and dims > 1:  # whatever the module
            of_tokens[shape] = layout
        return layout

    def note(name: str, module: nn.Module, args: Any, given: Tensor) -> None:
        nonlocal previous
        shape = tuple(given.shape)
        # Where there are more rows than cases, windows or heads are folded into the batch.
        layout = layout_of(shape, module) if shape[:1] == (1,) else None
        same = previous is given
        calls.append(
            Call(
                name,
                module,
                shape,
                tuple(args[0].shape) if args and isinstance(args[0], Tensor) else (),
                handed_on=same and any(module.children()),
                rearranged=not same and previous is not None and _is_view(given, previous),
                layout=layout,
            )
        )
        previous = given

    with torch.no_grad():
        returned = _watched(network, inputs, note)
    answer = _answer(returned, output)
    return Probe(
        network,
        inputs,
        output,
        calls,
        *_candidates(calls, dims),
        () if answer is None else tuple(answer.shape),
        several_outputs=not isinstance(returned, Tensor) and len(_tensors(returned)) > 1,
    )


def _noise_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    # The same on every device and for every type, whatever torch's defaults are.
    noise = torch.randn(tensor.shape, generator=generator, device="cpu", dtype=torch.float32)
    return noise.to(tensor)


def _watched(network: nn.Module, inputs: Any, note: Callable[..., Tensor | None]) -> Any:
    """network(inputs), with `note(name, module, args, output)` called for every tensor given."""

    def noting(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, args: Any, given: Any) -> Tensor | None:
            return note(name, module, args, given) if isinstance(given, Tensor) else None

        return hook

    handles = [
        module.register_forward_hook(noting(name))
        for name, module in network.named_modules()
        if name
    ]
    try:
        with torch.inference_mode(False), undisturbed(network):
            return call_network(network, inputs)
    except FORWARD_ERRORS as error:
        if lacks_memory(error):
            given = first_tensor(inputs)
            raise ExplanationError(
                NetworkProblem.NO_MEMORY, device=str(given.device), given=list(given.shape[1:])
            ) from error
        raise input_error(network, inputs, error) from error
    finally:
        for handle in handles:
            handle.remove()


def _candidates(calls: list[Call], dims: int) -> tuple[list[Call], list[str]]:
    """The calls with features on a grid, and the names of modules that make several of them."""
    times = Counter(call.name for call in calls)
    tokens = {call.shape[1] for call in calls if len(call.shape) == 3 and dims > 1}
    spatial = [
        call
        for call in calls
        if (call.layout or (len(call.shape) == dims + 2 and call.shape[0] == 1 and call.voxels > 1))
        and not _is_attention(call, tokens)
    ]
    once = [call for call in spatial if times[call.name] == 1]
    return once, list(dict.fromkeys(call.name for call in spatial if times[call.name] > 1))


def _is_attention(call: Call, tokens: set[int]) -> bool:
    """Whether this is a matrix `[B, heads, T, T]` of weights between tokens, as 2D maps look."""
    between = len(call.shape) == 4 and call.shape[2] == call.shape[3]
    weightless = next(call.module.parameters(), None) is None
    return between and weightless and call.shape[2] in tokens


def _is_view(tensor: Tensor, of: Tensor) -> bool:
    return (
        tensor.numel() == of.numel()
        and tensor.untyped_storage().data_ptr() == of.untyped_storage().data_ptr()
    )


def _tensors(returned: Any) -> dict[Any, Tensor]:
    if isinstance(returned, Tensor):
        return {None: returned}
    entries = returned.items() if isinstance(returned, dict) else enumerate(returned or ())
    return {name: value for name, value in entries if isinstance(value, Tensor)}


def _answer(returned: Any, output: int | str | None) -> Tensor | None:
    """The logits: the output that is named, the only one, or else the first."""
    tensors = _tensors(returned)
    return tensors[output] if output in tensors else next(iter(tensors.values()), None)
