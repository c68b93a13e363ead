"""The engine on every device there is: a GPU gives what the CPU gives, in the memory it has."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.cam import (
    METHODS,
    CutNetwork,
    class_activation,
    fused_class_activation,
    masked_logits,
    memory,
)
from napari_ifa.cam.weighting import StreamedWeights

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
SAMPLED = {"ss-cam": {"samples": 3}, "is-cam": {"samples": 3}}


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param, 0) if request.param == "cuda" else torch.device("cpu")


def on(device, network):
    return copy.deepcopy(network).to(device)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("head", ["linear", "flatten", "mlp", "conv"])
def test_a_batch_on_a_device_is_its_cases_one_by_one_on_the_cpu(
    small_network, images, same, device, head, dims
):
    network, batch = small_network(dims, head), images(dims, 4)
    moved = on(device, network)
    for method in METHODS:
        if method == "cam" and head != "linear":
            continue
        options = SAMPLED.get(method, {})
        together = class_activation(moved, batch.to(device), "stage", method, "all", **options)
        assert together.maps().device.type == device.type
        for i, case in enumerate(batch.split(1)):
            alone = class_activation(network, case, "stage", method, "all", **options)
            same(together.logits.cpu()[[i]], alone.logits)
            # Behind the noise and quotients of Grad CAM++ rounding is larger.
            same(together.maps().cpu()[[i]], alone.maps(), rtol=1e-7)
            same(together.contributions().cpu()[[i]], alone.contributions(), rtol=1e-7)
            assert together.additive == alone.additive


def test_targets_masks_and_layers_on_a_device(small_network, images, same, device):
    network, batch = small_network(3, "linear"), images(3, 3)
    moved, there = on(device, network), batch.to(device)
    everything = class_activation(network, batch, "stage", class_idx="all")
    several = torch.tensor([[2, 0], [0, 1], [1, 1]], device=device)
    rows = torch.arange(3)[:, None]
    found = class_activation(moved, there, "stage", class_idx=several)
    same(found.maps().cpu(), everything.maps()[rows, several.cpu()])
    predicted = class_activation(moved, there, "stage")
    assert predicted.class_idx.flatten().tolist() == everything.logits.argmax(1).tolist()

    masks = np.array([[True, False, True, False, True, False], [True] * 6])
    same(found.maps(masks).cpu()[:, 1], found.maps().cpu())
    same(found.masked_logits(masks).cpu()[:, 1], found.logits.cpu().gather(1, several.cpu()))
    same(
        masked_logits(moved, there, "stage", masks).cpu(),
        masked_logits(network, batch, "stage", torch.from_numpy(masks)),
    )
    layers = ["first", "stage"]
    same(
        fused_class_activation(moved, there, layers, class_idx=1).maps().cpu(),
        fused_class_activation(network, batch, layers, class_idx=1).maps(),
    )


@pytest.mark.parametrize("method", METHODS[1:])
@pytest.mark.parametrize("kind", ["array", "on the CPU", "on the device"])
def test_a_region_may_be_anywhere(images, same, device, method, kind):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1)).double()
    batch, mask = images(2, 2), torch.zeros(8, 8)
    mask[:3] = 1
    options = SAMPLED.get(method, {})
    expected = class_activation(network, batch, "0", method, 1, region=mask, **options)
    region = {"array": mask.numpy(), "on the CPU": mask, "on the device": mask.to(device)}[kind]
    moved = on(device, network)
    found = class_activation(moved, batch.to(device), "0", method, 1, region=region, **options)
    same(found.maps().cpu(), expected.maps(), rtol=1e-7)


class OverSlices(nn.Module):
    """A convolution, then a recurrent network over the slices, as for a head CT."""

    def __init__(self, kind):
        super().__init__()
        self.conv = nn.Conv3d(1, 6, 3, padding=1)
        self.over_slices = kind(6, 5, num_layers=2, dropout=0.5, batch_first=True)
        self.linear = nn.Linear(5, 3)

    def forward(self, x):
        slices = self.conv(x).mean((3, 4)).mT
        return self.linear(self.over_slices(slices)[0].mean(1))


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_networks_are_explained_in_eval_mode(images, same, device, kind):
    torch.manual_seed(0)
    network = OverSlices(kind).double().eval()
    batch = images(3, 2)
    # On the CPU torch differentiates a recurrent network in eval mode, too.
    kept = []
    handle = network.conv.register_forward_hook(lambda _module, _args, output: kept.append(output))
    logits = network(batch)
    handle.remove()
    (gradient,) = torch.autograd.grad(logits[:, 1].sum(), kept)

    moved = on(device, network)
    found = class_activation(moved, batch.to(device), "conv", "pixelwise", [1, 1])
    same(found.logits.cpu(), logits.detach())
    same(found.weights.cpu()[:, 0], gradient)
    assert not moved.over_slices.training
    assert moved.over_slices.dropout == 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sums_are_not_rounded_under_autocast(small_network, images, device, dtype):
    network = on(device, small_network(3).float().eval())
    batch = images(3, 2).float().to(device)
    with torch.autocast(device.type, dtype=dtype):
        found = class_activation(network, batch, "stage", class_idx="all")
        contributions = found.contributions().sum(-1)
    # The share of all features is what a head without them would miss: y = bias + their sum.
    torch.testing.assert_close(contributions + network.head[2].bias, found.logits)
    with torch.no_grad():
        torch.testing.assert_close(found.logits, network(batch), rtol=0.1, atol=0.1)


class ManyClasses(nn.Module):
    """Features of the image's size, behind a head that is not affine."""

    def __init__(self, classes):
        super().__init__()
        self.conv = nn.Conv3d(1, 64, 3, padding=1)
        self.hidden, self.linear = nn.Linear(64, 32), nn.Linear(32, classes)

    def forward(self, x):
        return self.linear(torch.tanh(self.hidden(self.conv(x).mean((2, 3, 4)))))


