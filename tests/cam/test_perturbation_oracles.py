"""torch-cam is the oracle of the methods that perturb the input, in float64 and to 1e-9.

Its ScoreCAM and SSCAM are ours where resizing keeps the extremes of a map, for it scales a map
before it resizes it: where the image is as large as the grid or an odd multiple of it. Its ISCAM
and SmoothGradCAMpp have other definitions, and the tests say which and pin both: Smooth Grad CAM++
is held against its formula. What torch-cam adds to denominators (1e-8) is taken out.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
import torchcam.methods
from monai.networks.nets import DenseNet, ResNet
from torch import nn
from torchcam.methods.core import _CAM

from napari_ifa.cam import class_activation
from napari_ifa.cam.sampling import noise_field
from tests import peers

# Layer and image size: grids of 8, of 2 under an image of 34, of 3 under one of 21.
SUBJECTS = {"small": ("first", 8), "resnet": ("layer4", 34), "densenet": ("features.norm5", 21)}
SETTINGS = [
    pytest.param(family, dims, cases, id=f"{family}-{dims}D-{cases}")
    for family in SUBJECTS
    for dims in (2, 3)
    for cases in (1, 4)
]


@functools.cache
def monai_network(family, dims):
    """As after training, so that no layer is trivial; a ReLU in place would mislead the peer."""
    torch.manual_seed(5)
    if family == "resnet":
        network = ResNet(
            "basic",
            [1, 1, 1, 1],
            [4, 4, 6, 6],
            dims,
            n_input_channels=1,
            conv1_t_size=3,
            conv1_t_stride=2,
            num_classes=3,
        )
        # No map of its layer is dead; test_torchcam_gives_a_constant_map_its_share has one that is.
        nn.init.constant_(network.layer4[0].bn2.bias, 9.0)
    else:
        network = DenseNet(dims, 1, 3, init_features=4, growth_rate=2, block_config=(1, 1))
    generator = torch.Generator().manual_seed(3)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) - 0.5)
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return network.double().eval()


@pytest.fixture
def subject(small_network):
    """make(family, dims, cases): network, layer and images."""

    def make(family, dims, cases):
        layer, size = SUBJECTS[family]
        network = (
            small_network(dims, "mlp").eval() if family == "small" else monai_network(family, dims)
        )
        generator = torch.Generator().manual_seed(7)
        shape = (cases, 1, *[size] * dims)
        return network, layer, torch.randn(shape, generator=generator, dtype=torch.float64)

    return make


@pytest.fixture
def exact_scaling(monkeypatch):
    """torch-cam's min-max scaling without the 1e-8 that it adds to the range."""
    scale = functools.partial(_CAM._normalize, eps=0.0)
    monkeypatch.setattr(_CAM, "_normalize", staticmethod(scale))


@pytest.fixture
def inject(monkeypatch):
    """inject(fields): torch-cam's next samples of noise, each expanded to the shape asked for."""

    def replace(fields):
        waiting = iter(fields)

        def sample(distribution, shape):
            return next(waiting).expand(shape)

        monkeypatch.setattr(torch.distributions.normal.Normal, "sample", sample)

    return replace


