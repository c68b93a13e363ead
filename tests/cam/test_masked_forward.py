"""Masks and masked inputs, and the forward passes that they go through in blocks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import CutNetwork, class_activation, masked_forward
from napari_ifa.cam.masked_inputs import feature_masks, varying
from napari_ifa.cam.perturbation import PERTURBATION_METHODS
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused

METHODS = tuple(PERTURBATION_METHODS)
MASKED = ("scorecam", "ss-cam", "is-cam")


def weights(network, x, method="scorecam", class_idx=0, layer="stage", **options):
    if method in ("ss-cam", "is-cam"):
        options.setdefault("samples", 3)
    return class_activation(network, x, layer, method, class_idx, **options).weights


def test_mask_is_resized_first_and_scaled_after():
    # [0, 1, 0] at six voxels is [0, 1/4, 3/4, 3/4, 1/4, 0]: the middle of the peak is missed.
    features = torch.tensor([[[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]])
    masks = feature_masks(features, torch.tensor([[0, 0], [0, 1]]), (6,))
    torch.testing.assert_close(masks[0, 0], torch.tensor([0, 1 / 3, 1, 1, 1 / 3, 0]))
    torch.testing.assert_close(masks[1, 0], torch.tensor([1, 0.75, 0.25, 0, 0, 0]))


def test_constant_up_to_rounding_is_constant():
    features = torch.ones(1, 3, 4)
    features[0, 1, 0] += 2e-7  # two roundings of float32
    features[0, 2, 0] += 2e-5
    assert varying(features, (8,)).tolist() == [[False, False, True]]
    # Every second voxel of a grid finer than the image: what is left of it is constant.
    assert varying(torch.tensor([[[1.0, 0.0, 1.0, 0.0]]]), (2,)).tolist() == [[False]]


@pytest.mark.parametrize("method", MASKED)
def test_number_of_rows_at_a_time_does_not_matter(small_network, images, same, monkeypatch, method):
    network, batch = small_network(2, "conv"), images(2, 2)
    expected = weights(network, batch, method, "all")
    for rows in (1, 5):
        monkeypatch.setattr(masked_forward, "MOST_ROWS", rows)
        same(weights(network, batch, method, "all"), expected, rtol=1e-12)


def test_rows_that_do_not_fit_memory_are_halved(small_network, images, same, monkeypatch):
    network, batch = small_network(2), images(2, 2)
    expected = weights(network, batch, "ss-cam")
    scores, tried = CutNetwork.scores, []

    def limited(cut, inputs, cases, network):
        tried.append(len(cases))
        if len(cases) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores(cut, inputs, cases, network)

    monkeypatch.setattr(CutNetwork, "scores", limited)
    same(weights(network, batch, "ss-cam"), expected, rtol=1e-12)
    # After tries with 1 and 2 rows: 12, 6, then 3 at a time, also for later samples.
    assert tried == [1, 2, 12, 6, *[3] * 12]


def test_memory_for_one_row_alone_is_enough(small_network, images, same, monkeypatch):
    network, batch = small_network(2), images(2, 2)
    expected = weights(network, batch)
    scores = CutNetwork.scores

    def limited(cut, inputs, cases, network):
        if len(cases) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scores(cut, inputs, cases, network)

    monkeypatch.setattr(CutNetwork, "scores", limited)
    same(weights(network, batch), expected, rtol=1e-12)


@pytest.mark.parametrize("place", ["before the layer", "after it"])
def test_network_that_mixes_the_rows_of_a_batch_gets_one_at_a_time(same, monkeypatch, place):
    torch.manual_seed(0)
    mixing = nn.BatchNorm2d(3, track_running_stats=False)
    stages = [nn.Conv2d(1, 3, 3, padding=1), mixing, nn.Conv2d(3, 4, 3, padding=1)]
    layer = "2" if place == "before the layer" else "0"
    network = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    # The first two masks are equal: rows that are would not tell, for their mean is that of each.
    convolution = network.double()[int(layer)]
    convolution.weight.data[1] = convolution.weight.data[0]
    x = torch.randn(1, 1, 6, 6, dtype=torch.float64)
    found = weights(network, x, layer=layer)
    monkeypatch.setattr(masked_forward, "MOST_ROWS", 1)
    same(found, weights(network, x, layer=layer), rtol=1e-12)


def test_network_that_views_features_in_their_order_is_explained(same):
    # A tensor with its channels last cannot be viewed as flat.
    class Flat(nn.Module):
        def __init__(self, flatten):
            super().__init__()
            torch.manual_seed(0)
            self.stage = nn.Conv2d(1, 4, 3, padding=1)
            self.fc = nn.Linear(4 * 36, 2)
            self.flatten = flatten

        def forward(self, x):
            return self.fc(self.flatten(self.stage(x), (len(x), -1)))

    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    expected = weights(Flat(torch.reshape), x)
    same(weights(Flat(torch.Tensor.view), x), expected, rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_float32_agrees_with_float64(small_network, images, same, method):
    network, batch = small_network(3, "conv"), images(3, 2)
    expected = weights(network, batch, method, "all")
    found = weights(network.float(), batch.float(), method, "all")
    assert found.dtype == torch.float32
    same(found.double(), expected, rtol=1e-4)


def test_autocast_is_for_the_perturbed_passes_alone(small_network, images):
    network, batch = small_network(2, "mlp").float(), images(2, 2).float()
    expected = weights(network, batch, class_idx="all")
    types = []
    network.head.register_forward_hook(lambda module, args, output: types.append(output.dtype))
    found = weights(network, batch, class_idx="all", autocast=torch.bfloat16)
    assert types[0] == torch.float32
    assert set(types[1:]) == {torch.bfloat16}
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0)
    assert not torch.equal(found, expected)


class TwoImagesAndAge(nn.Module):
    """Two images of a case and its age, as keyword or positional arguments."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Conv2d(2, 3, 3, padding=1)
        self.fc = nn.Linear(4, 2)

    def forward(self, image, other, age):
        features = self.stage(torch.cat([image, other], 1))
        return self.fc(torch.cat([features.relu().mean((2, 3)), age], 1))


