"""Kinds of what keeps an image from being brought into patient space."""

from __future__ import annotations

from enum import Enum


class ImageProblem(Enum):
    """Why an image is not opened, whatever its format."""

    TOO_LARGE = "more voxels than this computer can hold"
    SHEARED = "axes too far from right angles"
