"""Weights that fit a network by name and size, and yet are not what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from napari_ifa.errors import BundleError
from napari_ifa.models.problems import BundleProblem

if TYPE_CHECKING:
    import torch

#: Statistics that a normalization has gathered in training.
_STATISTICS = ("running_mean", "running_var")


def check_names(content: Mapping[str, Any], name: str) -> None:
    """BundleError where the file ``name`` has a weight with DataParallel's prefix and without."""
    doubled = next((key for key in content if f"module.{key}" in content), None)
    if doubled is not None:
        raise BundleError(BundleProblem.WEIGHTS_TWICE, file=name, weights=doubled)


def check_weights(state: Mapping[str, Any], network: torch.nn.Module, name: str) -> None:
    """Refuse weights that torch would load without a word and that give a wrong answer.

    ``state`` is the state dict of the file ``name``, by the names that the network has. Copying
    numbers into a network changes their type: quantized or complex weights would become floating
    point numbers of another meaning, and fractions would be cut off
    (https://github.com/pytorch/pytorch/issues/126000). Training in mixed precision may leave
    statistics in a normalization that are no numbers, and that only show when they are used
    (https://github.com/pytorch/pytorch/issues/88474), or not at all, behind a ReLU. Other buffers
    may well be infinite, as the masks of attention are. BundleError names the weight.
    """
    import torch

    own = network.state_dict()
    trained = {key for key, _ in network.named_parameters()}
    for key, value in state.items():
        target = own.get(key)
        if not isinstance(value, torch.Tensor) or not isinstance(target, torch.Tensor):
            continue
        # One stored value may stand for any number of them; what does not fit is refused as such.
        if value.shape != target.shape:
            continue
        if not _keeps_its_meaning(value, target.dtype):
            raise BundleError(
                BundleProblem.WEIGHTS_TYPE,
                file=name,
                weights=key,
                found=value.dtype,
                needed=target.dtype,
            )
        if key in trained or key.endswith(_STATISTICS):
            _refuse_not_finite(value, key, name)


def _refuse_not_finite(value: torch.Tensor, key: str, name: str) -> None:
    import torch

    if value.dtype.itemsize == 1:  # which torch cannot look through
        value = value.to(torch.float32)
    wrong = int((~torch.isfinite(value)).sum())
    if wrong:
        raise BundleError(
            BundleProblem.WEIGHTS_NOT_FINITE,
            file=name,
            weights=key,
            found=wrong,
            values=value.numel(),
        )


def _keeps_its_meaning(value: torch.Tensor, target: torch.dtype) -> bool:
    import torch

    if value.is_quantized or value.dtype.is_complex != target.is_complex:
        return False
    if target.is_complex or value.dtype == target:
        return True
    if target.is_floating_point:
        return value.dtype.is_floating_point
    # Counters and indices; batches that were counted may be stored as any whole number.
    whole = value.to(torch.float64)
    return bool((whole == value.to(target).to(torch.float64)).all())
