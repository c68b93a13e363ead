"""Gradients of the logits with respect to the features, from the graph of one batch's head."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from napari_ifa.errors import ExplanationError

# Numbers in one block of gradients, 16 MiB of float32: larger blocks fall out of the cache.
_BLOCK_SIZE = 2**22


class Pass:
    """One batch's forward pass: `features [B, F, *grid]`, `logits [B, C]`, and the head's graph.

    Features and logits are detached. The graph, and with it memory, is freed with the object.
    """

    def __init__(self, graphs: list[tuple[Tensor, Tensor, int]], layer: str) -> None:
        """`graphs`: logits and leaf of each group of cases, and how many of its rows are cases."""
        self._graphs = graphs
        self._layer = layer
        self.features = _joined([leaf.detach()[:cases] for _, leaf, cases in graphs])
        self.logits = _joined([logits.detach()[:cases] for logits, _, cases in graphs])

    def gradients(self, class_idx: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Gradients of the logits `class_idx [B, K]`, a block of columns of K at a time.

        Yields the columns and their gradients `[B, k, F, *grid]`: batched vector-Jacobian
        products, in blocks that fit memory. Raises ExplanationError if there is no gradient.
        """
        for columns in blocks(class_idx.shape[1], self.features.numel()):
            wanted = nn.functional.one_hot(class_idx[:, columns].T, self.logits.shape[1])
            parts, done = [], 0
            for logits, leaf, cases in self._graphs:
                vectors = logits.new_zeros((len(wanted), *logits.shape))
                vectors[:, :cases] = wanted[:, done : done + cases].to(logits)
                parts.append(self._products(logits, leaf, vectors)[:, :cases])
                done += cases
            yield columns, _joined(parts, 1).movedim(0, 1)

    def first_case_gradients(self, classes: list[int]) -> Iterator[Tensor]:
        """Gradients of these classes' logits for the first case, in blocks `[k, F, *grid]`."""
        logits, leaf, _ = self._graphs[0]
        for columns in blocks(len(classes), leaf.numel()):
            vectors = logits.new_zeros((len(classes[columns]), *logits.shape))
            vectors[range(len(vectors)), 0, classes[columns]] = 1
            yield self._products(logits, leaf, vectors)[:, 0]

    def _products(self, logits: Tensor, leaf: Tensor, vectors: Tensor) -> Tensor:
        """`vectors [k, n, C]` times the Jacobian of logits `[n, C]`: `[k, n, F, *grid]`."""
        if len(vectors) > 1:
            try:
                return self._product(logits, leaf, vectors, batched=True)
            except ExplanationError:
                # An operation that vmap cannot batch, or too little memory for all at once.
                pass
        return torch.stack([self._product(logits, leaf, vector) for vector in vectors])

    def _product(
        self, logits: Tensor, leaf: Tensor, vector: Tensor, batched: bool = False
    ) -> Tensor:
        gradient = _gradient(logits, leaf, vector, batched)
        if gradient is None:
            raise no_gradient(self._layer)
        return gradient


def rows_mix(logits: Tensor, leaf: Tensor) -> bool:
    """Whether the first case's logits depend on another case's features.

    True for a normalisation over the batch, for instance. Such a head must see one case at a time,
    or a case's map would depend on its neighbours.
    """
    first = torch.zeros_like(logits)
    first[0] = 1
    gradient = _gradient(logits, leaf, first)
    if gradient is None:
        return False
    # A head may divide by the zero probe's norm; that NaN is its own, not the first case's.
    return bool(torch.nan_to_num(gradient[1:], nan=0.0).any())


def _gradient(logits: Tensor, leaf: Tensor, vector: Tensor, batched: bool = False) -> Tensor | None:
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
        complaint = str(error).splitlines()[0].rstrip(".")
        raise ExplanationError(
            f"The gradient of the part after the target layer cannot be computed: {complaint}."
        ) from error
    return gradient


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of `count` things of `size` numbers each, so that a block stays within memory."""
    step = max(1, _BLOCK_SIZE // max(1, size))
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))


def no_gradient(layer: str) -> ExplanationError:
    """The error for a layer on which no logit depends."""
    return ExplanationError(
        f"The logits have no gradient with respect to layer '{layer}': the network's answer does"
        " not depend on it, so choose a layer on the way to the answer."
    )


def _joined(parts: list[Tensor], dim: int = 0) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
