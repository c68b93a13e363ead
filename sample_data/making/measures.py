"""How well a sample network's class activation fits the lesions it was never shown.

Written out by hand for a network of global average pooling and a linear layer, so that it can check
the engine: a_c(v) = sum_f W[c, f] A_f(v) / V.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sample_data.making.bundles import INPUT_SPACING, PREPROCESSING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Localisation:
    """Class activation of both lesion classes against the lesion masks of one split.

    inside, inside_margin: share of the positive class activation of the true lesion class that
    lies in the mask, and in the mask grown by ``margin`` mm; mean over the lesion cases.
    chance, chance_margin: share of the head's image that these masks take, the answer of a map that
    is the same everywhere. pointing: share of lesion cases whose highest value lies in the grown
    mask. strength_lesion, strength_healthy: mean over cases of the greatest rise of S-CAM above
    neutral, as a share of the greatest possible rise. mean_lesion, mean_healthy: the same for the
    mean rise over all voxels, in per mille.
    """

    inside: float
    inside_margin: float
    chance: float
    chance_margin: float
    pointing: float
    strength_lesion: float
    strength_healthy: float
    mean_lesion: float
    mean_healthy: float
    margin: float = 8.0


def class_activation(network: nn.Module, images: Tensor) -> Tensor:
    """Class activation ``[N, C, *grid]`` of images ``[N, 1, *shape]``; it sums to the logits."""
    import torch

    head: Any = network
    with torch.inference_mode():
        features = torch.cat([head.class_layers.relu(head.features(x[None])) for x in images])
        weight = head.class_layers.out.weight / features[0, 0].numel()
        return torch.einsum("nfxyz,cf->ncxyz", features, weight)


def load_masks(out: Path, version: str, split: str) -> NDArray[np.bool_]:
    """Lesion masks on the network's input grid, ``[N, *INPUT_SHAPE]``; empty where healthy."""
    from monai.bundle import ConfigParser

    geometry = ("LoadImaged", "EnsureChannelFirstd", "Orientationd", "Spacingd")
    steps = [
        {**step, "mode": "nearest"} if step["_target_"] == "Spacingd" else step
        for step in PREPROCESSING["transforms"]
        if step["_target_"] in (*geometry, "ResizeWithPadOrCropd")
    ]
    chain: Any = ConfigParser(
        {"chain": {"_target_": "Compose", "transforms": steps}}
    ).get_parsed_content("chain")
    entries = json.loads((out / f"dataset_{version}.json").read_text("utf-8"))[split]
    masks = [chain({"image": str(out / e["mask"])})["image"].numpy()[0] for e in entries]
    return np.stack(masks) > 0.5


def localisation(
    network: nn.Module, images: Tensor, labels: Tensor, masks: NDArray[np.bool_]
) -> Localisation:
    """Measure a network on cases ``[N, 1, *shape]`` with class indices and masks ``[N, *shape]``.

    The common scale takes P10 and P90 over all voxels of these cases, for each class.
    """
    from scipy.ndimage import distance_transform_edt
    from torch.nn.functional import interpolate

    activation = class_activation(network, images)
    full = interpolate(activation, images.shape[2:], mode="trilinear").numpy()
    rows: dict[str, list[float]] = {name: [] for name in Localisation.__dataclass_fields__}
    for label in (1, 2):
        low, high = np.percentile(activation[:, label].numpy(), (10, 90))
        alpha = (np.arctanh(0.9) - np.arctanh(0.1)) / (high - low)
        beta = (high * np.arctanh(0.1) - low * np.arctanh(0.9)) / (high - low)
        neutral = np.tanh(beta)
        rise = (np.tanh(alpha * full[:, label] + beta) - neutral).clip(min=0) / (1 - neutral)
        for case, true in enumerate(labels.tolist()):
            kind = {label: "lesion", 0: "healthy"}.get(true)
            if kind is None:
                continue
            rows[f"strength_{kind}"].append(float(rise[case].max()))
            rows[f"mean_{kind}"].append(float(1000 * rise[case].mean()))
            if kind == "healthy":
                continue
            grown = distance_transform_edt(~masks[case], sampling=INPUT_SPACING) <= 8.0
            positive = full[case, label].clip(min=0)
            total = max(float(positive.sum()), 1e-12)
            rows["inside"].append(float(positive[masks[case]].sum()) / total)
            rows["inside_margin"].append(float(positive[grown].sum()) / total)
            inner = images[case, 0].numpy() > 0.15
            rows["chance"].append(float((masks[case] & inner).sum() / inner.sum()))
            rows["chance_margin"].append(float((grown & inner).sum() / inner.sum()))
            rows["pointing"].append(float(grown.flat[positive.argmax()]))
    means = {name: round(float(np.mean(values)), 4) for name, values in rows.items() if values}
    return Localisation(**means)
