"""A classifier whose every number can be worked out on paper, and images for it."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import torch
from monai.transforms import Compose, EnsureChannelFirst
from torch import nn

from napari_ifa.models import Classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing

CLASS_NAMES = ("none", "lesion")


class TinyNetwork(nn.Module):
    """Features (x, −x), global average pooling, and a linear layer with bias (10, 20)."""

    def __init__(self, bent: bool = False) -> None:
        super().__init__()
        self.features = nn.Conv3d(1, 2, 1, bias=False)
        self.pool = nn.AdaptiveAvgPool3d(1)
        self.bent = bent
        self.linear = nn.Linear(2, 2)
        with torch.no_grad():
            self.features.weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1, 1))
            self.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 2.0]]))
            self.linear.bias.copy_(torch.tensor([10.0, 20.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = self.pool(self.features(x)).flatten(1)
        return self.linear(torch.relu(pooled) if self.bent else pooled)


def tiny_classifier(bent: bool = False) -> Classifier:
    """``bent`` puts a ReLU into the head, so that it is no longer affine."""
    return Classifier(
        network=TinyNetwork(bent).eval(),
        class_names=CLASS_NAMES,
        target_layer="features",
        preprocessing=Preprocessing.from_built(Compose([OpenedImage({}), EnsureChannelFirst()])),
        device=torch.device("cpu"),
        weights_sha256="bent" if bent else "straight",
    )


def write_image(path: Path, values: list[float]) -> Path:
    """A 2 × 2 × 2 image of the eight values, in voxels of 1 mm."""
    array = np.array(values, dtype=np.float32).reshape(2, 2, 2)
    nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), path)
    return path


def write_cohort(folder: Path, cases: list[tuple[list[float], int | str | None]]) -> Path:
    """A datalist of one split with these images and labels."""
    entries = []
    for number, (values, label) in enumerate(cases):
        write_image(folder / f"case_{number}.nii", values)
        entries.append(
            {"image": f"case_{number}.nii"} | ({} if label is None else {"label": label})
        )
    path = folder / "datalist.json"
    path.write_text(json.dumps({"name": "tiny", "training": entries}))
    return path
