"""Enhanced multi-frame images: each frame's geometry and values from its functional groups.

A macro stands in the frame's own groups or, for all frames, in the shared ones (PS3.3 C.7.6.16).
"""

from __future__ import annotations

from dataclasses import replace

from napari_ifa.reading.dicom.header import tags
from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import Frame, Traits
from napari_ifa.reading.dicom.header.values import (
    positive,
    positive_number,
    rescale,
    stated_distance,
)
from napari_ifa.reading.dicom.header.voi import voi_windows

_PLANE_TAGS = {tags.IN_STACK_POSITION, tags.POSITION, tags.POSITION_SEQUENCE}


def frames_of_groups(frame: Frame, fields: Fields) -> list[Frame]:
    """One row for each frame of a file; ``frame`` holds what stands at the top of its header."""
    shared = fields.first(tags.SHARED_GROUPS)
    own = fields.items(tags.FRAME_GROUPS)
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

    def macro(self, tag: int) -> Fields | None:
        """The item of a macro, the frame's own before the shared one."""
        for level in self._levels:
            if (item := level.first(tag)) is not None:
                return item
        return None


def _frame(frame: Frame, index: int, groups: Groups, dimensions: list[int]) -> Frame:
    plane = groups.macro(tags.POSITION_SEQUENCE)
    turn = groups.macro(tags.ORIENTATION_SEQUENCE)
    measures = groups.macro(tags.MEASURES_SEQUENCE)
    voi = groups.macro(tags.VOI_SEQUENCE)
    spacing = measures.numbers(tags.PIXEL_SPACING, 2) if measures else None
    slope, intercept = _transformation(frame, groups)
    alone = frame.image.number_of_frames == 1
    return replace(
        frame,
        index=index,
        # At the top of the header they are not of an enhanced image, but some writers put them.
        image_position_patient=plane.numbers(tags.POSITION, 3)
        if plane
        else frame.image_position_patient
        if alone
        else None,
        image_orientation_patient=turn.numbers(tags.ORIENTATION, 6)
        if turn
        else frame.image_orientation_patient,
        pixel_spacing=positive(spacing) or frame.pixel_spacing,
        slice_distance=_distance(measures) or frame.slice_distance,
        spacing_between_slices=(stated_distance(measures) if measures else None)
        or frame.spacing_between_slices,
        rescale_slope=slope,
        rescale_intercept=intercept,
        windows=voi_windows(voi, frame.image.signed or (intercept or 0) < 0)
        if voi
        else frame.windows,
        traits=_traits(frame.traits, groups, dimensions),
    )


def _distance(measures: Fields | None) -> float | None:
    if measures is None:
        return None
    stated = positive_number(measures, tags.SLICE_DISTANCE)
    return stated or positive_number(measures, tags.THICKNESS)


def _transformation(frame: Frame, groups: Groups) -> tuple[float | None, float | None]:
    if frame.image.is_parametric_map:
        # Its values are quantities of the real world, and have no other meaning: its pixel value
        # transformation is always identity.
        mapping = groups.macro(tags.REAL_WORLD_SEQUENCE)
        slope = mapping.double(tags.REAL_WORLD_SLOPE) if mapping else None
        intercept = mapping.double(tags.REAL_WORLD_INTERCEPT) if mapping else None
        if slope:
            return slope, intercept or 0.0
    item = groups.macro(tags.TRANSFORMATION_SEQUENCE)
    return rescale(item) if item is not None else (frame.rescale_slope, frame.rescale_intercept)


def _traits(top: Traits, groups: Groups, dimensions: list[int]) -> Traits:
    content = groups.macro(tags.FRAME_CONTENT_SEQUENCE)
    echo = groups.macro(tags.ECHO_SEQUENCE)
    cardiac = groups.macro(tags.CARDIAC_SEQUENCE)
    breath = groups.macro(tags.RESPIRATORY_SEQUENCE)
    segment = groups.macro(tags.SEGMENT_SEQUENCE)
    measures = groups.macro(tags.MEASURES_SEQUENCE)
    macros = (groups.macro(tag) for tag in tags.FRAME_TYPE_SEQUENCES)
    kind = next((macro for macro in macros if macro is not None), None)
    b_value, direction = _diffusion(groups)
    found = replace(
        top,
        image_type=(kind.codes(tags.FRAME_TYPE) if kind else ()) or top.image_type,
        complex_image_component=(kind.ascii(tags.COMPONENT) if kind else "")
        or top.complex_image_component,
        slice_thickness=measures.number(tags.THICKNESS) if measures else top.slice_thickness,
        echo_time=echo.double(tags.EFFECTIVE_ECHO_TIME) if echo else top.echo_time,
        diffusion_b_value=top.diffusion_b_value if b_value is None else b_value,
        diffusion_gradient_orientation=top.diffusion_gradient_orientation
        if direction is None
        else direction,
        nominal_percentage_of_cardiac_phase=cardiac.single(tags.CARDIAC_PHASE)
        if cardiac
        else top.nominal_percentage_of_cardiac_phase,
        nominal_percentage_of_respiratory_phase=breath.single(tags.RESPIRATORY_PHASE)
        if breath
        else top.nominal_percentage_of_respiratory_phase,
        trigger_time=cardiac.double(tags.CARDIAC_DELAY) if cardiac else top.trigger_time,
        referenced_segment_number=segment.short(tags.SEGMENT_NUMBER) if segment else None,
    )
    if content is None:
        return found
    values = content.longs(tags.DIMENSION_VALUES)
    temporal = content.longs(tags.TEMPORAL_INDEX)
    return replace(
        found,
        stack_id=content.ascii(tags.STACK_ID),
        temporal_position_identifier=temporal[0]
        if temporal
        else found.temporal_position_identifier,
        acquisition_number=content.short(tags.FRAME_ACQUISITION) or found.acquisition_number,
        acquisition_time=content.ascii(tags.FRAME_TIME) or found.acquisition_time,
        dimension_index_values=tuple(values[k] for k in dimensions if k < len(values)),
    )


def _diffusion(groups: Groups) -> tuple[float | None, tuple[float, ...] | None]:
    item = groups.macro(tags.DIFFUSION_SEQUENCE)
    if item is None:
        return None, None
    gradient = item.first(tags.DIRECTION_SEQUENCE)
    return item.double(tags.B_VALUE), gradient.doubles(tags.DIRECTION, 3) if gradient else None


def _dimensions_beside_the_plane(fields: Fields) -> list[int]:
    """Places in the dimension index values that do not count the slices of a stack."""
    pointers = [
        item.shorts(tags.DIMENSION_POINTER) for item in fields.items(tags.DIMENSION_SEQUENCE)
    ]
    numbers = [pair[0] << 16 | pair[1] if len(pair) == 2 else 0 for pair in pointers]
    return [place for place, number in enumerate(numbers) if number not in _PLANE_TAGS]
