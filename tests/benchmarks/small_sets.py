"""Four small sets: the sample heads with their model, and real data with networks trained here."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from napari_ifa import samples
from tests.benchmarks.paper.datasets import SETS, Dataset
from tests.benchmarks.paper.networks import plans
from tests.benchmarks.paper.training import trained_bundle

#: Their names in ``paper.datasets``; epochs of a network that is trained.
SMALL_SETS = {
    "sample heads": ("sample_heads", 0),
    "chest X-rays": ("chest_xray", 10),
    "breast ultrasound": ("breast_ultrasound", 10),
    "LIDC cubes": ("lidc_nodules", 40),
}


def small_set(name: str, data: Path, work: Path) -> tuple[Dataset, Path]:
    """A set and the folder of its network's bundle; one that is trained is kept in ``work``."""
    key, epochs = SMALL_SETS[name]
    dataset = SETS[key](data, work)
    if not epochs:
        return dataset, samples.bundle("clean")
    plan = plans(key, len(dataset.classes))[0]
    plan = replace(plan, recipe=replace(plan.recipe, epochs=epochs))
    return dataset, trained_bundle(plan, dataset, work, report).folder


def report(text: str) -> None:
    """Say how far it is."""
    print(text, file=sys.stderr, flush=True)
