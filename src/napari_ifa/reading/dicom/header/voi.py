"""Display windows that a DICOM file states: numbers, functions and tables (PS3.3 C.11.2).

All act on values of the modality, after its rescale. What makes no sense is left out: a file with
an absurd window is an image all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.modality_table import read_table
from napari_ifa.volumes.volume import Window, WindowFunction

#: Windows and tables of one image that are looked at; a person chooses from a list.
_MOST_WINDOWS = 32
#: Points of a curve: finer than any screen shows.
_SIGMOID_POINTS = 256
_MOST_POINTS = 4096
_MOST_ENTRIES = 2**16


def voi_windows(fields: Fields, signed: bool = False) -> tuple[Window, ...]:
    """All windows of one data set, in its order: those of two numbers, then the tables.

    Parameters
    ----------
    fields : of the data set that holds Window Center, Window Width and the VOI LUT Sequence.
    signed : whether modality values can be negative, so that tables may begin below 0.
    """
    names = fields.text("WindowCenterWidthExplanation")
    linear = linear_windows(
        fields.numbers("WindowCenter") or (),
        fields.numbers("WindowWidth") or (),
        names.split("\\") if names else (),
        fields.ascii("VOILUTFunction"),
    )
    items = fields.items("VOILUTSequence")[:_MOST_WINDOWS]
    tables = ((item, read_table(item, signed)) for item in items)
    found = (
        table_window(first, entries, bits, item.text("LUTExplanation"))
        for item, (first, bits, entries) in ((item, table) for item, table in tables if table)
    )
    return (*linear, *filter(None, found))


def linear_windows(
    centers: Sequence[float],
    widths: Sequence[float],
    names: Sequence[str] = (),
    function: str = "LINEAR",
) -> tuple[Window, ...]:
    """Windows of a center and a width each, without repetition.

    Parameters
    ----------
    centers, widths : in modality values; widths that are not above 0, and pairs that are no
        numbers, are left out.
    names : Window Center & Width Explanation.
    function : VOI LUT Function; anything but ``LINEAR_EXACT`` and ``SIGMOID`` means ``LINEAR``.
    """
    padded = [*(name.strip() for name in names), *[""] * len(centers)]
    unique: dict[tuple[float, float], Window] = {}
    for center, width, name in list(zip(centers, widths, padded, strict=False))[:_MOST_WINDOWS]:
        if not (math.isfinite(center) and math.isfinite(width) and width > 0):
            continue
        # A file may offer the same window twice.
        unique.setdefault((center, width), _window(center, width, name, function.strip().upper()))
    return tuple(unique.values())


def table_window(first: float, entries: Sequence[int], bits: int, name: str = "") -> Window | None:
    """The window of a VOI LUT; None where it shows the same brightness for all values.

    Parameters
    ----------
    first : the modality value that the first entry belongs to; the others follow by ones.
    entries : brightness from 0 to ``2**bits - 1``.
    bits : for one entry, as LUT Descriptor states.
    name : LUT Explanation.
    """
    if not (2 <= len(entries) <= _MOST_ENTRIES and 1 <= bits <= 16):
        return None
    values = np.asarray(entries, dtype=float) / (2**bits - 1)
    changes = np.flatnonzero(np.diff(values))
    if not changes.size:
        return None
    # Most tables are flat at both ends: what changes in between is what the window shows.
    start, end = int(changes[0]), int(changes[-1]) + 1
    values = np.clip(values[start : end + 1], 0.0, 1.0)
    if values.size > _MOST_POINTS:
        places = np.linspace(0, values.size - 1, _MOST_POINTS)
        values = np.interp(places, np.arange(values.size), values)
    low, high = float(first) + start, float(first) + end
    curve = tuple(float(value) for value in values)
    return Window((low + high) / 2, high - low, name, curve)


def _window(center: float, width: float, name: str, function: str) -> Window:
    if function == "SIGMOID":
        lower, upper = Window(center, width, function="SIGMOID").limits
        places = np.linspace(lower, upper, _SIGMOID_POINTS)
        curve = 1 / (1 + np.exp(-4 * (places - center) / width))
        return Window(center, width, name, tuple(map(float, curve)), "SIGMOID")
    # DICOM asks for a width of 1 or more; images of fractions come with less, and mean it.
    exact = function == "LINEAR_EXACT" or width < 1
    meaning: WindowFunction = "LINEAR_EXACT" if exact else "LINEAR"
    return Window(center, width, name, function=meaning)
