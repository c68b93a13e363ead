"""What a network's outputs are: how they become probabilities, and whether they are some already.

Nothing is assumed. A bundle tells it in its postprocessing or its metadata, or the network ends in
an activation of its own; else there are no probabilities.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from napari_ifa.errors import BundleError
from napari_ifa.models.calling import FORWARD_ERRORS, call_network, undisturbed
from napari_ifa.models.problems import BundleProblem
from napari_ifa.models.settings_file import data_format, entry

#: How outputs become probabilities. ``"identity"``: they are probabilities. ``"none"``: they are
#: values (a regression). ``"unknown"``: nothing says it.
OutputActivation = Literal["softmax", "sigmoid", "identity", "none", "unknown"]
#: What a person can say of a model that does not say it.
ToldActivation = Literal["softmax", "sigmoid", "none"]
#: The activation in which a network itself ends.
OwnActivation = Literal["softmax", "sigmoid", "log-softmax"]

#: What there is to say of a network whose answers are not the same twice.
BY_CHANCE = (
    "The network does not answer the same image the same way twice (a dropout that stays on, or"
    " other chance in it): a map and its numbers are those of one pass."
)
#: What there is to say where nothing tells how outputs become probabilities.
NOT_TOLD = "no probabilities: the bundle does not say how its outputs become them"
VALUES = "no probabilities: the model answers with values"

_PREDICTION = "pred"
#: Transforms that may be an activation, and whether of one key of several.
_STEP = re.compile("(Activations|Lambda)(d|D|Dict)?")
_MODULES = ("Sigmoid", "Softmax")
#: Functions and modules by which a configuration may name an activation.
_NAMED = re.compile(
    r"^\$?\s*(?:lambda\s+(?P<x>\w+)\s*:\s*)?"
    r"(?:torch\.(?:nn\.(?:functional\.)?|special\.)?|F\.|nn\.)?"
    r"(?P<name>sigmoid|expit|softmax|Sigmoid|Softmax)"
    r"\s*(?:\((?P<arguments>[^()]*)\))?(?:\((?P=x)\))?\s*$"
)
#: Sizes of the noise that is added to the features, against their mean size.
_NOISE = (1.0, 10.0, 1e3, 1e3)
_ROUNDING = 1e-5
#: Deeper references than this go in a circle.
_MOST_REFERENCES = 20


def activation_of(
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
    outputs: int,
    own: OwnActivation | None,
    told: ToldActivation | None = None,
) -> tuple[OutputActivation, tuple[str, ...]]:
    """How a bundle's outputs become probabilities, and sentences on what is not as it seems.

    By what a person has ``told``, which is believed before the bundle's data, and by the ``own``
    activation in which the network ends, see `observed`: none is applied twice.
    """
    if told is not None and told not in get_args(ToldActivation):
        choices = ", ".join(f"'{choice}'" for choice in get_args(ToldActivation))
        raise BundleError(BundleProblem.NO_SUCH_ACTIVATION, asked=told, choices=choices)
    if told == "none" or (told is None and _is_regression(metadata)):
        return "none", ()
    if own == "log-softmax":
        # Probabilities are their exponentials, which is what a softmax makes of them.
        return "softmax", (
            "The network ends in a log-softmax: its answers are logarithms of probabilities, and"
            " class activation explains these.",
        )
    if own is not None:
        return "identity", (
            f"The network's answer is a probability already (it ends in a {own}): no activation is"
            " applied to it, and class activation explains the probability, whose gradient fades"
            " where the answer is sure. Explain a network that ends before the activation to see"
            " the evidence in logits.",
        )
    found: OutputActivation = (
        told or _of_postprocessing(config, metadata) or _of_metadata(metadata) or "unknown"
    )
    if found == "softmax" and outputs == 1:
        return "unknown", ("A softmax of one output is always 1 and says nothing; it is left out.",)
    return found, ()


@dataclass(frozen=True)
class Observed:
    """What a few passes show of a network's answers.

    `own` is the activation in which the network ends, None where it ends in none that is known, and
    `by_chance` whether two passes of one image differ, as with a dropout that stays on.
    """

    own: OwnActivation | None = None
    by_chance: bool = False


def observed(network: nn.Module, example: Tensor, layer: str) -> Observed:
    """What a network's answers are, by its last operation and the range of its outputs.

    Two passes. Where the last operation may be an activation, four more of the part behind
    ``layer``, with noise of growing size added to its features: outputs that stay between 0 and 1
    whatever the features, or add up to 1 besides, are no logits. ``example`` is
    ``[1, C, *spatial]``, ``layer`` the dotted name of the one that is explained.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    try:
        answer = _answer_to(network, example, layer, 0.0, generator)
        with torch.no_grad(), undisturbed(network):
            again = first_output(call_network(network, example))
            # Of few features, two draws may be the same by chance.
            dropouts = [part for part in network.modules() if isinstance(part, _DropoutNd)]
            stays_on = any(part.training and part.p > 0 for part in dropouts)
        if answer is None or again is None or answer.numel() != again.numel():
            return Observed()
        first, again = answer.detach().flatten(), again.flatten()
        # GPUs add in an order of their own, which changes the last digits.
        differ = bool((first - again).abs().max() > 1e-4 * again.abs().max())
        by_chance = stays_on or differ
        operation = _last_operation(answer)
        if operation in _AFFINE or not operation:  # empty: no noise in the layer reaches it
            return Observed(None, by_chance)
        if operation == "LogSoftmax":
            return Observed("log-softmax", by_chance)
        answers = [answer.detach()]
        for size in _NOISE:
            made = _answer_to(network, example, layer, size, generator)
            assert made is not None
            answers.append(made.detach())
    except FORWARD_ERRORS:
        return Observed()
    rows = [
        one.double().reshape(*one.shape[:2], -1).movedim(1, -1).flatten(0, 1) for one in answers
    ]
    return Observed(_bounded(torch.cat(rows), operation), by_chance)


