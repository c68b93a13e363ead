"""A bundle's weights: a plain state dict, read without running what a pickle could ask for."""

from __future__ import annotations

import hashlib
import pickletools
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch
from torch import nn

from napari_ifa.errors import BundleError
from napari_ifa.models.cost import NetworkBudget
from napari_ifa.models.problems import BundleProblem

#: Bytes of the pickle that says which tensor is where; DenseNet264 with 1591 tensors has 240 kB,
#: three times as much with the state of its optimizer. A thousand tensors take a fifth of a second.
_MOST_PICKLE = 2**20
#: Bytes in the file for the smallest tensor, with its name and place.
_LEAST_BYTES = 128
#: Names of weights for each that the network has.
_MOST_NAMES = 3
#: Pickles before the values in the format of torch before 1.6: magic number, protocol, system,
#: state dict, names of the values.
_LEGACY_PICKLES = 5
#: What makes as many bytes as a number says, and what walks through as many.
_OF_ANY_SIZE = re.compile(r"(__builtin__|builtins) bytearray|torch(\.\w+)* \w+Tensor")
_WALKS = re.compile(r"collections Counter|(__builtin__|builtins) set")
#: Statistics that a normalization has gathered in training.
_STATISTICS = ("running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Weights:
    """A state dict by the names that the network has, and its file."""

    path: Path
    state: Mapping[str, torch.Tensor]

    @property
    def budget(self) -> NetworkBudget:
        """How large the network can be that was trained to have these."""
        size = self.path.stat().st_size
        # Many names may stand for one tensor, and each that is stored takes its bytes.
        return NetworkBudget(min(len(self.state), size // _LEAST_BYTES), size)

    def load_into(self, network: nn.Module) -> str:
        """Give the network its weights; returns the SHA-256 of their file.

        BundleError where names, shapes or types are others than the network's, or a weight is not
        finite.
        """
        check_weights(self.state, network, self.path.name)
        try:
            # torch looks for each name that it does not know among all.
            if len(self.state) > _MOST_NAMES * (1 + len(network.state_dict())):
                raise ValueError("far more names than the network has")
            network.load_state_dict(self.state)
        except Exception as error:
            raise BundleError(BundleProblem.WEIGHTS_DO_NOT_FIT, file=self.path.name) from error
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> Weights:
    """Open a file of weights; values stay in the file until they are used, where it can be mapped.

    BundleError where the file is no plain state dict, or unpacks to far more than it holds.
    """
    try:
        mapped = _checked(path)
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except BundleError:
        raise
    except Exception as error:
        raise BundleError(BundleProblem.NOT_PLAIN_WEIGHTS, file=path.name) from error
    for key in ("state_dict", "model", "network"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise BundleError(BundleProblem.NO_STATE_DICT, file=path.name)
    doubled = next((key for key in content if f"module.{key}" in content), None)
    if doubled is not None:  # DataParallel's prefix
        raise BundleError(BundleProblem.WEIGHTS_TWICE, file=path.name, weights=doubled)
    state = {str(name).removeprefix("module."): value for name, value in content.items()}
    return Weights(path, state)


def _checked(path: Path) -> bool:
    """Refuse a file that costs far more than its size; says whether it can be mapped."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            for _ in range(_LEGACY_PICKLES):
                _check_pickle(file, path.name)
        return False
    size = path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # torch stores; what another program packed again is unpacked into memory.
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > 4 * size + 2**20:
            raise BundleError(
                BundleProblem.WEIGHTS_UNPACK,
                file=path.name,
                megabytes=size / 1e6,
                unpacked=unpacked / 1e6,
            )
        for entry in entries:
            if entry.filename.endswith("/data.pkl") or entry.filename == "data.pkl":
                if entry.file_size > _MOST_PICKLE:
                    raise BundleError(BundleProblem.WEIGHTS_HOLD_MORE, file=path.name)
                with archive.open(entry) as file:
                    _check_pickle(file, path.name)
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)


def _check_pickle(file: IO[bytes], name: str) -> None:
    """Refuse a pickle that is large or makes something large; nothing of it is made here."""
    start = file.tell()
    named = set()
    for code, argument, position in pickletools.genops(file):
        if (position or 0) - start > _MOST_PICKLE:
            raise BundleError(BundleProblem.WEIGHTS_HOLD_MORE, file=name)
        if code.name == "GLOBAL":
            named.add(str(argument))
    # A plain Tensor alone is asked for where one has attributes.
    walks = any(_WALKS.fullmatch(what) for what in named)
    if any(_OF_ANY_SIZE.fullmatch(what) or (what == "torch Tensor" and walks) for what in named):
        raise BundleError(BundleProblem.WEIGHTS_HOLD_MORE, file=name)


def check_weights(state: Mapping[str, Any], network: nn.Module, name: str) -> None:
    """Refuse weights that torch would load without a word and that give a wrong answer.

    ``state`` is the state dict of the file ``name``, by the names that the network has. Copying
    numbers into a network changes their type: quantized or complex weights would become floating
    point numbers of another meaning, and fractions would be cut off
    (https://github.com/pytorch/pytorch/issues/126000). Training in mixed precision may leave
    statistics in a normalization that are no numbers, and that only show when they are used
    (https://github.com/pytorch/pytorch/issues/88474), or not at all, behind a ReLU. Other buffers
    may well be infinite, as the masks of attention are. BundleError names the weight.
    """
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
        if key not in trained and not key.endswith(_STATISTICS):
            continue
        # torch cannot look through types of one byte.
        seen = value.to(torch.float32) if value.dtype.itemsize == 1 else value
        wrong = int((~torch.isfinite(seen)).sum())
        if wrong:
            raise BundleError(
                BundleProblem.WEIGHTS_NOT_FINITE,
                file=name,
                weights=key,
                found=wrong,
                values=value.numel(),
            )


def _keeps_its_meaning(value: torch.Tensor, target: torch.dtype) -> bool:
    if value.is_quantized or value.dtype.is_complex != target.is_complex:
        return False
    if target.is_complex or value.dtype == target:
        return True
    if target.is_floating_point:
        return value.dtype.is_floating_point
    # Counters and indices; batches that were counted may be stored as any whole number.
    whole = value.to(torch.float64)
    return bool((whole == value.to(target).to(torch.float64)).all())
