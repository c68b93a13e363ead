"""A segmentation network explained: the class of a region, worked by hand and against autograd."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from napari_ifa.cam import CutNetwork, bypassed, class_activation, masked_logits
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.cam.regions import check_predicted, region_weights
from napari_ifa.errors import ExplanationError
from tests.problems import refused

# One case, two classes, a map of 2 x 2; class 1 wins in the upper row.
VOXELS = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [1.0, 2.0]]]])
MASK = torch.tensor([[1, 0], [1, 0]])


def mean_logits(region):
    return (VOXELS * region_weights(VOXELS, region, slice(0, 1), 1)).flatten(2).sum(-1).tolist()


@pytest.mark.parametrize(
    "mask", [MASK, MASK.bool(), MASK.numpy() * 7.0, MASK[None], MASK[None, None]]
)
def test_logit_of_a_masked_region_is_its_mean(mask):
    assert mean_logits(mask) == [[2.0, 3.0]]


def test_logit_of_the_predicted_region_is_the_mean_where_the_class_wins():
    assert mean_logits("predicted") == [[3.5, 5.5]]


def test_a_single_output_is_predicted_above_zero():
    voxels = VOXELS[:, :1] - 2.5  # -1.5, -0.5, 0.5, 1.5
    assert region_weights(voxels, "predicted", slice(0, 1), 1).flatten().tolist() == [
        0,
        0,
        0.5,
        0.5,
    ]


@pytest.mark.parametrize(
    ("voxels", "region", "kind", "facts"),
    [
        (VOXELS, torch.ones(3, 3), Problem.REGION_SHAPE, {"needed": [2, 2], "found": [3, 3]}),
        (VOXELS, torch.ones(2, 2, 2), Problem.REGION_SHAPE, {"found": [2, 2, 2]}),
        (VOXELS, torch.zeros(2, 2), Problem.REGION_EMPTY, {"case": 0}),
        (VOXELS, "lesion", Problem.REGION_TYPE, {"found": "lesion"}),
        (VOXELS, [[1, 0], [1, 0, 1]], Problem.REGION_TYPE, {"found": "list"}),
        (VOXELS, torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), Problem.REGION_NOT_FINITE, {}),
        (VOXELS[..., 0, 0], MASK, Problem.REGION_WITHOUT_MAP, {"gives": [2]}),
    ],
)
def test_a_region_that_does_not_fit_is_a_sentence(voxels, region, kind, facts):
    with refused(ExplanationError, kind, **facts):
        region_weights(voxels, region, slice(0, 1), 1)


def test_a_class_that_is_predicted_nowhere_is_named():
    weights = region_weights(torch.cat([VOXELS, VOXELS[:, :1]], 1), "predicted", slice(0, 1), 1)
    check_predicted(weights, torch.tensor([[0, 1]]))
    with refused(ExplanationError, Problem.CLASS_NOT_PREDICTED, asked=2, case=0):
        check_predicted(weights, torch.tensor([[0, 2]]))


class Segmenter(nn.Module):
    """Two features x and 2x, and per voxel two classes: logits (x, -x + 1)."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(1, 2, 1, bias=False)
        self.classes = nn.Conv2d(2, 2, 1)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1))
            self.classes.weight.copy_(torch.tensor([[1.0, 0], [1, -1]]).reshape(2, 2, 1, 1))
            self.classes.bias.copy_(torch.tensor([0.0, 1.0]))

    def forward(self, x):
        return self.classes(self.features(x))


IMAGE = torch.tensor([[1.0, 0.0], [3.0, 0.25]]).reshape(1, 1, 2, 2)


def test_segmentation_by_hand():
    # Class 1 over the left column (x = 1 and 3): y = mean(1 - x) = -1, dy/dA = (1, -1)/2 there.
    result = class_activation(
        Segmenter(), IMAGE, "features", "pixelwise", 1, region=torch.tensor([[1, 0], [1, 0]])
    )
    assert result.logits.tolist() == [[2.0, -1.0]]
    assert result.maps().tolist() == [[[[-0.5, 0.0], [-1.5, 0.0]]]]
    assert result.contributions().tolist() == [[[2.0, -4.0]]]  # and the bias is 1
    assert result.additive
    assert result.offset.tolist() == [[1.0]]


def test_predicted_region_by_hand():
    # Class 0 wins where x > 1/2: the left column; class 1 in the right one, where x is 0 and 1/4.
    result = class_activation(Segmenter(), IMAGE, "features", class_idx="all", region="predicted")
    assert result.logits.tolist() == [[2.0, 0.875]]


