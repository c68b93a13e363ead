"""An analysis itself as sections: cases, accuracy, scale, importance."""

from __future__ import annotations

from napari_ifa.evaluation.summary.summary import summary_sections

__all__ = ["summary_sections"]
