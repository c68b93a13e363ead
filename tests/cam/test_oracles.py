"""Other packages are the oracles, in float64: their signed, unscaled maps are ours to 1e-9.

Where a peer's definition is another one than ours, the last tests say where, and pin both.
"""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from monai.networks.nets import DenseNet, resnet10
from torch import nn

from napari_ifa.cam import class_activation
from tests import peers

CLASSES = range(3)
# A layer of each network, by what comes after it, and the linear layer of a pooled head.
HEADS = {
    "small": {"linear": "stage", "flatten": "stage", "mlp": "stage", "conv": "stage"},
    "resnet": {"pooled": "layer4", "curved": "layer3"},
    # The features of norm5 go into a ReLU in place.
    "densenet": {"pooled": "class_layers.relu", "curved": "features.norm5"},
}
LINEAR = {"small": "head.2", "resnet": "fc", "densenet": "class_layers.out"}


@dataclass(frozen=True)
class Subject:
    """A network that is explained at `layer`; `linear` names the end of its pooled head."""

    network: nn.Module
    layer: str
    linear: str

    @property
    def out_of_place(self) -> nn.Module:
        """The same network for peers that an activation in place misleads."""
        network = copy.deepcopy(self.network)
        for module in network.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
        return network


@functools.cache
def monai_network(family, dims):
    """In float64, with batch statistics as after training, so that no layer is trivial."""
    torch.manual_seed(5)
    if family == "resnet":
        network = resnet10(  # a quarter of its channels, for speed
            spatial_dims=dims,
            n_input_channels=1,
            num_classes=3,
            conv1_t_stride=2,
            widen_factor=0.25,
        )
    else:
        network = DenseNet(dims, 1, 3, init_features=8, growth_rate=4, block_config=(2, 3))
    generator = torch.Generator().manual_seed(3)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) - 0.5)
    return network.double().eval()


@pytest.fixture
def subject(small_network):
    """make(family, head, dims): one of the three architectures, cut before one of its heads."""

    def make(family, head, dims):
        network = (
            small_network(dims, head).eval() if family == "small" else monai_network(family, dims)
        )
        return Subject(network, HEADS[family][head], LINEAR[family])

    return make


def inputs(family, dims, cases):
    generator = torch.Generator().manual_seed(7)
    size = 8 if family == "small" else 36
    return torch.randn((cases, 1, *[size] * dims), generator=generator, dtype=torch.float64)


def captum(method):
    def maps(subject, x, class_idx):
        network, layer = subject.network, subject.layer
        return peers.captum_weighted_features(network, layer, x, class_idx, method).sum(1)

    return maps


def torchcam(kind, **options):
    def maps(subject, x, class_idx):
        network = subject.out_of_place
        return peers.torchcam_map(kind, network, subject.layer, x, class_idx, **options)[1]

    return maps


def torchcam_cam(subject, x, class_idx):
    return torchcam("CAM", fc_layer=subject.linear)(subject, x, class_idx)


def grad_cam(kind):
    def maps(subject, x, class_idx):
        return peers.grad_cam_map(kind, subject.out_of_place, subject.layer, x, class_idx)[1]

    return maps


ORACLES = {
    "cam": torchcam_cam,
    "gradcam": captum("gradcam"),
    "gradcam++": grad_cam("GradCAMPlusPlus"),
    "xgradcam": grad_cam("XGradCAM"),
    "layercam": torchcam("LayerCAM"),
    "pixelwise": captum("pixelwise"),
}
POOLED = ("linear", "pooled")
SETTINGS = [
    pytest.param(method, family, head, dims, id=f"{method}-{family}-{head}-{dims}D")
    for method in ORACLES
    for family, heads in HEADS.items()
    for head in heads
    for dims in (1, 2, 3)
    # The peer of these two knows no 1D.
    if (dims > 1 or (family == "small" and method not in ("gradcam++", "xgradcam")))
    and (method != "cam" or head in POOLED)
]


@pytest.mark.parametrize("cases", [1, 4])
@pytest.mark.parametrize(("method", "family", "head", "dims"), SETTINGS)
def test_maps_agree_with_the_oracle(subject, same, method, family, head, dims, cases):
    it, x = subject(family, head, dims), inputs(family, dims, cases)
    result = class_activation(it.network, x, it.layer, method, "all")
    for c in CLASSES:
        same(result.maps()[:, c], ORACLES[method](it, x, c))
    assert result.affine_head == (head in (*POOLED, "flatten"))


