"""Features and head gradients of a batch in one pass through a network cut at its target layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_ifa.cam.early import EarlyChannels
from napari_ifa.cam.finite import check_finite
from napari_ifa.cam.gradients import Graph, Pass, direction, gradient_of, rows_mix
from napari_ifa.cam.head import (
    AffineHead,
    candidate_matrices,
    full_precision,
    may_be_affine,
    probe_features,
)
from napari_ifa.cam.layer import Replacement, Substitute, layer_name
from napari_ifa.cam.memory import NoMemoryError, in_blocks
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.regions import Region
from napari_ifa.cam.targets import Function, HeadRefusedError, Reading
from napari_ifa.errors import ExplanationError
from napari_ifa.memory import lacks_memory
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
    network : any classifier, regressor or segmentation network; a DataParallel wrapper is looked
        through.
    layer : a dotted name, the module itself, or None for the recommendation of
        `candidate_layers`.
    output : index or key of the logits where the network returns a tuple or dict.
    region : what part of a segmentation is explained, see `regions.region_weights`.
    token_grid : the grid of a transformer's tokens, where it cannot be inferred.
    early : whether to take mean and deviation of the first layers' channels too, see `early`.
    """

    def __init__(
        self,
        network: nn.Module,
        layer: str | nn.Module | None = None,
        *,
        output: int | str | None = None,
        region: Region | None = None,
        token_grid: Sequence[int] | None = None,
        early: bool = False,
    ) -> None:
        self.network = unwrapped(network)
        self._layer = None if layer is None else layer_name(self.network, layer)
        self._output = output
        self._region = region
        self._token_grid = token_grid
        self._takes_early = early
        self._early = EarlyChannels([])
        self._stack: ExitStack | None = None
        self._modules: list[nn.Module] = []
        self._heads: dict[tuple[int, ...], AffineHead | None] = {}
        # Whether the head mixes the cases of a batch; None as long as it is not known.
        self._mixing: bool | None = None
        # How the outputs of the last batch are read.
        self._reading = Reading(output)

    def __enter__(self) -> CutNetwork:
        if any(parameter.is_inference() for parameter in self.network.parameters()):
            raise ExplanationError(ExplanationProblem.INFERENCE_MODE)
        self._stack = ExitStack()
        self._modules = self._stack.enter_context(undisturbed(self.network))
        # Some take their statistics from the batch also in eval mode.
        norms = [module for module in self._modules if isinstance(module, _BatchNorm)]
        self._mixing = True if any(norm.running_mean is None for norm in norms) else None
        self._early = EarlyChannels(self._modules if self._takes_early else [])
        return self

    def __exit__(self, *_: object) -> None:
        if self._stack is not None:
            self._stack.close()
        self._stack = None
        self._heads.clear()
        self._mixing = None
        self._reading = Reading(self._output)

    @property
    def layer(self) -> str:
        """The dotted name of the target layer; known after the first run if it was not given."""
        if self._layer is None:
            raise ExplanationError(ExplanationProblem.LAYER_NOT_CHOSEN)
        return self._layer

    def explaining(self, functions: tuple[Function, ...]) -> Reading:
        """The reading that explains what functions, one per case, give in place of classes."""
        if self._region is not None:
            raise ExplanationError(ExplanationProblem.REGION_AND_FUNCTION)
        return Reading(self._output, functions=functions)

    def prepared(self, x: Any) -> Any:
        """The inputs as plain tensors, and the target layer chosen if none was given."""
        if self._stack is None:
            raise ExplanationError(ExplanationProblem.NOT_OPEN)
        with torch.inference_mode(False):
            inputs = plain_inputs(x)
        if not len(first_tensor(inputs)):
            raise ExplanationError(ExplanationProblem.NO_CASE)
        if self._layer is None:
            candidates = candidate_layers(self.network, inputs, self._output, self._token_grid)
            self._layer = next(layer.name for layer in candidates if layer.recommended)
        return inputs

    def run(self, x: Any, reading: Reading | None = None) -> Pass:
        """One forward pass over `x [B, C, *spatial]` (or a tuple or dict of tensors).

        Works under `torch.no_grad`, `torch.inference_mode` and autocast of the caller; under
        autocast the head is computed in float32. A batch that does not fit memory is halved.
        With a `reading`, logits are read by it: by functions in place of classes, or, for other
        images of the same cases, as in the pass that it comes from, regions included.

        Raises
        ------
        ExplanationError
            The layer or the input does not fit, features or logits are not finite, or no logit
            depends on the layer.
        """
        inputs = self.prepared(x)
        cases = len(first_tensor(inputs))
        with torch.inference_mode(False), torch.enable_grad():
            known = self._mixing
            parts = self._parts(inputs, cases, 1 if known else cases, reading)
            if self._mixing and not known:  # just found, and made-up cases were in the batch
                parts = self._parts(inputs, cases, 1, reading)
        self._reading = parts[0][1]
        for _, part in parts[1:]:
            self._reading = self._reading.joined(part)
        result = Pass([graph for graph, _ in parts], self._reading, self.layer)
        check_finite(result.features, f"the output of layer '{self.layer}'")
        check_finite(result.logits, "the network's logits")
        return result

    def scores(self, inputs: Any, cases: Tensor, network: nn.Module | None = None) -> Tensor:
        """Logits `[n, C]` of n inputs that go through the whole network, without gradients.

        `cases [n]` says which case of the last batch that was run each of them belongs to;
        `network` is one that gives the same, in place of this one.
        """
        with torch.inference_mode(False), torch.no_grad():
            try:
                output = call_network(network or self.network, inputs)
            except FORWARD_ERRORS as error:
                if lacks_memory(error):
                    raise
                raise input_error(self.network, inputs, error) from error
            return self._reading.values(output, cases)

    def constant_jacobian(self, result: Pass, classes: list[int]) -> Tensor | None:
        """Gradients that hold for every case, `[k, F, *grid]`, or None if there are none.

        They exist where the head is affine in the features. The grid axes have length one where
        the gradient is the same at every voxel (pooling).
        """
        grid = tuple(result.features.shape[1:])
        head = None if result.reading.functions else self._heads.get(grid)
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

            def doubled(output: Tensor) -> tuple[Tensor, Tensor]:
                nonlocal leaf
                leaf = torch.cat([output, -output]).detach().requires_grad_()
                return leaf.clone(), same_case(output, 2)

            # A head that refuses two cases for one raises, which settles nothing about mixing.
            with torch.inference_mode(False), torch.enable_grad(), suppress(HeadRefusedError):
                case = plain_inputs(inputs, slice(0, 1))
                logits = self.forward(
                    case, doubled, self.reading(case, 0, len(first_tensor(inputs)))
                )
                with full_precision(leaf):
                    self._mixing = logits.requires_grad and rows_mix(logits, leaf)
        return bool(self._mixing)

    def reading(self, inputs: Any, case: int = 0, batch: int | None = None) -> Reading:
        """How to read the outputs for these inputs.

        They are a whole batch, or one case of a batch of that many. Costs one forward pass where a
        region of a segmentation is explained.
        """
        if self._region is None:
            return Reading(self._output)
        with torch.no_grad():
            output, rows = self._raw(inputs, lambda features: (features, every_case(features)))
        block = slice(case, case + len(rows))
        return Reading.of(output, self._output, self._region, block, batch or len(rows))

    def forward(self, inputs: Any, substitute: Substitute, reading: Reading) -> Tensor:
        """Logits `[n, C]` with the layer's output replaced by `substitute(output)`, n rows.

        Raises HeadRefusedError if the rest of the network cannot take n rows.
        """
        output, cases = self._raw(inputs, substitute)
        return reading.values(output, cases)

    def _raw(self, inputs: Any, substitute: Substitute) -> tuple[Any, Tensor]:
        """What the network returns for the substituted features, and the case of each row."""
        replacement = Replacement(self.network, self.layer, inputs, substitute, self._token_grid)
        device = first_tensor(inputs).device.type
        handle = self.network.get_submodule(self.layer).register_forward_hook(replacement)
        try:
            with torch.autocast(
                device,
                dtype=torch.get_autocast_dtype(device),
                enabled=torch.is_autocast_enabled(device),
            ):
                output = call_network(self.network, inputs)
        except ExplanationError:
            raise
        except Exception as error:
            cases, rows = len(first_tensor(inputs)), replacement.cases
            if lacks_memory(error):
                raise NoMemoryError(
                    ExplanationProblem.NO_MEMORY,
                    device=str(device),
                    work=f"{cases} cases of this size",
                ) from error
            if rows is not None and len(rows) != cases:
                raise HeadRefusedError(
                    ExplanationProblem.ROWS_OF_HEAD, layer=self.layer, given=len(rows), cases=cases
                ) from error
            if not isinstance(error, FORWARD_ERRORS):
                raise
            raise input_error(self.network, inputs, error) from error
        finally:
            handle.remove()
        if replacement.cases is None:
            raise ExplanationError(ExplanationProblem.LAYER_NOT_REACHED, layer=self.layer)
        return output, replacement.cases

    def _parts(
        self,
        inputs: Any,
        cases: int,
        length: int,
        reading: Reading | None,
    ) -> list[tuple[Graph, Reading]]:
        """The graphs of a batch in parts of up to `length` cases, fewer where memory is short."""

        def part(block: slice) -> tuple[Graph, Reading]:
            known = None if reading is None else reading.part(block)
            return self._graph(plain_inputs(inputs, block), block, cases, known)

        return [graph for _, graph in in_blocks(cases, length, part, what="cases")]

    def _graph(
        self, inputs: Any, block: slice, batch: int, known: Reading | None
    ) -> tuple[Graph, Reading]:
        """The graph of the head for a block of the batch's cases, and how to read them.

        Sets `_mixing` and `_heads` if they can be known.
        """
        cases = len(first_tensor(inputs))
        leaf, probes = torch.empty(0), torch.empty(0)

        def cut(output: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal leaf, probes
            features = output.detach()
            probed = self._worth_probing(features) and not (known and known.functions)
            probes = probe_features(features) if probed else features[:0]
            leaf = torch.cat([features, probes]).requires_grad_()
            # The head gets a copy, so that an activation in place cannot spoil the features.
            return leaf.clone(), torch.cat([every_case(features), same_case(probes)])

        def forward() -> tuple[Tensor, Reading]:
            with self._early.watched(cases):
                output, rows = self._raw(inputs, cut)
            reading = known or Reading.of(output, self._output, self._region, block, batch)
            return reading.values(output, rows), reading

        try:
            logits, reading = forward()
        except HeadRefusedError:
            if not len(probes):
                raise
            # A path around the layer brings the input's own number of cases: go without probes.
            self._heads[tuple(leaf.shape[1:])] = None
            logits, reading = forward()
        if not logits.requires_grad:
            if reading.functions:
                raise ExplanationError(ExplanationProblem.FUNCTION_WITHOUT_GRADIENT)
            raise ExplanationError(ExplanationProblem.NO_GRADIENT, layer=self.layer)
        if self._mixing is None and len(leaf) > 1:
            with full_precision(leaf):
                self._mixing = rows_mix(logits, leaf)
        if len(probes) and not self._mixing:
            self._heads[tuple(leaf.shape[1:])] = self._head(logits, leaf, probes)
        early = self._early.of_cases(
            cases, lambda: call_network(self.network, plain_inputs(inputs, slice(0, 1)))
        )
        return Graph(logits, leaf, cases, early), reading

    def _worth_probing(self, features: Tensor) -> bool:
        grid = tuple(features.shape[1:])
        if grid in self._heads or self._mixing or math.prod(grid) > _LARGEST_PROBE:
            return False
        return may_be_affine(self.network, self.layer)

    def _head(self, logits: Tensor, leaf: Tensor, probes: Tensor) -> AffineHead | None:
        """What the probes, the last rows, and one gradient of the first case tell of the head."""
        with full_precision(leaf):
            head = AffineHead.tested(probes, logits[-len(probes) :])
            if head is None:
                return None
            matrices = candidate_matrices(self._modules, logits.shape[1], leaf.shape[1])
            weights, vector = direction(logits), torch.zeros_like(logits)
            vector[0] = weights
            gradient = gradient_of(logits, leaf, vector) if matrices else None
            if gradient is not None:
                head.find(matrices, weights, gradient[0])
        return head


@contextmanager
def opened(
    network: nn.Module | CutNetwork,
    layer: str | nn.Module | None,
    output: int | str | None,
    region: Region | None,
    token_grid: Sequence[int] | None,
) -> Iterator[CutNetwork]:
    """The network cut at the layer; one that is open already has these settings of its own."""
    if not isinstance(network, CutNetwork):
        with CutNetwork(network, layer, output=output, region=region, token_grid=token_grid) as cut:
            yield cut
    elif any(value is not None for value in (layer, output, region, token_grid)):
        raise ExplanationError(ExplanationProblem.SETTINGS_FIXED)
    else:
        yield network


def every_case(rows: Tensor) -> Tensor:
    """Each row is another case: `[0, 1, …]`."""
    return torch.arange(len(rows), device=rows.device)


def same_case(rows: Tensor, times: int = 1) -> Tensor:
    """Every row, or each of `times` copies of them, belongs to the first case."""
    return torch.zeros(len(rows) * times, dtype=torch.long, device=rows.device)
