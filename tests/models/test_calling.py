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
from napari_ifa.models.problems import NetworkProblem as Problem
from tests.problems import refused


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
    with refused(ExplanationError, Problem.INPUT_TYPE, found="str"):
        first_tensor("image.nii")
    with refused(ExplanationError, Problem.INPUT_TYPE, found="tuple"):
        first_tensor((1, 2))


def test_image_is_the_tensor_with_the_most_axes():
    age, image, other = torch.ones(2, 3), torch.ones(2, 1, 4), torch.ones(2, 1, 5)
    assert first_tensor({"age": age, "image": image, "other": other}) is image
    assert first_tensor((age, [other, image])) is other
    assert first_tensor((torch.tensor(1.0), age)) is age
    with refused(ExplanationError, Problem.INPUT_SINGLE_NUMBER):
        first_tensor(torch.tensor(1.0))


def test_what_the_cases_share_is_not_cut_into_cases():
    image, prompt, time = torch.ones(3, 1, 4), torch.ones(5, 6), torch.tensor(2.0)
    found = plain_inputs({"prompt": prompt, "more": (image, time)}, slice(1, 2))
    assert found["prompt"].shape == (5, 6)
    assert found["more"][0].shape == (1, 1, 4)
    assert found["more"][1] == 2
    # Which is which cannot be told where the lengths agree.
    assert plain_inputs((image, prompt[:3]), slice(1, 2))[1].shape == (1, 6)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("bad size.\nlong trace"), "bad size"),
        (AssertionError("sizes of 64 only"), "sizes of 64 only"),
        (AssertionError(), "AssertionError"),
        (KeyError("image"), "KeyError 'image'"),
    ],
)
def test_complaints_keep_their_first_line(error, words):
    found = input_error(nn.ReLU(), torch.zeros(1, 2), error)
    assert found.kind is Problem.INPUT_FAILS
    assert found.facts == {"given": [1, 2], "complaint": words}
    assert words in str(found)


@pytest.mark.parametrize("network", [None, lambda x: x, nn.Identity])
def test_what_is_no_network_is_refused(network):
    with refused(ExplanationError, Problem.NOT_A_NETWORK):
        unwrapped(network)


def test_network_without_its_parameters_is_refused():
    network = nn.Sequential(nn.LazyConv1d(2, 1), nn.LazyBatchNorm1d())
    with refused(ExplanationError, Problem.LAZY, part="0.weight"):
        unwrapped(network)
    network[0](torch.ones(1, 1, 3))
    with refused(ExplanationError, Problem.LAZY, part="1.weight"):
        unwrapped(network)
    network(torch.ones(1, 1, 3))
    assert unwrapped(network) is network


def test_wrappers_are_taken_off():
    network = nn.Sequential(nn.ReLU())
    assert unwrapped(network) is network
    assert unwrapped(nn.DataParallel(network)) is network
    assert unwrapped(torch.compile(network, backend="eager")) is network
    with refused(ExplanationError, Problem.TORCHSCRIPT):
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
    with refused(ExplanationError, Problem.SEVERAL_DEVICES, part="0", devices=2):
        unwrapped(network)