@pytest.mark.parametrize("method", ORACLES)
def test_a_class_per_case_agrees_with_the_oracle(subject, same, method):
    it, x, chosen = subject("small", "linear", 3), inputs("small", 3, 4), [2, 0, 1, 0]
    result = class_activation(it.network, x, it.layer, method, chosen)
    same(result.maps()[:, 0], ORACLES[method](it, x, chosen))


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
@pytest.mark.parametrize("head", HEADS["densenet"])
def test_every_feature_agrees_with_captum(subject, same, method, head):
    it, x = subject("densenet", head, 3), inputs("densenet", 3, 4)
    result = class_activation(it.network, x, it.layer, method, "all")
    for c in CLASSES:
        theirs = peers.captum_weighted_features(it.network, it.layer, x, c, method)
        same(result.weighted_features(c), theirs)
        same(result.contributions()[:, c], theirs.flatten(2).sum(-1))


@pytest.mark.parametrize("family", ["resnet", "densenet"])
def test_recommended_layer_of_monai_networks_adds_up_to_the_logits(subject, same, family):
    it, x = subject(family, "pooled", 3), inputs(family, 3, 2)
    result = class_activation(it.network, x, class_idx="all")
    assert result.additive
    bias = it.network.get_submodule(it.linear).bias
    same(result.contributions().sum(-1) + bias, it.network(x).detach())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    ("family", "head"),
    [("small", "flatten"), ("small", "conv"), ("resnet", "curved"), ("densenet", "curved")],
)
def test_gradcam_plus_plus_is_equation_19_voxel_by_voxel(subject, same, family, head, dims):
    it, x = subject(family, head, dims), inputs(family, dims, 2)
    kept = []
    network = it.out_of_place
    layer = network.get_submodule(it.layer)
    handle = layer.register_forward_hook(lambda m, a, out: kept.append(out))
    logits = network(x)
    handle.remove()
    for c in CLASSES:
        (gradient,) = torch.autograd.grad(logits[:, c].sum(), kept, retain_graph=True)
        sums, weights = kept[0].detach().flatten(2).sum(-1), 0
        for place in np.ndindex(*gradient.shape[2:]):
            g = gradient[(..., *place)]
            alpha = torch.where(g == 0, 0, g**2 / (2 * g**2 + sums * g**3))
            weights = weights + alpha * g.relu()
        found = class_activation(it.network, x, it.layer, "gradcam++", c)
        same(found.weights[:, 0], weights)
        assert gradient.flatten(2).std(-1).max() > 0.01 * gradient.abs().max()


# ---- where the peers' definitions differ ----


def gradients_of(it, x, c):
    """Features and gradients by pixel-wise Grad CAM, whose weights are the gradients."""
    result = class_activation(it.network, x, it.layer, "pixelwise", c)
    return result.features, result.weights[:, 0]


def test_gradcam_plus_plus_of_torchcam_is_without_alpha(subject, same):
    # It divides G² in a copy, which masking by `g2 > 0` makes, so that α stays G².
    it, x = subject("small", "conv", 3), inputs("small", 3, 4)
    _, gradient = gradients_of(it, x, 1)
    weights, _ = peers.torchcam_map("GradCAMpp", it.network, it.layer, x, 1)
    same(weights, (gradient**2 * gradient.relu()).flatten(2).sum(-1))


@pytest.mark.parametrize(("head", "pooled"), [("linear", True), ("conv", False)])
def test_torchcam_takes_the_cube_into_the_sum(subject, same, head, pooled):
    # Its Grad CAM++ of one noisy input whose noise is none. Σ A·G³ is S·G³ behind a pooled head.
    it, x = subject("small", head, 3), inputs("small", 3, 4)
    features, gradient = gradients_of(it, x, 1)
    kind, noiseless = "SmoothGradCAMpp", {"std": 1e-30, "num_samples": 1}
    theirs, _ = peers.torchcam_map(kind, it.network, it.layer, x, 1, **noiseless)
    total = (features * gradient**3).flatten(2).sum(-1)[..., None, None, None]
    alpha = torch.where(gradient == 0, 0, gradient**2 / (2 * gradient**2 + total))
    same(theirs, (alpha * gradient.relu()).flatten(2).sum(-1))
    ours = class_activation(it.network, x, it.layer, "gradcam++", 1).weights[:, 0]
    assert torch.allclose(ours, theirs, rtol=1e-9, atol=0) == pooled


