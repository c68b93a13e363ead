"""Features and head gradients of a batch in one pass through a network cut at its target layer."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from napari_ifa.cam.gradients import Pass, no_gradient, rows_mix
from napari_ifa.cam.head import AffineHead, full_precision, probe_features
from napari_ifa.cam.targets import logits_of
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import (
    FORWARD_ERRORS,
    call_network,
    first_tensor,
    input_error,
    plain_inputs,
    undisturbed,
    unwrapped,
)
from napari_ifa.models.layers import candidate_layers

# Probing a head costs it three more cases, once; on maps larger than this that is not worth it.
_LARGEST_PROBE = 2**22


class HeadRefusedError(ExplanationError):
    """The part after the layer does not take a batch of another size than the network's input."""


class CutNetwork:
    """A network cut at its target layer, for one case or a whole cohort.

    ::

        with CutNetwork(network, "layer4") as cut:
            for x in batches:
                result = class_activation(cut, x, class_idx="all")

    Inside the block the network is in eval mode with frozen parameters and must not be changed or
    used by another thread; after it, also after an exception, it is as before. Each `run` is one
    forward pass, in which only the part after the layer (the head) builds a graph. What is learnt
    about the head is kept: if it is affine, its constant Jacobian is computed once, and later
    batches need no backward pass.

    Parameters
    ----------
    network : a classifier or regressor; a DataParallel wrapper is looked through.
    layer : a dotted name, the module itself, or None for the recommendation of
        `candidate_layers`.
    output : index or key of the logits where the network returns a tuple or dict.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | nn.Module | None = None,
        *,
        output: int | str | None = None,
    ) -> None:
        self.network = unwrapped(network)
        self._layer = None if layer is None else _layer_name(self.network, layer)
        self._output = output
        self._stack: ExitStack | None = None
        self._heads: dict[tuple[int, ...], AffineHead | None] = {}
        # Whether the head mixes the cases of a batch; None as long as it is not known.
        self._mixing: bool | None = None

    def __enter__(self) -> CutNetwork:
        if any(parameter.is_inference() for parameter in self.network.parameters()):
            raise ExplanationError(
                "The network's weights were made under torch.inference_mode, which forbids"
                " gradients: load the network outside of it."
            )
        self._stack = ExitStack()
        self._stack.enter_context(undisturbed(self.network))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            self._stack.close()
        self._stack = None
        self._heads.clear()
        self._mixing = None

    @property
    def layer(self) -> str:
        """The dotted name of the target layer; known after the first run if it was not given."""
        if self._layer is None:
            raise ExplanationError("The target layer is chosen with the first input.")
        return self._layer

    def prepared(self, x: Any) -> Any:
        """The inputs as plain tensors, and the target layer chosen if none was given."""
        if self._stack is None:
            raise ExplanationError("A CutNetwork is used inside a with block.")
        with torch.inference_mode(False):
            inputs = plain_inputs(x)
        if not len(first_tensor(inputs)):
            raise ExplanationError("The batch holds no case.")
        if self._layer is None:
            candidates = candidate_layers(self.network, inputs)
            self._layer = next(layer.name for layer in candidates if layer.recommended)
        return inputs

    def run(self, x: Any) -> Pass:
        """One forward pass over `x [B, C, *spatial]` (or a tuple or dict of tensors).

        Works under `torch.no_grad`, `torch.inference_mode` and autocast of the caller; under
        autocast the head is computed in float32.

        Raises
        ------
        ExplanationError
            The layer or the input does not fit, features or logits are not finite, or no logit
            depends on the layer.
        """
        inputs = self.prepared(x)
        with torch.inference_mode(False), torch.enable_grad():
            graphs = [] if self._mixing else self._graphs(inputs)
            if self._mixing:  # known before, or just found
                graphs = [graph for case in each_case(inputs) for graph in self._graphs(case)]
        result = Pass(graphs, self.layer)
        _check_finite(result.features, f"the output of layer '{self.layer}'")
        _check_finite(result.logits, "the network's logits")
        return result

    def constant_jacobian(self, result: Pass, classes: list[int]) -> Tensor | None:
        """Gradients that hold for every case, `[k, F, *grid]`, or None if there are none.

        They exist where the head is affine in the features. The grid axes have length one where
        the gradient is the same at every voxel (pooling).
        """
        grid = tuple(result.features.shape[1:])
        head = self._heads.get(grid)
        if head is None:
            return None
        with full_precision(result.logits):
            affine = head.learn(classes, result.first_case_gradients) and head.explains(
                result.features, result.logits, classes
            )
        if not affine:
            self._heads[grid] = None
            return None
        return head.jacobian(classes)

    def mixes_cases(self, inputs: Any) -> bool:
        """Whether a case's logits depend on the other cases of its batch."""
        if self._mixing is None:
            leaf = torch.empty(0)

            def doubled(output: Tensor) -> Tensor:
                nonlocal leaf
                leaf = torch.cat([output, -output]).detach().requires_grad_()
                return leaf.clone()

            # A head that refuses two cases for one raises, which settles nothing about mixing.
            with torch.inference_mode(False), torch.enable_grad(), suppress(HeadRefusedError):
                logits = self.forward(each_case(inputs)[0], doubled)
                with full_precision(leaf):
                    self._mixing = logits.requires_grad and rows_mix(logits, leaf)
        return bool(self._mixing)

    def forward(self, inputs: Any, substitute: Callable[[Tensor], Tensor]) -> Tensor:
        """Logits `[n, C]` with the layer's output replaced by `substitute(output)`, n cases.

        Raises HeadRefusedError if the rest of the network cannot take n cases.
        """
        calls, rows = 0, 0
        cases = len(first_tensor(inputs))
        device = first_tensor(inputs).device.type

        def replace(_module: nn.Module, _args: Any, output: Any) -> Tensor:
            nonlocal calls, rows
            calls += 1
            if calls > 1:
                raise ExplanationError(
                    f"Layer '{self.layer}' is called more than once in a forward pass: choose a"
                    " block around it."
                )
            features = _checked_output(self.layer, output, inputs)
            if torch.is_autocast_enabled(device):
                # Restored when the autocast block below is left.
                torch.set_autocast_enabled(device, False)
                features = features.float()
            features = substitute(features)
            rows = len(features)
            return features

        handle = self.network.get_submodule(self.layer).register_forward_hook(replace)
        try:
            with torch.autocast(
                device,
                dtype=torch.get_autocast_dtype(device),
                enabled=torch.is_autocast_enabled(device),
            ):
                output = call_network(self.network, inputs)
        except FORWARD_ERRORS as error:
            if rows != cases and calls:
                raise HeadRefusedError(
                    f"The part after layer '{self.layer}' does not take {rows} cases for {cases}."
                ) from error
            raise input_error(self.network, inputs, error) from error
        finally:
            handle.remove()
        if not calls:
            raise ExplanationError(
                f"Layer '{self.layer}' is not reached in a forward pass: choose another layer."
            )
        logits = logits_of(output, self._output)
        if len(logits) != rows:
            raise HeadRefusedError(
                f"The network gives {len(logits)} rows of logits for {rows} cases."
            )
        return logits

    def _graphs(self, inputs: Any) -> list[tuple[Tensor, Tensor, int]]:
        """Logits, leaf and number of cases of a batch; sets `_mixing` if that can be known."""
        cases = len(first_tensor(inputs))
        leaf, probes = torch.empty(0), torch.empty(0)

        def cut(output: Tensor) -> Tensor:
            nonlocal leaf, probes
            features = output.detach()
            grid = tuple(features.shape[1:])
            probed = grid in self._heads or self._mixing or math.prod(grid) > _LARGEST_PROBE
            probes = features[:0] if probed else probe_features(features)
            leaf = torch.cat([features, probes]).requires_grad_()
            # The head gets a copy, so that an activation in place cannot spoil the features.
            return leaf.clone()

        try:
            logits = self.forward(inputs, cut)
        except HeadRefusedError:
            if not len(probes):
                raise
            # A path around the layer brings the input's own number of cases: go without probes.
            self._heads[tuple(leaf.shape[1:])] = None
            logits = self.forward(inputs, cut)
        if not logits.requires_grad:
            raise no_gradient(self.layer)
        if self._mixing is None and len(leaf) > 1:
            with full_precision(leaf):
                self._mixing = rows_mix(logits, leaf)
            if self._mixing:
                return []
        if len(probes):
            head = AffineHead.tested(probes, logits[cases:])
            self._heads[tuple(leaf.shape[1:])] = head
        return [(logits, leaf, cases)]


