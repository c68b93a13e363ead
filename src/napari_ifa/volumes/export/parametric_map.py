"""A map as a DICOM Parametric Map: its values on the image's grid, in the patient."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ifa.errors import IfaError
from napari_ifa.volumes.export.provenance import Provenance
from napari_ifa.volumes.series import Progress, Stop
from napari_ifa.volumes.volume import Volume


def write_parametric_map(
    volume: Volume,
    provenance: Provenance,
    path: str | os.PathLike[str],
    *,
    compressed: bool = False,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Path:
    """Write the values of ``volume`` as one DICOM file.

    Raises
    ------
    IfaError
        Where the Volume does not come from DICOM, or the file cannot be written.
    """
    raise IfaError("DICOM Parametric Maps cannot be written yet; write NIfTI.")