class OfOneAge(nn.Module):
    """The same network for cases of one age, with the images as the channels of one input."""

    def __init__(self, network, age):
        super().__init__()
        self.network = network
        self.age = age

    def forward(self, x):
        return self.network(x[:, :1], x[:, 1:], self.age.expand(len(x), 1))


@pytest.mark.parametrize("method", METHODS)
def test_every_image_of_several_inputs_is_perturbed_and_the_rest_repeated(same, method):
    torch.manual_seed(0)
    network = TwoImagesAndAge().double()
    x, age = torch.randn(3, 2, 5, 5).double(), torch.rand(3, 1).double()
    inputs = {"image": x[:, :1], "other": x[:, 1:], "age": age}
    # The range of one input with two channels is not the ranges of two inputs.
    options = {"noise": 0.0} if method == "smoothgradcam++" else {}
    found = weights(network, inputs, method, 1, **options)
    for i in range(3):
        one = OfOneAge(network, age[i])
        same(found[i], weights(one, x[i : i + 1], method, 1, "network.stage", **options)[0])
    same(weights(network, tuple(inputs.values()), method, 1, **options), found)


class Prompted(nn.Module):
    """An answer per prompt, of which all cases have the same, and a factor for all."""

    def __init__(self):
        super().__init__()
        self.stage = nn.Conv2d(1, 6, 3, padding=1)

    def forward(self, prompts, image, factor):
        return self.stage(image).relu().mean((2, 3)) @ prompts.T * factor


@pytest.mark.parametrize("method", METHODS)
def test_what_the_cases_share_goes_along_whole(same, method):
    torch.manual_seed(0)
    network, x = Prompted().double(), torch.randn(3, 1, 5, 5).double()
    prompts, factor = torch.randn(5, 6).double(), torch.tensor(2.0).double()
    found = weights(network, (prompts, x, factor), method, 4)
    for i in range(3):
        same(found[i], weights(network, (prompts, x[i : i + 1], factor), method, 4)[0])


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_stays_half(small_network, images, same, method):
    network, batch = small_network(2, "mlp"), images(2, 2)
    expected = weights(network, batch, method, "all")
    result = class_activation(
        network.bfloat16(),
        batch.bfloat16(),
        "stage",
        method,
        "all",
        samples=None if method == "scorecam" else (3 if method in MASKED else 4),
    )
    for tensor in (result.weights, result.maps(), result.contributions()):
        assert tensor.dtype == torch.bfloat16
    same(result.weights.double(), expected, rtol=0.1)


def test_image_of_whole_numbers_is_refused():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten())
    network.register_forward_pre_hook(lambda module, inputs: inputs[0].float())
    x = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2)
    for method in METHODS:
        with refused(ExplanationError, Problem.IMAGE_TYPE, found=torch.uint8):
            weights(network, x, method, 0, "0")
