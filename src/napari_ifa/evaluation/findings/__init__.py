"""What an analysis shows of its model and cohort."""

from __future__ import annotations

from napari_ifa.evaluation.findings.findings import Findings, findings
from napari_ifa.evaluation.findings.new_case import Comparison, compared_with_class

__all__ = ["Comparison", "Findings", "compared_with_class", "findings"]
