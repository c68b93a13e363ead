"""The cut network: one forward, nothing left behind, and one clear sentence when it cannot be."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from napari_ifa.cam import CutNetwork, class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from napari_ifa.models.problems import NetworkProblem
from tests.problems import refused


def snapshot(network):
    """Everything a caller could notice a change of."""
    return {
        "training": [module.training for module in network.modules()],
        "hooks": [
            len(hooks)
            for module in network.modules()
            for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks)
        ],
        "requires_grad": [parameter.requires_grad for parameter in network.parameters()],
        "grad": [parameter.grad for parameter in network.parameters()],
        "identity": [id(tensor) for tensor in (*network.parameters(), *network.buffers())],
        "values": {name: value.tolist() for name, value in network.state_dict().items()},
        "random numbers": torch.get_rng_state().tolist(),
    }


@pytest.fixture
def half_trained(small_network):
    """A network with mixed flags: train mode but for one module, one parameter frozen."""
    network = small_network(2, "mlp")
    network.first[1].eval()
    network.head[3].weight.requires_grad_(False)
    return network


class Counting(nn.Module):
    """Counts its calls in a buffer, in eval mode too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        return x


def test_network_is_left_as_it_was(half_trained, images):
    half_trained.first.append(Counting())
    before = snapshot(half_trained)
    class_activation(half_trained, images(2, 3), "stage", class_idx="all")
    assert snapshot(half_trained) == before


@pytest.mark.parametrize(
    ("image", "layer", "class_idx"),
    [
        (torch.zeros(1, 2, 8, 8, dtype=torch.float64), "stage", 0),
        (torch.zeros(1, 1, 8, 8, dtype=torch.float64), "head.1", 0),
        (torch.zeros(1, 1, 8, 8, dtype=torch.float64), "stage", 7),
        (torch.full((1, 1, 8, 8), torch.nan, dtype=torch.float64), "stage", 0),
    ],
)
def test_network_is_left_as_it_was_after_an_error(half_trained, image, layer, class_idx):
    half_trained.first.append(Counting())
    before = snapshot(half_trained)
    with pytest.raises(ExplanationError):
        class_activation(half_trained, image, layer, class_idx=class_idx)
    assert snapshot(half_trained) == before


def test_network_is_left_as_it_was_after_a_foreign_exception(half_trained, images):
    def stop(*_):
        raise KeyboardInterrupt

    handle = half_trained.head.register_forward_pre_hook(stop)
    before = snapshot(half_trained)
    with pytest.raises(KeyboardInterrupt):
        class_activation(half_trained, images(2), "stage")
    assert snapshot(half_trained) == before
    handle.remove()


def test_input_keeps_its_gradient_flag_and_gets_no_gradient(small_network, images):
    x = images(2).requires_grad_()
    result = class_activation(small_network(2), x, "stage")
    assert x.requires_grad
    assert x.grad is None
    assert not result.maps().requires_grad


def test_one_forward_per_batch_and_graph_only_in_the_head(small_network, images):
    network = small_network(2, "mlp")
    seen = []
    network.first.register_forward_hook(lambda *a: seen.append(a[2].requires_grad))
    network.head.register_forward_hook(lambda *a: seen.append(a[2].requires_grad))
    class_activation(network, images(2, 4), "stage", class_idx="all")
    assert seen == [False, True]


@pytest.mark.parametrize("head", ["linear", "flatten"])
@pytest.mark.parametrize("method", ["gradcam", "pixelwise"])
def test_affine_head_needs_one_backward_for_a_cohort(small_network, images, same, head, method):
    network = small_network(2, head)
    backwards = []

    def count(_module, args):
        if args[0].requires_grad:
            args[0].register_hook(lambda gradient: backwards.append(1))

    with CutNetwork(network, "stage") as cut:
        network.head.register_forward_pre_hook(count)
        first = class_activation(cut, images(2, 2, seed=10), method=method, class_idx="all")
        assert backwards
        backwards.clear()
        second = class_activation(cut, images(2, 3, seed=11), method=method, class_idx="all")
    assert first.affine_head
    assert second.affine_head
    assert backwards == []
    alone = class_activation(network, images(2, 3, seed=11), "stage", method, "all")
    same(second.maps(), alone.maps())


