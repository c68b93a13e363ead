"""Train a network of a plan: seeded, deterministic on one machine, in minutes on two cores."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from torch import Tensor, nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

import napari_ifa as ifa
from napari_ifa.cohorts import Case
from tests.benchmarks.paper import bundles
from tests.benchmarks.paper.datasets import Dataset, labels
from tests.benchmarks.paper.networks import NetworkPlan, Recipe

Report = Callable[[str], None]
#: Cases whose input is compared with what MONAI's own loader gives.
_COMPARED = 5


@dataclass(frozen=True)
class TrainedBundle:
    """A bundle on disk and what its training measured.

    ``measured`` holds accuracies, seconds and what identifies the training; ``fresh`` tells whether
    it was trained now.
    """

    folder: Path
    measured: dict[str, Any]
    fresh: bool


def trained_bundle(
    plan: NetworkPlan, dataset: Dataset, work: Path, report: Report
) -> TrainedBundle:
    """The bundle of a plan in ``work``; trained only where there is none of this plan and data."""
    folder = work / "bundles" / plan.name
    identity = bundles.fingerprint(plan, dataset.fingerprint())
    found = bundles.recorded(folder)
    if found.get("identity") == identity:
        return TrainedBundle(folder, found, fresh=False)
    started = time.perf_counter()
    network = new_network(plan)
    # Untrained weights make the bundle whole: its own preprocessing then makes the inputs.
    bundles.write_bundle(folder, plan, dataset.classes, network.state_dict(), {})
    classifier = ifa.load_classifier(folder, device="cpu")
    images = inputs(classifier, dataset.training.cases)
    truth = torch.tensor(labels(dataset.training.cases, dataset.classes))
    epochs = train(network, images, truth, plan.recipe, report)
    tests = inputs(classifier, dataset.test.cases)
    test_truth = torch.tensor(labels(dataset.test.cases, dataset.classes))
    measured = {
        "identity": identity,
        "accuracy_training": accuracy(network, images, truth),
        "accuracy_test": accuracy(network, tests, test_truth),
        "cases_training": len(truth),
        "cases_test": len(test_truth),
        "epochs": epochs,
        "seed": plan.recipe.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "threads": torch.get_num_threads(),
        "largest_difference_to_monai": difference_to_monai(
            plan, classifier, dataset.test.cases[:_COMPARED]
        ),
    }
    bundles.write_bundle(folder, plan, dataset.classes, network.state_dict(), measured)
    return TrainedBundle(folder, measured, fresh=True)


def new_network(plan: NetworkPlan) -> nn.Module:
    """The untrained network, its first weights from the recipe's seed."""
    torch.manual_seed(plan.recipe.seed)
    network: nn.Module = ConfigParser({"network": plan.network}).get_parsed_content("network")
    return network


def inputs(classifier: ifa.Classifier, cases: Sequence[Case]) -> Tensor:
    """What the network sees of the cases, ``[N, C, *spatial]``."""
    return torch.stack([classifier.preprocess(case.read()).as_tensor() for case in cases])


def difference_to_monai(
    plan: NetworkPlan, classifier: ifa.Classifier, cases: Sequence[Case]
) -> float | None:
    """Largest difference between our input and MONAI's own chain on the file; None for items."""
    if any(case.item is not None for case in cases):
        return None
    chain = ConfigParser({"chain": plan.preprocessing}).get_parsed_content("chain")
    return max(
        float((chain({"image": str(case.path)})["image"] - ours).abs().max())
        for case, ours in zip(cases, inputs(classifier, cases), strict=True)
    )


def train(network: nn.Module, images: Tensor, truth: Tensor, recipe: Recipe, report: Report) -> int:
    """Train in place and leave the network in eval mode; the number of epochs."""
    random = torch.Generator().manual_seed(recipe.seed)
    torch.manual_seed(recipe.seed)
    learnt, held = held_out(truth, recipe)
    # A rare class counts as much as a frequent one.
    counts = torch.bincount(truth[learnt], minlength=int(truth.max()) + 1).clamp(min=1)
    weight = counts.sum() / (len(counts) * counts)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    batches = math.ceil(len(learnt) / recipe.batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.epochs * batches, pct_start=0.15
    )
    best, best_state, since = math.inf, None, 0
    epoch = 0
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        total = 0.0
        order = learnt[torch.randperm(len(learnt), generator=random)]
        for chosen in order.tensor_split(batches):
            logits = _logits(network, augmented(images[chosen], recipe, random))
            loss = cross_entropy(
                logits, truth[chosen], weight=weight, label_smoothing=recipe.smoothing
            )
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        network.eval()
        if len(held):
            current = _loss(network, images[held], truth[held], weight)
            since += 1
            if current < best:
                best, best_state, since = current, copy.deepcopy(network.state_dict()), 0
            if recipe.patience is not None and since >= recipe.patience:
                break
        if epoch % 5 == 0:
            report(f"  epoch {epoch} of {recipe.epochs}: loss {total / batches:.3f}")
    if best_state is not None:
        network.load_state_dict(best_state)
    return epoch


def held_out(truth: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Indices to learn from and indices to validate on, each class in the same proportion."""
    random = np.random.default_rng(recipe.seed)
    held: list[int] = []
    for label in truth.unique().tolist():
        members = (truth == label).nonzero().flatten().numpy()
        held += random.permutation(members)[: int(recipe.validation * len(members))].tolist()
    kept = torch.ones(len(truth), dtype=torch.bool)
    kept[held] = False
    return kept.nonzero().flatten(), torch.tensor(sorted(held), dtype=torch.long)


def augmented(images: Tensor, recipe: Recipe, random: torch.Generator) -> Tensor:
    """Each image ``[B, C, *spatial]`` mirrored, turned, resized, moved and changed at random."""
    count, dims = len(images), images.ndim - 2

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=random) * 2 - 1

    above = torch.triu(uniform(dims, dims), 1)
    turn = torch.linalg.matrix_exp(math.radians(recipe.turned) * (above - above.mT))
    scale = 1 + recipe.scaled * uniform(1, dims)
    for axis in recipe.mirrored:
        # grid_sample's axes are the image's in reverse.
        scale[:, :, dims - axis] *= uniform(1).sign()
    theta = torch.cat([turn * scale, 2 * recipe.moved * uniform(dims, 1)], dim=2)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    moved = grid_sample(images, grid, align_corners=False, padding_mode="border")
    shape = [count, 1] + [1] * dims
    gain = 1 + recipe.changed * uniform().view(shape)
    offset = recipe.changed * uniform().view(shape)
    noise = torch.randn(images.shape, generator=random)
    return gain * moved + offset * moved.std() + 0.1 * recipe.changed * noise


def accuracy(network: nn.Module, images: Tensor, truth: Tensor) -> float:
    """Share of the cases whose highest logit is their class."""
    answers = torch.cat([part.argmax(1) for part in _answers(network, images)])
    return float((answers == truth).double().mean())


def _loss(network: nn.Module, images: Tensor, truth: Tensor, weight: Tensor) -> float:
    logits = torch.cat(_answers(network, images))
    return float(cross_entropy(logits, truth, weight=weight))


def _answers(network: nn.Module, images: Tensor) -> list[Tensor]:
    network.eval()
    with torch.inference_mode():
        return [_logits(network, part) for part in images.split(32)]


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    output = network(images)
    logits: Tensor = output[0] if isinstance(output, tuple) else output
    return logits
