"""Which layers can carry a class activation, and which one is recommended."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks import TransformerBlock
from monai.networks.nets import (
    UNETR,
    BasicUNet,
    DenseNet121,
    EfficientNetBN,
    HighResNet,
    SegResNet,
    SEResNet50,
    UNet,
    ViT,
    resnet10,
    resnet50,
)
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import nn

from napari_ifa.cam import bypassed
from napari_ifa.errors import ExplanationError
from napari_ifa.models.layers import CandidateLayer, candidate_layers
from napari_ifa.models.problems import NetworkProblem as Problem
from tests import peers
from tests.problems import refused


def recommended(network, example):
    (best,) = [layer for layer in candidate_layers(network, example) if layer.recommended]
    return best


def test_candidates_of_a_plain_network():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, stride=2), nn.ReLU()),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 2),
    )
    assert candidate_layers(network, torch.zeros(1, 1, 9, 9)) == [
        CandidateLayer(
            "0.0", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer(
            "0.1", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer(
            "0", 4, (7, 7), False, "earlier than 1, so more of the network lies behind it"
        ),
        CandidateLayer("1.0", 6, (3, 3), False, "inside 1"),
        CandidateLayer("1.1", 6, (3, 3), False, "the same output as 1"),
        CandidateLayer("1", 6, (3, 3), True, "last layer with a spatial output, followed by 2"),
    ]


# MONAI's classifiers: how to make one, its spatial axes, and the recommended layer on inputs of 64.
MONAI = {
    "ResNet": (
        lambda: resnet10(n_input_channels=1, num_classes=2),
        CandidateLayer(
            "layer4", 512, (4, 4, 4), True, "last layer with a spatial output, followed by avgpool"
        ),
    ),
    "bottleneck ResNet": (
        lambda: resnet50(spatial_dims=2, n_input_channels=1, num_classes=2),
        CandidateLayer(
            "layer4", 2048, (4, 4), True, "last layer with a spatial output, followed by avgpool"
        ),
    ),
    "DenseNet": (
        lambda: DenseNet121(2, 1, 2, init_features=16, growth_rate=8),
        CandidateLayer(
            "class_layers.relu",
            256,
            (2, 2),
            True,
            "last layer with a spatial output, followed by class_layers.pool",
        ),
    ),
    "SEResNet": (
        lambda: SEResNet50(spatial_dims=2, in_channels=1, num_classes=2),
        CandidateLayer(
            "layer4",
            2048,
            (2, 2),
            True,
            "last layer with a spatial output, followed by adaptive_avg_pool",
        ),
    ),
    # Its last activation is one module with its first, so the layer before it is the last one left.
    "EfficientNet": (
        lambda: EfficientNetBN("efficientnet-b0", pretrained=False, in_channels=1, num_classes=2),
        CandidateLayer(
            "_bn1", 1280, (2, 2), True, "last layer with a spatial output, followed by _swish"
        ),
    ),
}


@pytest.mark.parametrize("family", MONAI)
def test_recommended_layer_of_monai_classifiers(family):
    make, expected = MONAI[family]
    assert recommended(make(), torch.zeros(1, 1, *[64] * len(expected.grid))) == expected


def test_dropout_and_pooling_at_the_end_are_passed_over():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Dropout2d(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2)
    )
    layers = candidate_layers(network, torch.zeros(1, 1, 8, 8))
    assert [layer.name for layer in layers] == ["0", "1", "2"]
    assert [layer.recommended for layer in layers] == [True, False, False]
    assert layers[2].reason == "only pools or passes on the output of 0"


def test_activation_in_place_has_an_output_of_its_own():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    layers = candidate_layers(network, torch.zeros(1, 1, 8, 8))
    assert [layer.recommended for layer in layers] == [False, True]
    assert layers[0].reason.startswith("earlier than 1")


def test_layer_called_twice_is_no_candidate():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.act = nn.ReLU()
            self.conv = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            return self.act(self.conv(self.act(x))).mean((2, 3))

    assert [layer.name for layer in candidate_layers(Twice(), torch.zeros(1, 1, 8, 8))] == ["conv"]


def test_network_of_which_every_layer_is_called_twice_is_refused_for_that():
    class Siamese(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            return self.fc((self.conv(x) - self.conv(-x)).mean((2, 3)))

    with refused(ExplanationError, Problem.LAYERS_CALLED_AGAIN, layer="conv"):
        candidate_layers(Siamese(), torch.zeros(1, 1, 8, 8))


def test_image_is_found_among_the_inputs():
    class Aged(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(6, 2)

        def forward(self, age, image):
            return self.fc(torch.cat([self.conv(image).mean((2, 3)), age], 1))

    inputs = {"age": torch.zeros(2, 2), "image": torch.zeros(2, 1, 8, 8)}
    (layer,) = candidate_layers(Aged(), inputs)
    assert (layer.name, layer.grid) == ("conv", (6, 6))


def test_defaults_of_torch_do_not_matter():
    network, x = vit(), torch.ones(1, 1, 8, 12)
    expected = candidate_layers(network, x)
    try:
        torch.set_default_device("meta")
        torch.set_default_dtype(torch.float64)
        assert candidate_layers(network, x) == expected
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)


def test_example_that_does_not_fit_memory_is_a_sentence(monkeypatch):
    def forward(x):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 8 bytes.")

    network = nn.Sequential(nn.Conv2d(1, 4, 3))
    monkeypatch.setattr(network, "forward", forward)
    with refused(ExplanationError, Problem.NO_MEMORY, device="cpu", given=[1, 8, 8]):
        candidate_layers(network, torch.zeros(2, 1, 8, 8))


def test_network_without_a_grid_is_refused():
    with refused(ExplanationError, Problem.NO_GRID):
        candidate_layers(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), torch.zeros(1, 1, 8, 8))


def test_example_that_does_not_fit_is_refused():
    network = nn.Sequential(nn.Conv3d(1, 4, 3), nn.ReLU())
    with refused(ExplanationError, Problem.INPUT_SHAPE, channels=1, dims=3):
        candidate_layers(network, torch.zeros(1, 3, 8, 8, 8))


ONLY_CLASS_TOKEN = "only the class token goes on to the answer"


def vit(**options):
    torch.manual_seed(0)
    return ViT(1, (8, 12), 4, 8, 8, 2, 2, classification=True, spatial_dims=2, **options)


def test_class_token_head_is_explained_before_its_last_attention():
    layers = {layer.name: layer for layer in candidate_layers(vit(), torch.zeros(1, 1, 8, 12))}
    assert layers["blocks.1.norm1"] == CandidateLayer(
        "blocks.1.norm1",
        8,
        (2, 3),
        True,
        f"last layer whose patch tokens the answer depends on; behind it {ONLY_CLASS_TOKEN}",
    )
    for name in ("blocks.1.attn", "blocks.1", "norm"):
        assert layers[name].reason == f"behind blocks.1.norm1, where {ONLY_CLASS_TOKEN}"
    for name in ("patch_embedding.patch_embeddings", "patch_embedding", "blocks.0"):
        assert layers[name].grid == (2, 3)
        assert layers[name].reason.startswith("earlier than blocks.1.norm1")


def test_weights_between_tokens_are_no_features():
    # `[1, heads, tokens, tokens]` looks like maps of 7 x 7.
    names = [layer.name for layer in candidate_layers(vit(), torch.zeros(1, 1, 8, 12))]
    assert "blocks.0.attn.drop_output" in names
    assert "blocks.0.attn.drop_weights" not in names
    # One window over all 4 x 4 voxels.
    swin = SwinTransformer(1, 12, (4, 4), (2, 2), (1,) * 4, (2,) * 4, spatial_dims=2)
    names = [layer.name for layer in candidate_layers(swin, torch.zeros(1, 1, 32, 32))]
    assert "layers3.0.blocks.0.norm2" in names
    assert not [name for name in names if name.endswith(("softmax", "attn_drop"))]


def test_class_token_head_that_is_all_zero_is_explained_at_the_same_layer():
    models = peers.usable_torchvision().models
    network = models.VisionTransformer(16, 8, 3, 2, 8, 8, num_classes=3)
    assert not network.heads.head.weight.any()  # as torchvision makes it
    untrained = recommended(network, torch.zeros(1, 3, 16, 16))
    nn.init.normal_(network.heads.head.weight)
    trained = recommended(network, torch.zeros(1, 3, 16, 16))
    assert untrained == trained
    assert trained.name == "encoder.layers.encoder_layer_2.ln_1"


class MeanOfTokens(nn.Module):
    """A transformer whose head pools the patches."""

    def __init__(self):
        super().__init__()
        self.vit = ViT(1, (8, 12), 4, 8, 8, 2, 2, spatial_dims=2)
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        return self.fc(self.vit(x)[0].mean(1))


def test_head_that_pools_the_patches_is_explained_at_the_last_norm():
    assert recommended(MeanOfTokens(), torch.zeros(1, 1, 8, 12)) == CandidateLayer(
        "vit.norm", 8, (2, 3), True, "last layer with a spatial output, followed by fc"
    )


WIDTH = 16
ALL_PATHS = "last layer with a spatial output that every path to the answer goes through"


class Tokens(nn.Module):
    """A patch embedding, what a subclass does with its tokens, their mean, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, WIDTH, 4, 4)
        self.head = nn.Linear(WIDTH, 3)

    def tokens(self, tokens):
        raise NotImplementedError

    def forward(self, x):
        return self.head(self.tokens(self.embed(x).flatten(2).mT).mean(1))


