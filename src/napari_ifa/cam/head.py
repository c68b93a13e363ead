"""The head, the part of a network after the target layer: is it affine in the features?

A head y = offset + J·A (global pooling and a linear layer, say) has the same Jacobian J for every
case, so one backward pass serves a whole cohort, and its masked logits are exact sums. Whether a
head is affine is found out by numbers, never guessed from names: three made-up cases, a zero A, a
random A and its negative, ride through the head with the first batch, and every later batch
is checked against offset + J·A before J is used for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.instancenorm import _InstanceNorm

from napari_ifa.models.calling import CONVOLUTIONS, parameters_of

# Blocks [k, F, *grid] of gradients of the classes asked for.
Gradients = Callable[[list[int]], Iterator[Tensor]]
# Twice the rounding of a head of many layers, far below the kink of any activation function.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
# With these behind the layer a head is not affine; nor with an activation function, nor with
# convolutions that look at a voxel's neighbours, between which there is always one.
_NOT_AFFINE = (nn.LayerNorm, nn.GroupNorm, _InstanceNorm, nn.RNNBase)


@contextmanager
def full_precision(tensor: Tensor) -> Iterator[None]:
    """Plain arithmetic on the tensor's device, whatever autocast or inference mode the caller has.

    Without it autocast would round a map's sums, and the backward pass, to 8 bits.
    """
    with torch.inference_mode(False), torch.autocast(tensor.device.type, enabled=False):
        yield


def may_be_affine(network: nn.Module, layer: str) -> bool:
    """Whether the head is worth testing, as far as the modules named after the layer tell.

    The test costs the head three more cases, much behind an early layer. A head that is wrongly
    passed over is explained all the same, by its gradients.
    """
    names = [name for name, _ in network.named_modules(remove_duplicate=False)]
    inside = f"{layer}."
    after = [name for name in names[names.index(layer) + 1 :] if not name.startswith(inside)]
    return not any(_bends(network.get_submodule(name)) for name in after)


def _bends(module: nn.Module) -> bool:
    if isinstance(module, CONVOLUTIONS):
        return max(module.kernel_size) > 1
    # torch's and MONAI's activation functions each have a module of that name.
    activation = type(module).__module__.endswith(".activation")
    return activation or isinstance(module, _NOT_AFFINE)


def probe_features(features: Tensor) -> Tensor:
    """Three made-up cases for the head, `[3, F, *grid]`: 0, R and -R.

    R is random and seeded, no larger than the features, which would otherwise no longer set the
    scale for a head that divides by their largest. It has a part that is constant over the voxels,
    so that it survives pooling, and one that is not.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    shape = features.shape[1:]
    ones = [1] * (len(shape) - 1)
    constant, varying = (
        2 * torch.rand(size, generator=generator, device="cpu", dtype=torch.float32) - 1
        for size in ((shape[0], *ones), tuple(shape))
    )
    size = features.abs().max()
    size = torch.where((size > 0) & size.isfinite(), size, torch.ones_like(size))
    probe = (0.75 * constant + 0.25 * varying).to(features) * size
    return torch.stack([torch.zeros_like(probe), probe, -probe])


def candidate_matrices(modules: list[nn.Module], classes: int, features: int) -> list[Tensor]:
    """The modules' parameters that could be the matrix `[C, F]` of a pooled linear head."""
    return [
        parameter.detach().flatten(1)
        for parameter in parameters_of(modules)
        if parameter.shape[:2] == (classes, features) and parameter.numel() == classes * features
    ]


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
    def tested(cls, probes: Tensor, logits: Tensor) -> AffineHead | None:
        """The head behind `logits [3, C]` of `probes [3, F, *grid]`; None if it is not affine."""
        zero, plus, minus = logits.detach()
        head = cls(zero.clone(), probes[1].clone(), plus - zero)
        bound = head._response.abs().max() + head.offset.abs().max() * 1e-2
        same = _near(plus - zero, zero - minus, bound)
        return head if same else None

    def find(self, matrices: Sequence[Tensor], weights: Tensor, gradient: Tensor) -> None:
        """Look for J among `matrices [C, F]`, which global average pooling might be followed by.

        One is J times the number of voxels if it gives every class's logit of the random probe, and
        the `gradient [F, *grid]` of a random sum of the logits, with these `weights [C]`, of a real
        case. Then no backward pass is needed to know all the rows of J.
        """
        voxels = self._probe[0].numel()
        mean, flat = self._probe.flatten(1).mean(-1), gradient.flatten(1)
        for matrix in matrices:
            rows = matrix.to(self._probe)
            size = rows.abs()
            if not _near(rows @ mean, self._response, size @ mean.abs()):
                continue
            expected, bound = weights @ rows / voxels, weights.abs() @ size / voxels
            if _near(flat, expected[:, None], bound[:, None]):
                ones = [1] * (self._probe.ndim - 1)
                self._pooled = (rows / voxels).reshape(*rows.shape, *ones)
                return

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
            rows, probe = block.flatten(1), self._probe.flatten()
            # A bound for each class: beside large logits the error of small ones would be lost.
            bound = rows.abs() @ probe.abs() + self.offset[part].abs()
            if not _near(rows @ probe, self._response[part], bound):
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


def _near(one: Tensor, other: Tensor, bound: Tensor) -> bool:
    return bool(((one - other).abs() <= _tolerance(one) * bound).all())


def _pooled(rows: Tensor) -> Tensor:
    """Rows of J with grid axes of length one if each is the same at every voxel (pooling)."""
    flat = rows.flatten(2)
    if torch.equal(flat, flat[..., :1].expand_as(flat)):
        rows = flat[..., :1].reshape(*rows.shape[:2], *[1] * (rows.ndim - 2))
    return rows.clone()


def _tolerance(tensor: Tensor) -> float:
    return _TOLERANCE.get(tensor.dtype, 1e-2)
