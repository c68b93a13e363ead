"""The network to explain: a MONAI bundle, read safely."""

from __future__ import annotations

from napari_ifa.models.bundle import load_classifier
from napari_ifa.models.classifier import Classifier
from napari_ifa.models.layers import CandidateLayer, candidate_layers

__all__ = ["CandidateLayer", "Classifier", "candidate_layers", "load_classifier"]
