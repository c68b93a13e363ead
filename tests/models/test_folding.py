"""A private copy for many passes gives the same, and the network itself is not touched."""

from __future__ import annotations

import copy

import pytest
import torch
from monai.networks.nets import DenseNet, resnet10
from torch import nn
from torch.nn.utils import parametrizations

from napari_ifa.models.folding import folded

X = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def settled(network):
    """In float64 and eval mode, its norms trained."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            for tensor in (module.running_mean, module.running_var, *module.parameters()):
                tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
    return network.double().eval()


def folded_norms(network, x=X, channels_last=False):
    """How many norms are left out in the copy, which gives the same; None without a copy."""
    with torch.no_grad():
        private = folded(network, x, channels_last)
        if private is None:
            return None
        torch.testing.assert_close(private(x), network(x), rtol=1e-12, atol=1e-12)
    names = [name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)]
    return sum(isinstance(private.get_submodule(name), nn.Identity) for name in names)


def test_norm_takes_its_scale_and_shift_to_the_convolution():
    network = settled(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)))
    with torch.no_grad():
        network[0].weight.fill_(3)
        network[0].bias.fill_(1)
        network[1].weight.fill_(2)
        network[1].bias.fill_(5)
        network[1].running_mean.fill_(4)
        network[1].running_var.fill_(9 - 1e-5)
        private = folded(network, X, False)
    # 2 · (3x + 1 - 4) / 3 + 5 = 2x + 3
    torch.testing.assert_close(private[0].weight.flatten().tolist(), [2.0])
    torch.testing.assert_close(private[0].bias.tolist(), [3.0])


@pytest.mark.parametrize("channels_last", [False, True])
def test_networks_of_monai_are_folded_where_a_norm_follows_a_convolution(channels_last):
    resnet = settled(resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, feed_forward=True))
    # Every norm of a ResNet follows a convolution; in a DenseNet those that follow a sum do not.
    assert folded_norms(resnet, channels_last=channels_last) == 12
    densenet = settled(DenseNet(2, 1, 2, init_features=4, growth_rate=2, block_config=(2, 2)))
    assert folded_norms(densenet, channels_last=channels_last) == 5


def test_channels_last_is_of_the_copy_alone():
    network = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    x = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        private = folded(network, x, True)
    assert private[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert network[0].weight.is_contiguous()
    assert isinstance(network[1], nn.BatchNorm2d)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in private.modules())


class Shared(nn.Module):
    """A convolution that is called twice, each time before a norm of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(1), nn.BatchNorm2d(1)])

    def forward(self, x):
        for norm in self.norms:
            x = norm(self.conv(x))
        return x


def weight_normed():
    return nn.Sequential(parametrizations.weight_norm(nn.Conv2d(1, 2, 3)), nn.BatchNorm2d(2))


def watched():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network[1].register_forward_hook(lambda module, args, output: 2 * output)
    return network


class Around(nn.Module):
    """What a convolution gives goes around its norm as well."""

    def __init__(self, join):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.join = join

    def forward(self, x):
        given = self.conv(x)
        return self.join(given, self.norm(given))


class InPlace(nn.Module):
    """The norm is given the very tensor of the convolution, but not with its values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x):
        given = self.conv(x)
        given += x.mean()
        return self.norm(given)


class TwoNorms(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(2), nn.BatchNorm2d(2)])

    def forward(self, x):
        given = self.conv(x)
        return self.norms[0](given) * self.norms[1](given)


def replaced():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network[1].forward = torch.relu
    return network


def always_training():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, momentum=0.0))
    network[1].train = lambda mode=True: network[1]
    return network


def hooked_elsewhere():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    network[2].register_forward_hook(lambda module, args, output: None)
    return network


@pytest.mark.parametrize(
    "make",
    [
        Shared,
        weight_normed,
        watched,
        lambda: Around(torch.add),
        lambda: Around(lambda given, normed: normed + 1e-9 * given),
        lambda: Around(lambda given, normed: normed + (given - 1e9).relu()),  # dead for this input
        InPlace,
        TwoNorms,
        replaced,
        always_training,
        hooked_elsewhere,
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, track_running_stats=False)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2)),
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()),
    ],
)
def test_what_cannot_be_folded_is_left(make):
    assert folded_norms(settled(make())) is None


def test_network_that_cannot_be_copied_is_left():
    network = settled(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    network.result = network[0].weight * 2  # no leaf, which torch refuses to copy
    assert folded(network, X, False) is None


class Single(nn.Sequential):
    """Its copy is itself."""

    def __deepcopy__(self, memo):
        return self


@pytest.mark.parametrize("inside", [False, True])
def test_network_that_would_share_with_its_copy_is_left(inside):
    network = Single(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    network = settled(nn.Sequential(network) if inside else network)
    assert folded_norms(network) is None
    assert [type(module) for module in network.modules()][-2:] == [nn.Conv2d, nn.BatchNorm2d]


def test_network_without_norms_is_not_copied():
    class Fragile(nn.Sequential):
        def __deepcopy__(self, memo):
            raise AssertionError("copied")

    with pytest.raises(AssertionError, match="copied"):
        copy.deepcopy(Fragile())
    assert folded(settled(Fragile(nn.Conv2d(1, 2, 3), nn.ReLU())), X, False) is None