def test_missing_classes_of_an_affine_head_are_learnt_when_asked_for(small_network, images, same):
    network, batch = small_network(2, "flatten"), images(2, 2)
    every = class_activation(network, batch, "stage", "pixelwise", "all")
    with CutNetwork(network, "stage") as cut:
        for c in (1, 0, 2):
            one = class_activation(cut, batch, method="pixelwise", class_idx=c)
            assert one.affine_head
            same(one.maps(), every.maps()[:, c : c + 1])


def test_images_of_other_sizes_share_a_cut_network(small_network, same):
    network = small_network(3)
    with CutNetwork(network, "stage") as cut:
        for size in (8, 6, 8, 12):
            x = torch.randn(2, 1, size, size, size, dtype=torch.float64)
            inside = class_activation(cut, x, class_idx="all")
            assert inside.affine_head
            same(inside.maps(), class_activation(network, x, "stage", class_idx="all").maps())


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_callers_under_inference_mode_get_the_same(small_network, images, same, head):
    network, batch = small_network(2, head), images(2, 2)
    expected = class_activation(network, batch, "stage", class_idx="all").maps()
    with torch.no_grad():
        same(class_activation(network, batch, "stage", class_idx="all").maps(), expected)
    with torch.inference_mode():
        made_inside = batch + 0
        assert made_inside.is_inference()
        result = class_activation(network, made_inside, "stage", class_idx="all")
        same(result.maps(), expected)
    assert not result.maps().is_inference()


def test_weights_made_under_inference_mode_are_refused(small_network, images):
    with torch.inference_mode():
        network = copy.deepcopy(small_network(2))
    with refused(ExplanationError, Problem.INFERENCE_MODE):
        class_activation(network, images(2), "stage")


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_head_is_computed_in_float32_under_autocast(small_network, images, head):
    network, batch = small_network(2, head).float(), images(2, 2).float()
    dtypes = []
    network.first.register_forward_hook(lambda *a: dtypes.append(a[2].dtype))
    exact = class_activation(network, batch, "stage", class_idx="all")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = class_activation(network, batch, "stage", class_idx="all")
        assert torch.is_autocast_enabled("cpu")  # the caller's own setting is untouched
    assert torch.bfloat16 in dtypes
    assert rough.logits.dtype == rough.features.dtype == rough.weights.dtype == torch.float32
    torch.testing.assert_close(rough.logits, exact.logits, rtol=0.05, atol=0.05)
    assert rough.affine_head == exact.affine_head
    # The head itself has full precision: features to logits is exact.
    if rough.additive:
        total = rough.contributions().sum(-1) + network.head[-1].bias
        torch.testing.assert_close(total, rough.logits, rtol=1e-5, atol=1e-6)


