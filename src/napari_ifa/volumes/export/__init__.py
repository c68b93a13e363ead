"""Write what was computed on an image's grid: NIfTI, DICOM Parametric Map, Secondary Capture."""

from __future__ import annotations

from napari_ifa.volumes.export.colouring import Colouring
from napari_ifa.volumes.export.nifti import write_nifti
from napari_ifa.volumes.export.parametric_map import write_parametric_map
from napari_ifa.volumes.export.provenance import Provenance
from napari_ifa.volumes.export.secondary_capture import write_secondary_capture
from napari_ifa.volumes.export.source import check_dicom_source

__all__ = [
    "Colouring",
    "Provenance",
    "check_dicom_source",
    "write_nifti",
    "write_parametric_map",
    "write_secondary_capture",
]