def _bounded(values: Tensor, operation: str) -> OwnActivation | None:
    """The activation whose outputs ``[N, C]`` look like these."""
    # A softmax written by hand may overflow for the strongest noise.
    values = values[values.isfinite().all(1)]
    if len(values) < 3 or values.min() < -_ROUNDING or values.max() > 1 + _ROUNDING:
        return None
    if values.shape[1] > 1 and bool((values.sum(1) - 1).abs().max() < 1e-4):
        return "softmax"
    if operation in ("Sigmoid", "Hardsigmoid"):
        return "sigmoid"
    # Small logits lie between 0 and 1 by chance; what is bounded there comes up to a bound.
    varies = bool(values.std(0).max() > 1e-2)
    touches = bool((values < 1e-3).any() or (values > 1 - 1e-3).any())
    return "sigmoid" if varies and touches else None


def first_output(returned: Any) -> Tensor | None:
    """The answer among a network's outputs: the only one, or else the first."""
    if isinstance(returned, Mapping):
        returned = next(iter(returned.values()), None)
    if isinstance(returned, list | tuple):
        returned = returned[0] if returned else None
    return returned if isinstance(returned, torch.Tensor) else None


#: Last operations after which an output has no bounds; autograd's names without "Backward0".
_AFFINE = ("Addmm", "Mm", "Bmm", "Convolution", "Linear", "Addbmm", "Baddbmm")
#: Operations that only rearrange.
_REARRANGING = (
    "Alias",
    "AsStrided",
    "Clone",
    "Contiguous",
    "Expand",
    "Permute",
    "ReshapeAlias",
    "Select",
    "Slice",
    "Squeeze",
    "T",
    "ToCopy",
    "Transpose",
    "UnsafeView",
    "Unsqueeze",
    "View",
)


def _answer_to(
    network: nn.Module, example: Tensor, layer: str, size: float, generator: Any
) -> Tensor | None:
    """``[1, C, …]``: the answer with noise of a size, against the features', added to them."""

    def changed(module: Any, inputs: Any, features: Any) -> Any:
        if not isinstance(features, torch.Tensor):
            return None
        noise = torch.randn(features.shape, generator=generator).to(features)
        reach = features.detach().abs().mean() + 1e-6
        return (features.detach() + size * reach * noise).requires_grad_()

    handle = network.get_submodule(layer).register_forward_hook(changed)
    try:
        with torch.enable_grad(), undisturbed(network):
            answer = first_output(call_network(network, example))
    finally:
        handle.remove()
    if answer is None:
        return None
    return answer[:, None] if answer.ndim == 1 else answer


def _last_operation(answer: Tensor) -> str:
    """autograd's name of the operation that made the answer, past those that rearrange it."""
    node: Any = answer.grad_fn
    while node is not None:
        name = re.sub(r"Backward\d*$", "", type(node).__name__)
        if name not in _REARRANGING or not node.next_functions:
            return name
        node = node.next_functions[0][0]
    return ""


