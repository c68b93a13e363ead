"""Memory, time and file size of an analysis by the number of its cases, each in a process anew.

Tiny pictures and a network of two convolutions, so that what is measured is the analysis.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

#: The peak of the most cases over that of the fewest that still counts as flat: an analysis holds
#: its rows in memory up to 32 MiB.
FLAT = 1.1


@dataclass(frozen=True)
class Cost:
    """One process: ``peak_mib`` is the most that was resident, ``before_mib`` without analysis."""

    classes: int
    features: int
    profiles: str
    cases: int
    before_mib: float
    peak_mib: float
    seconds: float
    file_bytes: int


@dataclass(frozen=True)
class Growth:
    """What one more case costs, from the fewest and the most cases of one kind."""

    classes: int
    features: int
    profiles: str
    fewest: int
    most: int
    peak_ratio: float
    milliseconds_per_case: float
    bytes_per_case: float

    @classmethod
    def of(cls, costs: list[Cost]) -> Growth:
        first, last = costs[0], costs[-1]
        more = last.cases - first.cases
        return cls(
            classes=first.classes,
            features=first.features,
            profiles=first.profiles,
            fewest=first.cases,
            most=last.cases,
            peak_ratio=last.peak_mib / first.peak_mib,
            milliseconds_per_case=1e3 * (last.seconds - first.seconds) / more,
            bytes_per_case=(last.file_bytes - first.file_bytes) / more,
        )

    @property
    def flat(self) -> bool | None:
        """None where too few cases were added to tell."""
        return None if self.most < 10 * self.fewest else self.peak_ratio <= FLAT


def measured(folder: Path, quick: bool) -> Iterator[list[Cost]]:
    """The costs of one kind of analysis after the other; `folder` takes the pictures."""
    many = (50, 100, 200) if quick else (100, 1_000, 10_000)
    few = (50, 100) if quick else (100, 300)
    kinds = [
        (3, 512, "float32", many),
        (3, 512, "float16", many[:2]),
        (3, 512, "none", many),
        *((1000, 2048, profiles, few) for profiles in ("float32", "float16", "none")),
    ]
    _write_pictures(folder, many[-1])
    for classes, features, profiles, numbers in kinds:
        yield [_in_a_process(folder, classes, features, profiles, cases) for cases in numbers]


def _write_pictures(folder: Path, number: int) -> None:
    from PIL import Image

    random = np.random.default_rng(0)
    for n in range(number):
        values = random.integers(0, 2**8, (28, 28), np.uint8)
        Image.fromarray(values).save(folder / f"{n}.png")


def _in_a_process(folder: Path, classes: int, features: int, profiles: str, cases: int) -> Cost:
    arguments = [str(folder), str(classes), str(features), profiles, str(cases)]
    done = subprocess.run(
        [sys.executable, __file__, *arguments], check=True, capture_output=True, text=True
    )
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def _cost(folder: Path, classes: int, features: int, profiles: str, cases: int) -> Cost:
    """In this process, which has done nothing else."""
    from napari_ifa.analysis import analyze
    from napari_ifa.cohorts import Case, Cohort

    classifier = _classifier(classes, features)
    listed = [Case(f"{n}.png", folder / f"{n}.png", n % classes) for n in range(cases)]
    # What the first analysis of a process imports is no cost of its cases.
    analyze(classifier, Cohort("first", tuple(listed[:8])), profiles=profiles)
    before = _resident("VmRSS")
    begin = time.perf_counter()
    analysis = analyze(classifier, Cohort("all", tuple(listed)), profiles=profiles)
    with TemporaryDirectory() as home:
        file = Path(home) / "analysis.nc"
        analysis.save(file)
        seconds = time.perf_counter() - begin
        size = file.stat().st_size
    peak = _resident("VmHWM")
    return Cost(classes, features, profiles, cases, before, peak, seconds, size)


def _classifier(classes: int, features: int):
    import torch
    from monai.transforms import Compose, EnsureChannelFirst, ScaleIntensity
    from torch import nn

    from napari_ifa.models import Classifier
    from napari_ifa.models.preprocessing import OpenedImage, Preprocessing

    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 16, 4, stride=4),
        nn.ReLU(),
        nn.Conv2d(16, features, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(features, classes),
    )
    chain = Compose([OpenedImage({}), EnsureChannelFirst(), ScaleIntensity()])
    return Classifier(
        network=network.eval(),
        class_names=tuple(f"class {number}" for number in range(classes)),
        target_layer="3",
        preprocessing=Preprocessing.from_built(chain),
        device=torch.device("cpu"),
    )


def _resident(name: str) -> float:
    """MiB as Linux counts them: VmRSS now, VmHWM the most that it was since the process began."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise LookupError(name)


if __name__ == "__main__":
    place, *numbers = sys.argv[1:]
    cost = _cost(Path(place), int(numbers[0]), int(numbers[1]), numbers[2], int(numbers[3]))
    print(json.dumps(vars(cost)))
