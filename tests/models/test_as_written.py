"""Checkpointed and compiled parts of a network just run their forward, and are then as before."""

from __future__ import annotations

import contextlib

import pytest
import torch
from monai.networks.blocks.activation_checkpointing import ActivationCheckpointWrapper
from torch import nn
from torch.utils.checkpoint import checkpoint

from napari_ifa.models.calling import undisturbed


class Checkpointed(nn.Module):
    """Runs its layer again in the backward pass where its flag is set."""

    def __init__(self, flag, value):
        super().__init__()
        # The second pass ends where nothing more is needed: before the end of the last module.
        self.layer = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
        self.flag = flag
        setattr(self, flag, value)

    def forward(self, x):
        if getattr(self, self.flag) is True:
            return checkpoint(self.layer, x, use_reentrant=False)
        return self.layer(x)


def calls_in_forward_and_backward(network, layer):
    calls = []
    handle = layer[0].register_forward_hook(lambda *_: calls.append(1))
    x = torch.ones(1, 2, requires_grad=True)
    network(x).sum().backward()
    handle.remove()
    return len(calls)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("flag", ["use_checkpoint", "memory_efficient", "gradient_checkpointing"])
def test_checkpointing_is_off_inside_and_on_again_after(flag, fails):
    network = nn.Sequential(Checkpointed(flag, True), Checkpointed(flag, False))
    assert calls_in_forward_and_backward(network, network[0].layer) == 2
    with contextlib.suppress(KeyboardInterrupt), undisturbed(network):
        assert calls_in_forward_and_backward(network, network[0].layer) == 1
        if fails:
            raise KeyboardInterrupt
    assert [getattr(part, flag) for part in network] == [True, False]
    assert calls_in_forward_and_backward(network, network[0].layer) == 2


def test_wrappers_that_checkpoint_hand_on_inside():
    layer = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    network = nn.Sequential(ActivationCheckpointWrapper(layer))
    state = set(vars(network[0]))
    assert calls_in_forward_and_backward(network, layer) == 2
    with undisturbed(network):
        assert calls_in_forward_and_backward(network, layer) == 1
        assert [name for name, _ in network.named_children()] == ["0"]
        assert [name for name, _ in network[0].named_children()] == ["module"]
    assert calls_in_forward_and_backward(network, layer) == 2
    assert set(vars(network[0])) == state


def test_attributes_of_that_name_that_are_no_switch_are_left_alone():
    network = Checkpointed("use_checkpoint", "weights.pt")
    with undisturbed(network):
        assert network.use_checkpoint == "weights.pt"


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)

    def forward(self, x):
        return self.fc(x).tanh()


class Counting:
    """A backend of torch.compile that runs what it is given, and counts."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


@pytest.mark.parametrize("in_place", [False, True])
def test_compiled_parts_are_not_compiled_inside(in_place):
    backend, network = Counting(), nn.Sequential(Block())
    if in_place:
        network[0].compile(backend=backend)
    else:
        network[0] = torch.compile(network[0], backend=backend)
    state = dict(vars(network[0]))
    with undisturbed(network):
        network(torch.ones(1, 2))
    assert backend.graphs == 0
    assert dict(vars(network[0])) == state
    network(torch.ones(1, 2))
    assert backend.graphs == 1
