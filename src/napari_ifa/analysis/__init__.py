"""Integrated feature analysis: a cohort's common scale and importance, and one case on them."""

from __future__ import annotations

from napari_ifa.analysis.assembly import is_same_work
from napari_ifa.analysis.case_activation import predict_masked
from napari_ifa.analysis.distribution import Distribution
from napari_ifa.analysis.explain import explain
from napari_ifa.analysis.explanation import Explanation
from napari_ifa.analysis.fit.cohort_fit import CohortFit
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.opening import load_analysis
from napari_ifa.analysis.run import analyze
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.analysis.shard_folder import finished_cases, finished_parts, remove_parts
from napari_ifa.analysis.store import Analysis

__all__ = [
    "Analysis",
    "CohortFit",
    "CommonScale",
    "Distribution",
    "Explanation",
    "FeatureMask",
    "analyze",
    "explain",
    "finished_cases",
    "finished_parts",
    "is_same_work",
    "load_analysis",
    "predict_masked",
    "remove_parts",
]