def reference(network, layer, x, class_idx, masks):
    """Gradient times features by plain autograd: `[B, F, *grid]`, of one class."""
    network.eval()
    kept = {}

    def keep(_module, _args, output):
        kept["features"] = output.detach().requires_grad_()
        return kept["features"].clone()

    handle = network.get_submodule(layer).register_forward_hook(keep)
    voxels = network(x)
    handle.remove()
    inside = masks.to(voxels)
    scores = (voxels[:, class_idx] * inside).flatten(1).sum(1) / inside.flatten(1).sum(1)
    (gradient,) = torch.autograd.grad(scores.sum(), kept["features"])
    return gradient * kept["features"].detach()


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("layer", ["model.1.submodule.1.submodule", "model.0", "model.1.submodule"])
def test_unet_agrees_with_autograd(same, dims, layer):
    torch.manual_seed(0)
    network = UNet(dims, 1, 3, channels=(4, 6, 8), strides=(2, 2), num_res_units=1).double()
    batch = torch.randn(2, 1, *[8] * dims, dtype=torch.float64)
    with torch.no_grad():
        winner = network.eval()(batch).argmax(1)
    expected = [reference(network, layer, batch, c, winner == c).sum(1) for c in range(3)]
    result = class_activation(network, batch, layer, "pixelwise", "all", region="predicted")
    same(result.maps(), torch.stack(expected, 1))
    for case in range(2):  # a mask per case goes with its case
        alone = class_activation(
            network, batch[case : case + 1], layer, "pixelwise", 1, region=winner[case] == 1
        )
        same(alone.maps()[0, 0], expected[1][case])
    per_case = class_activation(network, batch, layer, "pixelwise", 1, region=winner == 1)
    same(per_case.maps()[:, 0], expected[1])


def test_masked_segmentation_keeps_the_region_of_the_unmasked_prediction(same):
    network, masks = Segmenter().double(), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = masked_logits(network, IMAGE.double(), "features", masks, region="predicted")
    # Without the second feature class 1's logit is 1 + x: over its region, x = 0 and 1/4, 1.125.
    same(found, torch.tensor([[[2.0, 0.875], [2.0, 1.125]]]).double())


def test_a_skip_connection_is_a_path_around_the_layer():
    torch.manual_seed(0)
    network = UNet(2, 1, 2, channels=(4, 6), strides=(2,)).double()
    batch = torch.randn(1, 1, 8, 8, dtype=torch.float64)
    region = torch.ones(8, 8)
    assert bypassed(network, batch, "model.1.submodule", region=region)
    assert not bypassed(Segmenter().double(), batch, "features", region=region)


def test_regions_stay_with_their_cases_where_a_head_mixes_them(same):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1),
        nn.BatchNorm2d(3, track_running_stats=False),
        nn.ReLU(),
        nn.Conv2d(3, 2, 1),
    ).double()
    batch = torch.randn(3, 1, 6, 6, dtype=torch.float64)
    masks = torch.rand(3, 6, 6) > 0.5
    found = class_activation(network, batch, "0", "pixelwise", "all", region=masks)
    for case in range(3):
        alone = class_activation(
            network, batch[[case]], "0", "pixelwise", "all", region=masks[case].numpy()
        )
        same(found.maps()[[case]], alone.maps())
        same(found.logits[[case]], alone.logits)


def test_a_segmentation_says_what_it_needs():
    with refused(ExplanationError, Problem.MAP_OF_LOGITS):
        class_activation(Segmenter(), IMAGE, "features")
    with refused(ExplanationError, Problem.CLASS_NEEDED):
        class_activation(Segmenter(), IMAGE, "features", region=np.ones((2, 2)))
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Flatten(), nn.Linear(8, 2))
    with refused(ExplanationError, Problem.REGION_WITHOUT_MAP):
        class_activation(network, IMAGE, "0", region="predicted")
    with refused(ExplanationError, Problem.REGION_AND_FUNCTION):
        class_activation(
            Segmenter(), IMAGE, "features", class_idx=lambda y: y.sum(), region="predicted"
        )
    with (
        CutNetwork(Segmenter(), "features") as cut,
        refused(ExplanationError, Problem.SETTINGS_FIXED),
    ):
        class_activation(cut, IMAGE, region="predicted")


def test_masks_for_another_number_of_cases_are_refused():
    batch = IMAGE.expand(2, 1, 2, 2)
    with refused(ExplanationError, Problem.REGION_SHAPE, cases=2, found=[3, 2, 2]):
        class_activation(Segmenter(), batch, "features", class_idx=0, region=torch.ones(3, 2, 2))


def test_infinite_logits_outside_the_region_do_not_matter():
    class Masked(Segmenter):
        def forward(self, x):
            outside = torch.tensor([[False, True], [False, True]])
            return super().forward(x).masked_fill(outside, -torch.inf)

    mask = torch.tensor([[1, 0], [1, 0]])
    found = class_activation(Masked(), IMAGE, "features", "pixelwise", 1, region=mask)
    assert found.logits.tolist() == [[2.0, -1.0]]
    assert found.maps().tolist() == [[[[-0.5, 0.0], [-1.5, 0.0]]]]
