"""What holds between class activations whatever the network, the input and the seed."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import nn

from napari_ifa.cam import GRADIENT_METHODS, class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from tests.problems import refused

# Behind which heads the contributions are the features' exact shares of the logit.
EXACT = {"gradcam": ["linear"], "xgradcam": ["linear"], "pixelwise": ["linear", "flatten"]}

# The fixtures are functions that make networks and images: they hold nothing between examples.
examples = settings(
    derandomize=True,
    deadline=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HEADS = ["linear", "flatten", "mlp", "conv"]
every_method_and_head = pytest.mark.parametrize(
    ("method", "head"),
    [
        (method.name, head)
        for method in GRADIENT_METHODS.values()
        for head in HEADS
        if head == "linear" or not method.pooled_head_only
    ],
)
dims = st.integers(1, 3)
cases = st.integers(1, 4)
seeds = st.integers(0, 2**16)
masks = st.lists(st.booleans(), min_size=6, max_size=6)


@pytest.fixture
def setting(small_network, images):
    """make(dims, cases, head, seed): a network and a batch for it, in which all classes count."""

    def make(dims, cases, head, seed, inplace=False):
        network, batch = small_network(dims, head, inplace, seed).eval(), images(dims, cases, seed)
        features = network.stage(network.first(batch)).detach().requires_grad_()
        for logits in network.head(features.clone()).sum(0):
            (gradient,) = torch.autograd.grad(logits, features, retain_graph=True)
            assume(gradient.flatten(1).any(1).all())  # now and then no ReLU of a head is on
        return network, batch

    return make


def explained(network, batch, method, class_idx="all"):
    return class_activation(network, batch, "stage", method, class_idx)


@every_method_and_head
@examples
@given(dims=dims, seed=seeds)
def test_a_batch_is_its_cases_one_by_one(setting, same, method, dims, head, seed):
    network, batch = setting(dims, 3, head, seed)
    together = explained(network, batch, method, "predicted")
    for i in range(3):
        alone = explained(network, batch[i : i + 1], method, "predicted")
        assert torch.equal(alone.class_idx[0], together.class_idx[i])
        same(together.logits[i], alone.logits[0])
        same(together.maps()[i], alone.maps()[0])
        same(together.contributions()[i], alone.contributions()[0])


@every_method_and_head
@examples
@given(dims=dims, cases=cases, seed=seeds, data=st.data())
def test_all_classes_are_the_classes_one_by_one(
    setting, same, method, dims, cases, head, seed, data
):
    network, batch = setting(dims, cases, head, seed)
    every = explained(network, batch, method)
    for c in range(3):
        one = explained(network, batch, method, c)
        same(every.maps()[:, c : c + 1], one.maps())
        same(every.contributions()[:, c : c + 1], one.contributions())
    chosen = data.draw(st.lists(st.integers(0, 2), min_size=cases, max_size=cases))
    mixed = explained(network, batch, method, chosen)
    same(mixed.maps()[:, 0], every.maps()[range(cases), chosen])


def deepened(network):
    """The 3D network that does to a depth of one what this 2D network does to a plane."""
    network = copy.deepcopy(network)
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d):
                deep = nn.Conv3d(
                    child.in_channels,
                    child.out_channels,
                    (1, *child.kernel_size),
                    (1, *child.stride),
                    (0, *child.padding),
                ).double()
                deep.weight = nn.Parameter(child.weight[:, :, None])
                deep.bias = child.bias
            elif isinstance(child, nn.BatchNorm2d):
                deep = nn.BatchNorm3d(child.num_features).double()
                deep.load_state_dict(child.state_dict())
            elif isinstance(child, nn.AdaptiveAvgPool2d):
                deep = nn.AdaptiveAvgPool3d(1)
            else:
                continue
            setattr(parent, name, deep.eval())
    return network


@every_method_and_head
@examples
@given(cases=cases, seed=seeds)
def test_a_plane_is_a_volume_of_depth_one(setting, same, method, cases, head, seed):
    network, batch = setting(2, cases, head, seed)
    plane = explained(network, batch, method)
    volume = explained(deepened(network), batch[:, :, None], method)
    assert volume.grid == (1, *plane.grid)
    same(volume.logits, plane.logits)
    same(volume.maps()[:, :, 0], plane.maps())
    same(volume.contributions(), plane.contributions())


@every_method_and_head
@examples
@given(dims=dims, cases=cases, seed=seeds, mask=masks)
def test_masks_of_ones_change_nothing_and_parts_make_the_whole(
    setting, same, method, dims, cases, head, seed, mask
):
    network, batch = setting(dims, cases, head, seed)
    result = explained(network, batch, method)
    kept = torch.tensor(mask, dtype=torch.float64)
    many = result.maps(torch.stack([torch.ones(6), kept, 1 - kept]))
    same(result.maps(torch.ones(6)), result.maps())
    same(many[:, 0], result.maps())
    same(many[:, 1] + many[:, 2], result.maps())
    same(result.maps(kept)[:, None], many[:, 1:2])


@every_method_and_head
@examples
@given(dims=dims, cases=cases, seed=seeds)
def test_a_map_sums_to_the_contributions(setting, same, method, dims, cases, head, seed):
    network, batch = setting(dims, cases, head, seed)
    result = explained(network, batch, method)
    by_feature = torch.stack([result.weighted_features(k) for k in range(3)], 1)
    same(by_feature.sum(2), result.maps())
    same(by_feature.flatten(3).sum(-1), result.contributions())


@every_method_and_head
@examples
@given(dims=dims, cases=cases, seed=seeds, mask=masks)
def test_additive_contributions_predict_the_masked_logits(
    setting, same, method, dims, cases, head, seed, mask
):
    network, batch = setting(dims, cases, head, seed)
    result = explained(network, batch, method)
    assert result.additive == (head in EXACT.get(method, []))
    if result.additive:
        kept = torch.tensor(mask, dtype=torch.float64)
        features = network.stage(network.first(batch)) * kept.reshape(-1, *[1] * dims)
        same(result.masked_logits(kept), network.head(features).detach())
    else:
        assert result.offset is None


@examples
@given(dims=dims, cases=cases, seed=seeds)
def test_methods_agree_behind_pooling_and_a_linear_layer(setting, same, dims, cases, seed):
    network, batch = setting(dims, cases, "linear", seed)
    found = {name: explained(network, batch, name) for name in GRADIENT_METHODS}
    bias, voxels = network.head[-1].bias.detach(), 4**dims
    for name in ("gradcam", "pixelwise", "xgradcam"):
        same(found[name].maps(), found["gradcam"].maps())
        same(found[name].contributions().sum(-1) + bias, found[name].logits)
        same(found[name].offset, bias.expand(cases, 3))
    # CAM's weights are those of the linear layer, without the division by the number of voxels.
    same(found["cam"].weights, network.head[-1].weight.detach().expand(cases, 3, 6))
    same(found["cam"].maps(), voxels * found["gradcam"].maps())
    same(found["cam"].contributions().sum(-1), voxels * (found["cam"].logits - bias))
    # What Layer CAM leaves out is what speaks against the class.
    positive = network.head[-1].weight.detach().relu().expand(cases, 3, 6) / voxels
    same(found["layercam"].weights.flatten(3).amax(-1), positive)


@pytest.mark.parametrize("head", HEADS)
@examples
@given(dims=dims, cases=cases, seed=seeds)
def test_xgradcam_gives_the_features_the_contributions_of_pixelwise(
    setting, same, head, dims, cases, seed
):
    network, batch = setting(dims, cases, head, seed)
    one, other = explained(network, batch, "xgradcam"), explained(network, batch, "pixelwise")
    same(one.contributions(), other.contributions())
    same(one.maps().flatten(2).sum(-1), other.maps().flatten(2).sum(-1))


@every_method_and_head
@examples
@given(dims=dims, cases=cases, seed=seeds)
def test_activation_in_place_changes_nothing(setting, same, method, dims, cases, head, seed):
    # The heads "mlp" and "conv" begin with the activation; the others have one before the layer.
    kept, batch = setting(dims, cases, head, seed)
    spoilt, _ = setting(dims, cases, head, seed, inplace=True)
    expected, found = explained(kept, batch, method), explained(spoilt, batch, method)
    assert found.features.min() < 0  # there is something to spoil
    same(found.features, expected.features)
    same(found.logits, expected.logits)
    same(found.maps(), expected.maps())
    same(found.contributions(), expected.contributions())


class Stop(BaseException):
    """What a person's Ctrl-C would be."""


class StoppingBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a):
        return a.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise Stop


class Counter(nn.Module):
    """Counts its calls in a buffer, in eval mode too, and stops the pass where it is told to."""

    def __init__(self, stop=None):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.stop = stop

    def forward(self, a):
        self.calls += 1
        if self.stop == "forward":
            raise Stop
        return StoppingBackward.apply(a) if self.stop == "backward" else a


def state(network):
    """Everything about a network that a caller could notice a change of."""
    modules = list(network.modules())
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {
        "training": [module.training for module in modules],
        "hooks": [
            list(hooks.items())
            for module in modules
            for name, hooks in vars(module).items()
            if name.endswith("_hooks")
        ],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "grad": [
            None if parameter.grad is None else (id(parameter.grad), parameter.grad.tolist())
            for parameter in network.parameters()
        ],
        "tensors": {name: (id(tensor), tensor.tolist()) for name, tensor in tensors.items()},
    }


@every_method_and_head
@examples
@given(
    seed=seeds,
    flags=st.lists(st.booleans(), min_size=4, max_size=4),
    stop=st.sampled_from([None, "forward", "backward"]),
    place=st.sampled_from(["first", "stage", "head"]),
    class_idx=st.sampled_from(["all", "predicted", 1, 3]),
)
def test_the_network_is_left_as_it_was(setting, method, head, seed, flags, stop, place, class_idx):
    network, batch = setting(2, 2, head, seed)
    getattr(network, place).insert(0, Counter(stop))
    network.train(flags[0])
    network.first[-2].train(flags[1])
    network.head[-1].weight.requires_grad_(flags[2])
    if flags[3]:
        network.stage[-1].weight.grad = torch.ones(6, dtype=torch.float64)
    network.stage.register_forward_hook(lambda *_: None)
    before = state(network)
    # Only a Counter in the head is met by a backward pass.
    stops = stop == "forward" or (stop == "backward" and place == "head")
    if stops or class_idx == 3:
        with pytest.raises((Stop, ExplanationError)):
            explained(network, batch, method, class_idx)
    else:
        explained(network, batch, method, class_idx).maps()
    assert state(network) == before


@pytest.mark.parametrize("head", ["flatten", "mlp", "conv"])
def test_cam_of_a_head_that_is_not_pooled_is_a_sentence(small_network, images, head):
    with refused(ExplanationError, Problem.HEAD_NOT_POOLED, method="cam", layer="stage"):
        explained(small_network(2, head), images(2), "cam")