def test_absolute_eps_of_grad_cam_takes_small_gradients_for_nothing(by_hand):
    # G = 1e-4 as of a large 3D grid: beside eps = 1e-6, G² = 1e-8 is nothing.
    def head(features):  # one logit, 1e-4·x1 - 1e-4·x2 of the first feature
        return 1e-4 * (features[:, :1, 0, 0] - features[:, :1, 0, 1])

    network, x = by_hand(head), torch.tensor([[1.0, 2.0]]).reshape(1, 1, 1, 2)
    ours = class_activation(network, x, "features", "gradcam++").weights
    # S = 3: 1e-4 / (2 + 3e-4).
    torch.testing.assert_close(ours[0, 0], torch.tensor([1e-4 / 2.0003, 0.0]))
    features, gradients = np.array([[[[1.0, 2.0]]]]), np.array([[[[1e-4, -1e-4]]]])
    with peers.pytorch_grad_cam().GradCAMPlusPlus(network, [network.features]) as explainer:
        weights = explainer.get_cam_weights(x, None, None, features, gradients)
    assert 0 < weights.item() < 0.02 * ours[0, 0, 0].item()


def test_cancelled_sum_gives_no_weight_where_peers_divide_by_eps(by_hand):
    def head(features):  # one logit, 2·x1 + 1·x2 of the first feature
        return 2 * features[:, :1, 0, 0] + features[:, :1, 0, 1]

    # Σ A = 0 for both features, and Σ G·A = 2·1 + 1·(-1) = 1 for the first one.
    network = by_hand(head)
    x = torch.tensor([[1.0, -1.0], [2.0, -2.0]]).reshape(1, 1, 2, 2)
    result = class_activation(network, x, "features", "xgradcam")
    assert result.weights.tolist() == [[[0.0, 0.0]]]
    gradients = np.array([[[[2.0, 1.0], [0.0, 0.0]]]])
    with peers.pytorch_grad_cam().XGradCAM(network, [network.features]) as explainer:
        weights = explainer.get_cam_weights(x, None, None, x.numpy(), gradients)
    np.testing.assert_allclose(weights, [[1e7]])  # 1 over an eps of 1e-7


def test_dead_feature_has_weight_zero_where_torchcam_has_nan(small_network, images, same):
    network, x = small_network(2).eval(), images(2, 2)
    with torch.no_grad():
        network.stage[1].weight[2] = 0
        network.stage[1].bias[2] = 0  # the third feature is 0 everywhere
    result = class_activation(network, x, "stage", "xgradcam", 1)
    weights, found = peers.torchcam_map("XGradCAM", network, "stage", x, 1)
    assert weights[:, 2].isnan().all()  # 0/0, which its sum then leaves out
    assert (result.weights[:, 0, 2] == 0).all()
    same(result.maps()[:, 0], found)


def test_activation_in_place_after_the_layer_misleads_peers_but_captum(small_network, images, same):
    kept, spoilt = small_network(3, "mlp").eval(), small_network(3, "mlp", inplace=True).eval()
    x = images(3, 2)
    ours = class_activation(spoilt, x, "stage", "gradcam", 1).maps()[:, 0]
    same(ours, class_activation(kept, x, "stage", "gradcam", 1).maps()[:, 0])
    same(ours, peers.captum_weighted_features(spoilt, "stage", x, 1).sum(1))
    # torch-cam explains the output of the ReLU instead of the layer's, features and gradients.
    behind = class_activation(kept, x, "head.0", "gradcam", 1).maps()[:, 0]
    same(peers.torchcam_map("GradCAM", spoilt, "stage", x, 1)[1], behind)
    # pytorch-grad-cam joins the layer's gradients and the ReLU's features.
    features, gradients = gradients_of(Subject(kept, "stage", ""), x, 1)
    mixed = (gradients.flatten(2).mean(-1)[..., None, None, None] * features.relu()).sum(1)
    same(peers.grad_cam_map("GradCAM", spoilt, "stage", x, 1)[1], mixed)
    assert (behind - ours).abs().max() > 0.1 * ours.abs().max()
    assert (mixed - ours).abs().max() > 0.1 * ours.abs().max()
