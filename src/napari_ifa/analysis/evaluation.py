"""How well explanations agree with what is known about a case."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.explain import Explanation
from napari_ifa.errors import ExplanationError
from napari_ifa.volumes.volume import Volume

#: Largest distance between two grids' corners that still counts as the same grid, in mm.
_SAME_GRID_MM = 0.01


@dataclass(frozen=True)
class Localisation:
    """Where the evidence for a class lies, against a lesion mask.

    Attributes
    ----------
    positive_share : share of the positive class activation that lies inside the mask; NaN where
        no activation is positive.
    s_cam_share : the same for S-CAM above neutral.
    hit : whether the strongest activation lies inside the mask (the pointing game).
    """

    positive_share: float
    s_cam_share: float
    hit: bool


def localise(explanation: Explanation, mask: Volume) -> Localisation:
    """Compare an explanation with a lesion mask on the same grid.

    Raises
    ------
    ExplanationError
        Where mask and image lie on different grids.
    """
    image = explanation.volume
    same_shape = mask.shape == image.shape
    if not same_shape or np.abs(mask.affine - image.affine).max() > _SAME_GRID_MM:
        raise ExplanationError(
            f"The lesion mask (shape {mask.shape}) does not lie on the image's grid (shape"
            f" {image.shape}); use a mask drawn on this image."
        )
    lesion = mask.array > 0
    activation = explanation.class_activation.array
    strongest = np.unravel_index(int(np.nanargmax(activation)), activation.shape)
    scale = explanation.scale
    return Localisation(
        positive_share=_share_inside(activation, lesion),
        s_cam_share=(
            _share_inside(explanation.s_cam.array - scale.neutral, lesion)
            if scale is not None
            else float("nan")
        ),
        hit=bool(lesion[strongest]),
    )


def _share_inside(evidence: np.ndarray, lesion: np.ndarray) -> float:
    positive = np.clip(np.nan_to_num(evidence.astype(float)), 0.0, None)
    total = positive.sum()
    return float(positive[lesion].sum() / total) if total > 0 else float("nan")
