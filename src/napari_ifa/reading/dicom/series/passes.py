"""Acquisitions that were put into one series: passes that overlap or meet, slices far from all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, pairwise

import numpy as np

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.series.keys import Groups, Key, Places, as_met, once_each, traits
from napari_ifa.reading.dicom.series.stacking import (
    beside_the_normal,
    commonest_step,
    heights_of,
    is_even,
)
from napari_ifa.reading.dicom.series.times import (
    acquisition_clock,
    content_clock,
    one_after_the_other,
)

#: Slices fewer than this are not taken for a stack of their own.
SHORTEST_STACK = 3
#: Passes whose slices are at least this part of their own step thick leave no room for others.
_FILLED = 0.75
#: Two passes that meet share at most this part of their slices, or one.
_MOST_SHARED = 0.5
#: A gap of more than this many steps within a run of slices begins another.
_RUN_GAP = 1.5
#: Slices farther than this many steps from all others are no part of the stack; one or two that
#: fit no grid, or are of another kind, when they are farther than the second.
_FAR, _FAR_STRAY = 10.0, 3.0
#: More pieces far from one another than this are no stacks.
_MOST_PIECES = 4
#: Slices of one grid lie on it within this part of a step.
_ON_GRID = 0.02
#: Slices of one stack lie on one line within this part of a pixel, or drift along it.
_BESIDE = 0.5
#: Heights nearer than this (mm) are one.
_SAME_HEIGHT = 0.01

#: What the slices of one acquisition have in common.
_ACQUISITIONS: tuple[Key, ...] = (traits("acquisition_number"), acquisition_clock)


def overlapping_passes(frames: Sequence[Frame], times: Sequence[Key]) -> Groups | None:
    """Passes of which one has slices among those of another, no two at one position.

    Slices taken in turns, every other one first, fill an even stack: they are one image, unless
    they are so thick that each pass is a stack without gaps.

    Parameters
    ----------
    times : what frames of one pass may have in common.
    """
    even = is_even(frames)
    found = _grouped(frames, _ACQUISITIONS) if even else _candidates(frames, times)
    for groups in found:
        apart = all(map(is_even, groups)) and _any_overlap(groups)
        if apart and (not even or all(map(_is_filled, groups))):
            return groups
    return None


def meeting_passes(frames: Sequence[Frame], place: Places, times: Sequence[Key]) -> Groups | None:
    """Passes one above the other that share no more than the slices at their borders.

    From the lowest to the highest.
    """
    for groups in _candidates(frames, times):
        if not once_each(groups, place):
            continue
        own = [{place[id(frame)] for frame in group} for group in groups]
        order = sorted(range(len(groups)), key=lambda k: (min(own[k]), max(own[k])))
        ordered = [own[k] for k in order]
        if all(_meet(one, other) for one, other in pairwise(ordered)) and not any(
            one & other for k, one in enumerate(ordered) for other in ordered[k + 2 :]
        ):
            return [groups[k] for k in order]
    return None


def several_passes(frames: Sequence[Frame], place: Places, times: Sequence[Key]) -> Groups | None:
    """Passes in any number, with each position once at most in each of them.

    ``times`` are what frames of one pass may have in common; without any, a pass is a run of files
    along the stack.
    """
    found = _grouped(frames, (*_ACQUISITIONS, *times)) if times else _in_runs(frames)
    even = (groups for groups in found if once_each(groups, place) and all(map(is_even, groups)))
    return next(even, None)


@dataclass(frozen=True)
class Shifted:
    """Stacks shifted against one another within their planes, and by how many mm at most."""

    groups: Groups
    shift: float


def shifted_stacks(frames: Sequence[Frame]) -> Shifted | None:
    """Even stacks beside one another, one of which has slices among those of another."""
    spacing = frames[0].pixel_spacing
    if spacing is None or frames[0].tile is not None:
        return None
    beside = beside_the_normal(frames)
    lines: list[list[int]] = []
    for k, place in enumerate(beside):
        near = (
            one for one in lines if np.abs(beside[one[0]] - place).max() <= _BESIDE * min(spacing)
        )
        line = next(near, None)
        if line is None:
            if len(lines) == _MOST_PIECES:
                return None
            lines.append(line := [])
        line.append(k)
    groups = [[frames[k] for k in line] for line in lines]
    if len(groups) < 2 or min(map(len, groups)) < SHORTEST_STACK:
        return None
    if not (all(map(is_even, groups)) and _any_overlap(groups)):
        return None
    firsts = beside[[line[0] for line in lines]]
    return Shifted(groups, float(np.linalg.norm(firsts - firsts[0], axis=1).max()))


@dataclass(frozen=True)
class Pieces:
    """Stacks far from one another: the largest, the others, and the shortest gap in mm."""

    main: list[Frame]
    apart: Groups
    gap: float


def far_pieces(
    frames: Sequence[Frame], kinds: Sequence[Key], fits: Callable[[], bool]
) -> Pieces | None:
    """Slices that are no part of the stack that the others form; None where there are none.

    Those beyond a gap of many steps, and one or two of another kind that do not lie on its grid.

    Parameters
    ----------
    kinds : what frames of one kind have in common.
    fits : whether all of them can be brought to one grid.
    """
    if len(frames) <= SHORTEST_STACK:
        return None
    even = is_even(frames)
    pieces = _beyond_gaps(frames, _FAR, fits)
    if pieces is None and not even:
        pieces = _beyond_gaps(frames, _FAR_STRAY, None)
    if pieces is not None:
        return pieces
    for key in kinds:
        groups = list(as_met(key, frames).values())
        main = max(groups, key=len)
        apart = [group for group in groups if group is not main]
        strays = [frame for group in apart for frame in group]
        if not 0 < len(strays) < SHORTEST_STACK or len(main) < SHORTEST_STACK:
            continue
        if not is_even(main):
            continue
        heights = heights_of(main)
        step, _ = commonest_step(np.diff(np.sort(heights)))
        gap = float(np.abs(heights_of([main[0], *strays])[1:, None] - heights).min())
        if not even or gap > _RUN_GAP * step:
            return Pieces(main, apart, gap)
    return None


def _beyond_gaps(
    frames: Sequence[Frame], steps: float, fits: Callable[[], bool] | None
) -> Pieces | None:
    """Stacks beyond wide gaps where all do not fit one grid; else only one or two slices."""
    heights = heights_of(frames)
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    step, _ = commonest_step(gaps)
    cuts = np.flatnonzero(gaps > steps * step)
    if not 0 < len(cuts) < _MOST_PIECES:
        return None
    pieces = [[frames[k] for k in part] for part in np.split(order, cuts + 1)]
    main = max(pieces, key=len)
    apart = [piece for piece in pieces if piece is not main]
    few = all(len(piece) < SHORTEST_STACK for piece in apart)
    if len(main) < SHORTEST_STACK or not (few or (fits is not None and not fits())):
        return None
    return Pieces(main, apart, float(gaps[cuts].min()))


def _candidates(frames: Sequence[Frame], times: Sequence[Key]) -> Iterator[Groups]:
    yield from _grouped(frames, _ACQUISITIONS)
    yield from _grouped(frames, times)
    yield from _in_runs(frames)
    if (lattices := _lattices(frames)) is not None:
        yield from _grouped(frames, [partial(_run_of, lattices)])


def _in_runs(frames: Sequence[Frame]) -> Iterator[Groups]:
    clocks = (acquisition_clock, content_clock)
    orders = (one_after_the_other(frames, clock) for clock in clocks)
    for order in filter(None, (_by_number(frames), *orders)):
        yield from _grouped(frames, [partial(_run_of, _runs(frames, order))])


def _run_of(runs: Places, frame: Frame) -> int:
    return runs[id(frame)]


def _grouped(frames: Sequence[Frame], keys: Iterable[Key]) -> Iterator[Groups]:
    """Ways to take the frames for passes of three slices and more, but for some cut short."""
    for key in keys:
        groups = list(as_met(key, frames).values())
        enough = len(frames) >= SHORTEST_STACK * len(groups)
        if len(groups) > 1 and enough and None not in map(key, frames):
            yield groups


def _by_number(frames: Sequence[Frame]) -> list[int] | None:
    numbers = [frame.image.instance_number for frame in frames]
    if len({n for n in numbers if n is not None}) < len(frames):
        return None
    return sorted(range(len(frames)), key=lambda k: numbers[k] or 0)


def _runs(frames: Sequence[Frame], ordered: Sequence[int]) -> dict[int, int]:
    """Which run along the stack each frame is of, by its ``id``, as they follow one another."""
    heights = heights_of(frames)
    runs: list[list[int]] = [[ordered[0]]]
    step = 0.0
    for before, k in pairwise(ordered):
        run = runs[-1]
        moved = float(heights[k] - heights[before])
        # A run goes on in one direction, at steps of one length.
        if not step or (moved * step > 0 and abs(moved) <= _RUN_GAP * abs(step)):
            run.append(k)
            step = step or moved
        elif len(run) == 2 and abs(moved) > _SAME_HEIGHT:
            # Its second slice was the first of this one.
            runs.append([run.pop(), k])
            step = moved
        else:
            runs.append([k])
            step = 0.0
    return {id(frames[k]): number for number, run in enumerate(runs) for k in run}


def _lattices(frames: Sequence[Frame]) -> dict[int, int] | None:
    """Which of several even grids, shifted against one another, each frame is on, by its ``id``.

    None unless each grid is full from its first slice to its last.
    """
    heights = heights_of(frames)
    rising = np.sort(heights)
    # Of one pass alone: within the overlap of two, the gaps are parts of it.
    step = float(np.max(np.diff(rising)))
    if step <= _SAME_HEIGHT:
        return None
    shift = np.mod((heights - rising[0]) / step + _ON_GRID, 1.0)
    order = np.argsort(shift, kind="stable")
    grid = np.zeros(len(frames), dtype=int)
    grid[order[1:]] = np.cumsum(np.diff(shift[order]) > 2 * _ON_GRID)
    for number in range(int(grid.max()) + 1):
        own = np.sort(heights[grid == number])
        if len(own) < SHORTEST_STACK or np.abs(np.diff(own) - step).max() > _ON_GRID * step:
            return None
    return {id(frame): int(number) for frame, number in zip(frames, grid, strict=True)}


def _any_overlap(groups: Groups) -> bool:
    """Whether slices of one group lie between those of another."""
    heights = [heights_of(group) for group in groups]
    return any(
        one.min() < other.max() - _SAME_HEIGHT and other.min() < one.max() - _SAME_HEIGHT
        for one, other in combinations(heights, 2)
    )


def _is_filled(frames: Sequence[Frame]) -> bool:
    """Whether the slices are as thick as they are apart."""
    if len(frames) < SHORTEST_STACK or frames[0].traits.slice_thickness is None:
        return False
    step, _ = commonest_step(np.diff(np.sort(heights_of(frames))))
    return frames[0].traits.slice_thickness >= _FILLED * step


def _meet(below: set[int], above: set[int]) -> bool:
    shared = len(below & above)
    most = max(1, int(_MOST_SHARED * min(len(below), len(above))))
    beyond = max(above) > max(below) and min(below) < min(above)
    return beyond and shared <= most and max(below) - min(above) < most
