"""One image in patient space: read it, list what a folder holds, show it, write it."""

from __future__ import annotations

from napari_ifa.volumes.export import (
    Colouring,
    Provenance,
    check_dicom_source,
    write_nifti,
    write_parametric_map,
    write_secondary_capture,
)
from napari_ifa.volumes.geometry_report import GeometryReport
from napari_ifa.volumes.grid import FeatureGrid, Sampler
from napari_ifa.volumes.picture import picture_volume
from napari_ifa.volumes.reader import list_series, read_volume
from napari_ifa.volumes.series import Found, Progress, Series, Stop
from napari_ifa.volumes.series_list import SeriesList, Skipped
from napari_ifa.volumes.volume import (
    SourceOrder,
    Volume,
    Window,
    missing_slices,
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
    "Colouring",
    "FeatureGrid",
    "Found",
    "GeometryReport",
    "Progress",
    "Provenance",
    "Sampler",
    "Series",
    "SeriesList",
    "Skipped",
    "SourceOrder",
    "Stop",
    "Volume",
    "Window",
    "check_dicom_source",
    "default_window",
    "display",
    "list_series",
    "missing_slices",
    "offered_windows",
    "percentile_window",
    "picture_volume",
    "read_volume",
    "volume_from_file_order",
    "write_nifti",
    "write_parametric_map",
    "write_secondary_capture",
]
