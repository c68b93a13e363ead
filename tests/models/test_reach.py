"""Where the features of networks lie that do not see the whole input."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from monai.networks.nets import DenseNet, UNet, ViT, resnet10
from torch import nn

from napari_ifa.models.reach import feature_steps

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
AVERAGE = {2: nn.AvgPool2d, 3: nn.AvgPool3d}


def pool(size, **options):
    return AVERAGE, {"kernel_size": size, **options}


def conv(size, **options):
    return CONV, {
        "in_channels": 1,
        "out_channels": 1,
        "bias": False,
        "kernel_size": size,
        **options,
    }


def made(dims, steps):
    network = nn.Sequential(*(kind[dims](**options) for kind, options in steps)).double()
    for parameter in network.parameters():
        nn.init.ones_(parameter)
    return network


def steps_of(network, x, layer=None):
    """Of the last layer of a Sequential, or the one named, and the layer's output."""
    kept = []
    name = str(len(network) - 1) if layer is None else layer
    handle = network.get_submodule(name).register_forward_hook(lambda m, a, out: kept.append(out))
    network.eval()(x)
    handle.remove()
    (features,) = kept
    return feature_steps(network, x, name, features.shape[2:]), features


def centres(features, x, axis):
    """Centre of what each feature voxel along an axis sees, in the middle of the other axes."""
    middle = [size // 2 for size in features.shape[2:]]
    found = []
    for i in range(features.shape[2 + axis]):
        place = (0, 0, *(i if n == axis else m for n, m in enumerate(middle)))
        (gradient,) = torch.autograd.grad(features[place], x, retain_graph=True)
        other = [n for n in range(gradient.ndim) if n != 2 + axis]
        profile = gradient.abs().sum(other)
        found.append(float((profile * torch.arange(len(profile))).sum() / profile.sum()))
    return found


UNPADDED = {
    "pools": [pool(2), pool(2), pool(2)],
    "pool of three": [pool(3), pool(2)],
    "valid convolutions": [conv(3), conv(5), conv(3)],
    "valid convolutions and pools": [conv(3), pool(2), conv(3), pool(2)],
    "dilated": [conv(3, dilation=2), pool(2), conv(3, dilation=3)],
    "strides": [conv(3, stride=2), conv(3, stride=2)],
    "overlapping pools": [pool(3, stride=2), pool(3, stride=2)],
    "patches": [conv(4, stride=4), conv(1)],
    "even kernels": [conv(4), pool(2), conv(2)],
}


@pytest.mark.parametrize(("dims", "size"), [(2, (29, 38)), (2, (31, 27)), (3, (23, 26, 21))])
@pytest.mark.parametrize("name", UNPADDED)
def test_features_without_padding_lie_where_they_look(name, dims, size):
    network, x = made(dims, UNPADDED[name]), torch.rand(1, 1, *size, dtype=torch.float64)
    steps, features = steps_of(network, x.requires_grad_())
    assert steps is not None
    for axis, (spacing, start) in enumerate(steps):
        expected = [spacing * i + start for i in range(features.shape[2 + axis])]
        assert centres(features, x, axis) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([pool(2), pool(2)], 32),
        ([conv(3, padding=1), pool(2), conv(5, padding=2, stride=2)], 32),
        ([conv(7, padding=3, stride=2), pool(3, stride=2, padding=1)], 30),
        ([conv(3, padding=1, stride=2)] * 3, 31),
        ([conv(3, padding=2, dilation=2), pool(2)], 30),
        ([conv(3, padding="same"), pool(2)], 30),
        ([pool(2, ceil_mode=True)] * 3, 27),
        ([pool(3, stride=2, ceil_mode=True)], 32),
        ([conv(1, stride=2)], 32),
    ],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_padding_and_sizes_that_match_leave_the_half_voxel_rule(steps, size, dims):
    network = made(dims, steps)
    found, _ = steps_of(network, torch.rand(1, 1, *[size] * dims, dtype=torch.float64))
    assert found is None


