"""Tokens are folded to a grid and back, and the grid is read from the patch embedding."""

from __future__ import annotations

import pytest
import torch
from monai.networks.blocks.patchembedding import PatchEmbeddingBlock
from monai.networks.nets import ViT
from monai.networks.nets.swin_unetr import SwinTransformer
from torch import nn

from napari_ifa.errors import ExplanationError
from napari_ifa.models.problems import NetworkProblem as Problem
from napari_ifa.models.tokens import TokenLayout, token_layout
from tests import peers
from tests.problems import refused

# A class token 0, then the patches of a 2 x 3 grid row by row, with the features (t, 10·t).
TOKENS = torch.tensor([[[t, 10.0 * t] for t in range(7)]])
FEATURES = torch.tensor([[[[1.0, 2, 3], [4, 5, 6]], [[10.0, 20, 30], [40, 50, 60]]]])


def test_class_token_is_left_out_and_rows_become_the_grid():
    assert torch.equal(TokenLayout((2, 3), first=1).fold(TOKENS), FEATURES)


def test_three_axes_are_in_row_major_order():
    tokens = torch.arange(24.0).reshape(1, 24, 1)
    folded = TokenLayout((2, 3, 4)).fold(tokens)
    assert folded.shape == (1, 1, 2, 3, 4)
    assert folded[0, 0, 1, 2, 3] == 23
    assert folded[0, 0, 1, 0, 2] == 14  # 1·12 + 0·4 + 2


def test_each_row_gets_the_class_token_of_its_case():
    output = torch.cat([TOKENS, TOKENS + 100]).requires_grad_()
    layout = TokenLayout((2, 3), first=1)
    rows = torch.cat([layout.fold(output), FEATURES * 2])  # two cases, and a copy for the first
    found = layout.unfold(rows, output, torch.tensor([0, 1, 0]))
    assert torch.equal(found[:2], output)
    assert torch.equal(found[2], torch.cat([TOKENS[0, :1], TOKENS[0, 1:] * 2]))
    gradient = torch.autograd.grad(
        layout.unfold(rows.detach(), output, torch.zeros(3).long()).sum() + output.sum() * 0, output
    )[0]
    assert not gradient.any()  # class tokens bring no gradient of their own


def test_copies_of_each_case_follow_their_case():
    output = torch.cat([TOKENS, TOKENS + 100])
    layout = TokenLayout((2, 3), first=1)
    rows = layout.fold(output).repeat_interleave(2, 0)
    found = layout.unfold(rows, output, torch.tensor([0, 0, 1, 1]))
    assert torch.equal(found, output.repeat_interleave(2, 0))


def test_channels_move_to_the_front_and_back():
    output = torch.arange(24.0).reshape(1, 2, 3, 4)
    layout = TokenLayout((2, 3), channels_last=True)
    features = layout.fold(output)
    assert features.shape == (1, 4, 2, 3)
    assert features[0, 1, 0, 2] == output[0, 0, 2, 1]
    assert torch.equal(layout.unfold(features, output, torch.tensor([0])), output)


def test_class_tokens_take_the_type_of_the_features():
    layout = TokenLayout((2, 3), first=1)
    found = layout.unfold(FEATURES, TOKENS.bfloat16(), torch.tensor([0]))
    assert found.dtype == torch.float32


def outputs(network, x):
    """Every module and the shape of its output."""
    seen = {}
    handles = [
        module.register_forward_hook(
            lambda m, a, o, name=name: (
                seen.update({name: (m, tuple(o.shape))}) if isinstance(o, torch.Tensor) else None
            )
        )
        for name, module in network.named_modules()
    ]
    with torch.no_grad():
        network.eval()(x)
    for handle in handles:
        handle.remove()
    return seen


def layout_of(network, x, name):
    module, shape = outputs(network, x)[name]
    return token_layout(network, x, shape, layer=module)


@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
@pytest.mark.parametrize("size", [(8, 24), (8, 4, 12)])
@pytest.mark.parametrize("classification", [False, True])
def test_grid_of_monai_patch_embeddings(proj_type, size, classification):
    patch = (4, 8) if len(size) == 2 else (4, 2, 4)
    grid = (2, 3) if len(size) == 2 else (2, 2, 3)
    network = ViT(
        2, size, patch, 8, 8, 1, 2, proj_type, "learnable", classification, spatial_dims=len(size)
    )
    x = torch.zeros(1, 2, *size)
    first = int(classification)
    assert layout_of(network, x, "patch_embedding") == TokenLayout(grid)
    assert layout_of(network, x, "blocks.0") == TokenLayout(grid, first)
    assert layout_of(network, x, "norm") == TokenLayout(grid, first)


