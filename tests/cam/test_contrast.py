"""For and against what: targets that a twin network with the same probabilities cannot change."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from napari_ifa.cam import METHODS, class_activation, class_activations
from napari_ifa.cam.contrast import Contrast
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.errors import ExplanationError
from napari_ifa.models.targets import TARGETS
from tests.problems import refused

CLASSES, FEATURES = 4, 6


class Net(nn.Module):
    """Features of a convolution, and one of three heads, which end in one linear layer."""

    def __init__(self, head: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(nn.Conv2d(1, FEATURES, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
        if head == "pooled":
            self.middle: nn.Module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
            inputs = FEATURES
        elif head == "places":
            self.middle, inputs = nn.Flatten(), FEATURES * 16
        else:
            self.middle = nn.Sequential(
                nn.Conv2d(FEATURES, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 10), nn.Softplus()
            )
            inputs = 10
        self.last = nn.Linear(inputs, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.middle(self.body(x)))


def twin(network: Net) -> Net:
    """A random row added to all rows of the last layer: all probabilities stay."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(8)
        weight = other.last.weight
        other.last.weight += torch.randn(1, weight.shape[1], generator=generator).to(weight)
        other.last.bias += 0.7
    return other


def cases(count: int = 3) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(5))


HEADS = ("pooled", "places", "curved")
PAIRS = [(head, m) for head in HEADS for m in METHODS if m != "cam" or head == "pooled"]
#: Few passes, for the noise is the same in both networks.
FEW = {"ss-cam": {"samples": 2}, "smoothgradcam++": {"samples": 2}, "is-cam": {"samples": 2}}


@pytest.mark.parametrize(("head", "method"), PAIRS)
def test_a_twin_has_the_same_maps_against_other_classes(head: str, method: str) -> None:
    network, x = Net(head).eval(), cases()
    other = twin(network)
    assert torch.allclose(network(x).softmax(1), other(x).softmax(1), atol=1e-6)
    ours, twins = (
        class_activations(net, x, "body", method, "all", TARGETS, **FEW.get(method, {}))
        for net in (network, other)
    )
    for target, one, two in zip(TARGETS, ours, twins, strict=True):
        assert one.target == target
        for found, same in ((one.maps(), two.maps()), (one.contributions(), two.contributions())):
            apart = float((found - same).abs().max() / found.abs().max())
            assert (apart < 1e-5) == (target != "logit"), (target, apart)


