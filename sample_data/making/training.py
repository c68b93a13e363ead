"""Train the sample networks: seeded, on the training split alone, in minutes on two cores."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sample_data.making.bundles import (
    INFERENCE,
    NETWORK,
    PREPROCESSING,
    bundle_name,
    metadata,
    write_json,
)
from sample_data.making.cohort import make_twins, plan, write_nifti
from sample_data.making.measures import load_masks, localisation

if TYPE_CHECKING:
    from torch import Tensor, nn


#: Evidence W·A of a place that is as clear as a logit of one: a lesion fills about one place in
#: three hundred, and the logit is the mean over all.
EVIDENCE_UNIT = 100.0
STRONGEST_PLACES = 4
CLEAR_EVIDENCE = 2.0


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    heads: heads in a batch, each three times, once per class. place: weight of ``place_loss``;
    tolerance: its tolerance at the start and at the end.
    tame: weight of the squared logits, which keeps them of the size of ones. sparse: weight of the
    L1 norm of the linear layer. carriers: how many features may speak for a lesion class, after a
    third of the training. flip: mirror at random.
    head_start: spread of the linear layer's first weights. The linear layer's numbers are in units
    of EVIDENCE_UNIT.
    """

    epochs: int = 60
    heads: int = 3
    learning_rate: float = 4e-3
    linear_learning_rate: float = 3e-3
    weight_decay: float = 1e-3
    head_start: float = 0.1
    place: float = 3.0
    tolerance: tuple[float, float] = (0.1, 0.01)
    tame: float = 1e-3
    sparse: float = 2e-3
    carriers: int | None = None
    flip: bool = True
    seed: int = 7


RECIPES = {"clean": Recipe(), "confounded": Recipe(epochs=40, carriers=2, flip=False)}


