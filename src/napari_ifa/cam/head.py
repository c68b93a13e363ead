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
        # All of J, `[C, F, *ones]`, if it was found among the parameters.
        self._pooled: Tensor | None = None

    @classmethod
    def tested(
        cls, probes: Tensor, logits: Tensor, matrices: Sequence[Tensor] = ()
    ) -> AffineHead | None:
        """The head behind `logits [3, C]` of `probes [3, F, *grid]`; None if it is not affine.

        `matrices [C, F]` are guesses: what global average pooling might be followed by. One that
        gives every class's logit of the random probe, is J times the number of voxels, and no
        backward pass is needed to know all its rows.
        """
        zero, plus, minus = logits.detach()
        head = cls(zero.clone(), probes[1].clone(), plus - zero)
        if not head._near(plus - zero, zero - minus):
            return None
        voxels = probes.shape[2:].numel()
        mean = head._probe.flatten(1).mean(-1)
        for matrix in matrices:
            weights = matrix.to(head._probe)
            if head._near(weights @ mean, head._response):
                ones = [1] * (probes.ndim - 2)
                head._pooled = (weights / voxels).reshape(*weights.shape, *ones)
                break
        return head

    def learn(self, classes: Sequence[int], gradients: Gradients) -> bool:
        """Take in the missing rows of J; False if they contradict the probes' logits.

        `gradients(classes)` gives blocks `[k, F, *grid]` of the gradients of those classes' logits
        for one real case, in order.
        """
        if self._pooled is not None:
            return True
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
        """Rows of J, `[k, F, *grid]`, of classes that are in order, without repetition.

        The grid axes have length 1 if J is constant over voxels.
        """
        if self._pooled is not None:
            every = len(classes) == len(self._pooled)
            return self._pooled if every else self._pooled[list(classes)]
        rows = [self._rows[index] for index in classes]
        if len({row.shape for row in rows}) > 1:
            rows = [row.expand(self._probe.shape) for row in rows]
        return torch.stack(rows)

    def explains(self, features: Tensor, logits: Tensor, classes: Sequence[int]) -> bool:
        """Whether offset + J·A gives these cases' logits `[B, C]`, for the classes asked for.

        It does not if there is a path around the target layer: offset or J then differ from case
        to case. `classes` are in order.
        """
        jacobian = self.jacobian(classes).flatten(2)
        pooled = jacobian.shape[-1] == 1
        values, rows = features.flatten(2), jacobian.flatten(1)
        columns = slice(None) if len(classes) == len(self.offset) else list(classes)
        offset = self.offset[columns]
        product = (values.sum(-1) if pooled else values.flatten(1)) @ rows.T
        error = (logits[:, columns] - offset - product).abs()
        tolerance = _tolerance(logits)
        # The sum is often enough of a bound, and costs nothing; where its terms cancel, the sum of
        # their magnitudes is the one.
        doubtful = (~(error <= tolerance * (offset.abs() + product.abs()))).any(0)
        if not doubtful.any():
            return True
        size = values.abs().sum(-1) if pooled else values.abs().flatten(1)
        bound = offset[doubtful].abs() + size @ rows[doubtful].abs().T
        return bool((error[:, doubtful] <= tolerance * bound).all())

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