def fields(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [noise_field(shape, generator).double() for _ in range(count)]


@pytest.mark.usefixtures("exact_scaling")
@pytest.mark.parametrize(("family", "dims", "cases"), SETTINGS)
def test_score_cam_is_torchcams(subject, same, family, dims, cases):
    network, layer, x = subject(family, dims, cases)
    found = class_activation(network, x, layer, "scorecam", "all")
    for c in range(3):
        weights, maps = peers.torchcam_map("ScoreCAM", network, layer, x, c)
        same(found.weights[:, c], weights)
        same(found.maps()[:, c], maps)


@pytest.mark.usefixtures("exact_scaling")
@pytest.mark.parametrize(("family", "dims", "cases"), SETTINGS)
def test_ss_cam_is_torchcams_with_the_same_noise(subject, same, inject, family, dims, cases):
    network, layer, x = subject(family, dims, cases)
    options = {"samples": 3, "noise": 0.5}
    found = class_activation(network, x, layer, "ss-cam", 1, **options, seed=4)
    inject([0.5 * field for field in fields(3, (1, 1, *x.shape[2:]), seed=4)])
    weights, maps = peers.torchcam_map("SSCAM", network, layer, x, 1, num_samples=3)
    same(found.weights[:, 0], weights)
    same(found.maps()[:, 0], maps)


@pytest.mark.usefixtures("exact_scaling")
@pytest.mark.parametrize(("family", "dims", "cases"), SETTINGS)
def test_is_cam_of_one_step_is_torchcams(subject, same, family, dims, cases):
    network, layer, x = subject(family, dims, cases)
    found = class_activation(network, x, layer, "is-cam", 1, samples=1)
    weights, maps = peers.torchcam_map("ISCAM", network, layer, x, 1, num_samples=1)
    same(found.weights[:, 0], weights)
    same(found.maps()[:, 0], maps)


@pytest.mark.usefixtures("exact_scaling")
@pytest.mark.parametrize("family", SUBJECTS)
def test_is_cam_of_several_steps_is_made_of_torchcams_score_cams(subject, same, family):
    """(i/n)·M_f masks x as M_f masks (i/n)·x; softmax of a mean is a product of softmaxes."""
    network, layer, x = subject(family, 2, 2)
    found = class_activation(network, x, layer, "is-cam", 1, samples=4).weights[:, 0]
    product = torch.ones_like(found)
    with torchcam.methods.ScoreCAM(network, layer) as explainer:
        for i in range(1, 5):
            network(x)
            explainer._input = x * i / 4
            product *= explainer._get_weights(1)[0] ** (1 / 4)
    same(found, product / product.sum(1, keepdim=True))


@pytest.mark.usefixtures("exact_scaling")
def test_is_cam_of_torchcam_adds_up_its_steps(same):
    """Step i masks with (1 + ... + i)/n of the mask there, up to 5.5 times the mask for n = 10.

    A network without biases multiplies its logits with its input, so that n steps of torch-cam's
    have a mean of (n + 1)(n + 2) / (6n) scores, and ours of (n + 1) / (2n): (n + 2) / 3 times less.
    """
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(4 * 36, 2, bias=False)).double().eval()
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    for n in (2, 10):
        ours = class_activation(network, x, "0", "is-cam", 1, samples=n).weights[:, 0].log()
        theirs = peers.torchcam_map("ISCAM", network, "0", x, 1, num_samples=n)[0].log()
        same((ours - ours[:, :1]) * (n + 2) / 3, theirs - theirs[:, :1])


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize(("family", "dims", "cases"), SETTINGS)
def test_smooth_grad_cam_plus_plus_is_its_formula(subject, same, family, dims, cases, samples):
    """With the noise that a standard deviation of 0.3 of each case's range means."""
    network, layer, x = subject(family, dims, cases)
    found = class_activation(network, x, layer, "smoothgradcam++", 1, samples=samples, seed=4)
    noise = [smooth_noise(x, field) for field in fields(samples, tuple(x.shape[1:]), seed=4)]
    features, means, _ = moments(network, layer, x, noise)
    same(found.weights[:, 0], by_formula(features.flatten(2).sum(-1), *means))


@pytest.mark.parametrize("dims", [2, 3])
def test_smooth_grad_cam_plus_plus_of_torchcam_is_another(subject, same, inject, dims):
    """It takes the cube into the sum over the features, and G of the last sample alone."""
    network, layer, x = subject("small", dims, 2)
    found = class_activation(network, x, layer, "smoothgradcam++", 1, seed=4).weights[:, 0]
    noise = [smooth_noise(x, field) for field in fields(4, tuple(x.shape[1:]), seed=4)]
    inject(noise)
    theirs, _ = peers.torchcam_map("SmoothGradCAMpp", network, layer, x, 1)
    features, (_, squares, cubes), last = moments(network, layer, x, noise)
    features, squares, cubes, last = (t.flatten(2) for t in (features, squares, cubes, last))
    total = (features * cubes).sum(-1, keepdim=True)
    same(theirs, (squares / (2 * squares + total) * last.relu()).sum(-1))
    assert not torch.allclose(found, theirs)


