"""The head, the part of a network after the target layer: is it affine in the features?

A head y = offset + J·A (global pooling and a linear layer, say) has the same Jacobian J for every
case, so one backward pass serves a whole cohort, and its masked logits are exact sums. Whether a
head is affine is found out by numbers, never guessed from names: three made-up cases, a zero A, a
large random A and its negative, ride through the head with the first batch, and every later batch
is checked against offset + J·A before J is used for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

# Blocks [k, F, *grid] of gradients of the classes asked for.
Gradients = Callable[[list[int]], Iterator[Tensor]]
# Twice the rounding of a head of many layers, far below the kink of any activation function.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
# So large that every ReLU behind the features changes sides between R and -R.
_PROBE_SIZE = 8.0


@contextmanager
def full_precision(tensor: Tensor) -> Iterator[None]:
    """Plain arithmetic on the tensor's device, whatever autocast or inference mode the caller has.

    Without it autocast would round a map's sums, and the backward pass, to 8 bits.
    """
    with torch.inference_mode(False), torch.autocast(tensor.device.type, enabled=False):
        yield


def probe_features(features: Tensor) -> Tensor:
    """Three made-up cases for the head, `[3, F, *grid]`: 0, R and -R.

    R is random and seeded. It has a part that is constant over the voxels, so that it survives
    pooling, and one that is not.
    """
    generator = torch.Generator().manual_seed(0)
    shape = features.shape[1:]
    constant = torch.randn((shape[0], *[1] * (len(shape) - 1)), generator=generator)
    varying = torch.randn(tuple(shape), generator=generator)
    size = features.abs().max()
    size = torch.where((size > 0) & size.isfinite(), size, torch.ones_like(size)) * _PROBE_SIZE
    probe = (constant + varying).to(features) * size
    return torch.stack([torch.zeros_like(probe), probe, -probe])


class AffineHead:
    """A head that passed the test: y = offset + J·A, with the rows of J known so far."""

    def __init__(self, offset: Tensor, probe: Tensor, response: Tensor) -> None:
        """`offset [C]`: logits of zeroed features; `response [C]`: logits of `probe` - offset."""
        self.offset = offset
        self._probe = probe
        self._response = response
        self._rows: dict[int, Tensor] = {}

    @classmethod
    def tested(cls, probes: Tensor, logits: Tensor) -> AffineHead | None:
        """The head behind `logits [3, C]` of `probes [3, F, *grid]`; None if it is not affine."""
        zero, plus, minus = logits.detach()
        head = cls(zero.clone(), probes[1].clone(), plus - zero)
        return head if head._near(plus - zero, zero - minus) else None

    def learn(self, classes: Sequence[int], gradients: Gradients) -> bool:
        """Take in the missing rows of J; False if they contradict the probes' logits.

        `gradients(classes)` gives blocks `[k, F, *grid]` of the gradients of those classes' logits
        for one real case, in order.
        """
        missing = sorted(set(classes) - self._rows.keys())
        done = 0
        for block in gradients(missing) if missing else ():
            part = missing[done : done + len(block)]
            response = block.flatten(1) @ self._probe.flatten()
            if not self._near(response, self._response[part]):
                return False
            self._rows.update(zip(part, _pooled(block), strict=True))
            done += len(block)
        return True

    def jacobian(self, classes: Sequence[int]) -> Tensor:
        """Rows of J, `[k, F, *grid]`; the grid axes have length 1 if J is constant over voxels."""
        rows = [self._rows[index] for index in classes]
        if len({row.shape for row in rows}) > 1:
            rows = [row.expand(self._probe.shape) for row in rows]
        return torch.stack(rows)

    def explains(self, features: Tensor, logits: Tensor, classes: Sequence[int]) -> bool:
        """Whether offset + J·A gives these cases' logits `[B, C]`, for the classes asked for.

        It does not if there is a path around the target layer: offset or J then differ from case
        to case.
        """
        jacobian = self.jacobian(classes).flatten(2)
        values = features.flatten(2)
        if jacobian.shape[-1] == 1:
            size = values.abs().sum(-1, keepdim=True)
            values = values.sum(-1, keepdim=True)
        else:
            size = values.abs()
        values, size = values.flatten(1), size.flatten(1)
        rows = jacobian.flatten(1)
        offset = self.offset[list(classes)]
        expected = offset + values @ rows.T
        bound = offset.abs() + size @ rows.abs().T
        error = (logits[:, list(classes)] - expected).abs()
        return bool((error <= _tolerance(logits) * bound).all())

    def _near(self, one: Tensor, other: Tensor) -> bool:
        bound = self._response.abs().max() + self.offset.abs().max() * 1e-2
        return bool(((one - other).abs() <= _tolerance(one) * bound).all())


def _pooled(rows: Tensor) -> Tensor:
    """Rows of J with grid axes of length one if each is the same at every voxel (pooling)."""
    flat = rows.flatten(2)
    if torch.equal(flat, flat[..., :1].expand_as(flat)):
        rows = flat[..., :1].reshape(*rows.shape[:2], *[1] * (rows.ndim - 2))
    return rows.clone()


def _tolerance(tensor: Tensor) -> float:
    return _TOLERANCE.get(tensor.dtype, 1e-2)
