"""Networks that mix the cases of a batch see them one at a time, whatever their outputs sum to."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation, masked_logits
from napari_ifa.cam.gradients import rows_mix


class Body(nn.Module):
    """A layer of six features, then a head made of functions."""

    def __init__(self, head):
        super().__init__()
        self.body = nn.Conv2d(1, 6, 3, 2, 1)
        self.linear = nn.Linear(6, 3)
        self.recurrent = nn.GRU(6, 6)  # over its first axis
        self._head = head

    def forward(self, x):
        return self._head(self, self.body(x))


def normed(a):
    return nn.functional.batch_norm(a, None, None, training=True)


def pooled(a):
    return a.relu().mean((2, 3))


HEADS = {
    "raw": lambda net, a: net.linear(pooled(normed(a))),
    # The sum over the classes is one, whatever the neighbours are.
    "softmax": lambda net, a: net.linear(pooled(normed(a))).softmax(1),
    "centred": lambda net, a: (lambda y: y - y.mean(1, keepdim=True))(
        net.linear(pooled(a - a.mean(0) / 2))
    ),
    # The first case depends on no other, the others on those before.
    "recurrent": lambda net, a: net.linear(net.recurrent(pooled(a)[:, None])[0][:, 0]),
    "reversed": lambda net, a: net.linear(
        net.recurrent(pooled(a).flip(0)[:, None])[0][:, 0].flip(0)
    ),
}


def network(head):
    torch.manual_seed(0)
    return Body(HEADS[head]).double().eval()


def images(cases):
    generator = torch.Generator().manual_seed(4)
    return torch.rand((cases, 1, 8, 8), generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("head", HEADS)
def test_one_case_is_what_the_network_says(same, head):
    net, x = network(head), images(1)
    result = class_activation(net, x, "body", "pixelwise", "all")
    with torch.no_grad():
        same(result.logits, net(x))
        same(masked_logits(net, x, "body", torch.ones(1, 6))[:, 0], net(x))


@pytest.mark.parametrize("head", HEADS)
def test_a_batch_is_its_cases_one_by_one(same, head):
    net, x = network(head), images(3)
    masks = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 0, 1]])
    together = class_activation(net, x, "body", "pixelwise", "all")
    masked = masked_logits(net, x, "body", masks)
    for case in range(3):
        alone = class_activation(net, x[[case]], "body", "pixelwise", "all")
        same(together.maps()[[case]], alone.maps())
        same(together.logits[[case]], alone.logits)
        same(masked[[case]], masked_logits(net, x[[case]], "body", masks))


@pytest.mark.parametrize("method", ["gradcam", "scorecam"])
def test_statistics_of_the_batch_before_the_layer_are_noticed(same, method):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.ReLU(),
        nn.Conv2d(4, 5, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 2),
    ).double()
    x = images(3)
    together = class_activation(net, x, "3", method, "all")
    for case in range(3):
        same(together.maps()[[case]], class_activation(net, x[[case]], "3", method, "all").maps())


def test_a_head_that_does_not_mix_is_left_its_batch():
    leaf = torch.rand(4, 6, 2, 2, requires_grad=True)
    assert not rows_mix(leaf.mean((2, 3)).softmax(1), leaf)
    # A row of zeros has no norm; the NaN of its gradient is its own.
    directions = torch.cat([leaf[:3], torch.zeros_like(leaf[:1])]).flatten(1)
    assert not rows_mix(directions / directions.norm(dim=1, keepdim=True), leaf)