class Blocks(Tokens):
    """Two blocks and, if asked for, a norm behind them."""

    def __init__(self, normed):
        super().__init__()
        self.blocks = nn.Sequential(*[TransformerBlock(WIDTH, 32, 4) for _ in range(2)])
        self.norm = nn.LayerNorm(WIDTH) if normed else nn.Identity()

    def tokens(self, tokens):
        return self.norm(self.blocks(tokens))


class AnswerOfEveryToken(Blocks):
    """The head answers for every token, and the answers are averaged."""

    def __init__(self):
        super().__init__(normed=False)
        self.head = nn.Sequential(nn.Linear(WIDTH, 8), nn.GELU(), nn.Linear(8, 3))

    def forward(self, x):
        return self.head(self.tokens(self.embed(x).flatten(2).mT)).mean(1)


class Residual(Tokens):
    """Attention whose residual path is no module of its own."""

    def __init__(self, on_grid=False):
        super().__init__()
        self.embed = nn.Sequential(nn.Conv2d(1, 8, 4, 4), nn.ReLU(), nn.Conv2d(8, WIDTH, 1))
        self.norm = nn.LayerNorm(WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.pool = nn.AdaptiveAvgPool2d(1) if on_grid else None

    def tokens(self, tokens):
        normed = self.norm(tokens)
        return tokens + self.attention(normed, normed, normed)[0]

    def forward(self, x):
        if self.pool is None:
            return super().forward(x)
        maps = self.embed(x)
        tokens = self.tokens(maps.flatten(2).mT)
        return self.head(self.pool(tokens.mT.unflatten(2, maps.shape[2:])).flatten(1))


class Encoder(Tokens):
    """torch's own encoder, with the norms before or behind each branch."""

    def __init__(self, norm_first):
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True, norm_first=norm_first)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def tokens(self, tokens):
        return self.encoder(tokens)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (Blocks(normed=False), "blocks"),
        (Blocks(normed=True), "norm"),
        (AnswerOfEveryToken(), "blocks"),
        (Encoder(norm_first=True), "encoder"),
        (Encoder(norm_first=False), "encoder"),
        (Residual(), "embed"),
        (Residual(on_grid=True), "embed"),
    ],
)
def test_without_a_class_token_no_path_goes_around_the_recommended_layer(network, name):
    x = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    best = recommended(network, x)
    assert (best.name, best.grid, best.channels) == (name, (4, 4), WIDTH)
    assert not bypassed(network.eval(), x, best.name)


