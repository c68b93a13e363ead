"""Ways in which an explanation leaves napari, for File > Save and for the Export button.

Both ask before they replace something, so that whatever is asked for here is overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_ifa.analysis import Explanation
    from napari_ifa.export.explanation import Writing
    from napari_ifa.progress import Progress, Stop
    from napari_ifa.volumes import Window


@dataclass(frozen=True)
class Shown:
    """How the image and the overlay stand on the screen; a window of None is the image's own."""

    window: Window | None = None
    opacity: float = 0.75


@dataclass(frozen=True)
class ExportFormat:
    """One way to write an explanation.

    Attributes
    ----------
    title : what a person calls it.
    suffix : of the file; empty where a folder is written.
    """

    title: str
    suffix: str
    tip: str

    def write(
        self,
        explanation: Explanation,
        path: Path,
        shown: Shown,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> list[Path]:
        """Write an explanation into a file or folder; what was written."""
        from napari_ifa.export import explanation as exports

        if self is NIFTI:
            return [exports.export_nifti(explanation, path, overwrite=True)]
        how: Writing = {"overwrite": True, "progress": progress, "stop": stop}
        if self is PARAMETRIC_MAP:
            return [exports.export_parametric_map(explanation, path, **how)]
        window, opacity = shown.window, shown.opacity
        return exports.export_secondary_capture(explanation, path, window, opacity, **how)


NIFTI = ExportFormat("NIfTI", ".nii.gz", "The values of the map on the grid of the study")
PARAMETRIC_MAP = ExportFormat(
    "DICOM Parametric Map",
    ".dcm",
    "The values of the map as one DICOM object that refers to the study",
)
PICTURES = ExportFormat(
    "DICOM pictures for the PACS",
    "",
    "A series of colour pictures, as shown now, which every PACS displays",
)
FORMATS = (NIFTI, PARAMETRIC_MAP, PICTURES)


def suggested_name(explanation: Explanation, format_: ExportFormat) -> str:
    """``"s_cam_lesion.nii.gz"``: what it is of, and nothing of whom."""
    from napari_ifa.export.explanation import file_part

    kind = "class_activation" if explanation.scale is None else "s_cam"
    if not explanation.mask.keep.all():
        kind = f"fs_{kind}"
    name = explanation.class_names[explanation.class_idx]
    return f"{kind}_{file_part(name)}{format_.suffix}"


def what_was_written(format_: ExportFormat, written: list[Path]) -> str:
    """A sentence that ends an export."""
    if format_.suffix:
        return f"{format_.title} written: {written[0].name}."
    return f"{len(written)} pictures written into the folder {written[0].parent.name}."
