"""The methods that perturb the input: numbers for paper, and what must not change them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation, masked_forward, sampling, smoothing
from napari_ifa.cam.perturbation import PERTURBATION_METHODS
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import Cancelled, ExplanationError
from tests.problems import refused

METHODS = tuple(PERTURBATION_METHODS)
MASKED = ("scorecam", "ss-cam", "is-cam")
# The features are x and -x, so that the masks are x/4 and 1 - x/4, and the masked images
# [0, 1/4, 1, 4] with a sum of 21/4 and [0, 3/4, 1, 0] with a sum of 7/4.
X = torch.tensor([[0.0, 1.0], [2.0, 4.0]]).reshape(1, 1, 2, 2)
LN3 = math.log(3)


class Opposites(nn.Module):
    """Layer `features` gives x and -x; the logits are head(features)."""

    def __init__(self, head, bias=(0.0, 0.0)):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1)
        self.features.weight = nn.Parameter(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        self.features.bias = nn.Parameter(torch.tensor(bias))
        self._head = head

    def forward(self, x):
        return self._head(self.features(x))


def sums(features):
    """One logit, the sum of the image."""
    return features[:, :1].sum((2, 3))


def weights(network, x, method="scorecam", class_idx=0, layer="features", **options):
    if method != "scorecam" and method != "smoothgradcam++":
        options.setdefault("samples", 3)
    return class_activation(network, x, layer, method, class_idx, **options).weights


# ---- by hand ----


def test_score_cam_by_hand():
    # Scores 5.25 and 1.75, times ln(3) / 3.5: odds of 3 to 1, and 1 to 3 for their negative.
    def head(features):
        return sums(features) * torch.tensor([[1.0, -1.0]]) * LN3 / 3.5

    result = class_activation(Opposites(head), X, "features", "scorecam", "all")
    torch.testing.assert_close(result.weights, torch.tensor([[[0.75, 0.25], [0.25, 0.75]]]))
    # 0.75·x - 0.25·x and 0.25·x - 0.75·x: signed, unscaled.
    torch.testing.assert_close(result.maps()[0], torch.cat([X[0] / 2, -X[0] / 2]))
    assert result.method == "scorecam"
    assert not result.additive


def test_is_cam_by_hand():
    # Squared sums of half and of all of the mask: (1/4 + 1) / 2 times 21²/16 and 7²/16, which is
    # 15.3125 apart.
    def head(features):
        return sums(features) ** 2 * LN3 / 15.3125

    found = weights(Opposites(head), X, "is-cam", samples=2)
    torch.testing.assert_close(found, torch.tensor([[[0.75, 0.25]]]))


def test_ss_cam_by_hand(monkeypatch):
    # Two fields of noise, +1 and -1 everywhere, with a deviation of 1/2: they add ±3.5 to the sums
    # of the masked images, and the mean of (s + 3.5)² and (s - 3.5)² is s² + 3.5². The squares of
    # 21/4 and 7/4 are 24.5 apart.
    signs = iter([1.0, -1.0])
    monkeypatch.setattr(
        "napari_ifa.cam.perturbation.noise_field",
        lambda shape, generator: torch.full(shape, next(signs)),
    )

    def head(features):
        return sums(features) ** 2 * LN3 / 24.5

    found = weights(Opposites(head), X, "ss-cam", samples=2, noise=0.5)
    torch.testing.assert_close(found, torch.tensor([[[0.75, 0.25]]]))
    assert next(signs, None) is None  # a field per sample, not one per feature


def test_smooth_grad_cam_plus_plus_by_hand(monkeypatch):
    # Noise of +1 and -1: a quarter of the range, 4. The gradient of half the square of the first
    # feature is that feature, x ± 1: means x, x² + 1, x³ + 3x. Σ x = 7.
    signs = iter([1.0, -1.0])
    monkeypatch.setattr(
        smoothing, "noise_field", lambda shape, generator: torch.full(shape, next(signs))
    )
    network = Opposites(lambda a: (a[:, :1] ** 2 / 2).sum((2, 3)))
    found = weights(network, X, "smoothgradcam++", samples=2, noise=0.25)
    expected = 1 * 2 / (2 * 2 + 7 * 4) + 2 * 5 / (2 * 5 + 7 * 14) + 4 * 17 / (2 * 17 + 7 * 76)
    torch.testing.assert_close(found, torch.tensor([[[expected, 0.0]]]))


def test_constant_map_weighs_nothing_and_has_no_share():
    # The second feature is 7 everywhere: all the weight is the first one's, not half of it.
    network = Opposites(sums, bias=(0.0, 7.0))
    network.features.weight.data[1] = 0
    for method in MASKED:
        assert weights(network, X, method).tolist() == [[[1.0, 0.0]]]


@pytest.mark.parametrize("method", MASKED)
@pytest.mark.parametrize("case", [0, 1])
def test_case_without_any_mask_is_named_alone_and_in_a_batch(method, case):
    flat = torch.ones_like(X)
    batch = torch.cat([X, flat] if case else [flat, X])
    with refused(ExplanationError, Problem.CONSTANT_FEATURES, layer="features", cases=[case]):
        weights(Opposites(sums), batch, method)
    with refused(ExplanationError, Problem.CONSTANT_FEATURES, layer="features", cases=[0]):
        weights(Opposites(sums), flat, method)


def test_noise_that_all_masks_share_cancels_where_the_network_is_affine(same):
    network, x = Opposites(sums).double(), X.double()
    same(weights(network, x, "ss-cam", noise=5.0), weights(network, x))


# ---- what the weights must not depend on ----


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_batch_is_its_cases_one_by_one(small_network, images, same, method, dims):
    network, batch = small_network(dims, "mlp"), images(dims, 4)
    together = weights(network, batch, method, "all", "stage")
    for i in range(4):
        alone = weights(network, batch[i : i + 1], method, "all", "stage")
        same(together[i], alone[0], rtol=1e-12)
    mixed = weights(network, batch, method, [2, 0, 1, 1], "stage")
    same(mixed[:, 0], together[range(4), [2, 0, 1, 1]], rtol=1e-12)


def test_classes_in_groups_give_the_same(small_network, images, same, monkeypatch):
    network, batch = small_network(2, "conv"), images(2, 2)
    expected = weights(network, batch, "smoothgradcam++", "all", "stage")
    monkeypatch.setattr(smoothing, "HELD_BLOCKS", 0)  # one class at a time
    told = []
    found = weights(
        network, batch, "smoothgradcam++", "all", "stage", progress=lambda *n: told.append(n)
    )
    same(found, expected, rtol=1e-12)
    assert told[-1] == (3 * 4 * 2, 3 * 4 * 2)  # classes, samples, cases


def test_all_classes_cost_no_more_forward_passes_than_one(small_network, images):
    network = small_network(2, "mlp")
    rows = []
    network.first.register_forward_hook(lambda module, args, output: rows.append(len(output)))
    weights(network, images(2), class_idx=0, layer="stage")
    one, rows[:] = sum(rows), []
    weights(network, images(2), class_idx="all", layer="stage")
    # The clean image, 6 masked ones, and 3 for whether the network mixes the rows of a batch.
    assert one == sum(rows) == 1 + 6 + 3


@pytest.mark.parametrize("method", ["ss-cam", "smoothgradcam++"])
def test_seed_settles_the_noise(small_network, images, method):
    network, x = small_network(2, "mlp"), images(2)
    state = torch.get_rng_state()
    found = [weights(network, x, method, 0, "stage", seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])
    assert torch.equal(torch.get_rng_state(), state)


# ---- inputs and targets ----


def test_function_and_class_are_explained_alike(small_network, images, same):
    network, batch = small_network(2, "mlp"), images(2, 2)
    for method in METHODS:
        expected = weights(network, batch, method, 2, "stage")
        same(weights(network, batch, method, lambda row: row[2], "stage"), expected, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_segmentation_is_explained_in_the_region_of_each_case(images, same, method):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 2, 1)).double()
    batch = images(2, 2)
    region = torch.zeros(2, 8, 8)
    region[0, :3], region[1, :, 5:] = 1, 1
    together = weights(network, batch, method, "all", "0", region=region)
    for i in range(2):
        alone = weights(network, batch[i : i + 1], method, "all", "0", region=region[i])
        same(together[i], alone[0], rtol=1e-12)
    assert not torch.allclose(
        together[0], weights(network, batch, method, "all", "0", region=region.flip(0))[0]
    )


# ---- long work ----


@pytest.mark.parametrize(("method", "passes"), [("ss-cam", 2 * 3 * 6), ("smoothgradcam++", 2 * 4)])
def test_progress_counts_forward_passes(small_network, images, monkeypatch, method, passes):
    monkeypatch.setattr(masked_forward, "MOST_ROWS", 5)
    told = []
    weights(
        small_network(2),
        images(2, 2),
        method,
        layer="stage",
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[0] == (0, passes)
    assert told[-1] == (passes, passes)
    assert told == sorted(set(told))


def state(network):
    return (
        [module.training for module in network.modules()],
        [parameter.requires_grad for parameter in network.parameters()],
        [parameter.grad for parameter in network.parameters()],
        [len(module._forward_hooks) for module in network.modules()],
        {name: value.tolist() for name, value in network.state_dict().items()},
    )


@pytest.mark.parametrize("method", METHODS)
def test_work_is_stopped_when_asked_and_leaves_the_network_as_it_was(
    small_network, images, monkeypatch, method
):
    monkeypatch.setattr(masked_forward, "MOST_ROWS", 2)
    network = small_network(2, "mlp")
    before = state(network)
    weights(network, images(2, 2), method, layer="stage")
    assert state(network) == before
    told = []
    with refused(Cancelled, Problem.STOPPED) as caught:
        weights(
            network,
            images(2, 2),
            method,
            layer="stage",
            progress=lambda done, total: told.append(done),
            stop=lambda: len(told) > 2 - (method == "smoothgradcam++"),
        )
    assert caught.value.facts["done"] in (2, 4)
    assert state(network) == before


def test_works_in_inference_mode(small_network, images, same):
    network, batch = small_network(2, "mlp"), images(2, 2)
    for method in METHODS:
        expected = weights(network, batch, method, layer="stage")
        with torch.inference_mode():
            found = weights(network, batch.clone(), method, layer="stage")
        same(found, expected, rtol=1e-12)


# ---- bad input ----


def test_scores_that_are_not_finite_are_counted_and_named():
    # The sums of the masked images are 2 and -1, and the logarithm of -1 is not a number.
    x = torch.tensor([[-1.0, 2.0]]).reshape(1, 1, 1, 2)
    network = Opposites(lambda a: sums(a).log())
    with refused(ExplanationError, Problem.SCORES_NOT_FINITE, found=1, scores=2, case=0, feature=1):
        weights(network, x)


def test_layer_without_influence_is_not_drawn_as_zero():
    network = Opposites(lambda a: 0 * sums(a))
    with refused(ExplanationError, Problem.ZERO_GRADIENT_OF_NOISE, layer="features"):
        weights(network, X, "smoothgradcam++")


def test_tiny_gradients_do_not_underflow(small_network, images, same):
    network, x = small_network(2, "conv"), images(2)
    for parameter in network.head[-1].parameters():
        parameter.data *= 1e-20
    expected = weights(network, x, "smoothgradcam++", 0, "stage")
    found = weights(network.float(), x.float(), "smoothgradcam++", 0, "stage")
    assert 0 < expected.max() < 1e-15
    same(found.double() * 1e20, expected * 1e20, rtol=1e-4)


@pytest.mark.parametrize(
    ("method", "options", "kind"),
    [
        ("scorecam", {"samples": 3}, Problem.SETTING_NOT_USED),
        ("scorecam", {"noise": 0.1}, Problem.SETTING_NOT_USED),
        ("is-cam", {"noise": 0.1}, Problem.SETTING_NOT_USED),
        ("ss-cam", {"samples": 0}, Problem.SAMPLES),
        ("is-cam", {"samples": 2.5}, Problem.SAMPLES),
        ("is-cam", {"samples": "a"}, Problem.SAMPLES),
        ("is-cam", {"samples": 2.0}, Problem.SAMPLES),
        ("ss-cam", {"seed": None}, Problem.SEED),
        ("ss-cam", {"seed": 1.5}, Problem.SEED),
        ("smoothgradcam++", {"seed": 2**70}, Problem.SEED),
        ("smoothgradcam++", {"seed": -1}, Problem.SEED),
        ("ss-cam", {"noise": "x"}, Problem.NOISE),
        ("ss-cam", {"noise": -1.0}, Problem.NOISE),
        ("smoothgradcam++", {"noise": math.nan}, Problem.NOISE),
        ("ss-cam", {"autocast": torch.float32}, Problem.AUTOCAST),
    ],
)
def test_settings_that_make_no_sense_are_refused(method, options, kind):
    ((setting, value),) = options.items()
    used = kind is not Problem.SETTING_NOT_USED
    facts = {"found": value} if used else {"method": method, "setting": setting}
    with refused(ExplanationError, kind, **facts):
        class_activation(Opposites(sums), X, "features", method, 0, **options)


def test_methods_have_the_numbers_of_the_method():
    table = {name: (it.samples, it.noise) for name, it in PERTURBATION_METHODS.items()}
    assert table == {
        "scorecam": (1, None),
        "ss-cam": (35, 2.0),
        "is-cam": (10, None),
        "smoothgradcam++": (4, 0.3),
    }
    with pytest.raises(TypeError):
        PERTURBATION_METHODS["mine"] = None


def test_noise_is_the_same_whatever_torchs_defaults_are():
    one = sampling.noise_field((2, 3), torch.Generator("cpu").manual_seed(4))
    assert one.dtype == torch.float32
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        other = sampling.noise_field((2, 3), torch.Generator("cpu").manual_seed(4))
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
    assert other.dtype == torch.float32
    assert torch.equal(one, other)