def test_heads_that_cannot_be_batched_over_classes_are_looped(by_hand, same):
    class Awkward(torch.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float(gradient.detach().sum().item() > -1e9)  # no item() under vmap

    def head(features):
        pooled = torch.tanh(Awkward.apply(features).mean((2, 3)))
        return torch.cat([pooled, 2 * pooled], 1)

    x = torch.tensor([[0.1, 0.2], [0.3, 0.6]]).reshape(1, 1, 2, 2)
    result = class_activation(by_hand(head), x, "features", class_idx="all")
    slope = 1 - torch.tanh(torch.tensor([0.3, 0.6])) ** 2  # derivative of tanh at the means
    expected = torch.cat([torch.diag(slope), 2 * torch.diag(slope)]) / 4
    torch.testing.assert_close(result.weights[0], expected)


def test_a_head_that_mixes_cases_sees_them_one_at_a_time(small_network, images, same):
    class Mixing(nn.Module):
        """Scales by the largest feature of the whole batch."""

        def forward(self, a):
            return a / a.abs().amax()

    network = small_network(2)
    network.head.insert(0, Mixing())
    batch = images(2, 3)
    together = class_activation(network, batch, "stage", "pixelwise", "all")
    for i in range(3):
        alone = class_activation(network, batch[i : i + 1], "stage", "pixelwise", "all")
        same(together.logits[i], network.eval()(batch[i : i + 1]).detach()[0])
        same(together.maps()[i], alone.maps()[0])


def test_batch_norm_without_running_statistics_mixes_cases_and_is_seen_through(images, same):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 2),
    ).double()
    batch = images(2, 3)
    together = class_activation(network, batch, "0", class_idx="all")
    for i in range(3):
        alone = class_activation(network, batch[i : i + 1], "0", class_idx="all")
        same(together.maps()[i], alone.maps()[0])
        same(together.logits[i], network(batch[i : i + 1]).detach()[0])


class TwoPaths(nn.Module):
    """Features of the layer and, around it, of the image itself; joined by `join`."""

    def __init__(self, join):
        super().__init__()
        self.layer = nn.Conv2d(1, 3, 3, padding=1)
        self.around = nn.Conv2d(1, 3, 1)
        self.join = join
        self.fc = nn.LazyLinear(2)

    def forward(self, x):
        return self.fc(self.join(self.layer(x), self.around(x)).mean((2, 3)))


@pytest.mark.parametrize("join", ["add", "cat", "gate"])
@pytest.mark.parametrize("cases", [1, 3])
def test_a_path_around_the_layer_gives_the_gradients_of_autograd(images, same, join, cases):
    joins = {"add": torch.add, "cat": lambda a, b: torch.cat([a, b], 1), "gate": torch.mul}
    torch.manual_seed(0)
    network = TwoPaths(joins[join]).double()
    network(images(2))
    expected = []
    batch = images(2, 2 * cases)
    for x in batch.split(1):
        kept = []
        handle = network.layer.register_forward_hook(lambda m, a, o, kept=kept: kept.append(o))
        y = network(x)
        handle.remove()
        gradients = [torch.autograd.grad(y[0, c], kept[0], retain_graph=True)[0] for c in (0, 1)]
        expected.append(torch.cat(gradients) * kept[0].detach())
    with CutNetwork(network, "layer") as cut:
        for start in (0, cases):
            result = class_activation(
                cut, batch[start : start + cases], method="pixelwise", class_idx="all"
            )
            found = torch.stack([result.weighted_features(k) for k in (0, 1)], 1)
            same(found, torch.stack(expected[start : start + cases]))


def test_tuple_and_dict_outputs_are_named(small_network, images, same):
    class Wrapped(nn.Module):
        def __init__(self, network, wrap):
            super().__init__()
            self.network, self.wrap = network, wrap

        def forward(self, x):
            return self.wrap(self.network(x))

    network, batch = small_network(2, "mlp"), images(2, 2)
    expected = class_activation(network, batch, "stage").maps()
    only = Wrapped(network, lambda y: {"logits": y, "note": "text"})
    same(class_activation(only, batch, "network.stage").maps(), expected)
    several = Wrapped(network, lambda y: (y * 0, y))
    same(class_activation(several, batch, "network.stage", output=1).maps(), expected)
    with refused(ExplanationError, Problem.SEVERAL_OUTPUTS, outputs=[0, 1]):
        class_activation(several, batch, "network.stage")


def test_dict_inputs_are_keyword_arguments(small_network, images, same):
    network, batch = small_network(2), images(2, 2)
    expected = class_activation(network, batch, "stage").maps()
    same(class_activation(network, {"x": batch}, "stage").maps(), expected)


def test_meta_tensor_is_taken_as_a_plain_tensor(small_network, images):
    from monai.data import MetaTensor

    result = class_activation(small_network(2), MetaTensor(images(2)), "stage")
    assert type(result.features) is torch.Tensor


