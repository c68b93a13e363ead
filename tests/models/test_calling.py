"""A network that is looked into is left as it was, and its complaints become sentences."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import (
    call_network,
    first_tensor,
    input_error,
    plain_inputs,
    undisturbed,
    unwrapped,
)


class Scale(nn.Module):
    """Replaces its buffer by a new tensor and changes another in place, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("replaced", torch.zeros(2))
        self.register_buffer("changed", torch.zeros(2))
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        self.replaced = self.replaced + 1
        self.changed += 1
        return x * self.weight


@pytest.mark.parametrize("fails", [False, True])
def test_flags_and_buffers_are_put_back(fails):
    network = nn.Sequential(Scale(), nn.Dropout())
    network[1].eval()
    frozen = network[0].weight
    replaced, changed = network[0].replaced, network[0].changed
    try:
        with undisturbed(network):
            assert not any(module.training for module in network.modules())
            assert not frozen.requires_grad
            network(torch.ones(1))
            assert network[0].changed.tolist() == [1, 1]
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert [module.training for module in network.modules()] == [True, True, False]
    assert frozen.requires_grad
    assert network[0].replaced is replaced
    assert network[0].changed is changed
    assert changed.tolist() == replaced.tolist() == [0, 0]


def test_inputs_are_passed_as_tensor_arguments_or_keywords():
    class Sum(nn.Module):
        def forward(self, a, b=0):
            return a + b

    one, two = torch.tensor(1), torch.tensor(2)
    assert call_network(Sum(), one) == 1
    assert call_network(Sum(), (one, two)) == 3
    assert call_network(Sum(), [one, two]) == 3
    assert call_network(Sum(), {"b": two, "a": one}) == 3


def test_plain_inputs_have_no_history_and_can_be_sliced():
    x = torch.arange(3.0, requires_grad=True)
    plain = plain_inputs({"image": x * 2, "age": (x,), "flag": True}, slice(1, 2))
    assert plain["image"].tolist() == [2.0]
    assert plain["age"][0].tolist() == [1.0]
    assert plain["flag"] is True
    assert not plain["image"].requires_grad


def test_inputs_without_a_tensor_are_refused():
    with pytest.raises(ExplanationError, match="not str"):
        first_tensor("image.nii")
    with pytest.raises(ExplanationError, match="not tuple"):
        first_tensor((1, 2))


def test_memory_error_asks_for_a_smaller_batch():
    error = input_error(nn.ReLU(), torch.zeros(4, 1, 2), torch.OutOfMemoryError("no"))
    assert str(error) == "There is not enough memory on cpu for a batch of 4: use a smaller batch."


def test_other_complaints_keep_their_first_line():
    error = input_error(nn.ReLU(), torch.zeros(1, 2), RuntimeError("bad size.\nlong trace"))
    assert str(error) == "The network cannot process an input of shape [1, 2]: bad size."


def test_wrappers_are_taken_off():
    network = nn.Sequential(nn.ReLU())
    assert unwrapped(network) is network
    assert unwrapped(nn.DataParallel(network)) is network
    assert unwrapped(torch.compile(network, backend="eager")) is network
    with pytest.raises(ExplanationError, match="TorchScript"):
        unwrapped(torch.jit.script(network))
