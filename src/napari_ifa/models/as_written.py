"""Parts of a network that run in another way than written: checkpointed, compiled, recurrent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

# Attributes that turn gradient checkpointing on: MONAI's (SwinUNETR, AutoencoderKL; VQVAE),
# torchvision's (DenseNet), timm's, and that of the transformers library.
_CHECKPOINTING = (
    "use_checkpoint",
    "use_checkpointing",
    "memory_efficient",
    "grad_checkpointing",
    "gradient_checkpointing",
)
# Modules that only run the one module inside them: checkpointed (MONAI's CheckpointUNet,
# torch.distributed) or compiled (torch.compile of a part of the network).
_WRAPPERS = ("ActivationCheckpointWrapper", "CheckpointWrapper", "OptimizedModule")
# Exactly these: a class made from one of them may do more in training mode than drop out.
_RECURRENT = (nn.RNN, nn.LSTM, nn.GRU)
_ABSENT = object()


@contextmanager
def as_written(modules: Iterable[nn.Module]) -> Iterator[None]:
    """Every module just runs its forward for the length of the block, then everything as before.

    Gradient checkpointing would run parts of the network again in the backward pass, then without
    the hooks; a compiled part does not expect hooks to come and go. Reached are the switches and
    wrappers of the known libraries and `nn.Module.compile`. A forward that calls
    `torch.utils.checkpoint` on its own is not: that function belongs to the whole process, other
    threads included, and modules hold it under names of their own.

    torch's recurrent networks go back to training mode, without their dropout, which is the same
    forward: on CUDA they have no backward pass in eval mode.
    """
    before: list[tuple[dict[str, Any], str, Any]] = []
    try:
        for module in modules:
            own = vars(module)  # attributes of the instance come before methods of the class
            for name, value in _changes(module).items():
                before.append((own, name, own.get(name, _ABSENT)))
                own[name] = value
        yield
    finally:
        for own, name, value in before:
            if value is _ABSENT:
                own.pop(name, None)
            else:
                own[name] = value


def is_compiled(module: nn.Module) -> bool:
    """Whether this is what `torch.compile` has made of the module inside."""
    return type(module).__name__ == "OptimizedModule"


def _changes(module: nn.Module) -> dict[str, Any]:
    own = vars(module)
    changes: dict[str, Any] = {name: False for name in _CHECKPOINTING if own.get(name) is True}
    if own.get("_compiled_call_impl") is not None:
        changes["_compiled_call_impl"] = None
    if type(module).__name__ in _WRAPPERS:
        changes["forward"] = next(module.children()).__call__
    if type(module) in _RECURRENT:
        changes |= {"training": True, "dropout": 0.0}
    return changes