def smooth_noise(x, field):
    flat = x.flatten(1)
    ranges = flat.amax(1) - flat.amin(1)
    return 0.3 * ranges.reshape(-1, *[1] * (x.ndim - 1)) * field


def moments(network, layer, x, noise):
    """Clean features, the means of G, G² and G³ over the noisy inputs, and the last G."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda m, a, out: kept.append(out))
    network(x)
    gradients = []
    for field in noise:
        logits = network(x + field)
        gradients.append(torch.autograd.grad(logits[:, 1].sum(), kept[-1])[0])
    handle.remove()
    means = [torch.stack([g**power for g in gradients]).mean(0) for power in (1, 2, 3)]
    return kept[0].detach(), means, gradients[-1]


def by_formula(sums, g1, g2, g3):
    """Σ_v relu(g1)·g2 / (2·g2 + S·g3), voxel by voxel; nothing where no sample has a gradient."""
    weights = torch.zeros_like(sums)
    for place in np.ndindex(*g1.shape[2:]):
        first, second, third = (g[(..., *place)] for g in (g1, g2, g3))
        share = first.relu() * second / (2 * second + sums * third)
        weights += torch.where(second == 0, 0, share)
    return weights


@pytest.mark.usefixtures("exact_scaling")
def test_torchcam_scales_masks_before_it_resizes_them():
    """Three cells [0, 1, 0] are [0, 1/4, 3/4, 3/4, 1/4, 0] at six voxels, which is torch-cam's
    mask; ours is 4/3 of it. [1, 0, 0] is [1, 3/4, 1/4, 0, 0, 0] for both.
    """
    means = nn.Conv2d(2, 2, 2, stride=2, bias=False)  # each feature is the mean of one channel
    means.weight = nn.Parameter(torch.eye(2)[..., None, None].expand(2, 2, 2, 2) / 4)
    network = nn.Sequential(means, nn.Flatten(), nn.Linear(18, 1, bias=False)).double().eval()
    nn.init.constant_(network[2].weight, 4.0)  # the logit is the sum of the image
    channels = torch.tensor([[0.0, 0, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.float64)
    x = channels[None, :, None].expand(1, 2, 6, 6).contiguous()

    # A row of the image through its masks: 1 + 1 + 1/3 and 1 + 3/4 + 1/4 here, and there
    # 3/4 + 3/4 + 1/4 and the same 2; six rows.
    ours = class_activation(network, x, "0", "scorecam", 0).weights[0, 0].log()
    theirs = peers.torchcam_map("ScoreCAM", network, "0", x, 0)[0][0].log()
    assert float(ours[0] - ours[1]) == pytest.approx(6 * (7 / 3 - 2), rel=1e-9)
    assert float(theirs[0] - theirs[1]) == pytest.approx(6 * (7 / 4 - 2), rel=1e-9)


def test_torchcam_gives_a_constant_map_its_share(subject):
    """A map without a range is a mask of zeros there, and a share of one in F; here it is none."""
    network, layer, x = subject("small", 2, 1)
    with torch.no_grad():
        for parameter in network.first[1].parameters():
            parameter[0] = 0  # the first feature is 0 everywhere
    found = class_activation(network, x, layer, "scorecam", 1).weights[0, 0]
    theirs = peers.torchcam_map("ScoreCAM", network, layer, x, 1)[0][0]
    assert found[0] == 0
    assert theirs[0] > 0.01
    torch.testing.assert_close(found[1:], theirs[1:] / theirs[1:].sum(), rtol=1e-6, atol=0)
