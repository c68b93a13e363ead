"""What an analysis shows of its model and cohort."""

from __future__ import annotations

from napari_ifa.analysis.findings.findings import Findings, findings

__all__ = ["Findings", "findings"]