class Embedding(nn.Module):
    """A patch embedding and what it puts in front of the patches."""

    def __init__(self, embedding, tokens=0):
        super().__init__()
        self.embedding = embedding
        self.first = nn.Parameter(torch.zeros(1, tokens, 4))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        tokens = self.embedding(x).flatten(2).transpose(1, 2)
        return self.norm(torch.cat([self.first.expand(len(x), -1, -1), tokens], 1))


@pytest.mark.parametrize(
    ("embedding", "grid"),
    [
        (nn.Conv2d(3, 4, 4, 4), (2, 4)),
        (nn.Conv2d(3, 4, 7, 4, padding=3), (2, 4)),  # patches that overlap
        (nn.Conv2d(3, 4, 3, padding="same"), (8, 16)),
        (nn.Conv2d(3, 4, 4, 4, padding="valid"), (2, 4)),
        (nn.Sequential(nn.Conv2d(3, 5, 3, 2, 1), nn.ReLU(), nn.Conv2d(5, 4, 3, 2, 1)), (2, 4)),
        (nn.Sequential(nn.Conv2d(3, 4, 2, 2), nn.MaxPool2d(2)), (2, 4)),
    ],
)
@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_grid_of_convolutions_and_stems_with_class_and_register_tokens(embedding, grid, tokens):
    network = Embedding(embedding, tokens)
    assert layout_of(network, torch.zeros(1, 3, 8, 16), "norm") == TokenLayout(grid, tokens)