def each_case(inputs: Any) -> list[Any]:
    """The cases of a batch, each as a batch of one."""
    return [plain_inputs(inputs, slice(i, i + 1)) for i in range(len(first_tensor(inputs)))]


def _layer_name(network: nn.Module, layer: str | nn.Module) -> str:
    # A module known by several names answers to each of them.
    names = dict(network.named_modules(remove_duplicate=False))
    names.pop("")
    if isinstance(layer, nn.Module):
        for name, module in names.items():
            if module is layer:
                return name
        raise ExplanationError("The target layer is not a module of this network.")
    if layer in names:
        return layer
    near = difflib.get_close_matches(layer, names, n=3, cutoff=0.5)
    near = near or [name for name in names if "." not in name]
    raise ExplanationError(
        f"The network has no layer '{layer}': did you mean {' or '.join(map(repr, near))}?"
        if near
        else f"The network has no layer '{layer}'."
    )


def _checked_output(layer: str, output: Any, inputs: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise ExplanationError(
            f"Layer '{layer}' gives {type(output).__name__}, not one tensor of features."
        )
    given = first_tensor(inputs)
    shape = list(output.shape)
    spatial = output.ndim == given.ndim and output.ndim > 2 and math.prod(output.shape[2:]) > 1
    if not spatial or len(output) != len(given) or not output.is_floating_point():
        raise ExplanationError(
            f"Layer '{layer}' has no spatial output: it gives {shape} for an input of shape"
            f" {list(given.shape)}, where [cases, features, grid of more than one voxel] is needed;"
            " choose an earlier layer."
        )
    return output


def _check_finite(values: Tensor, what: str) -> None:
    if bool(torch.isfinite(values.sum())):  # one pass in the usual case
        return
    wrong = ~torch.isfinite(values)
    count = int(wrong.sum())
    if count:
        cases = wrong.flatten(1).any(1).nonzero().flatten().tolist()
        raise ExplanationError(
            f"{count} of {values.numel()} values in {what} are not finite (NaN or infinite), in"
            f" case {', '.join(map(str, cases))} of the batch: check the image and its"
            " preprocessing."
        )
