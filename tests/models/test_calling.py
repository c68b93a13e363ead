"""A network that is looked into is left as it was, and its complaints become sentences."""

from __future__ import annotations

import contextlib

import pytest
import torch
from monai.networks.blocks.activation_checkpointing import ActivationCheckpointWrapper
from torch import nn
from torch.utils.checkpoint import checkpoint

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


def test_distributed_wrapper_is_taken_off():
    network = nn.Sequential(nn.Linear(1, 1))
    torch.distributed.init_process_group(
        "gloo", store=torch.distributed.HashStore(), rank=0, world_size=1
    )
    try:
        assert unwrapped(nn.parallel.DistributedDataParallel(network)) is network
    finally:
        torch.distributed.destroy_process_group()


def test_part_on_several_devices_is_refused_with_advice():
    network = nn.Sequential(nn.DataParallel(nn.ReLU()), nn.Flatten())
    assert unwrapped(network) is network  # on one device, or none, it only hands on
    network[0].device_ids = [0, 1]
    with pytest.raises(ExplanationError, match=r"'0' is a DataParallel over 2.*put '0.module'"):
        unwrapped(network)


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
