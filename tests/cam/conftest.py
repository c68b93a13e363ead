"""Small networks for the engine's tests: every part that matters to the cut graph, nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class SmallNetwork(nn.Module):
    """Convolutions up to `stage`, then one of several heads; 6 features, 3 classes, input 8^n."""

    def __init__(self, dims: int, head: str, inplace: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(CONV[dims](1, 4, 3, padding=1), NORM[dims](4), nn.ReLU(inplace))
        self.stage = nn.Sequential(CONV[dims](4, 6, 3, stride=2, padding=1), NORM[dims](6))
        pool = [POOL[dims](1), nn.Flatten()]
        grid = 4**dims
        self.head = nn.Sequential(
            *{
                "linear": [*pool, nn.Linear(6, 3)],
                "flatten": [nn.Flatten(), nn.Linear(6 * grid, 3)],
                "mlp": [nn.ReLU(inplace), *pool, nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)],
                "conv": [
                    nn.ReLU(inplace),
                    CONV[dims](6, 5, 3),
                    nn.ReLU(inplace),
                    nn.Flatten(),
                    nn.Linear(5 * 2**dims, 3),
                ],
                "one output": [*pool, nn.Linear(6, 1), nn.Flatten(0)],
            }[head]
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stage(self.first(x)))


@pytest.fixture
def small_network() -> Callable[..., nn.Module]:
    """make(dims, head="linear", inplace=False, seed=0): a seeded float64 network in train mode."""

    def make(dims: int, head: str = "linear", inplace: bool = False, seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        network = SmallNetwork(dims, head, inplace).double()
        for module in network.modules():  # a network that has been trained, not just made
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
        return network

    return make


@pytest.fixture
def images() -> Callable[..., Tensor]:
    """make(dims, cases): seeded float64 images `[cases, 1, 8, ...]`."""

    def make(dims: int, cases: int = 1, seed: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn((cases, 1, *[8] * dims), generator=generator, dtype=torch.float64)

    return make


class Hand(nn.Module):
    """Two features, x and 2x, then a given head: small enough for paper."""

    def __init__(self, head: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.features.weight = nn.Parameter(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1))
        self._head = head

    def forward(self, x: Tensor) -> Tensor:
        return self._head(self.features(x))


@pytest.fixture
def by_hand() -> Callable[[Callable[[Tensor], Tensor]], nn.Module]:
    """make(head): a network whose layer `features` gives [x, 2x] and whose logits are head(it)."""
    return Hand


@pytest.fixture
def same() -> Callable[..., None]:
    """same(a, b): equal to 1e-9 of the larger one's size, with equal shapes."""

    def check(one: Any, other: Any, rtol: float = 1e-9) -> None:
        assert one.shape == other.shape
        assert (one - other).abs().max() <= rtol * other.abs().max()

    return check
