"""The flat frame table: one row for each image of one slice, without its pixels.

A row is one frame of a file; where several slices were tiled into one frame, one tile of it.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.uid import UID

from napari_ifa.reading.dicom.header.identity import Claims
from napari_ifa.reading.dicom.header.pixeldata import PixelData
from napari_ifa.reading.problems import DicomProblem
from napari_ifa.volumes.volume import Window

PALETTE = "PALETTE COLOR"
YBR = ("YBR_FULL", "YBR_FULL_422")
#: The kinds of colour that are shown; the decoders of JPEG 2000 give RGB for the last two.
COLOURS = ("RGB", *YBR, PALETTE, "YBR_RCT", "YBR_ICT")
#: Class of objects whose values were computed from an image.
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
#: With a frame for each segment, and as a map of labels.
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", LABEL_MAP)


class Refusal:
    """Why a frame is not opened: the kind, and the facts of its sentence but for the series."""

    def __init__(self, kind: DicomProblem, **facts: Any) -> None:
        self.kind, self.facts = kind, facts


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Stored value → value: ``values[stored - first]``, clamped at both ends (PS3.3 C.11.1)."""

    first: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StoredImage:
    """What all frames of one file share.

    ``rows`` and ``columns`` are those of a frame as it is stored, tiles and all. ``claims`` is what
    the file says of patient, study and frame of reference; ``stamp`` the file's size in bytes and
    the time of its last change, in ns, when it was looked into.
    """

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    modality: str
    series_description: str
    instance_number: int | None
    rows: int
    columns: int
    samples_per_pixel: int
    planar_configuration: int
    photometric_interpretation: str
    number_of_frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    transfer_syntax_uid: UID
    pixels: PixelData
    lookup_table: LookupTable | None = None
    #: The least and the greatest stored number that stands for no value (PixelPaddingValue to
    #: PixelPaddingRangeLimit); None where there is none.
    padding: tuple[float, float] | None = None
    #: What was read otherwise than the header says: ends of sentences.
    remarks: tuple[str, ...] = ()
    #: Elements, as pydicom names them, that hold something else than the numbers they should.
    unreadable: tuple[str, ...] = ()
    #: Why its frames have no position, where more is known than that; the end of a sentence.
    unplaced: str = ""
    claims: Claims = field(default_factory=Claims)
    stamp: tuple[int, int] = (0, 0)
    #: Why none of its frames can be opened; None where they can.
    refused: DicomProblem | None = None
    #: Of its pixels, as far as they were compared with others', so that a list shown while a scan
    #: goes on reads no file twice; None for values that cannot be decoded.
    digests: dict[Hashable, bytes | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def series_number(self) -> int | None:
        """Of the series."""
        return self.claims.series_number

    @property
    def is_colour(self) -> bool:
        """More than one number for a pixel, or numbers that stand for colours."""
        return self.samples_per_pixel > 1 or self.photometric_interpretation == PALETTE

    @property
    def is_segmentation(self) -> bool:
        """Numbers are labels, or parts of one: what was left out of the file is empty."""
        return self.sop_class_uid in _SEGMENTATIONS

    @property
    def is_parametric_map(self) -> bool:
        """Numbers are quantities, and padding is shown as not a number."""
        return self.sop_class_uid == PARAMETRIC_MAP


@dataclass(frozen=True, slots=True)
class Traits:
    """What can tell apart frames that lie at one position.

    Times are ms, or the file's own text, as dates are; ``flip_angle`` is in degrees, ``kvp`` in kV,
    ``slice_thickness`` in mm; both phases are per cent of a cycle.
    """

    image_type: tuple[str, ...] = ()
    complex_image_component: str = ""
    echo_time: float | None = None
    echo_number: int | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    kvp: float | None = None
    convolution_kernel: str = ""
    slice_thickness: float | None = None
    contrast_bolus_agent: str = ""
    patient_position: str = ""
    referenced_segment_number: int | None = None
    stack_id: str = ""
    diffusion_b_value: float | None = None
    diffusion_gradient_orientation: tuple[float, ...] | None = None
    temporal_position_identifier: int | None = None
    nominal_percentage_of_cardiac_phase: float | None = None
    nominal_percentage_of_respiratory_phase: float | None = None
    trigger_time: float | None = None
    frame_reference_time: float | None = None
    acquisition_number: int | None = None
    acquisition_date: str = ""
    acquisition_time: str = ""
    content_date: str = ""
    content_time: str = ""
    dimension_index_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One row: all of the header that stacking and reading need.

    ``slice_location`` is what the file says beside its position, in mm along whichever direction;
    ``index`` counts the frames of the file from 0; ``tile`` is the first (row, column) of this
    slice in its frame, None where the frame is the slice. Lengths are mm. ``rescale_slope`` and
    ``rescale_intercept`` are None where the file states them wrongly, 1 and 0 where it states none.
    ``slice_distance`` is SpacingBetweenSlices, or the thickness where that is not stated;
    ``spacing_between_slices`` is the first alone.
    """

    image: StoredImage
    rows: int
    columns: int
    image_position_patient: tuple[float, ...] | None
    image_orientation_patient: tuple[float, ...] | None
    pixel_spacing: tuple[float, ...] | None
    slice_distance: float | None
    rescale_slope: float | None
    rescale_intercept: float | None
    slice_location: float | None = None
    index: int = 0
    spacing_between_slices: float | None = None
    tile: tuple[int, int] | None = None
    windows: tuple[Window, ...] = ()
    traits: Traits = field(default_factory=Traits)