def _is_regression(metadata: Mapping[str, Any]) -> bool:
    told = (metadata.get("task"), data_format(metadata, "outputs", _PREDICTION).get("format"))
    return any("regression" in str(text).lower() for text in told)


def _of_metadata(metadata: Mapping[str, Any]) -> ToldActivation | None:
    told = str(data_format(metadata, "outputs", _PREDICTION).get("activation", "")).lower()
    return next((choice for choice in get_args(ToldActivation) if choice == told), None)


def _of_postprocessing(
    config: Mapping[str, Any], metadata: Mapping[str, Any]
) -> OutputActivation | None:
    """From the first activation of the prediction in the postprocessing, read as data."""
    keys = {_PREDICTION}
    outputs = data_format(metadata, "outputs")
    if len(outputs) == 1:
        keys |= {str(key) for key in outputs}
    for step, sure in _steps(config, config.get("postprocessing")):
        found = _of_step(config, step, keys)
        if found is not None:
            return found if sure else "unknown"
    return None


def _steps(
    config: Mapping[str, Any], node: Any, sure: bool = True
) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """The transforms in order, and whether each surely runs; what is disabled is left out."""
    node = _followed(config, node)
    if isinstance(node, list):
        for item in node:
            yield from _steps(config, item, sure)
    if not isinstance(node, Mapping):
        return
    disabled = _followed(config, node.get("_disabled_", False))
    if _flag(disabled) or (disabled and not isinstance(disabled, str)):
        return
    sure = sure and not (isinstance(disabled, str) and disabled.startswith("$"))
    if "transforms" in node:
        yield from _steps(config, node["transforms"], sure)
    elif "_target_" in node:
        yield node, sure


def _of_step(
    config: Mapping[str, Any], step: Mapping[str, Any], keys: set[str]
) -> OutputActivation | None:
    name = str(_followed(config, step["_target_"])).rpartition(".")[2]
    if name in _MODULES:
        return "softmax" if name == "Softmax" else "sigmoid"
    named = _STEP.fullmatch(name)
    if named is None:
        return None
    place = _place(_followed(config, step.get("keys")), keys) if named[2] else 0
    if place is None:
        return None
    if named[1] == "Lambda":
        # Any other function may do something else than an activation.
        return _named(_of_place(config, step.get("func"), place))
    chosen = {key: _of_place(config, step.get(key), place) for key in ("sigmoid", "softmax")}
    if None in map(_flag, chosen.values()):
        return "unknown"  # an expression, which is not run
    asked = [key for key, value in chosen.items() if _flag(value)]
    other = _of_place(config, step.get("other"), place)
    if other is not None:
        return _named(other) or "unknown" if not asked else "unknown"
    if len(asked) > 1:
        return "unknown"
    return ("softmax" if asked[0] == "softmax" else "sigmoid") if asked else None


def _place(told: Any, keys: set[str]) -> int | None:
    """Where the prediction stands among the keys of a transform."""
    names = [told] if isinstance(told, str) else told
    if not isinstance(names, Sequence):
        return None
    return next((place for place, name in enumerate(names) if name in keys), None)


def _of_place(config: Mapping[str, Any], value: Any, place: int) -> Any:
    """An argument, or that of one key where it is a list with one for each."""
    value = _followed(config, value)
    if isinstance(value, list):
        return _followed(config, value[place]) if place < len(value) else None
    return value


def _followed(config: Mapping[str, Any], node: Any) -> Any:
    """What a reference to another place of the configuration leads to; None where to nothing."""
    for _ in range(_MOST_REFERENCES):
        if not (isinstance(node, str) and node.startswith("@")):
            return node
        try:
            node = entry(config, node[1:])
        except LookupError:
            return None
    return None


def _named(value: Any) -> Literal["softmax", "sigmoid"] | None:
    """The activation that a function's text or a module's name says, of the class axis."""
    if isinstance(value, Mapping):
        name, axis = str(value.get("_target_", "")).rpartition(".")[2], value.get("dim", 1)
        if name not in _MODULES:
            return None
    elif isinstance(value, str) and (said := _NAMED.match(value)):
        name = said["name"]
        axis = next(iter(re.findall(r"dim\s*=\s*(-?\d+)", said["arguments"] or "")), 1)
    else:
        return None
    if name.lower() != "softmax":
        return "sigmoid"
    # Over a batch of one vector each; on another axis it is another function.
    return "softmax" if str(axis) in ("0", "1", "-1") else None


def _flag(value: Any) -> bool | None:
    """Whether an argument is true; None where it is a text that says neither."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lstrip("$").strip().lower())
    return value is True or value == 1
