"""Gradients of the logits with respect to the features, from the graph of one batch's head.

They also tell whether a network mixes the cases of a batch, as a normalisation over the batch does,
so that it must see them one at a time: a case's map would depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.memory import block_length, in_blocks
from napari_ifa.cam.problems import ExplanationProblem
from napari_ifa.cam.targets import Reading
from napari_ifa.errors import ExplanationError
from napari_ifa.memory import lacks_memory
from napari_ifa.plain import reason


@dataclass(frozen=True, eq=False)
class Graph:
    """Logits `[n, C]` of a head, as a graph over the leaf `[n, F, *grid]`.

    The first `cases` rows are cases of the batch; the others are made up. `early [cases, 2, E]` is
    what was taken of an early layer in the same pass.
    """

    logits: Tensor
    leaf: Tensor
    cases: int
    early: Tensor | None = None


class Pass:
    """One batch's forward pass: `features [B, F, *grid]`, `logits [B, C]`, and the head's graph.

    Features and logits are detached. The graph, and with it memory, is freed with the object.
    `early [B, 2, E]` is mean and deviation of an early layer's channels, where they were taken.
    """

    def __init__(self, graphs: list[Graph], reading: Reading, layer: str) -> None:
        self._graphs = graphs
        self._layer = layer
        # False once an operation of the head has turned out not to be batched by vmap.
        self._batched = True
        self.reading = reading
        self.features = _joined([graph.leaf.detach()[: graph.cases] for graph in graphs])
        self.logits = _joined([graph.logits.detach()[: graph.cases] for graph in graphs])
        early = [graph.early for graph in graphs if graph.early is not None]
        self.early = _joined(early) if len(early) == len(graphs) else None

    def gradients(self, explained: Contrast) -> Iterator[tuple[slice, Tensor]]:
        """Gradients of what is explained, K functions of the logits, a block of them at a time.

        Yields the columns and their gradients `[B, k, F, *grid]`: batched vector-Jacobian
        products, in blocks that fit memory. Raises ExplanationError if there is no gradient.
        """

        def block(columns: slice) -> Tensor:
            wanted = explained.columns(columns).rows(self.logits.shape[1], self.logits.dtype)
            parts, done = [], 0
            for graph in self._graphs:
                vectors = graph.logits.new_zeros((wanted.shape[1], *graph.logits.shape))
                cases = wanted[done : done + graph.cases]
                vectors[:, : graph.cases] = cases.movedim(1, 0).to(graph.logits)
                parts.append(self._products(graph, vectors)[:, : graph.cases])
                done += graph.cases
            return _joined(parts, 1).movedim(0, 1)

        length = block_length(self.features.numel(), self.features.device)
        yield from in_blocks(explained.count, length, block, what="classes")

    def first_case_gradients(self, classes: list[int]) -> Iterator[Tensor]:
        """Gradients of these classes' logits for the first case, in blocks `[k, F, *grid]`."""
        graph = self._graphs[0]

        def block(columns: slice) -> Tensor:
            vectors = graph.logits.new_zeros((len(classes[columns]), *graph.logits.shape))
            vectors[range(len(vectors)), 0, classes[columns]] = 1
            return self._products(graph, vectors)[:, 0]

        length = block_length(graph.leaf.numel(), graph.leaf.device)
        for _, gradients in in_blocks(len(classes), length, block, what="classes"):
            yield gradients

    def _products(self, graph: Graph, vectors: Tensor) -> Tensor:
        """`vectors [k, n, C]` times the Jacobian of logits `[n, C]`: `[k, n, F, *grid]`."""
        if len(vectors) > 1 and self._batched:
            try:
                return self._product(graph, vectors, batched=True)
            except GradientError:
                self._batched = False
        if len(vectors) == 1:
            return self._product(graph, vectors[0])[None]
        return torch.stack([self._product(graph, vector) for vector in vectors])

    def _product(self, graph: Graph, vector: Tensor, batched: bool = False) -> Tensor:
        gradient = gradient_of(graph.logits, graph.leaf, vector, batched)
        if gradient is None:
            raise ExplanationError(ExplanationProblem.NO_GRADIENT, layer=self._layer)
        return gradient


class GradientError(ExplanationError):
    """torch cannot differentiate the head, or not for a batch of vectors at once."""


def gradient_of(
    logits: Tensor, leaf: Tensor, vector: Tensor, batched: bool = False
) -> Tensor | None:
    """Gradient of `vector`·`logits`, or of each of a batch of vectors; None if there is none."""
    try:
        (gradient,) = torch.autograd.grad(
            logits,
            leaf,
            vector,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
    except RuntimeError as error:
        if lacks_memory(error):
            raise
        raise GradientError(ExplanationProblem.GRADIENT_FAILS, complaint=reason(error)) from error
    return gradient


def rows_mix(logits: Tensor, leaf: Tensor) -> bool:
    """Whether the first row of `logits [n, C]` depends on other rows of the leaf, or they on it.

    By the gradients of random sums: those of probabilities, which sum to one, would vanish.
    """
    weights = direction(logits)
    first, others = torch.zeros_like(logits), weights.expand_as(logits).clone()
    first[0], others[0] = weights, 0
    for vector, elsewhere in ((first, slice(1, None)), (others, slice(0, 1))):
        gradient = gradient_of(logits, leaf, vector)
        # A head may divide by the norm of a row of zeros; that NaN is that row's own.
        if gradient is not None and bool(torch.nan_to_num(gradient[elsewhere], nan=0.0).any()):
            return True
    return False


def direction(logits: Tensor) -> Tensor:
    """Random weights `[C]` of the classes, the same ones each time."""
    generator = torch.Generator("cpu").manual_seed(0)
    weights = torch.randn(logits.shape[1], generator=generator, device="cpu", dtype=torch.float32)
    return weights.to(logits)


def _joined(parts: list[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
