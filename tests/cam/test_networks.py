"""Every network family: the recommended layer, all methods, and gradients by plain autograd.

The same test holds the tables in docs/networks.md to what it finds.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from monai.networks import nets
from monai.networks.nets import resnet10
from torch import nn

from napari_ifa.cam import GRADIENT_METHODS, PERTURBATION_METHODS, CutNetwork, class_activation
from napari_ifa.cam.problems import ExplanationProblem as Problem
from napari_ifa.cam.targets import logits_of
from napari_ifa.errors import ExplanationError
from napari_ifa.models.calling import call_network, plain_inputs
from napari_ifa.models.layers import candidate_layers
from napari_ifa.models.problems import NetworkProblem
from tests import peers, zoo
from tests.problems import refused

DOCS = Path(__file__).parents[2] / "docs" / "networks.md"
HEADER = ("Network", "Axes", "Recommended layer", "Methods", "Add up to the logit", "Note")
# In the docs the methods that split a logit exactly are told for these; cam never does.
COMPARED = ("cam", "gradcam", "pixelwise")
CASES = [
    pytest.param(section, family, id=f"{section.split()[0]} {section.split()[-1]}: {family}")
    for section, families in zoo.SECTIONS.items()
    for family in families
]


def documented():
    """The rows of the tables in the docs, `{section: {family: row}}`."""
    tables: dict[str, dict[str, tuple[str, ...]]] = {}
    section = ""
    for line in DOCS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            section = line.lstrip("# ")
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if len(cells) == len(HEADER) and cells != HEADER and not set(line) <= set("|-: "):
            tables.setdefault(section, {})[cells[0]] = cells
    return tables


def by_autograd(network, layer, candidate, inputs, explained):
    """Features `[B, F, *grid]` and the gradient of Σ explained(output) with respect to them."""
    kept = []

    def keep(_module, _args, output):
        kept.append(output if output.requires_grad else output.requires_grad_())
        return output.clone()  # not to be changed in place by what follows

    handle = network.get_submodule(layer).register_forward_hook(keep)
    total = explained(call_network(network, inputs)).sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(total, kept)
    return tuple(folded(values.detach(), candidate) for values in (kept[0], gradient))


def folded(values, candidate):
    """Channels first on the grid, whether they are given so, last, or as tokens."""
    if values.shape[1:] == (candidate.channels, *candidate.grid):
        return values
    voxels = torch.Size(candidate.grid).numel()
    patches = values.flatten(1, -2)[:, -voxels:]  # class tokens are in front
    return patches.mT.reshape(len(values), candidate.channels, *candidate.grid)


def examined(specimen, dims, same):
    """Explain one network by every method and compare with autograd; what the docs say of it."""
    torch.manual_seed(dims)
    fewest = dims == min(specimen.sizes)
    cases = 2 if fewest else 1
    network = zoo.tuned(specimen.make(dims))
    inputs = specimen.inputs(torch.randn(cases, *specimen.sizes[dims], dtype=torch.float64))
    candidates = candidate_layers(network, inputs, specimen.output)
    (best,) = [layer for layer in candidates if layer.recommended]
    assert network.training

    network.eval()
    last, options, explained = target(network, inputs, specimen)
    features, gradient = by_autograd(network, best.name, best, inputs, explained)
    refused: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    methods = COMPARED if specimen.large and not fewest else GRADIENT_METHODS
    with CutNetwork(network, best.name, **options) as cut:
        for method in methods:
            try:
                result = class_activation(cut, inputs, method=method, class_idx=last)
            except ExplanationError as error:
                if error.kind is not Problem.HEAD_NOT_POOLED:
                    raise
                refused += (method,)
                continue
            maps = result.maps()
            check_maps(maps)
            if result.additive and method in COMPARED:
                exact += (method,)
            if method == "gradcam":
                weights = gradient.flatten(2).mean(-1).reshape(gradient.shape[:2] + (1,) * dims)
                expected = weights * features
            elif method == "pixelwise":
                expected = gradient * features
            else:
                continue
            same(result.weighted_features(0), expected)
            same(maps[:, 0], expected.sum(1))
    if fewest and in_reach_of_captum(network, inputs, best):
        found = peers.captum_weighted_features(network, best.name, inputs, last, "pixelwise")
        same(found, gradient * features)
    if fewest and specimen.perturbed:
        case = plain_inputs(inputs, slice(0, 1))
        with CutNetwork(network, specimen.narrow or best.name, **options) as cut:
            for method in PERTURBATION_METHODS.values():
                samples = 2 if method.samples > 1 else None
                check_maps(
                    class_activation(
                        cut, case, method=method.name, class_idx=last, samples=samples
                    ).maps()
                )
    return best.name, refused, exact


def check_maps(maps):
    assert maps.isfinite().all()
    assert maps.flatten(1).any(1).all()


def in_reach_of_captum(network, inputs, candidate):
    """One input tensor, one output of logits, and the channels of the layer on axis 1."""
    shapes = []
    handle = network.get_submodule(candidate.name).register_forward_hook(
        lambda _module, _args, output: shapes.append(output.shape[1:])
    )
    with torch.no_grad():
        answer = call_network(network, inputs)
    handle.remove()
    return (
        isinstance(inputs, torch.Tensor)
        and isinstance(answer, torch.Tensor)
        and answer.ndim == 2
        and shapes == [(candidate.channels, *candidate.grid)]
    )


def target(network, inputs, specimen):
    """The last class, how to explain it (in one half of a segmentation), and that by hand."""
    with torch.no_grad():
        answer = call_network(network, inputs)
    if not isinstance(answer, torch.Tensor):
        answer = answer[specimen.output or 0]
    last = answer.shape[1] - 1
    options = {"output": specimen.output}
    if answer.ndim < 3:
        return last, options, lambda output: logits_of(output, specimen.output)[:, last]
    region = torch.zeros(answer.shape[2:], dtype=torch.bool)
    region[: len(region) // 2] = True

    def explained(output):
        voxels = output if isinstance(output, torch.Tensor) else output[specimen.output or 0]
        return voxels[:, last, region].mean(-1)

    return last, options | {"region": region}, explained


@pytest.mark.parametrize(("section", "family"), CASES)
def test_family_is_explained_as_documented(section, family, same):
    specimen = zoo.SECTIONS[section][family]
    found = {examined(specimen, dims, same) for dims in specimen.sizes}
    assert len(found) == 1  # the same on every number of axes
    layer, refused, exact = found.pop()
    assert documented()[section][family] == (
        family,
        ", ".join(map(str, specimen.sizes)),
        f"`{layer}`",
        f"all but {', '.join(refused)}" if refused else "all",
        ", ".join(exact),
        specimen.note,
    )


def test_docs_list_the_families_that_are_tested():
    listed = {section: list(rows) for section, rows in documented().items()}
    assert listed == {section: list(families) for section, families in zoo.SECTIONS.items()}


def test_networks_without_a_grid_or_with_several_images_per_case_are_refused():
    x = torch.randn(1, 1, 8, 8)
    for network in (
        nets.FullyConnectedNet(64, 2, [4]),
        nets.VarFullyConnectedNet(64, 2, 2, [4], [4]),
    ):
        with pytest.raises(ExplanationError):
            class_activation(network, x.flatten(1))
    several = nets.MILModel(2, "mean", False, resnet10(spatial_dims=2, n_input_channels=1), 400)
    with refused(ExplanationError, NetworkProblem.NO_GRID):
        class_activation(several, torch.randn(1, 3, 1, 32, 32))


def test_layer_inside_a_checkpointed_part(same):
    """Its forward runs again in the backward pass, where nothing is replaced, unless turned off."""
    specimen = zoo.SEGMENTERS["SwinUNETR"]
    torch.manual_seed(0)
    network = zoo.tuned(specimen.make(2))
    x = torch.randn(1, *specimen.sizes[2], dtype=torch.float64)
    arguments = ("swinViT.layers3.0.blocks.0.norm2", "pixelwise", "all")
    region = torch.ones(x.shape[2:])
    found = class_activation(network, x, *arguments, region=region)
    blocks = [part for part in network.modules() if hasattr(part, "use_checkpoint")]
    assert blocks
    for block in blocks:
        assert block.use_checkpoint
        block.use_checkpoint = False
    same(found.maps(), class_activation(network, x, *arguments, region=region).maps())


@pytest.mark.parametrize("cases", [1, 3])
@pytest.mark.parametrize("proj_type", ["conv", "perceptron"])
def test_tokens_of_a_batch_are_those_of_its_cases(same, cases, proj_type):
    torch.manual_seed(0)
    network = zoo.tuned(zoo.vit(proj_type)(3))
    x = torch.randn(cases, 1, 8, 12, 8, dtype=torch.float64)
    together = class_activation(network, x, "blocks.0", "layercam", "all")
    assert together.maps().shape == (cases, 3, 2, 3, 2)
    for i in range(cases):
        alone = class_activation(network, x[i : i + 1], "blocks.0", "layercam", "all")
        same(together.maps()[i], alone.maps()[0])
    same(together.logits, network.eval()(x)[0].detach())


def test_last_block_of_a_class_token_head_is_said_to_have_no_gradient():
    torch.manual_seed(0)
    network = zoo.tuned(zoo.vit("conv")(2))
    x = torch.randn(1, 1, 8, 12, dtype=torch.float64)
    with refused(ExplanationError, Problem.ZERO_GRADIENT):
        class_activation(network, x, "blocks.1")


class Unfolded(nn.Module):
    """Patches of 2 x 2 by an operation that no module stands for, then their mean."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        tokens = nn.functional.unfold(x, 2, stride=2).transpose(1, 2)
        return self.fc(self.norm(tokens).mean(1))


