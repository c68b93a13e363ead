"""A small network that knows its 30 cases by heart, and one trained on enough of them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.transforms import Compose, EnsureChannelFirst
from torch import nn

from napari_ifa.analysis import Analysis, analyze
from napari_ifa.cohorts import read_cohort
from napari_ifa.models import Classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing

SIDE, FEATURES = 8, 32
#: Images of one slice, analysed from training and from what the network never saw.
ANALYSED = {"training": 30, "test": 200}
_SEEDS = {"training": 1, "test": 2}


class BlobNetwork(nn.Module):
    """Two convolutions, global average pooling and a linear layer, for images of one slice."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, 16, (5, 5, 1)),
            nn.ReLU(),
            nn.Conv3d(16, FEATURES, (3, 3, 1)),
            nn.ReLU(),
        )
        self.linear = nn.Linear(FEATURES, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(x).mean((2, 3, 4)))


def images(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, with a faint square in every other image: ``[N, 8, 8, 1]`` and labels ``[N]``."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(number, SIDE, SIDE, 1)).astype(np.float32)
    corners = rng.integers(0, SIDE - 2, (number, 2))
    for image, (row, column) in zip(values[1::2], corners[1::2], strict=True):
        image[row : row + 3, column : column + 3] += 1.0
    return values, np.arange(number) % 2


def trained(cases: int, steps: int) -> BlobNetwork:
    """Trained on so many images for so many steps; the first 30 images are always the same."""
    torch.manual_seed(0)
    network = BlobNetwork()
    parts = [images(min(cases, 30), _SEEDS["training"]), images(max(cases - 30, 0), seed=3)]
    x = torch.tensor(np.concatenate([values for values, _ in parts]))[:, None]
    y = torch.tensor(np.concatenate([labels for _, labels in parts]))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        batch = torch.randperm(cases)[:50]
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimiser.step()
    return network.eval()


def analyses(network: BlobNetwork, folder: Path) -> tuple[Analysis, Analysis]:
    """Of 30 images that it was trained on and of 200 that it never saw."""
    classifier = Classifier(
        network=network,
        class_names=("nothing", "square"),
        target_layer="features",
        preprocessing=Preprocessing.from_built(Compose([OpenedImage({}), EnsureChannelFirst()])),
        device=torch.device("cpu"),
        weights_sha256="trained here",
    )
    lists = {}
    for split, number in ANALYSED.items():
        lists[split] = []
        for n, (values, label) in enumerate(zip(*images(number, _SEEDS[split]), strict=True)):
            name = f"{split}_{n}.nii"
            nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), folder / name)
            lists[split].append({"image": name, "label": int(label)})
    datalist = folder / "datalist.json"
    datalist.write_text(json.dumps(lists))
    train, test = (analyze(classifier, read_cohort(datalist, s), batch_size=25) for s in lists)
    return train, test