def test_wrappers_are_looked_through(small_network, images, same):
    network, batch = small_network(2), images(2)
    expected = class_activation(network, batch, network.stage).maps()
    for wrapper in (nn.DataParallel, lambda n: torch.compile(n, backend="eager")):
        same(class_activation(wrapper(network), batch, "stage").maps(), expected)


def test_head_whose_backward_fails_is_a_sentence(by_hand):
    from torch.utils.checkpoint import checkpoint

    network = by_hand(lambda a: checkpoint(torch.tanh, a, use_reentrant=True).mean((2, 3)))
    with refused(ExplanationError, Problem.GRADIENT_FAILS):
        class_activation(network, torch.ones(1, 1, 2, 2), "features")


def test_unknown_layer_offers_near_names(small_network, images):
    with refused(
        ExplanationError, Problem.NO_SUCH_LAYER, asked="stag", near=["stage", "stage.1", "stage.0"]
    ):
        class_activation(small_network(2), images(2), "stag")
    with refused(ExplanationError, Problem.FOREIGN_LAYER):
        class_activation(small_network(2), images(2), nn.ReLU())


def test_layer_without_a_grid_is_refused(small_network, images):
    for layer in ("head.0", "head.1", "head.2"):  # pooled to one voxel, flattened, logits
        with refused(ExplanationError, Problem.NO_GRID, layer=layer):
            class_activation(small_network(2), images(2), layer)


def test_layer_that_is_not_reached_is_refused(small_network, images):
    network = small_network(2)
    network.spare = nn.Conv2d(6, 6, 1)
    with refused(ExplanationError, Problem.LAYER_NOT_REACHED, layer="spare"):
        class_activation(network, images(2), "spare")


def test_layer_called_twice_is_refused(images):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x)).mean((2, 3))

    with refused(ExplanationError, Problem.LAYER_CALLED_AGAIN, layer="conv"):
        class_activation(Twice().double(), images(2), "conv")


def test_layer_with_several_outputs_is_refused(images):
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.pair = Pair()

        def forward(self, x):
            return self.pair(x)[0].mean((2, 3))

    with refused(ExplanationError, Problem.LAYER_OUTPUT_TYPE, found="tuple"):
        class_activation(Network(), images(2), "pair")


@pytest.mark.parametrize("class_idx", [0, "all"])
def test_layer_without_influence_is_said_not_drawn(by_hand, class_idx):
    x = torch.ones(1, 1, 2, 2)
    constant = by_hand(lambda a: torch.ones(len(a), 2))
    with refused(ExplanationError, Problem.NO_GRADIENT):
        class_activation(constant, x, "features", class_idx=class_idx)
    dead = by_hand(lambda a: (-a.abs() - 1).relu().mean((2, 3)))
    with refused(ExplanationError, Problem.ZERO_GRADIENT, cases=[0]):
        class_activation(dead, x, "features", class_idx=class_idx)
    erased = by_hand(lambda a: 0 * a.mean((2, 3)))
    with refused(ExplanationError, Problem.ZERO_GRADIENT, cases=[0]):
        class_activation(erased, x, "features", class_idx=class_idx)


def test_values_that_are_not_finite_are_counted_and_named(small_network, images):
    batch = images(2, 3)
    batch[1, 0, 4, 4] = torch.nan  # reaches 3 x 3 voxels of the grid in each of the 6 features
    with refused(ExplanationError, Problem.NOT_FINITE, found=54, values=288, cases=[1]):
        class_activation(small_network(2), batch, "stage")


def test_logits_that_are_not_finite_are_named(by_hand):
    network = by_hand(lambda a: a.mean((2, 3)) / 0)
    with refused(ExplanationError, Problem.NOT_FINITE, found=2, values=2, cases=[0]):
        class_activation(network, torch.ones(1, 1, 2, 2), "features")