def test_padded_steps_that_leave_voxels_out_by_hand():
    # Kernel 4, stride 2, padding 1: 13 voxels give 6 of two voxels each, the last is left over.
    # Then 6 give 3: spacing 4, the first over voxels 0 to 3.
    network = made(2, [conv(4, stride=2, padding=1)] * 2)
    found, features = steps_of(network, torch.rand(1, 1, 13, 16, dtype=torch.float64))
    assert features.shape[2:] == (3, 4)
    assert found == ((4.0, 1.5), (4.0, 1.5))


def test_padding_by_a_function_is_padding_of_the_next_step():
    class Padded(nn.Module):
        def __init__(self, pads):
            super().__init__()
            self.pads, self.conv = pads, nn.Conv2d(1, 1, 3, stride=2)

        def forward(self, x):
            return self.conv(F.pad(x, self.pads))

    x = torch.rand(1, 1, 16, 16)
    assert feature_steps(Padded((0, 1, 0, 1)), x, "conv", (8, 8)) is None
    # 16 + 2 rows give 8; of 16 columns without padding 7 are made, in the middle of voxels 0 to 14.
    assert feature_steps(Padded((0, 0, 1, 1)), x, "conv", (8, 7)) == ((2.0, 0.5), (2.0, 1.0))
    # Two columns cut off at the left, one at the right.
    assert feature_steps(Padded((-2, -1, 1, 1)), x, "conv", (8, 6)) == ((2.0, 0.5), (2.0, 3.0))


class Functions(nn.Module):
    """As many networks are written: pools are functions, and the borders are cut off."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 6, 3)
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.relu(self.second(x[:, :, 1:, :-2]))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_functions_and_slices_are_steps_too():
    # 40 -> 38 -> 19 -> 18 -> 16 rows, at 0 + 1 in each convolution, 0.5 in the pool.
    found = feature_steps(Functions(), torch.rand(2, 1, 40, 40), "second", (16, 15))
    assert found == ((2.0, 1 + 0.5 + 2 * (1 + 1)), (2.0, 1 + 0.5 + 2 * 1))


@pytest.mark.parametrize("size", [64, 50])
def test_monai_networks_with_matching_sizes_share_the_field_of_view(size):
    x = torch.rand(1, 1, size, size)
    resnet = resnet10(spatial_dims=2, n_input_channels=1, num_classes=2, widen_factor=0.1)
    unet = UNet(2, 1, 2, (2, 4, 8), (2, 2))
    dense = DenseNet(2, 1, 2, init_features=4, growth_rate=2, block_config=(1, 1, 1))
    assert steps_of(resnet, x, "layer4")[0] is None
    dense_steps, features = steps_of(dense, x, "class_layers.relu")
    if size == 64:
        assert dense_steps is None
        assert steps_of(unet, x, "model.1.submodule.1")[0] is None
    else:
        # 50 -> 25 -> 13 by padded steps, then 6 and 3 by pools: 12 of 13 voxels are seen.
        assert features.shape[2:] == (3, 3)
        assert dense_steps[0] == pytest.approx((4 * 50 / 13, 1.5 * 50 / 13 + 0.5 * 50 / 13 - 0.5))


def test_tokens_lie_where_their_patches_do():
    # 30 voxels hold three patches of 8, and six are left over; MONAI's own embedding refuses that.
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm = nn.Conv2d(1, 8, 8, 8), nn.LayerNorm(8)
            self.fc = nn.Linear(8, 2)

        def forward(self, x):
            return self.fc(self.norm(self.embed(x).flatten(2).mT).mean(1))

    found = feature_steps(Patches(), torch.rand(1, 1, 30, 32), "norm", (3, 4))
    assert found == ((8.0, 3.5), (8.0, 3.5))
    vit = ViT(1, (16, 16), 4, 8, 8, 1, 2, classification=True, spatial_dims=2)
    assert feature_steps(vit, torch.rand(1, 1, 16, 16), "blocks.0.norm1", (4, 4)) is None


def test_the_network_is_left_as_it_was():
    network = Functions().train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    feature_steps(network, torch.rand(1, 1, 40, 40), "second", (16, 15))
    assert network.training
    assert not network.second._forward_hooks
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_unknown_way_to_the_layer_leaves_the_half_voxel_rule():
    class Gathered(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return self.conv(x[:, :, ::3, ::3])

    assert feature_steps(Gathered(), torch.rand(1, 1, 32, 32), "conv", (11, 11)) is None
