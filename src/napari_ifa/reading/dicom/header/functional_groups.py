"""Enhanced multi-frame images: each frame's geometry and values from its functional groups.

A macro stands in the frame's own groups or, for all frames, in the shared ones (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from pydicom.datadict import keyword_for_tag

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import Frame, Traits
from napari_ifa.reading.dicom.header.values import (
    positive,
    rescale,
    slice_distance,
    stated_distance,
)
from napari_ifa.reading.dicom.header.voi import voi_windows

Value = TypeVar("Value")
_PLANE = {"InStackPositionNumber", "ImagePositionPatient", "PlanePositionSequence"}
_FRAME_TYPES = (
    *("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence"),
    *("XRay3DFrameTypeSequence", "ParametricMapFrameTypeSequence"),
)


def frames_of_groups(frame: Frame, fields: Fields) -> list[Frame]:
    """One row for each frame of a file; ``frame`` holds what stands at the top of its header."""
    shared = fields.first("SharedFunctionalGroupsSequence")
    own = fields.items("PerFrameFunctionalGroupsSequence")
    dimensions = _dimensions_beside_the_plane(fields)
    count = frame.image.number_of_frames
    return [
        _frame(frame, index, Groups(own[index] if index < len(own) else None, shared), dimensions)
        for index in range(count)
    ]


class Groups:
    """The functional groups of one frame."""

    def __init__(self, own: Fields | None, shared: Fields | None) -> None:
        self._levels = [level for level in (own, shared) if level is not None]

    def macro(self, sequence: str) -> Fields | None:
        """The item of a macro, the frame's own before the shared one."""
        items = (level.first(sequence) for level in self._levels)
        return next((item for item in items if item is not None), None)

    def read(self, sequence: str, read: Callable[[Fields], Value], otherwise: Value) -> Value:
        """What ``read`` finds in a macro; ``otherwise`` where the frame has none."""
        item = self.macro(sequence)
        return otherwise if item is None else read(item)


def _frame(frame: Frame, index: int, groups: Groups, dimensions: list[int]) -> Frame:
    # At the top of the header it is not of an enhanced image, but some writers put it there.
    position = frame.image_position_patient if frame.image.number_of_frames == 1 else None
    slope, intercept = _transformation(frame, groups)
    signed = frame.image.signed or (intercept or 0) < 0
    read, measures = groups.read, "PixelMeasuresSequence"
    spacing = read(measures, lambda f: positive(f.numbers("PixelSpacing", 2)), None)
    return replace(
        frame,
        index=index,
        image_position_patient=read(
            "PlanePositionSequence", lambda f: f.numbers("ImagePositionPatient", 3), position
        ),
        image_orientation_patient=read(
            "PlaneOrientationSequence",
            lambda f: f.numbers("ImageOrientationPatient", 6),
            frame.image_orientation_patient,
        ),
        pixel_spacing=spacing or frame.pixel_spacing,
        slice_distance=read(measures, slice_distance, None) or frame.slice_distance,
        spacing_between_slices=read(measures, stated_distance, None)
        or frame.spacing_between_slices,
        rescale_slope=slope,
        rescale_intercept=intercept,
        windows=read("FrameVOILUTSequence", lambda f: voi_windows(f, signed), frame.windows),
        traits=_traits(frame.traits, groups, dimensions),
    )


def _transformation(frame: Frame, groups: Groups) -> tuple[float | None, float | None]:
    if frame.image.is_parametric_map:
        # Its values are quantities of the real world, and have no other meaning: its pixel value
        # transformation is always identity.
        mapping = groups.macro("RealWorldValueMappingSequence")
        if mapping is not None and (slope := mapping.double("RealWorldValueSlope")):
            return slope, mapping.double("RealWorldValueIntercept") or 0.0
    stated = frame.rescale_slope, frame.rescale_intercept
    return groups.read("PixelValueTransformationSequence", rescale, stated)


def _traits(top: Traits, groups: Groups, dimensions: list[int]) -> Traits:
    macros = map(groups.macro, _FRAME_TYPES)
    kind = next((macro for macro in macros if macro is not None), None)
    diffusion = groups.macro("MRDiffusionSequence")
    b_value, direction = _diffusion(diffusion) if diffusion else (None, None)
    read, cardiac = groups.read, "CardiacSynchronizationSequence"
    found = replace(
        top,
        image_type=(kind.codes("FrameType") if kind else ()) or top.image_type,
        complex_image_component=(kind.ascii("ComplexImageComponent") if kind else "")
        or top.complex_image_component,
        slice_thickness=read(
            "PixelMeasuresSequence", lambda f: f.number("SliceThickness"), top.slice_thickness
        ),
        echo_time=read("MREchoSequence", lambda f: f.double("EffectiveEchoTime"), top.echo_time),
        diffusion_b_value=top.diffusion_b_value if b_value is None else b_value,
        diffusion_gradient_orientation=direction or top.diffusion_gradient_orientation,
        nominal_percentage_of_cardiac_phase=read(
            cardiac,
            lambda f: f.single("NominalPercentageOfCardiacPhase"),
            top.nominal_percentage_of_cardiac_phase,
        ),
        nominal_percentage_of_respiratory_phase=read(
            "RespiratorySynchronizationSequence",
            lambda f: f.single("NominalPercentageOfRespiratoryPhase"),
            top.nominal_percentage_of_respiratory_phase,
        ),
        trigger_time=read(
            cardiac, lambda f: f.double("NominalCardiacTriggerDelayTime"), top.trigger_time
        ),
        referenced_segment_number=read(
            "SegmentIdentificationSequence", lambda f: f.short("ReferencedSegmentNumber"), None
        ),
    )
    content = groups.macro("FrameContentSequence")
    if content is None:
        return found
    values = content.longs("DimensionIndexValues")
    temporal = content.longs("TemporalPositionIndex")
    return replace(
        found,
        stack_id=content.ascii("StackID"),
        temporal_position_identifier=next(iter(temporal), found.temporal_position_identifier),
        acquisition_number=content.short("FrameAcquisitionNumber") or found.acquisition_number,
        acquisition_time=content.ascii("FrameAcquisitionDateTime") or found.acquisition_time,
        dimension_index_values=tuple(values[k] for k in dimensions if k < len(values)),
    )


def _diffusion(item: Fields) -> tuple[float | None, tuple[float, ...] | None]:
    gradient = item.first("DiffusionGradientDirectionSequence")
    direction = gradient.doubles("DiffusionGradientOrientation", 3) if gradient else None
    return item.double("DiffusionBValue"), direction


def _dimensions_beside_the_plane(fields: Fields) -> list[int]:
    """Places in the dimension index values that do not count the slices of a stack."""
    pointers = [
        item.shorts("DimensionIndexPointer") for item in fields.items("DimensionIndexSequence")
    ]
    keywords = [
        keyword_for_tag(pair[0] << 16 | pair[1]) if len(pair) == 2 else "" for pair in pointers
    ]
    return [place for place, keyword in enumerate(keywords) if keyword not in _PLANE]