def test_input_of_the_wrong_shape_is_a_sentence(small_network):
    network = small_network(3)
    with refused(
        ExplanationError, NetworkProblem.INPUT_SHAPE, channels=1, dims=3, given=[1, 2, 8, 8, 8]
    ):
        class_activation(network, torch.zeros(1, 2, 8, 8, 8, dtype=torch.float64), "stage")
    with refused(ExplanationError, NetworkProblem.INPUT_SHAPE, channels=1, dims=3):
        class_activation(network, torch.zeros(1, 1, 8, 8, dtype=torch.float64), "stage")
    with refused(ExplanationError, NetworkProblem.INPUT_FAILS, given=[1, 1, 10, 10, 10]):
        class_activation(
            small_network(3, "flatten"), torch.zeros(1, 1, 10, 10, 10).double(), "stage"
        )
    with refused(ExplanationError, Problem.NO_CASE):
        class_activation(network, torch.zeros(0, 1, 8, 8, 8).double(), "stage")
    with refused(ExplanationError, NetworkProblem.INPUT_TYPE, found="str"):
        class_activation(network, "image.nii", "stage")


def test_cut_network_is_a_context_manager_with_a_layer_of_its_own(small_network, images):
    cut = CutNetwork(small_network(2), "stage")
    with refused(ExplanationError, Problem.NOT_OPEN):
        class_activation(cut, images(2))
    with cut, refused(ExplanationError, Problem.SETTINGS_FIXED):
        class_activation(cut, images(2), "first")


def test_the_recommended_layer_is_the_default(small_network, images):
    with CutNetwork(small_network(2)) as cut:
        with refused(ExplanationError, Problem.LAYER_NOT_CHOSEN):
            _ = cut.layer
        assert class_activation(cut, images(2)).layer == cut.layer == "stage"


def test_a_case_whose_head_is_dead_is_named_alone_and_in_a_batch(by_hand):
    network = by_hand(lambda a: (a.mean((2, 3)) - 1).relu() * 2)
    x = torch.tensor([2.0, 0.25]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2)
    class_activation(network, x[:1], "features", class_idx="all")
    for batch, case in ((x[1:], 0), (x, 1)):
        with refused(ExplanationError, Problem.ZERO_GRADIENT, cases=[case]):
            class_activation(network, batch, "features", class_idx="all")


def test_a_class_without_weights_is_an_error_alone_and_zero_among_others(by_hand):
    matrix = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    network = by_hand(lambda a: a.mean((2, 3)) @ matrix.T)
    x = torch.ones(1, 1, 2, 2)
    every = class_activation(network, x, "features", class_idx="all")
    assert every.contributions().tolist() == [[[1.0, 4.0], [0.0, 0.0]]]
    with refused(ExplanationError, Problem.ZERO_GRADIENT, cases=[0]):
        class_activation(network, x, "features", class_idx=1)


def test_a_head_that_insists_on_the_number_of_cases_is_explained(images, same):
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = nn.Conv2d(1, 4, 3)
            self.fc = nn.Linear(4, 2)

        def forward(self, x):
            pooled = self.stage(x).mean((2, 3))
            assert len(pooled) == len(x)
            return self.fc(pooled)

    torch.manual_seed(0)
    network, batch = Strict().double(), images(2, 2)
    found = class_activation(network, batch, "stage", class_idx="all")
    same(found.weights, (network.fc.weight / 36).detach().expand(2, 2, 4))
    with torch.no_grad():
        same(found.logits, network(batch))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_networks_of_half_precision_are_explained(small_network, images, dtype, autocast):
    network, batch = small_network(2, "mlp"), images(2, 2)
    expected = class_activation(network, batch, "stage", "pixelwise", "all").maps()
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        found = class_activation(network.to(dtype), batch.to(dtype), "stage", "pixelwise", "all")
    assert (found.maps().double() - expected).abs().max() < 0.05 * expected.abs().max()