def test_grid_of_tokens_can_be_given(same):
    torch.manual_seed(0)
    network, x = Unfolded().double(), torch.randn(2, 1, 4, 8, dtype=torch.float64)
    with refused(ExplanationError, NetworkProblem.TOKEN_GRID, tokens=8):
        class_activation(network, x, "norm")
    result = class_activation(network, x, "norm", class_idx="all", token_grid=(2, 4))
    assert result.grid == (2, 4)
    assert result.additive
    same(result.offset, network.fc.bias.detach().expand(2, 3))
    patch = nn.functional.layer_norm(x[1, 0, 2:4, 4:6].flatten(), (4,))  # row 1, column 2
    same(result.features[1, :, 1, 2], patch)


def test_lazy_network_and_what_is_no_network_are_refused_in_a_sentence():
    x = torch.zeros(1, 1, 8, 8)
    lazy = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten())
    for explain in (candidate_layers, class_activation):
        with refused(ExplanationError, NetworkProblem.LAZY):
            explain(lazy, x)
        with refused(ExplanationError, NetworkProblem.NOT_A_NETWORK, found="function"):
            explain(lambda image: image, x)


def test_compiled_part_is_explained_as_it_is_written(same):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Conv2d(4, 3, 3)))
    network = network.append(nn.Flatten()).append(nn.Linear(48, 2)).double()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    for method in ("gradcam", "scorecam"):
        expected = class_activation(network, x, "0.1", method, "all").maps()
        part, network[0] = network[0], torch.compile(network[0], backend="eager")
        assert "0._orig_mod.1" in [layer.name for layer in candidate_layers(network, x)]
        same(class_activation(network, x, "0._orig_mod.1", method, "all").maps(), expected)
        network[0] = part


def test_network_that_asserts_its_size_is_told_in_a_sentence():
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.stage = nn.Conv2d(1, 4, 3)

        def forward(self, x):
            assert x.shape[-1] == 64, "images of 64 only"
            return self.stage(x).mean((2, 3))

    for explain in (candidate_layers, class_activation):
        with refused(ExplanationError, NetworkProblem.INPUT_FAILS, complaint="images of 64 only"):
            explain(Strict(), torch.zeros(1, 1, 8, 8))
