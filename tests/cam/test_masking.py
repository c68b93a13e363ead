"""Masked predictions are those of the network with its features multiplied by the mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.cam import CutNetwork, bypassed, class_activation, masked_logits, memory
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused

X = torch.tensor([[1.0, 2.0], [3.0, 6.0]]).reshape(1, 1, 2, 2)
MASKS = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0], [1, 0, 1, 0, 0, 1]])


def by_hooks(network, layer, x, masks):
    """One honest forward per case and mask."""
    network.eval()
    rows = []
    for case in x.split(1):
        for mask in masks:
            scale = mask.to(x).reshape(1, -1, *[1] * (x.ndim - 2))
            handle = network.get_submodule(layer).register_forward_hook(
                lambda m, a, output, scale=scale: output * scale
            )
            rows.append(network(case).detach())
            handle.remove()
    return torch.stack(rows).reshape(len(x), len(masks), -1)


def test_masked_logits_by_hand(by_hand):
    # Features x and 2x, means 3 and 6; logit (3 m1 + 6 m2)^2.
    network = by_hand(lambda a: a.mean((2, 3)).sum(1, keepdim=True) ** 2)
    masks = np.array([[True, True], [True, False], [False, True], [False, False]])
    found = masked_logits(network, X, "features", masks)
    torch.testing.assert_close(found, torch.tensor([[[81.0], [9.0], [36.0], [0.0]]]))


@pytest.mark.parametrize("head", ["linear", "flatten", "mlp", "conv"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_masked_logits_are_those_of_masked_features(small_network, images, same, dims, head):
    network, batch = small_network(dims, head), images(dims, 3)
    found = masked_logits(network, batch, "stage", MASKS)
    same(found, by_hooks(network, "stage", batch, MASKS))
    same(found[:, 0], network(batch).detach())


@pytest.mark.parametrize("head", ["linear", "flatten"])
def test_additive_contributions_give_the_same_masked_logits(small_network, images, same, head):
    network, batch = small_network(3, head), images(3, 2)
    result = class_activation(network, batch, "stage", "pixelwise", "all")
    assert result.additive
    same(result.masked_logits(MASKS), masked_logits(network, batch, "stage", MASKS))


def test_many_masks_are_one_forward(small_network, images):
    network = small_network(3, "mlp")
    calls = []
    with CutNetwork(network, "stage") as cut:
        class_activation(cut, images(3, 2))  # two cases tell whether they mix
        network.first.register_forward_hook(lambda *_: calls.append(1))
        masked_logits(cut, images(3, 2), masks=torch.eye(6))
    assert len(calls) == 1


def test_masks_beyond_the_memory_block_give_the_same(small_network, images, same, monkeypatch):
    network, batch = small_network(3, "mlp"), images(3, 2)
    expected = masked_logits(network, batch, "stage", torch.eye(6))
    # Two cases of 6 x 4 x 4 x 4: now two masks fit a block, and then none.
    for block in (2 * 2 * 6 * 64, 1):
        monkeypatch.setattr(memory, "CPU_BLOCK", block)
        same(masked_logits(network, batch, "stage", torch.eye(6)), expected)


def test_a_path_around_the_layer_that_refuses_a_larger_batch(images, same):
    class Around(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = nn.Conv2d(1, 6, 3, padding=1)
            self.fc = nn.Linear(7, 2)

        def forward(self, x):
            return self.fc(torch.cat([self.stage(x), x], 1).relu().mean((2, 3)))

    torch.manual_seed(0)
    network, batch = Around().double(), images(2, 3)
    found = masked_logits(network, batch, "stage", MASKS)
    same(found, by_hooks(network, "stage", batch, MASKS))
    assert bypassed(network, batch, "stage")


def test_a_head_that_mixes_cases_predicts_them_one_by_one(small_network, images, same):
    network = small_network(2)
    network.head.insert(0, nn.BatchNorm2d(6, track_running_stats=False).double())
    batch = images(2, 3)
    found = masked_logits(network, batch, "stage", MASKS)
    same(found, by_hooks(network, "stage", batch, MASKS))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_no_path_around_the_layer_of_a_plain_network(small_network, images, head):
    network = small_network(2, head)
    assert not bypassed(network, images(2), "stage")
    assert not bypassed(network, images(2), "first")


def test_a_residual_shortcut_is_a_path_around_the_layer(images):
    from monai.networks.nets import resnet10

    torch.manual_seed(0)
    network = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2).double()
    x = torch.randn(1, 1, 32, 32, dtype=torch.float64)
    assert bypassed(network, x, "layer4.0.conv2")
    assert not bypassed(network, x, "layer4")


def test_masks_that_do_not_fit_are_refused(small_network, images):
    network = small_network(2)
    with refused(ExplanationError, Problem.MASK_SIZE, found=[2, 5], needed=6, layer="stage"):
        masked_logits(network, images(2), "stage", torch.ones(2, 5))
    for wrong in (torch.ones(6), torch.ones(0, 6), None):
        with refused(ExplanationError, Problem.MASK_SHAPE):
            masked_logits(network, images(2), "stage", wrong)


def test_network_is_left_in_train_mode(small_network, images):
    network = small_network(2)
    masked_logits(network, images(2), "stage", MASKS)
    bypassed(network, images(2), "stage")
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())


class Path(nn.Module):
    """A layer, pooled, and a path around it of some kind."""

    def __init__(self, join):
        super().__init__()
        self.stage = nn.Conv2d(1, 3, 1)
        self.table = nn.Embedding(5, 3)
        self._join = join

    def forward(self, x):
        image = x if x.is_floating_point() else x.float()
        return self._join(self, self.stage(image).mean((2, 3)), x)


PATHS = {
    "sum": lambda net, a, x: a + x.float().mean((2, 3)),
    "gate": lambda net, a, x: a * x.float().mean((2, 3)).sigmoid(),
    "table": lambda net, a, x: a + net.table(x.long().clamp(0, 4)).mean((1, 2, 3)),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", ["noise", "constant", "whole numbers"])
def test_paths_of_every_kind_are_noticed_for_every_image(path, kind):
    x = {
        "noise": 4 * torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(1)),
        "constant": torch.full((1, 1, 6, 6), 0.5),
        "whole numbers": torch.arange(36).reshape(1, 1, 6, 6) % 5,
    }[kind]
    torch.manual_seed(0)
    if kind == "constant" and path == "table":
        x = x * 4  # the table has a row for each whole number
    assert bypassed(Path(PATHS[path]), x, "stage")
    assert not bypassed(Path(lambda net, a, x: a.relu()), x, "stage")


def test_masked_logits_that_are_no_numbers_are_not_handed_on(small_network, images):
    batch = images(2, 2)
    batch[1, 0, 3, 3] = torch.nan
    with refused(ExplanationError, Problem.NOT_FINITE, cases=[1]):
        masked_logits(small_network(2, "mlp"), batch, "stage", MASKS)


def test_masks_that_are_no_numbers_are_a_sentence(small_network, images):
    with refused(ExplanationError, Problem.MASK_TYPE, found="str"):
        masked_logits(small_network(2), images(2), "stage", "top")


def test_a_feature_is_filled_with_a_value_by_hand(by_hand):
    # Features x and 2x, means 3 and 6, filled with 1 and −2: logit (first + second)^2.
    network = by_hand(lambda a: a.mean((2, 3)).sum(1, keepdim=True) ** 2)
    masks = np.array([[True, True], [False, True], [True, False], [False, False]])
    found = masked_logits(network, X, "features", masks, fill=np.array([1.0, -2.0]))
    torch.testing.assert_close(found, torch.tensor([[[81.0], [49.0], [1.0], [1.0]]]))


def test_every_mask_may_have_its_own_filling(by_hand):
    network = by_hand(lambda a: a.mean((2, 3)).sum(1, keepdim=True))
    masks = torch.tensor([[0, 1], [0, 1]])
    fill = torch.tensor([[0.0, 9.0], [10.0, 9.0]])
    found = masked_logits(network, X, "features", masks, fill=fill)
    torch.testing.assert_close(found, torch.tensor([[[6.0], [16.0]]]))


def test_filling_in_small_blocks_gives_the_same(small_network, images, same, monkeypatch):
    network, batch = small_network(3, "mlp"), images(3, 2)
    fill = torch.linspace(-1, 1, 36).reshape(6, 6)
    masks = 1 - torch.eye(6)
    expected = masked_logits(network, batch, "stage", masks, fill=fill)
    for block in (2 * 2 * 6 * 64, 1):
        monkeypatch.setattr(memory, "CPU_BLOCK", block)
        same(masked_logits(network, batch, "stage", masks, fill=fill), expected)


def test_a_filling_of_another_shape_is_refused(small_network, images):
    with refused(ExplanationError, Problem.FILL_SHAPE, found=[3, 5]):
        masked_logits(small_network(3, "mlp"), images(3, 2), "stage", MASKS, fill=torch.ones(5))
