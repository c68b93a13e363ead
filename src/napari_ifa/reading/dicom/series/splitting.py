"""Several images at the same positions: echoes, phases, times and b-values told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.series.copies import (
    Decode,
    nearly_equal_pixels,
    without_equal_pixels,
)
from napari_ifa.reading.dicom.series.differences import differing, told_by_header
from napari_ifa.reading.dicom.series.keys import (
    Key,
    Places,
    by_key,
    by_value,
    differs_at_a_position,
    traits,
)
from napari_ifa.reading.dicom.series.labels import labels
from napari_ifa.reading.dicom.series.numbering import keys_by_number
from napari_ifa.reading.dicom.series.passes import (
    SHORTEST_STACK,
    far_pieces,
    meeting_passes,
    overlapping_passes,
    several_passes,
    shifted_stacks,
)
from napari_ifa.reading.dicom.series.refusals import label, not_told_apart
from napari_ifa.reading.dicom.series.stacking import heights_of, is_even, is_full, stack_frames
from napari_ifa.reading.dicom.series.times import (
    acquisition_clock,
    content_clock,
    in_order_of_time,
    ranks_by_time,
)

#: Slices nearer than this (mm) lie at one position.
SAME_POSITION = 0.01
#: A stack of which this part lies within another shows the same slices again.
_GOOD_PART = 0.5
#: Where images of one series are slices of one thing, even without their positions.
SLICED = ("CT", "MR", "PT", "NM")


def _claims(frame: Frame) -> Hashable:
    """What the file says of patient and study: some files of one image may say less of it."""
    return frame.image.claims.sort_key()


def _segment_of_file(frame: Frame) -> Hashable:
    """Segments are images apart wherever they lie: empty slices may have been left out of each."""
    image = frame.image
    return (
        (str(image.path), frame.traits.referenced_segment_number) if image.is_segmentation else None
    )


_STATE = ("diffusion_b_value", "diffusion_gradient_orientation", "temporal_position_identifier")
_PHASES = (
    *("nominal_percentage_of_cardiac_phase", "nominal_percentage_of_respiratory_phase"),
    "trigger_time",
)
#: Different kinds of image: wherever one of these differs at a position, they are apart.
_KINDS: tuple[Key, ...] = (
    lambda f: f.image.series_description,
    *map(traits, ("image_type", "complex_image_component", "referenced_segment_number")),
    *map(traits, ("echo_time", "echo_number", "inversion_time", "flip_angle", "kvp")),
    *map(traits, ("convolution_kernel", "slice_thickness", "contrast_bolus_agent")),
    *map(traits, ("patient_position", "stack_id")),
)
#: One image again and again: of use only where each position has each value once at most.
_TIMES: tuple[Key, ...] = (
    traits("diffusion_b_value"),
    traits("diffusion_b_value", "diffusion_gradient_orientation"),
    *map(traits, ("temporal_position_identifier", *_PHASES)),
    *map(traits, ("frame_reference_time", "acquisition_number")),
    acquisition_clock,
    content_clock,
    traits("dimension_index_values"),
    traits(*_STATE, *_PHASES),
)


@dataclass(frozen=True)
class Part:
    """Frames of one image, and how it is offered.

    Attributes
    ----------
    label : what tells it apart from the others of its group.
    question : the sentence that asks first, where several frames lie at one position and nothing
        tells them apart.
    alternative : another way to see an image that is listed too.
    cut_off : positions beyond the ends of this image that other times of it have.
    notes : what was found, one sentence each.
    """

    frames: tuple[Frame, ...]
    label: str = ""
    question: str | None = None
    alternative: bool = False
    cut_off: int = 0
    notes: tuple[str, ...] = ()


def split_frames(frames: Sequence[Frame], decode: Decode) -> list[Part]:
    """The images that frames of one geometry form, each with one frame at a position.

    All frames have a position and an orientation. ``decode`` gives their values, where only these
    tell copies from images.
    """
    parts = _split(list(frames), decode)
    if len(parts) == 1:
        return [replace(parts[0], label="")]
    named = labels([part.frames for part in parts], [part.label for part in parts])
    return [replace(part, label=name) for part, name in zip(parts, named, strict=True)]


def state_one_position(frames: Sequence[Frame]) -> bool:
    """Whether several slices of one image all claim to lie at one position of the patient.

    Their slice locations, which nothing ties to the patient, tell that they do not.
    """
    if len(frames) < 2 or frames[0].tile is not None:
        return False
    locations = {frame.slice_location for frame in frames}
    return (
        None not in locations
        and len(locations) > 1
        and len({f.image_position_patient for f in frames}) == 1
    )


def places(frames: Sequence[Frame]) -> Places:
    """Where each frame lies along the stack: the same number for frames that share a position.

    Each image that holds its slices as tiles is a whole stack, and its tiles share their places
    with those of the others, wherever the patient or the scanner moved them in between.
    """
    if frames[0].tile is not None:
        _, numbers = np.unique([frame.tile for frame in frames], axis=0, return_inverse=True)
        return dict(zip(map(id, frames), numbers.ravel().tolist(), strict=True))
    if state_one_position(frames):
        heights = np.array([frame.slice_location for frame in frames], dtype=float)
    else:
        heights = heights_of(frames)
    order = np.argsort(heights, kind="stable")
    numbers = np.zeros(len(frames), dtype=np.intp)
    numbers[order[1:]] = np.cumsum(np.diff(heights[order]) > SAME_POSITION)
    return dict(zip(map(id, frames), numbers.tolist(), strict=True))


def _each(groups: Iterable[Sequence[Frame]], decode: Decode, *notes: str) -> list[Part]:
    """The images of each group; notes on all of them follow their own."""
    parts = (part for group in groups for part in _split(list(group), decode))
    return [replace(part, notes=(*part.notes, *notes)) for part in parts]


def _split(frames: list[Frame], decode: Decode) -> list[Part]:
    segments = by_value(_segment_of_file, frames)
    if len(segments) > 1:
        return _each(segments, decode)
    where = places(frames)
    counts = Counter(where.values()).values()
    repeats = max(counts)
    if repeats <= 1:
        return [_without_place(frames)] if state_one_position(frames) else _stacks(frames, decode)
    for key in _KINDS:
        if differs_at_a_position(frames, where, key):
            return _each(by_value(key, frames), decode)
    if (by_claims := by_key(_claims, frames, where, repeats)) is not None:
        return _times(by_claims, where, decode)
    if (groups := meeting_passes(frames, where, _TIMES)) is not None:
        return _meeting(groups, where, decode)
    for key in _TIMES:
        if (by_time := by_key(key, frames, where, repeats)) is not None:
            if key in (acquisition_clock, content_clock):
                by_time = in_order_of_time(by_time, where, key)
            return _times(by_time, where, decode)
    if _lost_their_positions(frames, where):
        return [_without_place(frames)]
    uneven = len(set(counts)) > 1
    # Some images were sent twice: before their numbers let them pass for another image. Where
    # every position has equally many, their pixels are looked at only when nothing else is left.
    if uneven and len(kept := without_equal_pixels(frames, where, decode)) < len(frames):
        return _split(kept, decode)
    for key in keys_by_number(frames, where):
        if (by_number := by_key(key, frames, where, repeats)) is not None:
            return _times(by_number, where, decode)
    if not uneven:
        kept = without_equal_pixels(frames, where, decode)
        # Blank slices of several images are equal too: all have to be.
        left = Counter(places(kept).values()).values()
        if len(set(left)) == 1 and len(kept) < len(frames):
            return _split(kept, decode)
    return _by_what_is_left(frames, where, repeats, decode)


def _by_what_is_left(
    frames: list[Frame], where: Places, repeats: int, decode: Decode
) -> list[Part]:
    if (passes := several_passes(frames, where, _TIMES)) is not None:
        return _named_passes(passes, decode)
    if (ranks := ranks_by_time(frames, where)) is not None:
        return _times(by_value(lambda f: ranks[id(f)], frames), where, decode)
    if (passes := several_passes(frames, where, ())) is not None:
        return _named_passes(passes, decode)
    by_folder = by_key(lambda f: str(f.image.path.parent), frames, where, repeats)
    if by_folder is not None:
        return _times(by_folder, where, decode)
    if (told := told_by_header(frames, where, repeats)) is not None:
        note = f"{label(frames)}: its images are told apart by {told.name}."
        parts = _times(told.groups, where, decode)
        named = [f"{told.name} {value}" for value in told.values] or [""] * len(parts)
        return [
            replace(part, label=name, notes=(note,))
            for part, name in zip(parts, named, strict=True)
        ]
    if (crossed := _by_one_after_another(frames, where, decode)) is not None:
        return crossed
    return [Part(tuple(frames), question=not_told_apart(frames, differing(frames, where)))]


def _by_one_after_another(frames: list[Frame], where: Places, decode: Decode) -> list[Part] | None:
    """Images by two things that are crossed: each value of the one has all values of the other."""
    for key in _TIMES:
        groups = by_value(key, frames)
        counts = [Counter(where[id(frame)] for frame in group) for group in groups]
        full = all(len(c) == len(set(where.values())) and len(set(c.values())) == 1 for c in counts)
        if len(groups) > 1 and full:
            parts = _each(groups, decode)
            if all(part.question is None for part in parts):
                return parts
    return None


def _lost_their_positions(frames: Sequence[Frame], where: Places) -> bool:
    """Whether no position but the numbers of the files are left of a stack."""
    numbers = {frame.image.instance_number for frame in frames}
    return (
        len(frames) >= SHORTEST_STACK
        and len(set(where.values())) == 1
        and None not in numbers
        and len(numbers) == len(frames)
        and frames[0].image.modality in SLICED
    )


def _without_place(frames: Sequence[Frame]) -> Part:
    """Slices that all state one position, in the order of their locations or numbers."""
    ordered = sorted(frames, key=lambda f: (f.slice_location or 0.0, f.image.instance_number or 0))
    first, last = ordered[0].image.instance_number, ordered[-1].image.instance_number
    if first is not None and last is not None and first > last:
        ordered.reverse()
    return Part(tuple(ordered))


def _times(groups: Sequence[list[Frame]], where: Places, decode: Decode) -> list[Part]:
    last = max(where.values())
    ends = [[where[id(frame)] for frame in group] for group in groups]
    cut_off = [min(own) + last - max(own) for own in ends]
    if all(cut_off):
        # None is whole: each is at a place of its own.
        return _named_passes(groups, decode)
    return [Part(tuple(g), cut_off=count) for g, count in zip(groups, cut_off, strict=True)]


def _stacks(frames: list[Frame], decode: Decode) -> list[Part]:
    """Images of which no two have a slice at one position."""
    if (kinds := _interwoven(frames)) is not None:
        note = (
            f"{label(frames)}: its slices form {len(kinds)} stacks, one among the slices of"
            " another; each is listed apart."
        )
        return [Part(tuple(group), notes=(note,)) for group in kinds]
    if frames[0].image.is_segmentation:
        # What lies far from the rest of a segmentation is another part of it.
        return [Part(tuple(frames))]
    if (shifted := shifted_stacks(frames)) is not None:
        note = (
            f"{label(frames)}: its slices form {len(shifted.groups)} stacks, shifted by"
            f" {shifted.shift:.1f} mm within their planes; each is listed apart."
        )
        parts = _each(sorted(shifted.groups, key=_begin), decode)
        return [replace(part, notes=(note, *part.notes)) for part in parts]
    pieces = far_pieces(frames, _KINDS, lambda: _fit_one_grid(frames))
    if pieces is None and (passes := overlapping_passes(frames, _TIMES)) is not None:
        if not _overlap(passes, _GOOD_PART):
            return _named_passes(passes, decode)
        # The same slices again, after the patient or the table was moved; or strays.
        few = min(map(len, passes)) < SHORTEST_STACK
        note = (
            f"{label(frames)}: its slices lie on {len(passes)} different grids, one within"
            " another; each is listed apart."
        )
        return _each(passes, decode, *[note] * few)
    if pieces is None:
        return [Part(tuple(frames))]
    count = sum(map(len, pieces.apart))
    note = (
        f"{label(frames)}: {count} image{' lies' if count == 1 else 's lie'} {pieces.gap:.1f} mm"
        f" from the others; {'it is' if count == 1 else 'they are'} listed apart."
    )
    apart = [
        Part(tuple(group), label=f"{pieces.gap:.1f} mm apart", notes=(note,))
        for group in pieces.apart
    ]
    return [Part(tuple(pieces.main), notes=(note,)), *apart]


def _fit_one_grid(frames: Sequence[Frame]) -> bool:
    try:
        stack_frames(frames)
    except UnsupportedStudyError:
        return False
    return True


def _named_passes(groups: Sequence[list[Frame]], decode: Decode) -> list[Part]:
    """The images of each pass, numbered in the order in which they were taken."""
    note = f"{label(groups[0])}: its {len(groups)} acquisitions overlap; each is listed apart."
    return [
        replace(part, label=f"acquisition {number} of {len(groups)}")
        for number, group in enumerate(sorted(groups, key=_begin), start=1)
        for part in _each([group], decode, note)
    ]


def _begin(frames: Sequence[Frame]) -> tuple[object, ...]:
    """First number, first times and lowest slice: none of it of a file's name."""
    numbers = [frame.image.instance_number for frame in frames]
    return (
        min(n or 0 for n in numbers),
        min(map(acquisition_clock, frames)),
        min(map(content_clock, frames)),
        min(frame.image_position_patient or () for frame in frames),
    )


