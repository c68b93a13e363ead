"""Write what was computed on an image's grid: NIfTI, DICOM Parametric Map, Secondary Capture."""

from __future__ import annotations

from napari_ifa.export.colouring import Colouring
from napari_ifa.export.dicom.parametric_map import write_parametric_map
from napari_ifa.export.dicom.secondary_capture import write_secondary_capture
from napari_ifa.export.dicom.source import check_dicom_source
from napari_ifa.export.nifti import write_nifti
from napari_ifa.export.provenance import Provenance

__all__ = [
    "Colouring",
    "Provenance",
    "check_dicom_source",
    "write_nifti",
    "write_parametric_map",
    "write_secondary_capture",
]
