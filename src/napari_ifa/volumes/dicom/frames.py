"""The flat frame table: one row for each image of one slice, without its pixels.

A row is one frame of a file; where several slices were tiled into one frame, one tile of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import UID

from napari_ifa.volumes.dicom.pixeldata import PixelData
from napari_ifa.volumes.volume import Window


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Stored value → value: ``values[stored - first]``, clamped at both ends (PS3.3 C.11.1)."""

    first: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What all frames of one file share.

    ``rows`` and ``columns`` are those of a frame as it is stored, tiles and all. ``planar`` is
    the planar configuration: 1 where colours are stored plane after plane. ``study_date`` is
    ``"2018-05-26"``, or empty where it is none.
    """

    path: Path
    sop_class: str
    sop_uid: str
    study_uid: str
    study_date: str
    series_uid: str
    frame_of_reference: str
    modality: str
    description: str
    number: int | None
    instance: int | None
    rows: int
    columns: int
    samples: int
    planar: int
    photometric: str
    frame_count: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    transfer_syntax: UID
    pixels: PixelData
    lookup_table: LookupTable | None = None
    #: The stored number of a parametric map that stands for no value.
    no_value: int | None = None
    #: Why none of its frames can be opened, as the end of a sentence; empty where they can.
    refused: str = ""
    #: What was read otherwise than the header says, each as the end of a sentence.
    remarks: tuple[str, ...] = ()

    @property
    def is_colour(self) -> bool:
        """More than one number for a pixel, or numbers that stand for colours."""
        return self.samples > 1 or self.photometric == "PALETTE COLOR"

    @property
    def is_float(self) -> bool:
        """Pixels are stored as floating point numbers."""
        return self.pixels.is_float


@dataclass(frozen=True, slots=True)
class Traits:
    """What can tell apart frames that lie at one position.

    ``component`` is the complex image component (MAGNITUDE, PHASE, …); ``direction`` the
    diffusion gradient's; times are ms, or the file's own text; ``flip_angle`` is in degrees,
    ``tube_voltage`` in kV, ``thickness`` of the slice in mm; ``dimensions`` are the dimension
    index values of an enhanced image.
    """

    image_type: tuple[str, ...] = ()
    component: str = ""
    echo_time: float | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    tube_voltage: float | None = None
    kernel: str = ""
    thickness: float | None = None
    segment: int | None = None
    stack: str = ""
    b_value: float | None = None
    direction: tuple[float, ...] | None = None
    temporal_position: int | None = None
    trigger_time: float | None = None
    acquisition: int | None = None
    acquisition_time: str = ""
    content_time: str = ""
    dimensions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One row: all of the header that stacking and reading need.

    ``index`` counts the frames of the file from 0; ``tile`` is the first (row, column) of this
    slice in its frame, None where the frame is the slice. Lengths are mm. ``slope`` and
    ``intercept`` are None where the file states them wrongly, 1 and 0 where it states none.
    """

    image: StoredImage
    rows: int
    columns: int
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    slice_distance: float | None
    slope: float | None
    intercept: float | None
    index: int = 0
    tile: tuple[int, int] | None = None
    windows: tuple[Window, ...] = ()
    traits: Traits = field(default_factory=Traits)

    @property
    def is_localizer(self) -> bool:
        """A scout image, taken to plan the others."""
        return "LOCALIZER" in self.traits.image_type
