"""A network plan as a MONAI bundle on disk, with what was measured in training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import monai
import numpy
import torch

from tests.benchmarks.paper.networks import NetworkPlan


def write_bundle(
    folder: Path,
    plan: NetworkPlan,
    classes: tuple[str, ...],
    weights: Mapping[str, torch.Tensor],
    measured: Mapping[str, Any],
) -> Path:
    """Write ``configs/`` and ``models/`` of a bundle."""
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    _write(folder / "configs" / "inference.json", inference(plan))
    torch.save(dict(weights), folder / "models" / "model.pt")
    # Last, so that a bundle with metadata is a whole one.
    _write(folder / "configs" / "metadata.json", metadata(plan, classes, measured))
    return folder


def inference(plan: NetworkPlan) -> dict[str, Any]:
    """The bundle's inference configuration."""
    softmax = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
    return {
        "network_def": plan.network,
        "preprocessing": plan.preprocessing,
        "postprocessing": {"_target_": "Compose", "transforms": [softmax]},
    }


def metadata(
    plan: NetworkPlan, classes: tuple[str, ...], measured: Mapping[str, Any]
) -> dict[str, Any]:
    """The bundle's description: formats, class names, versions and what was measured."""
    named = {str(number): name for number, name in enumerate(classes)}
    image = {
        "type": "image",
        "format": "magnitude",
        "num_channels": plan.shape[0],
        "spatial_shape": list(plan.shape[1:]),
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {str(channel): "image" for channel in range(plan.shape[0])},
    }
    pred = {
        "type": "probabilities",
        "format": "classification",
        "num_channels": len(classes),
        "spatial_shape": [1],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": named,
    }
    return {
        "version": "1.0.0",
        "name": plan.name,
        "task": f"Classify as {', '.join(classes)}",
        "description": plan.architecture,
        "intended_use": "Benchmark; not for any medical purpose.",
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "eval_metrics": dict(measured),
        "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}},
    }


def recorded(folder: Path) -> dict[str, Any]:
    """What was measured when the bundle was trained; empty where there is no whole bundle."""
    file = folder / "configs" / "metadata.json"
    if not file.is_file():
        return {}
    measured: dict[str, Any] = json.loads(file.read_text("utf-8")).get("eval_metrics", {})
    return measured


def fingerprint(plan: NetworkPlan, data: str) -> str:
    """What training depends on: the plan, the data and torch's version."""
    content = json.dumps([asdict(plan), data, torch.__version__], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _write(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
