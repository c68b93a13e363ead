"""What the sections say alike: intervals, independence, whose mean, and lists of columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.store import Kind
from napari_ifa.evaluation.section import Row
from napari_ifa.evaluation.statistics.certainty import LEAST_P
from napari_ifa.evaluation.statistics.independence import Groups
from napari_ifa.evaluation.statistics.intervals import Interval
from napari_ifa.wording import listed

#: What columns of p values say about the least one.
LEAST_P_TOLD = f"{LEAST_P:g} stands for that or less"
#: Over which cases an importance is the mean.
OVER: Mapping[Kind, str] = {"true": "the cases of each class", "all": "all cases"}
#: What a column of feature numbers holds.
FEATURE = "number of the feature, from 0"
HIGH = "upper end"
HOW = "how the interval was found, or why there is none"
#: What is said where a path goes around the target layer.
BYPASSED = (
    " Part of the answer goes around the target layer, where no feature can be switched off: the"
    " masked answers do not show all that the answer rests on."
)
#: What is said of intervals and p values where no case's patient is known.
INDEPENDENT_ONLY = (
    " Intervals and p values hold for independent patients only, and nothing says which cases are"
    " of one patient."
)


def low_end(how: str) -> str:
    """What the column of the lower end of an interval holds."""
    return f"lower end of its 95 % interval ({how})"


def comparison_said(names: Sequence[str], compared_class: int | None) -> str:
    """Why one class has no numbers, where all are compared with it; begins with a space."""
    if compared_class is None:
        return ""
    return (
        f" Every class is compared with '{names[compared_class]}', which therefore has no numbers"
        " of its own."
    )


def said_of(groups: Groups) -> str:
    """What intervals and p values take for independent, to end a section's limits with."""
    if groups is None:
        return INDEPENDENT_ONLY
    number = len(np.unique(groups))
    if number == len(groups):
        return ""
    return (
        f" The {len(groups)} cases are of {number} patients or groups; intervals and p values take"
        " these, not the cases, for independent."
    )


def described(rows: Sequence[Row], every: Mapping[str, str]) -> Mapping[str, str]:
    """Those columns of ``every`` that the rows have, in their order; all where there is no row."""
    return {name: every[name] for name in rows[0]} if rows else every


def cells(one: Any, columns: Mapping[str, str]) -> Row:
    """Those values of a result that have a column, such as ``hit_low`` of its interval ``hit``."""
    row: dict[str, Any] = {}
    for field in fields(one):
        value = getattr(one, field.name)
        if isinstance(value, Interval):
            ends = {"low": value.low, "high": value.high, "interval": value.method}
            row |= {f"{field.name}_{end}": number for end, number in ends.items()}
        row["class" if field.name == "name" else field.name] = value
    return {name: row[name] for name in columns}


def at(place: Any, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """What stands at one place of each array, as a part of a row."""
    return {name: values[place].item() for name, values in arrays.items()}


def quoted_names(names: Sequence[str]) -> str:
    """Class names in a row, the first few of many."""
    return listed([f"'{name}'" for name in names])
