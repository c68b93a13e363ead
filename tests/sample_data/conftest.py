"""The committed bundles' networks and the preprocessed test splits, loaded once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from monai.bundle import ConfigParser

from napari_ifa import samples
from sample_data.making import measures


@dataclass(frozen=True)
class Trained:
    """A committed network in eval mode and what MONAI makes of the test split's files."""

    version: str
    network: Any
    images: Any  # [N, 1, *shape]
    labels: Any  # [N]

    @property
    def weight(self) -> Any:
        """[C, F] of the linear layer."""
        return self.network.class_layers.out.weight.detach()

    def features(self, images: Any) -> Any:
        """[N, F, *grid] that global pooling and the linear layer see."""
        import torch

        with torch.inference_mode():
            layers = self.network.class_layers
            return torch.cat([layers.relu(self.network.features(x[None])) for x in images])


def monai_chain(version: str) -> Any:
    """The committed bundle's preprocessing, built by MONAI itself."""
    parser = ConfigParser()
    parser.read_config(str(samples.bundle(version) / "configs" / "inference.json"))
    return parser.get_parsed_content("preprocessing")


def load_trained(version: str) -> Trained:
    import torch

    parser = ConfigParser()
    parser.read_config(str(samples.bundle(version) / "configs" / "inference.json"))
    network: Any = parser.get_parsed_content("network_def")
    weights = samples.bundle(version) / "models" / "model.pt"
    network.load_state_dict(torch.load(weights, weights_only=True))
    chain = monai_chain(version)
    root = samples.cohort(version).parent
    entries = json.loads(samples.cohort(version).read_text("utf-8"))["test"]
    images = [chain({"image": str(root / e["image"])})["image"].as_tensor() for e in entries]
    labels = torch.tensor([e["label"] for e in entries])
    return Trained(version, network.eval(), torch.stack(images), labels)


@pytest.fixture(scope="session")
def clean() -> Trained:
    return load_trained("clean")


@pytest.fixture(scope="session")
def confounded() -> Trained:
    return load_trained("confounded")


@pytest.fixture(scope="session")
def clean_masks() -> np.ndarray:
    """Lesion masks of the clean test split on the network's input grid."""
    return measures.load_masks(samples.sample_data(), "clean", "test")
