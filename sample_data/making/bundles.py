"""The MONAI bundles of the sample data: network, preprocessing and description as plain JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sample_data.making.lesions import CLASS_NAMES

INPUT_SHAPE = (56, 64, 48)
INPUT_SPACING = 4.0
TARGET_LAYER = "class_layers.relu"

NETWORK: dict[str, Any] = {
    "_target_": "monai.networks.nets.DenseNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": len(CLASS_NAMES),
    "init_features": 16,
    "growth_rate": 12,
    "block_config": [2],
    "bn_size": 3,
    "act": ["relu", {"inplace": False}],
}

# With scale_extent the field of view stays as it is; without it MONAI places an oblique image by
# its first voxel or by its middle, depending on the last digits of the affine.
PREPROCESSING: dict[str, Any] = {
    "_target_": "Compose",
    "transforms": [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {
            "_target_": "Orientationd",
            "keys": "image",
            "axcodes": "RAS",
            "labels": [["L", "R"], ["P", "A"], ["I", "S"]],
        },
        {
            "_target_": "Spacingd",
            "keys": "image",
            "pixdim": [INPUT_SPACING] * 3,
            "mode": "bilinear",
            "scale_extent": True,
            "align_corners": True,
        },
        {
            "_target_": "ScaleIntensityRangePercentilesd",
            "keys": "image",
            "lower": 5,
            "upper": 97,
            "b_min": 0.0,
            "b_max": 1.0,
        },
        {"_target_": "ResizeWithPadOrCropd", "keys": "image", "spatial_size": list(INPUT_SHAPE)},
        {"_target_": "EnsureTyped", "keys": "image"},
    ],
}

INFERENCE: dict[str, Any] = {
    "network_def": NETWORK,
    "preprocessing": PREPROCESSING,
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [{"_target_": "Activationsd", "keys": "pred", "softmax": True}],
    },
}


def bundle_name(version: str) -> str:
    """Folder and name of the bundle trained on a version of the cohort."""
    return f"head_{version}"


def metadata(version: str, measured: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """The bundle's description with what was measured and how it was trained."""
    import monai
    import numpy
    import torch

    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/"
        "0.8.1/meta_schema_20240725.json",
        "version": "1.0.0",
        "changelog": {"1.0.0": "first version"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": numpy.__version__,
        "optional_packages_version": {"nibabel": "5.2"},
        "name": f"Phantom heads, {version}",
        "task": "Classify a synthetic head MR as healthy, with a bright or with a dark lesion",
        "description": "A small DenseNet with one dense block, global average pooling and a linear"
        " layer without bias, trained on synthetic heads. For demonstration only.",
        "authors": "napari-ifa contributors",
        "copyright": "CC0-1.0",
        "data_source": f"dataset_{version}.json, made by sample_data.making",
        "data_type": "nibabel",
        "image_classes": "T1-weighted head MR, synthetic",
        "label_classes": ", ".join(f"{i}: {name}" for i, name in enumerate(CLASS_NAMES)),
        "pred_classes": "one logit per class",
        "intended_use": "Demonstration and tests; not for any medical purpose.",
        "eval_metrics": measured,
        "training": training,
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "magnitude",
                    "modality": "MR",
                    "num_channels": 1,
                    "spatial_shape": list(INPUT_SHAPE),
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classification",
                    "num_channels": len(CLASS_NAMES),
                    "spatial_shape": [1],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {str(i): name for i, name in enumerate(CLASS_NAMES)},
                }
            },
        },
    }


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write indented JSON, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