def test_layer_before_a_residual_path_is_preferred_to_one_beside_it():
    layers = {
        layer.name: layer for layer in candidate_layers(Residual(), torch.zeros(1, 1, 16, 16))
    }
    assert layers["embed"].reason == ALL_PATHS
    assert layers["norm"].reason == "behind embed, where part of the answer goes around it"


def test_classifier_of_two_scales_is_explained_where_both_begin():
    class TwoScales(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.ReLU())
            self.coarse = nn.Sequential(nn.Conv2d(4, 8, 3, 2, 1), nn.ReLU())
            self.head = nn.Linear(12, 3)

        def forward(self, x):
            fine = self.fine(x)
            coarse = self.coarse(fine)
            return self.head(torch.cat([fine.mean((2, 3)), coarse.mean((2, 3))], 1))

    best = recommended(TwoScales(), torch.zeros(1, 1, 16, 16))
    assert (best.name, best.reason) == ("fine", ALL_PATHS)


def test_grid_of_tokens_can_be_given():
    class Rows(nn.Module):
        """Tokens without a patch embedding, behind a convolution."""

        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 1)
            self.norm = nn.LayerNorm(8)

        def forward(self, x):
            return self.norm(nn.functional.unfold(self.conv(x), 2, stride=2).mT).mean(1)

    x = torch.zeros(1, 2, 4, 8)
    assert recommended(Rows(), x).name == "conv"
    (best,) = [
        layer for layer in candidate_layers(Rows(), x, token_grid=(2, 4)) if layer.recommended
    ]
    assert (best.name, best.grid) == ("norm", (2, 4))


