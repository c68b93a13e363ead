"""captum's signed per-channel results are the oracle, in float64."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LayerGradCam, LayerGradientXActivation
from monai.networks.nets import DenseNet, resnet10

from napari_ifa.cam import class_activation


def monai_resnet(dims):
    return resnet10(
        spatial_dims=dims, n_input_channels=1, num_classes=3, conv1_t_stride=2, feed_forward=True
    ), "layer4"


def monai_densenet(dims):
    network = DenseNet(dims, 1, 3, init_features=8, growth_rate=4, block_config=(2, 3))
    return network, "features.norm5"  # followed by a ReLU in place


def tuned(network):
    """In float64, with batch statistics as after training, so that no layer is trivial."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) - 0.5)
    return network.double().eval()


def oracle(network, layer, x, classes, method):
    """Per-channel contributions to the map: `[B, K, F, *grid]`."""
    kind = LayerGradCam if method == "gradcam" else LayerGradientXActivation
    explainer = kind(network, network.get_submodule(layer))
    options = {"attr_dim_summation": False} if method == "gradcam" else {}
    return torch.stack([explainer.attribute(x, target=c, **options).detach() for c in classes], 1)


@pytest.mark.parametrize("cases", [1, 4])
@pytest.mark.parametrize("head", ["linear", "flatten", "mlp", "conv"])
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_small_networks_agree_with_captum(small_network, images, same, method, dims, head, cases):
    network, batch = small_network(dims, head).eval(), images(dims, cases)
    expected = oracle(network, "stage", batch, range(3), method)
    result = class_activation(network, batch, "stage", method, "all")
    found = torch.stack([result.weighted_features(k) for k in range(3)], 1)
    same(found, expected)
    same(result.maps(), expected.sum(2))
    same(result.contributions(), expected.flatten(3).sum(-1))


@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("family", [monai_resnet, monai_densenet])
def test_monai_networks_agree_with_captum(same, family, dims, method):
    torch.manual_seed(5)
    network, layer = family(dims)
    tuned(network)
    batch = torch.randn((2, 1, *[36] * dims), dtype=torch.float64)
    expected = oracle(network, layer, batch, range(3), method)
    result = class_activation(network, batch, layer, method, "all")
    same(result.maps(), expected.sum(2))
    same(result.contributions(), expected.flatten(3).sum(-1))
    assert result.affine_head == (family is monai_resnet)


@pytest.mark.parametrize("family", [monai_resnet, monai_densenet])
def test_recommended_layer_of_monai_networks_adds_up_to_the_logits(same, family):
    torch.manual_seed(5)
    network, _ = family(3)
    tuned(network)
    batch = torch.randn((2, 1, 36, 36, 36), dtype=torch.float64)
    result = class_activation(network, batch, class_idx="all")
    assert result.additive
    last = [module for module in network.modules() if isinstance(module, torch.nn.Linear)][-1]
    same(result.contributions().sum(-1) + last.bias, network(batch).detach())
