"""Cases per second of a whole analysis beside those of a bare loop over the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.transforms import Compose, EnsureChannelFirst, ScaleIntensity
from PIL import Image
from torch import Tensor, nn

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.cohorts import Case, Cohort
from napari_ifa.cohorts.batches import ReadCase, read_ahead
from napari_ifa.cohorts.skipped import SkippedCase
from napari_ifa.models import Classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
from tests.benchmarks import networks
from tests.benchmarks.measuring import Spread, difference, interleaved

ANALYSIS, LOOP = "analysis", "bare forward loop"
GOAL = 0.9


@dataclass(frozen=True)
class Throughput:
    """One line: `share` is the analysis's cases per second over the loop's, in single rounds.

    `difference` is the largest difference between the two's logits over the largest logit.
    """

    what: str
    cases: int
    batch: int
    share: Spread
    goal: float | None
    analysis_per_second: float
    loop_per_second: float
    difference: float

    @property
    def met(self) -> bool | None:
        return None if self.goal is None else self.share.median >= self.goal


@dataclass(frozen=True)
class Task:
    """A model and a cohort; 32 cases, a shard, are a whole number of batches."""

    what: str
    classifier: Classifier
    cohort: Cohort
    batch: int
    goal: float | None

    def measured(self, rounds: int) -> Throughput:
        calls = {ANALYSIS: self.analysis, LOOP: self.loop}
        times = interleaved(calls, rounds, self.classifier.device)
        logits = torch.from_numpy(times.results[ANALYSIS].logits)
        cases = len(self.cohort)
        return Throughput(
            what=self.what,
            cases=cases,
            batch=self.batch,
            share=times.ratio(LOOP, ANALYSIS),
            goal=self.goal,
            analysis_per_second=cases / times.median(ANALYSIS),
            loop_per_second=cases / times.median(LOOP),
            difference=difference(logits, times.results[LOOP]),
        )

    def analysis(self) -> Analysis:
        """All of it: images, every statistic of all classes, shards on disk, the file read back."""
        return analyze(self.classifier, self.cohort, batch_size=self.batch)

    def loop(self) -> Tensor:
        """Logits alone, `[N, C]`."""
        classifier = self.classifier
        logits = []
        with closing(read_ahead(classifier, enumerate(self.cohort.cases))) as inputs:
            while batch := list(islice(inputs, self.batch)):
                with torch.inference_mode():
                    x = torch.stack([_image(item) for item in batch]).to(classifier.device)
                    logits.append(classifier.network(x).cpu())
        return torch.cat(logits)


def measured(folder: Path, device: torch.device, rounds: int, quick: bool) -> Iterator[Throughput]:
    """One line after the other; `folder` takes the images."""
    few = 8 if quick else 1
    volumes = _cohort(folder, "volume_{}.nii.gz", _write_volume, 32 // few)
    pictures = _cohort(folder, "picture_{}.png", _write_picture, 512 // few)
    in_3d = _classifier(networks.resnet18_3d(3), 3, device)
    yield Task("ResNet18 3D, 64³, C = 3", in_3d, volumes, 4, GOAL).measured(rounds)
    for classes, goal in ((3, GOAL), (1000, None)):
        in_2d = _classifier(networks.resnet18_2d(classes), classes, device)
        what = f"ResNet18 2D, 224², C = {classes}"
        yield Task(what, in_2d, pictures, 8, goal).measured(rounds)


def _classifier(network: nn.Module, classes: int, device: torch.device) -> Classifier:
    chain = Compose([OpenedImage({}), EnsureChannelFirst(), ScaleIntensity()])
    return Classifier(
        network=networks.copy_of(network, device),
        class_names=tuple(f"class {number}" for number in range(classes)),
        target_layer=networks.RESNET_LAYER,
        preprocessing=Preprocessing.from_built(chain),
        device=device,
    )


def _cohort(folder: Path, name: str, write: Callable[[Path, int], None], number: int) -> Cohort:
    cases = [Case(name.format(n), folder / name.format(n), n % 3) for n in range(number)]
    for n, case in enumerate(cases):
        write(case.path, n)
    return Cohort("made for the benchmark", tuple(cases))


def _write_volume(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**12, (64, 64, 64), np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def _write_picture(path: Path, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 2**8, (224, 224, 3), np.uint8)
    Image.fromarray(values).save(path)


def _image(item: ReadCase[None] | SkippedCase) -> Tensor:
    assert isinstance(item, ReadCase), item.reason
    return item.image