@pytest.fixture
def little_memory(device, monkeypatch):
    """leave(share): from here on the device has room for this many numbers of float32."""

    def leave(numbers):
        if device.type == "cpu":
            monkeypatch.setattr(memory, "CPU_BLOCK", numbers // 64)
            return
        torch.cuda.empty_cache()
        _, total = torch.cuda.mem_get_info(device)
        most = torch.cuda.memory_reserved(device) + 4 * numbers
        torch.cuda.set_per_process_memory_fraction(most / total, device)
        monkeypatch.setattr(
            torch.cuda, "mem_get_info", lambda d: (most - torch.cuda.memory_reserved(d), total)
        )

    yield leave
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(1.0, device)


@pytest.mark.parametrize("method", ["pixelwise", "gradcam++", "smoothgradcam++"])
def test_weights_of_many_classes_need_not_fit_memory(same, device, little_memory, method):
    classes, size = {"cpu": (20, 8), "cuda": (100, 32)}[device.type]
    torch.manual_seed(0)
    network = ManyClasses(classes).to(device)
    x = torch.rand(1, 1, size, size, size, device=device)
    expected = class_activation(network, x, "conv", method, [[0, 7]])
    expected_maps = expected.maps()
    del expected
    # Half of what all the weights per voxel would take.
    little_memory(classes * 64 * size**3 // 2)
    found = class_activation(network, x, "conv", method, "all")
    assert isinstance(found.source, StreamedWeights) == (method == "pixelwise")
    same(found.maps()[:, [0, 7]], expected_maps, rtol=1e-3)


def test_a_further_case_is_explained_like_the_first(small_network, images, same, device):
    network, batches = small_network(3, "mlp"), images(3, 6).split(2)
    with CutNetwork(on(device, network), "stage") as cut:
        for batch, method in itertools.product(batches, ("gradcam", "scorecam")):
            found = class_activation(cut, batch.to(device), method=method, class_idx="all")
            expected = class_activation(network, batch, "stage", method, "all")
            same(found.maps().cpu(), expected.maps())