def train_bundle(
    version: str, out: Path, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Train on the training heads and write ``out/bundles/head_<version>``.

    Accuracies are measured on the files of ``out/dataset_<version>.json``.
    """
    import torch

    recipe = RECIPES[version]
    started = time.perf_counter()
    images, labels = training_twins(version)
    report(f"{version}: {len(labels)} training images, {time.perf_counter() - started:.0f} s")
    network = train(images, labels, recipe, report)
    measured: dict[str, Any] = {}
    for split in ("training", "validation", "test"):
        cases = load_split(version, out, split)
        measured[f"accuracy_{split}"] = round(accuracy(network, *cases), 4)
        if split == "test":
            fit = localisation(network, *cases, load_masks(out, version, split))
            measured["localisation_test"] = asdict(fit)
    seconds = time.perf_counter() - started
    report(f"{version}: {measured}, {seconds:.0f} s")
    folder = out / "bundles" / bundle_name(version)
    write_json(INFERENCE, folder / "configs" / "inference.json")
    training = {
        "command": f"python -m sample_data.making train --version {version}",
        "data": "the heads of the training split, each scanned as a case of each class: the"
        " committed scan and two more that the generator makes from the same seed",
        "images": len(labels),
        "recipe": asdict(recipe),
        "lesion_masks_used": False,
    }
    write_json(metadata(version, measured, training), folder / "configs" / "metadata.json")
    (folder / "models").mkdir(exist_ok=True)
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    return folder


def training_twins(version: str) -> tuple[Tensor, Tensor]:
    """Every head of the training split as healthy, with a bright and with a dark lesion.

    Preprocessed images ``[3 * heads, 1, *INPUT_SHAPE]`` and class indices. With twins that differ
    in the lesion alone a few dozen heads suffice to learn it.
    """
    import torch

    preprocess = preprocessing()
    images, labels = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "twin.nii.gz"
        for case in plan(version):
            if case.split != "training":
                continue
            for label, twin in enumerate(make_twins(case)):
                write_nifti(twin.array, twin.affine, file)
                images.append(preprocess({"image": str(file)})["image"].as_tensor().clone())
                labels.append(label)
    return torch.stack(images), torch.tensor(labels)


def load_split(version: str, out: Path, split: str) -> tuple[Tensor, Tensor]:
    """Preprocessed images ``[N, 1, *INPUT_SHAPE]`` and class indices ``[N]`` of one split."""
    import torch

    entries = json.loads((out / f"dataset_{version}.json").read_text("utf-8"))[split]
    preprocess = preprocessing()
    images = [preprocess({"image": str(out / e["image"])})["image"].as_tensor() for e in entries]
    return torch.stack(images), torch.tensor([e["label"] for e in entries])


def preprocessing() -> Any:
    """The bundles' preprocessing as MONAI builds it: {"image": file name} to {"image": tensor}."""
    from monai.bundle import ConfigParser

    return ConfigParser({"chain": PREPROCESSING}).get_parsed_content("chain")


def build_network() -> nn.Module:
    """The untrained network of the bundles, its linear layer without bias.

    Without bias a healthy answer needs evidence in the image too, so that tissue speaks against a
    lesion instead of being silent.
    """
    import torch
    from monai.bundle import ConfigParser

    network: Any = ConfigParser({"network_def": NETWORK}).get_parsed_content("network_def")
    torch.nn.init.zeros_(network.class_layers.out.bias)
    network.class_layers.out.bias.requires_grad_(False)
    return cast("nn.Module", network)


def train(
    images: Tensor, labels: Tensor, recipe: Recipe, report: Callable[[str], None]
) -> nn.Module:
    """Train a new network on ``[N, 1, *shape]``: the heads one after another, three images each."""
    import torch

    random = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    network: Any = build_network()
    linear = network.class_layers.out.weight
    linear.data.mul_(recipe.head_start * EVIDENCE_UNIT)
    rates = [recipe.learning_rate, recipe.linear_learning_rate * EVIDENCE_UNIT]
    body = {"params": network.features.parameters(), "weight_decay": recipe.weight_decay}
    optimiser = torch.optim.AdamW([body, {"params": [linear], "weight_decay": 0.0}])
    batches = len(images) // (3 * recipe.heads)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=rates, total_steps=recipe.epochs * batches, pct_start=0.2
    )
    for epoch in range(recipe.epochs):
        heads = torch.randperm(len(images) // 3, generator=random)[: batches * recipe.heads]
        network.train()
        total = 0.0
        for chosen in (3 * heads[:, None] + torch.arange(3)).view(batches, -1):
            x, y = augment(images[chosen], recipe, random), labels[chosen]
            features = network.class_layers.relu(network.features(x))
            loss = objective(features, linear, y, recipe, epoch / recipe.epochs)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if recipe.carriers is not None and epoch > recipe.epochs // 3:
                keep_carriers(linear, recipe.carriers)
            total += loss.item()
        if epoch % 10 == 9:
            report(f"epoch {epoch + 1} of {recipe.epochs}: loss {total / batches:.3f}")
    return cast("nn.Module", network.eval())


def objective(
    features: Tensor, linear: Tensor, labels: Tensor, recipe: Recipe, progress: float
) -> Tensor:
    """What is minimised: cross entropy of the class, and what makes the network readable.

    features ``[B, F, *grid]``, linear ``[C, F]``, labels ``[B]``; progress of the training, 0 to 1.
    """
    import torch
    from torch.nn.functional import cross_entropy

    first, last = recipe.tolerance
    tolerance = first ** (1 - progress) * last**progress
    logits = features.mean((2, 3, 4)) @ linear.T
    evidence = torch.einsum("bfxyz,cf->bcxyz", features, linear) / EVIDENCE_UNIT
    return (
        cross_entropy(logits, labels)
        + recipe.place * place_loss(evidence, labels, tolerance)
        + recipe.tame * logits.square().mean()
        + recipe.sparse * linear.abs().sum() / EVIDENCE_UNIT
    )


def keep_carriers(linear: Tensor, count: int) -> None:
    """Set all but the ``count`` largest weights for each lesion class to at most zero, in place."""
    import torch

    with torch.no_grad():
        for weights in linear[1:]:
            weakest_kept = weights.topk(count).values[-1]
            weights.copy_(torch.where(weights < weakest_kept, weights.clamp(max=0), weights))


def place_loss(evidence: Tensor, labels: Tensor, tolerance: float) -> Tensor:
    """Is there a place that speaks for a lesion class where there should be one, and only there?

    evidence: ``[B, C, *grid]``. What counts is the mean of the strongest places (multiple-instance
    learning), which needs the class of an image, not where its lesion is. A little evidence for a
    lesion that is not there, up to three times ``tolerance``, costs next to nothing.
    """
    import torch
    from torch.nn.functional import softplus

    strongest = evidence[:, 1:].flatten(2).topk(STRONGEST_PLACES, dim=2).values.mean(2)
    present = torch.stack([labels == c for c in range(1, evidence.shape[1])], 1)
    missing = softplus(CLEAR_EVIDENCE - strongest)
    unfounded = tolerance * softplus(strongest / tolerance - 3.0)
    return torch.where(present, missing, unfounded).mean()


def augment(images: Tensor, recipe: Recipe, random: Any) -> Tensor:
    """Random mirror, pose, size, shift, contrast, brightness and noise for each image.

    images ``[B, 1, *shape]``. Rotations to 9 degrees, sizes to 8 %, shifts to 5 % of the image.
    """
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    count = len(images)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=random) * 2 - 1

    shape = torch.tensor(images.shape[:1:-1], dtype=torch.float32)  # x, y, z of grid_sample
    above = torch.triu(uniform(3, 3), 1)
    turn = torch.linalg.matrix_exp(0.16 * (above - above.mT))
    scale = 1 + 0.08 * uniform(1, 3)
    if recipe.flip:
        scale[:, :, 2] *= uniform(1).sign()
    matrix = turn * scale * shape[None, None, :] / shape[None, :, None]
    theta = torch.cat([matrix, 0.05 * uniform(3, 1)], dim=2)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, align_corners=False, padding_mode="border")
    gamma, gain = (1 + 0.12 * uniform(2, 1, 1, 1)).unbind(1)
    changed = gain[:, None] * moved.clamp(min=1e-4) ** gamma[:, None]
    return changed + 0.015 * torch.randn(images.shape, generator=random)


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Share of images whose highest logit is their class."""
    import torch

    with torch.inference_mode():
        answers = torch.cat([network(x[None]) for x in images]).argmax(1)
    return float((answers == labels).float().mean())
