"""One image in patient space. Knows no file format.

In the order of the data: ``volume`` (values, affine, where they came from), ``geometry_report``
(what was corrected or is missing), ``value_range`` and ``windowing`` (how it is shown), ``grid``
(the feature grid in the patient), ``shear`` (axes that are not at right angles), ``memory``
(whether it fits the computer). ``problems`` holds the kinds of what can be wrong.
"""

from __future__ import annotations

from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.grid import FeatureGrid, Sampler
from napari_ifa.volumes.volume import (
    SourceOrder,
    Volume,
    Window,
    check_complete,
    volume_from_file_order,
)
from napari_ifa.volumes.windowing import (
    CT_PRESETS,
    default_window,
    display,
    offered_windows,
    percentile_window,
)

__all__ = [
    "CT_PRESETS",
    "FeatureGrid",
    "GeometryReport",
    "Sampler",
    "SourceOrder",
    "Volume",
    "Window",
    "check_complete",
    "default_window",
    "display",
    "offered_windows",
    "percentile_window",
    "volume_from_file_order",
]
