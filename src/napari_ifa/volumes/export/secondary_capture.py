"""A map over its image as colour pictures that every PACS shows: a Secondary Capture series."""

from __future__ import annotations

import os
from pathlib import Path

from napari_ifa.errors import IfaError
from napari_ifa.volumes.export.colouring import Colouring
from napari_ifa.volumes.export.provenance import Provenance
from napari_ifa.volumes.series import Progress, Stop
from napari_ifa.volumes.volume import Volume, Window


def write_secondary_capture(
    image: Volume,
    values: Volume,
    provenance: Provenance,
    colouring: Colouring,
    folder: str | os.PathLike[str],
    *,
    window: Window | None = None,
    opacity: float = 0.75,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> list[Path]:
    """Write ``values`` over ``image``, one DICOM file for each slice, into a new folder.

    Raises
    ------
    IfaError
        Where the image does not come from DICOM, or the folder cannot be written.
    Cancelled
        When ``stop`` says so.
    """
    raise IfaError("Secondary Captures cannot be written yet; write NIfTI.")