def test_channels_last_are_counted_as_channels_and_views_are_passed_over():
    models = peers.usable_torchvision().models
    network = models.SwinTransformer([2, 2], 12, [1, 1], [2, 2], [2, 2], num_classes=3)
    layers = candidate_layers(network, torch.zeros(1, 3, 16, 16))
    (best,) = [layer for layer in layers if layer.recommended]
    assert (best.name, best.channels, best.grid) == ("norm", 24, (4, 4))
    (view,) = [layer for layer in layers if layer.name == "permute"]
    assert (view.channels, view.grid) == (24, (4, 4))
    assert view.reason == "only pools or passes on the output of norm"


def test_segmentation_is_explained_at_its_bottleneck():
    layers = {
        layer.name: layer
        for layer in candidate_layers(UNet(2, 1, 3, (4, 6, 8), (2, 2)), torch.zeros(1, 1, 8, 8))
    }
    # The skip connection around the bottom layer: 6 channels around, 8 from below.
    assert layers["model.1.submodule.1"] == CandidateLayer(
        "model.1.submodule.1",
        14,
        (2, 2),
        True,
        "the bottleneck, the last layer on the coarsest grid",
    )
    assert layers["model.1.submodule.1.submodule"].reason == "inside model.1.submodule.1"
    assert layers["model.2"].reason == (
        "behind model.1.submodule.1, and closer to the segmentation itself"
    )


@pytest.mark.parametrize(
    ("network", "name"),
    [
        # The way up begins with a convolution on the coarsest grid.
        (SegResNet(2, 8, 1, 3, blocks_down=(1, 1), blocks_up=(1,)), "down_layers.1"),
        (BasicUNet(2, 1, 3, (4, 4, 4, 4, 4, 4), upsample="nontrainable"), "down_4"),
        (UNETR(1, 3, 32, 4, 8, 8, 2, spatial_dims=2), "vit.norm"),
    ],
)
def test_first_steps_up_are_no_bottleneck(network, name):
    assert recommended(network, torch.zeros(1, 1, 32, 32)).name == name


def test_segmentation_on_one_grid_is_explained_before_the_last_kernel():
    layers = [
        {"name": "conv_0", "n_features": 4, "kernel_size": 3},
        {"name": "res_1", "n_features": 4, "kernels": (3, 3), "repeat": 1},
        {"name": "res_2", "n_features": 6, "kernels": (3, 3), "repeat": 1},
        {"name": "res_3", "n_features": 6, "kernels": (3, 3), "repeat": 1},
        {"name": "conv_1", "n_features": 8, "kernel_size": 1},
        {"name": "conv_2", "kernel_size": 1},
    ]
    network = HighResNet(2, 1, 3, layer_params=layers)
    best = recommended(network, torch.zeros(1, 1, 8, 8))
    assert best.name == "blocks.2"  # blocks.3 looks around last, blocks.4 and 5 do not
    assert "before the last block" in best.reason
    for kernel in (1, 3):  # nowhere, or nowhere but at the start
        alone = nn.Sequential(nn.Conv2d(1, 4, kernel, padding="same"), nn.Conv2d(4, 2, 1))
        best = recommended(alone, torch.zeros(1, 1, 8, 8))
        assert best.name == "0"
        assert "is the segmentation itself" in best.reason


class TwoAnswers(nn.Module):
    """A classifier, and behind it a reconstruction of the image on the way of its own."""

    def __init__(self, dead=False):
        super().__init__()
        self.shared = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.classes = nn.Conv2d(4, 4, 3, padding=1)
        self.image = nn.ConvTranspose2d(4, 1, 2, 2)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        shared = self.shared(x)
        logits = self.fc(self.classes(shared).mean((2, 3)))
        return {"logits": logits, "image": self.image(shared)}


@pytest.mark.parametrize(("output", "name"), [("logits", "classes"), ("image", "shared")])
def test_layers_on_the_way_to_another_output_are_not_recommended(output, name):
    layers = candidate_layers(TwoAnswers(), torch.zeros(1, 1, 8, 8), output)
    assert [layer.name for layer in layers if layer.recommended] == [name]
    first = candidate_layers(TwoAnswers(), torch.zeros(1, 1, 8, 8))
    assert [layer.name for layer in first if layer.recommended] == ["classes"]


def test_transformer_is_left_as_it_was_though_gradients_were_computed():
    network = vit().train()
    network.norm.weight.requires_grad_(False)
    candidate_layers(network, torch.ones(1, 1, 8, 12))
    assert all(module.training for module in network.modules())
    assert not any(module._forward_hooks for module in network.modules())
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == [
        "norm.weight"
    ]
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("channels", [1, 2])  # one that fits and one that fails
def test_network_is_left_as_it_was(channels):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[2].eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    try:
        candidate_layers(network, torch.ones(2, channels, 8, 8))
    except ExplanationError:
        assert channels == 2
    assert [module.training for module in network.modules()] == [True, True, True, False]
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
