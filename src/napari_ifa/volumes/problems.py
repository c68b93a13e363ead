"""What keeps an image from being brought into patient space: the kinds, with their sentences."""

from __future__ import annotations

from enum import Enum


class ImageProblem(Enum):
    """Why an image is not opened, or not given to a model, whatever its format."""

    TOO_LARGE = (
        "{label}: the header claims {size} voxels, which need {needed}; this computer has"
        " {total}. Not opened."
    )
    MISSING_SLICES = (
        "{slices} missing and left blank, which no model has learned from; open a complete series,"
        " or allow missing slices if you know that they do not matter."
    )
    SHEARED = (
        "{name}: the axes are too far from right angles (sheared) to be straightened. Not opened."
    )
