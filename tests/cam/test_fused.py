"""Several target layers: the mean of their maps on the image grid."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_ifa.cam import class_activation, fused_class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused


class TwoLayers(nn.Module):
    """A layer that doubles, one that pools pairs and triples; the logit is the sum."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv1d(1, 1, 1, bias=False)
        self.thrice = nn.Conv1d(1, 1, 1, bias=False)
        with torch.no_grad():
            self.twice.weight.fill_(2)
            self.thrice.weight.fill_(3)

    def forward(self, x):
        return self.thrice(nn.functional.avg_pool1d(self.twice(x), 2)).sum(-1)


def test_fused_map_by_hand():
    x = torch.tensor([[[1.0, 3.0, 5.0, 7.0]]])
    fused = fused_class_activation(TwoLayers(), x, ["twice", "thrice"], "pixelwise")
    # First layer: features 2, 6, 10, 14, gradient 1.5. Second: features 12, 36, gradient 1, brought
    # to four voxels: 12, 18, 30, 36.
    assert fused.layers[0].maps().tolist() == [[[3.0, 9.0, 15.0, 21.0]]]
    assert fused.layers[1].maps().tolist() == [[[12.0, 36.0]]]
    assert fused.maps().tolist() == [[[7.5, 13.5, 22.5, 28.5]]]
    assert fused.logits.tolist() == [[48.0]]
    assert fused.class_idx.tolist() == [[0]]


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_fused_maps_lie_on_the_image_grid(small_network, images, same, dims):
    network, batch = small_network(dims, "mlp"), images(dims, 2)
    fused = fused_class_activation(network, batch, [network.first, "stage"], class_idx="all")
    assert fused.maps().shape == (2, 3, *[8] * dims)
    one = fused_class_activation(network, batch, ["first"], class_idx="all")
    same(one.maps(), class_activation(network, batch, "first", class_idx="all").maps())


def test_layers_are_a_list():
    x = torch.zeros(1, 1, 4)
    for layers in ("twice", [], TwoLayers()):
        with refused(ExplanationError, Problem.NO_LAYERS):
            fused_class_activation(TwoLayers(), x, layers)
    with refused(ExplanationError, Problem.SEVERAL_LAYERS):
        class_activation(TwoLayers(), x, ["twice", "thrice"])
