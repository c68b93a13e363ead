"""The order of images by the clock, past midnight too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date
from itertools import pairwise

import numpy as np

from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.series.keys import Groups, Places, as_met

#: Date and time as a file writes them.
Clock = Callable[[Frame], tuple[str, str]]

_DAY = 24 * 60 * 60.0
#: A series without dates takes no longer than this; where it seems to, midnight has passed.
_LONGEST = _DAY / 2
_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d+)?")
_DATE_DIGITS, _MOMENT_DIGITS = 8, 14


def acquisition_clock(frame: Frame) -> tuple[str, str]:
    """When the data were taken."""
    return frame.traits.acquisition_date, frame.traits.acquisition_time


def content_clock(frame: Frame) -> tuple[str, str]:
    """When the pixels were made of them."""
    return frame.traits.content_date, frame.traits.content_time


def in_order_of_time(groups: Sequence[list[Frame]], place: Places, clock: Clock) -> Groups:
    """Groups of one time each, by date and time.

    Where there are no dates and midnight lies in between, the instance numbers say which came
    first, if they say the same at each position; else the longest pause is before the first.
    """
    order = _order([clock(group[0]) for group in groups])
    if order is None:
        return list(groups)
    indices, passed_midnight = order
    if passed_midnight:
        indices = _order_of_numbers(groups, place) or indices
    return [groups[k] for k in indices]


def one_after_the_other(frames: Sequence[Frame], clock: Clock) -> list[int] | None:
    """Indices of the frames by date and time; None where two have one time, or one has none."""
    stated = [clock(frame) for frame in frames]
    order = _order(stated)
    return None if order is None or len(set(stated)) < len(frames) else order[0]


def _order(stated: Sequence[tuple[str, str]]) -> tuple[list[int], bool] | None:
    """Indices in the order of time, and whether only a pause says where midnight lies.

    None where a time is not stated.
    """
    moments = [_moment(*one) for one in stated]
    if any(seconds is None for _, seconds in moments):
        return None
    days = [day for day, _ in moments]
    clocks = np.array([seconds for _, seconds in moments], dtype=float)
    if None not in days and len(set(days)) > 1:
        return np.lexsort((clocks, np.array(days, dtype=float))).tolist(), False
    order = np.argsort(clocks, kind="stable")
    if np.ptp(clocks) <= _LONGEST:
        return order.tolist(), False
    rising = clocks[order]
    pauses = np.diff(rising, append=rising[0] + _DAY)
    return np.roll(order, -(int(pauses.argmax()) + 1)).tolist(), True


def ranks_by_time(frames: Sequence[Frame], place: Places) -> dict[int, int] | None:
    """Which of the images at its position each frame is by time, by its ``id``.

    None unless each position has equally many, all with times that differ.
    """
    for clock in (acquisition_clock, content_clock):
        at = as_met(lambda frame: place[id(frame)], frames)
        if len({len(group) for group in at.values()}) != 1:
            return None
        ranks: dict[int, int] = {}
        for group in at.values():
            alone = [[frame] for frame in group]
            if one_after_the_other(group, clock) is None:
                break
            ordered = in_order_of_time(alone, place, clock)
            ranks |= {id(frame): rank for rank, (frame,) in enumerate(ordered)}
        if len(ranks) == len(frames):
            return ranks
    return None


def _order_of_numbers(groups: Sequence[Sequence[Frame]], place: Places) -> list[int] | None:
    """Of the groups by instance number; None where positions disagree, or it is not known."""
    numbers: dict[int, dict[int, int]] = defaultdict(dict)
    for k, group in enumerate(groups):
        for frame in group:
            if frame.image.instance_number is None:
                return None
            numbers[place[id(frame)]][k] = frame.image.instance_number
    fullest = max(numbers.values(), key=len)
    if len(fullest) < len(groups):
        return None
    order = sorted(fullest, key=lambda k: fullest[k])
    for at in numbers.values():
        there = [at[k] for k in order if k in at]
        if any(one >= other for one, other in pairwise(there)):
            return None
    return order


def _moment(day: str, time: str) -> tuple[int | None, float | None]:
    """Day, counted from a fixed one, and seconds after midnight; None for what is not stated."""
    digits = re.match(r"\d+", time)
    if digits and len(digits[0]) >= _MOMENT_DIGITS:
        # Date and time in one.
        day, time = time[:_DATE_DIGITS], time[_DATE_DIGITS:]
    written = _TIME.match(time)
    seconds = None
    if written:
        hours, minutes, whole = (int(part or 0) for part in written.groups()[:3])
        seconds = 3600.0 * hours + 60 * minutes + whole + float(written[4] or 0)
    return _ordinal(day), seconds


def _ordinal(day: str) -> int | None:
    written = _DATE.fullmatch(day)
    if written is None:
        return None
    try:
        return date(*map(int, written.groups())).toordinal()
    except ValueError:
        return None