@pytest.mark.parametrize(("head", "method"), PAIRS)
def test_a_target_is_the_class_activation_of_that_function(head: str, method: str) -> None:
    """Each function of the output is explained by itself, in double precision."""
    network, x = Net(head).eval().double(), cases().double()
    options = FEW.get(method, {})
    logits = network(x).detach()
    c = 1
    first, second = logits.topk(2).indices.split(1, 1)
    rivals = torch.where(first == c, second, first).flatten().tolist()
    rest = [d for d in range(CLASSES) if d != c]
    functions = {
        "logit": [lambda y: y[c]] * len(x),
        "others": [lambda y: y[c] - y[rest].mean()] * len(x),
        "runner-up": [lambda y, d=d: y[c] - y[d] for d in rivals],
        3: [lambda y: y[c] - y[3]] * len(x),
    }
    together = class_activations(network, x, "body", method, "all", list(functions), **options)
    for (target, function), of_all in zip(functions.items(), together, strict=True):
        if method == "cam":  # is read from the classes' own rows
            by_hand = class_activation(network, x, "body", "gradcam", function)
            expected = by_hand.maps() * 16
        else:
            by_hand = class_activation(network, x, "body", method, function, **options)
            expected = by_hand.maps()
        alone = class_activation(network, x, "body", method, c, target, **options)
        for found in (alone.maps()[:, 0], of_all.maps()[:, c]):
            torch.testing.assert_close(found, expected[:, 0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(alone.logits, logits)
        torch.testing.assert_close(alone.values, by_hand.values)
        torch.testing.assert_close(
            of_all.weighted_features(c).sum(1), of_all.maps()[:, c], rtol=1e-9, atol=1e-12
        )
        torch.testing.assert_close(
            of_all.contributions()[:, c].sum(-1), of_all.maps()[:, c].flatten(1).sum(-1)
        )
        keep = torch.tensor([1.0, 0, 1, 1, 0, 1], dtype=torch.float64)
        torch.testing.assert_close(
            alone.maps(keep)[:, 0], of_all.weighted_features(c)[:, keep.bool()].sum(1)
        )


@pytest.mark.parametrize("method", ["gradcam", "pixelwise", "xgradcam"])
def test_on_an_affine_head_the_sum_is_the_contrast_of_the_logits_less_the_biases(
    method: str,
) -> None:
    network, x = Net("pooled").eval().double(), cases().double()
    bias, logits = network.last.bias.detach(), network(x).detach()
    for c in range(CLASSES):
        rest = [d for d in range(CLASSES) if d != c]
        found = class_activation(network, x, "body", method, c, "others")
        expected = (logits - bias)[:, c] - (logits - bias)[:, rest].mean(1)
        sums = found.maps().flatten(2).sum(-1)[:, 0]
        torch.testing.assert_close(sums, expected, rtol=1e-6, atol=1e-12)
        assert found.additive
        offset = bias[c] - bias[rest].mean()
        torch.testing.assert_close(found.offset[:, 0], offset.expand(len(x)))
        none = found.masked_logits(torch.zeros(FEATURES))
        torch.testing.assert_close(none[:, 0], offset.expand(len(x)))


def test_functions_by_hand() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [0.0, 5.0, 4.0]])
    every = torch.arange(3).expand(2, 3)
    assert Contrast.of(logits, every).values(logits).tolist() == logits.tolist()
    others = Contrast.of(logits, every, "others")
    assert others.values(logits).tolist() == [[1.5, -1.5, 0.0], [-4.5, 3.0, 1.5]]
    rivals = Contrast.of(logits, every, "runner-up")
    assert rivals.against.tolist() == [[2, 0, 0], [1, 2, 1]]
    assert rivals.values(logits).tolist() == [[1.0, -2.0, -1.0], [-5.0, 1.0, -1.0]]
    second = Contrast.of(logits, every, 1)
    assert second.values(logits).tolist() == [[2.0, 0.0, 1.0], [-5.0, 0.0, -1.0]]
    for contrast in (others, rivals, second):
        found = (contrast.rows(3) * logits[:, None]).sum(-1)
        torch.testing.assert_close(found, contrast.values(logits))
    # The strongest other class is that of the unchanged case, whatever masked inputs give.
    masked = torch.tensor([[0.0, 9.0, 1.0], [7.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    cases = torch.tensor([0, 0, 1])
    assert rivals.values(masked, cases=cases).tolist() == [
        [-1.0, 9.0, 1.0],
        [7.0, -7.0, -7.0],
        [-1.0, -1.0, 1.0],
    ]


def test_what_cannot_be_compared_is_refused() -> None:
    network, x = Net("pooled").eval(), cases(1)
    for target in ("other", 4, -1, True):
        with refused(ExplanationError, Problem.NO_SUCH_TARGET, asked=target):
            class_activation(network, x, "body", target=target)
    single = nn.Sequential(Net("pooled"), nn.Linear(CLASSES, 1)).eval()
    with refused(ExplanationError, Problem.NOTHING_TO_COMPARE):
        class_activation(single, x, "0.body", target="others")
    with refused(ExplanationError, Problem.NOTHING_TO_COMPARE):
        class_activation(network, x, "body", class_idx=lambda y: y[0], target="others")


def test_a_thousand_classes_are_compared_in_linear_memory() -> None:
    """The functions of 1000 classes are never held as 1000 × 1000 coefficients for the maps."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 5, 3),
        nn.AdaptiveAvgPool2d(2),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(5, 1000),
    ).eval()
    found = class_activation(network, cases(2), "1", "gradcam", "all", "others")
    total = class_activation(network, cases(2), "1", "gradcam", "all").maps()
    expected = total - (total.sum(1, keepdim=True) - total) / 999
    torch.testing.assert_close(found.maps(), expected)
    assert found.weights.stride(0) == 0  # the same for both cases, and not copied
