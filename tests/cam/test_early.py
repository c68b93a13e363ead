"""Mean and deviation of the first layers' channels, from the pass that runs anyway."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks import nets
from torch import Tensor, nn

from napari_ifa.cam import CutNetwork, class_activation


class Slices(nn.Module):
    """Cuts volumes into slices, case by case or slice by slice."""

    def __init__(self, case_by_case: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 3, padding=1)
        self.features = nn.Conv3d(2, 4, 1)
        self.linear = nn.Linear(4, 2)
        self.case_by_case = case_by_case

    def forward(self, x: Tensor) -> Tensor:
        cases, _, depth, rows, columns = x.shape
        order = (0, 2, 1, 3, 4) if self.case_by_case else (2, 0, 1, 3, 4)
        slices = self.first(x.permute(order).reshape(-1, 1, rows, columns))
        if self.case_by_case:
            volumes = slices.reshape(cases, depth, 2, rows, columns).permute(0, 2, 1, 3, 4)
        else:
            volumes = slices.reshape(depth, cases, 2, rows, columns).permute(1, 2, 0, 3, 4)
        return self.linear(torch.relu(self.features(volumes)).mean((2, 3, 4)))


def early(network: nn.Module, x: Tensor, layer: str) -> Tensor | None:
    with CutNetwork(network.eval(), layer, early=True) as cut:
        return class_activation(cut, x, class_idx="all").early


def test_numbers_of_a_convolution_and_its_relu_by_hand():
    network = nn.Sequential(
        nn.Conv1d(1, 1, 1, bias=False),
        nn.ReLU(inplace=True),
        nn.Conv1d(1, 2, 1),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(2, 2),
    )
    with torch.no_grad():
        network[0].weight.fill_(2.0)

    # Twice −1 1 −1 1 is −2 2 −2 2: mean 0, deviation 2. Of that 0 2 0 2: mean 1, deviation 1.
    found = early(network, torch.tensor([[[-1.0, 1.0, -1.0, 1.0]]]), "2")

    assert found.tolist() == [[[0.0, 1.0], [2.0, 1.0]]]


@pytest.mark.parametrize("dims", [2, 3])
def test_a_batch_has_the_numbers_of_its_cases(dims):
    torch.manual_seed(0)
    network = nets.DenseNet(
        dims, 2, 2, init_features=4, growth_rate=2, block_config=(1, 1), bn_size=1
    )
    x = torch.rand(3, 2, *[16] * dims)

    together = early(network, x, "features")

    assert together.shape == (3, 2, 8)
    for case, found in zip(x, together, strict=True):
        torch.testing.assert_close(early(network, case[None], "features")[0], found)


def test_slices_of_a_case_count_together():
    torch.manual_seed(0)
    network, x = Slices(case_by_case=True), torch.rand(3, 1, 4, 8, 8)
    with torch.no_grad():
        slices = network.first(x[1].movedim(1, 0))

    found = early(network, x, "features")

    torch.testing.assert_close(found[1, 0], slices.mean((0, 2, 3)))
    torch.testing.assert_close(found[1, 1], slices.movedim(1, 0).flatten(1).std(1, correction=0))


def test_slices_whose_cases_are_mixed_are_not_taken_for_one_anothers():
    torch.manual_seed(0)
    network, x = Slices(case_by_case=False), torch.rand(3, 1, 4, 8, 8)

    assert early(network, x, "features") is None
    assert early(network, x[:1], "features") is not None


def test_a_transformer_has_its_patch_embedding_alone():
    torch.manual_seed(0)
    network = nets.ViT(
        1, (16, 16), (4, 4), 12, 24, 2, 3, classification=True, num_classes=2, spatial_dims=2
    )

    found = early(network, torch.rand(2, 1, 16, 16), "norm")

    assert found.shape == (2, 2, 12)


def test_a_network_without_such_a_layer_has_none():
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = nn.AvgPool2d(2)
            self.linear = nn.Linear(1, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(self.features(x).mean((2, 3)))

    assert early(Plain(), torch.rand(2, 1, 8, 8), "features") is None


def test_nothing_is_taken_unless_it_is_asked_for_and_no_hook_stays():
    network = Slices(case_by_case=True).eval()
    x = torch.rand(2, 1, 4, 8, 8)

    assert class_activation(network, x, "features").early is None
    early(network, x, "features")
    assert not any(module._forward_hooks for module in network.modules())


def test_the_target_layer_may_be_the_first():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    x = torch.rand(2, 1, 8, 8)
    with torch.no_grad():
        output = network[0](x)

    found = early(network, x, "0")

    np.testing.assert_allclose(found[:, 0], output.mean((2, 3)), rtol=1e-5)