def _meeting(groups: Sequence[list[Frame]], where: Places, decode: Decode) -> list[Part]:
    """Acquisitions with the slice at each border twice: one image where the two are the same."""
    first: dict[int, Frame] = {}
    kept: list[Frame] = []
    twice = 0
    for group in groups:
        for frame in group:
            other = first.setdefault(where[id(frame)], frame)
            if other is frame:
                kept.append(frame)
            elif nearly_equal_pixels(other, frame, decode):
                twice += 1
            else:
                return _named_passes(groups, decode)
    note = (
        f"{label(kept)}: {twice} slice{' was' if twice == 1 else 's were'} taken twice, where two"
        f" acquisitions meet, and {'is' if twice == 1 else 'are'} shown once."
    )
    return _each([kept], decode, note)


def _interwoven(frames: list[Frame]) -> list[list[Frame]] | None:
    """Even stacks of different kinds, one among the slices of another; None where there are none.

    A kind that changes within an even stack does not tear it apart.
    """
    claims = by_value(_claims, frames)
    if len(claims) > 1 and all(map(is_full, claims)) and _overlap(claims, _GOOD_PART):
        return claims
    least = _GOOD_PART if is_even(frames) else 0.0
    for key in _KINDS:
        groups = by_value(key, frames)
        stacks = len(groups) > 1 and min(map(len, groups)) >= SHORTEST_STACK
        if stacks and all(map(is_even, groups)) and _overlap(groups, least):
            return groups
    return None


def _overlap(groups: Sequence[Sequence[Frame]], least: float) -> bool:
    """Whether at least a slice, and this part of one stack, lies within another."""
    heights = [heights_of(group) for group in groups]
    within = (
        (np.count_nonzero((one > other.min()) & (one < other.max())), len(one))
        for one, other in permutations(heights, 2)
    )
    return any(count and count >= least * total for count, total in within)
