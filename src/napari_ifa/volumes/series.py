"""A series: what can be chosen and opened in a folder, without its pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from napari_ifa.volumes.dicom_frames import Frame

#: Told after each file or slice: how many are done, of how many.
Progress = Callable[[int, int], None]
#: Asked between files or slices: True ends the work with ``Cancelled``.
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Series:
    """One DICOM series (or a part of it that is one image), one NIfTI file, or one picture.

    Attributes
    ----------
    key : eight hexadecimal digits, the same at every scan; carries no patient data.
    path : the file, or the folder that holds the first image.
    kind : what reads it; ``"image"`` for a PNG or JPEG picture.
    modality, description : of the series, never of the patient.
    number : DICOM series number, if any.
    image_count : slices (or frames) found.
    shape, spacing : along (I, P, L), in voxels and mm; None where the geometry is not known.
    orientation : in words: ``"axial"``, ``"oblique sagittal 15°"``; empty where not known.
    unsupported : one sentence that says why it is not opened, or None.
    files : all files it consists of.
    frames : rows of the DICOM frame table, in no particular order.
    """

    key: str
    path: Path
    kind: Literal["dicom", "nifti", "image"]
    modality: str = ""
    description: str = ""
    number: int | None = None
    image_count: int = 1
    shape: tuple[int, int, int] | None = None
    spacing: tuple[float, float, float] | None = None
    orientation: str = ""
    unsupported: str | None = None
    files: tuple[Path, ...] = ()
    frames: tuple[Frame, ...] = field(default=(), repr=False, compare=False)

    @property
    def title(self) -> str:
        """A line for a list: ``"CT, STD BRAIN 5MM, 28 images"``."""
        count = f"{self.image_count} images" if self.image_count != 1 else "1 image"
        return ", ".join(part for part in (self.modality, self.description, count) if part)