def test_patch_size_that_a_module_states():
    class Patches(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch_size = 4
            self.proj = nn.Linear(16, 4)

        def forward(self, x):
            return self.proj(nn.functional.unfold(x, 4, stride=4).transpose(1, 2))

    assert layout_of(Patches(), torch.zeros(1, 1, 8, 16), "proj") == TokenLayout((2, 4))


def test_unknown_grid_is_a_sentence_and_can_be_given():
    network, x = nn.Sequential(nn.Flatten(2), nn.Linear(64, 9)), torch.zeros(1, 9, 8, 8)
    with refused(ExplanationError, Problem.TOKEN_GRID, tokens=12):
        token_layout(network, x, (1, 12, 4))
    assert token_layout(network, x, (1, 12, 4), (3, 4)) == TokenLayout((3, 4))
    assert token_layout(network, x, (1, 13, 4), (3, 4)) == TokenLayout((3, 4), first=1)
    for tokens in (11, 100):  # too few, and far too many to be class tokens
        with refused(ExplanationError, Problem.TOKEN_GRID_DOES_NOT_FIT, grid=(3, 4), tokens=tokens):
            token_layout(network, x, (1, tokens, 4), (3, 4))


def test_two_grids_that_fit_alike_are_not_guessed_between():
    network = nn.ModuleList([nn.Conv2d(1, 4, (2, 4), (2, 4)), nn.Conv2d(1, 4, (4, 2), (4, 2))])
    with refused(ExplanationError, Problem.TOKEN_GRID, tokens=8):
        token_layout(network, torch.zeros(1, 1, 8, 8), (1, 8, 4))


def test_spatial_and_pooled_outputs_are_no_tokens():
    network = nn.Sequential(nn.Conv2d(1, 4, 2, 2), nn.Flatten(), nn.Linear(64, 2))
    x = torch.zeros(2, 1, 8, 8)
    for name in ("0", "1", "2"):
        assert layout_of(network, x, name) is None


def test_one_dimensional_features_are_no_tokens():
    network, x = nn.Conv1d(1, 4, 2, 2), torch.zeros(1, 1, 8)
    assert layout_of(nn.Sequential(network, nn.ReLU()), x, "1") is None
    assert token_layout(network, x, (1, 4, 4)) is None
    # Unless a layer on the last axis says so.
    tokens = Embedding(nn.Conv1d(1, 4, 2, 2), 1)
    assert layout_of(tokens, x, "norm") == TokenLayout((4,), first=1)


@pytest.mark.parametrize("size", [(16, 16), (32, 16, 16)])
def test_swin_blocks_have_their_channels_last_and_its_stages_first(size):
    dims = len(size)
    network = SwinTransformer(
        1, 12, (2,) * dims, (2,) * dims, (1,) * 4, (2,) * 4, spatial_dims=dims
    )
    x = torch.zeros(1, 1, *size)
    grid = tuple(length // 2 for length in size)
    for name in ("layers1.0.blocks.0", "layers1.0.blocks.0.norm1", "layers1.0.blocks.0.drop_path"):
        assert layout_of(network, x, name) == TokenLayout(grid, channels_last=True)
    assert layout_of(network, x, "layers1.0") is None
    assert layout_of(network, x, "patch_embed") is None


def test_torchvisions_swin_and_convnext_differ_in_where_the_channels_are():
    models = peers.usable_torchvision().models
    swin = models.SwinTransformer([2, 2], 12, [1, 1], [1, 1], [2, 2], num_classes=2)
    x = torch.zeros(1, 3, 16, 16)
    for name in ("features.0", "features.1.0", "features.1", "features.2", "features", "norm"):
        assert layout_of(swin, x, name).channels_last
    assert layout_of(swin, x, "permute") is None
    settings = [models.convnext.CNBlockConfig(8, None, 2)]
    convnext = models.ConvNeXt(settings, num_classes=2)
    found = outputs(convnext, x)
    names = {name for name in found if name.startswith("features.1.0")}
    last = {
        name
        for name in names
        if token_layout(convnext, x, found[name][1], layer=found[name][0]) is not None
    }
    # LayerNorm, Linear, GELU, Linear between two permutations.
    assert {"features.1.0.block.2", "features.1.0.block.3", "features.1.0.block.5"} <= last
    assert not {"features.1.0", "features.1.0.block", "features.1.0.block.0"} & last
    assert layout_of(convnext, x, "features") is None


def test_single_voxel_with_the_channels_last_is_refused():
    network = nn.LayerNorm(8)
    with refused(ExplanationError, Problem.SINGLE_VOXEL):
        token_layout(network, torch.zeros(1, 1, 4, 4), (1, 1, 1, 8), layer=network)


def test_patch_embedding_of_another_size_than_it_was_made_for():
    network = PatchEmbeddingBlock(1, (8, 8), 4, 4, 1, "conv", "none", spatial_dims=2)
    assert layout_of(network, torch.zeros(1, 1, 8, 8), "dropout") == TokenLayout((2, 2))


class Head(nn.Module):
    """An activation in front of a linear layer whose width is the last size of the grid."""

    def __init__(self, width):
        super().__init__()
        self.act = nn.ReLU()
        self.fc = nn.Linear(4, width)

    def forward(self, x):
        return self.fc(self.act(x).flatten(2).mean(-1))


class Mixed(nn.Module):
    """Layers without weights behind a convolution, and named in no order that tells."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(8, 6)
        self.conv = nn.Conv3d(1, 8, 3, padding=1)
        self.pool = nn.AvgPool3d((1, 16, 16))
        self.act = nn.ReLU()

    def forward(self, x):
        return self.fc(self.act(self.pool(self.conv(x))).mean((2, 3, 4)))


def test_width_of_another_layer_does_not_make_the_channels_last():
    # Of [8, 16, 6, 6], pooled unevenly, [8, 16, 6] is more like the image than [16, 6, 6].
    network, x = Mixed(), torch.zeros(1, 1, 16, 96, 96)
    for name in ("conv", "pool", "act"):
        assert layout_of(network, x, name) is None
    mean = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten())
    network = nn.Sequential(network.conv, network.pool, network.act, *mean, network.fc)
    for name in ("0", "1", "2"):
        assert layout_of(network, x, name) is None
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), Head(8))
    assert layout_of(network, torch.zeros(1, 1, 8, 8), "1.act") is None


def test_layer_without_weights_passes_on_what_it_is_given():
    class Block(nn.Module):
        """On the last axis, four wide as the axes before it are long."""

        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(4)
            self.mlp = nn.Sequential(nn.Linear(4, 16), nn.Identity(), nn.GELU(), nn.Linear(16, 4))
            self.drop = nn.Dropout()

        def forward(self, x):
            return self.drop(self.mlp(self.norm(x)))

    class Permuted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 4, 4, 4)
            self.drop = nn.Dropout()
            self.block = Block()

        def forward(self, x):
            return self.block(self.drop(self.conv(x)).movedim(1, -1))

    network, x = Permuted(), torch.zeros(1, 1, 16, 16)
    for name in ("conv", "drop"):
        assert layout_of(network, x, name) is None
    for name in ("block.norm", "block.mlp.1", "block.mlp.2", "block.mlp.3", "block.drop", "block"):
        assert layout_of(network, x, name) == TokenLayout((4, 4), channels_last=True)


def test_layer_before_it_in_a_sequence_tells_for_a_layer_without_weights():
    # The convolution is as wide as the grid is long.
    class Turned(nn.Module):
        def forward(self, x):
            return x.movedim(1, -1)

    network = nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.ReLU(), Turned(), nn.Linear(4, 16), nn.GELU())
    x = torch.zeros(1, 1, 16, 16)
    assert layout_of(network, x, "1") is None
    assert layout_of(network, x, "4") == TokenLayout((4, 4), channels_last=True)
