"""What an analysis shows of its model and cohort."""

from __future__ import annotations

from napari_ifa.evaluation.findings.findings import Findings, findings
from napari_ifa.evaluation.findings.new_case import Comparison, compared_with_class
from napari_ifa.evaluation.findings.with_model import ModelFindings, findings_with_model

__all__ = [
    "Comparison",
    "Findings",
    "ModelFindings",
    "compared_with_class",
    "findings",
    "findings_with_model",
]
