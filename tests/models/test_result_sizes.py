"""How large a result of torch may be is told without running it, and without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from napari_ifa.models.result_sizes import most_bytes

IMAGES = torch.rand(2, 4, 12, 10)
VOLUMES = torch.rand(1, 2, 6, 7, 8)
OPERATIONS = {
    "convolution": lambda: functional.conv2d(
        IMAGES, torch.rand(6, 2, 3, 5), stride=2, padding=(1, 3), dilation=2, groups=2
    ),
    "transposed": lambda: functional.conv_transpose2d(
        IMAGES, torch.rand(4, 3, 3, 3), stride=5, padding=1, output_padding=2, groups=2
    ),
    "one stride for three axes": lambda: torch.convolution(
        VOLUMES, torch.rand(3, 2, 3, 3, 3), None, [2], [1], [1], False, [0], 1
    ),
    "batch norm": lambda: functional.batch_norm(IMAGES, None, None, training=True),
    "group norm": lambda: functional.group_norm(IMAGES, 2),
    "layer norm": lambda: functional.layer_norm(IMAGES, (10,)),
    "max pool": lambda: functional.max_pool2d(IMAGES, 3, stride=1, padding=1),
    "average pool": lambda: functional.avg_pool3d(VOLUMES, 2),
    "adaptive pool": lambda: functional.adaptive_avg_pool2d(IMAGES, (20, 30)),
    "outer sum": lambda: torch.rand(300, 1) + torch.rand(1, 200),
    "comparison": lambda: IMAGES > 0.5,
    "whole numbers divided": lambda: torch.ones(50, dtype=torch.uint8) / 3,
    "to float64": lambda: IMAGES.to(torch.float64),
    "sum of bytes": lambda: torch.ones(3, 50, dtype=torch.uint8).cumsum(1),
    "sort": lambda: IMAGES.sort(),
    "places": lambda: VOLUMES.nonzero(),
    "product": lambda: torch.rand(30, 2) @ torch.rand(2, 40),
    "products": lambda: torch.bmm(torch.rand(3, 30, 2), torch.rand(3, 2, 40)),
    "linear": lambda: functional.linear(torch.rand(7, 3), torch.rand(90, 3), torch.rand(90)),
    "interpolation": lambda: functional.interpolate(VOLUMES, scale_factor=3, mode="trilinear"),
    "nearest": lambda: functional.interpolate(IMAGES, size=(40, 50)),
    "sampling": lambda: functional.grid_sample(IMAGES, torch.zeros(2, 30, 20, 2)),
    "grid": lambda: functional.affine_grid(torch.eye(3, 4)[None], [1, 1, 9, 8, 7]),
    "repetition": lambda: IMAGES.repeat(3, 1, 2, 5),
    "joined": lambda: torch.cat([IMAGES, IMAGES]),
}


class _Compared(TorchDispatchMode):
    """Notes what was told of each operation beside what it made."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, int]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        most = most_bytes(func, args)
        result = func(*args, **(kwargs or {}))
        made = [one for one in tree_leaves(result) if isinstance(one, torch.Tensor)]
        if most is not None:
            self.told.append((most, sum(one.numel() * one.element_size() for one in made)))
        return result


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_is_never_larger_than_told_and_not_far_smaller(name: str) -> None:
    with _Compared() as compared:
        OPERATIONS[name]()
    assert compared.told
    assert all(made <= most for most, made in compared.told)
    most, made = max(compared.told, key=lambda pair: pair[1])
    assert most <= 32 * made


def test_loading_and_preprocessing_do_not_import_the_compiler_of_torch() -> None:
    code = (
        "import sys, napari_ifa as ifa\n"
        "model = ifa.load_classifier('sample_data/bundles/head_clean')\n"
        "model.preprocess(ifa.read_volume('sample_data/clean/head_001.nii.gz'))\n"
        "print([name for name in ('sympy', 'torch._dynamo') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
