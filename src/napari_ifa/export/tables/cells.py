"""Values as people read them, and text that every format can hold."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

#: What stands for a value that there is none of.
NO_VALUE = "–"
#: The least p value that is told as a number; how small a smaller one is rests on the assumptions.
_LEAST_P = 1e-4
#: Characters that no XML, HTML or table may hold.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
#: Those that turn the direction of the letters around or hide an end of a line.
_UNSEEN = re.compile("[\x80-\x9f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
#: Characters with a meaning in Markdown; an underscore inside a word has none.
_MARKDOWN = re.compile(r"([\\`*\[\]|#~])")


def cell_text(value: Any, column: str = "") -> str:
    """A value as people read it: four significant digits, and "–" where there is none.

    Parameters
    ----------
    column : its name; in one of p values, ``p`` or ``…_p``, less than 0.0001 is told as such.
    """
    plain = plain_value(value)
    if plain is None:
        return NO_VALUE
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if not isinstance(plain, str) and 0 <= plain < _LEAST_P and _holds_p(column):
        return f"< {_LEAST_P:.4f}"
    if not isinstance(plain, float):
        return str(plain)
    rounded = float(f"{plain:.3e}")
    if rounded == 0 or 1e-4 <= abs(rounded) < 1e6:
        return np.format_float_positional(rounded + 0.0, trim="-")
    return f"{rounded:.4g}"


def plain_value(value: Any) -> str | int | float | bool | None:
    """A value as one of Python's own; None for one that is missing or not a number."""
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else f"{value:g}"
    return clean_text(str(value))


def is_number(value: Any) -> bool:
    """Whether a value is a number; a truth is none."""
    plain = plain_value(value)
    return isinstance(plain, int | float) and not isinstance(plain, bool)


def clean_text(text: str) -> str:
    """Text that every format can hold; a file's name need not be valid Unicode."""
    unicode = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return _UNSEEN.sub("\ufffd", _NOT_TEXT.sub("\ufffd", unicode))


def markdown_text(text: str) -> str:
    """Text on one line that means nothing to Markdown."""
    plain = clean_text(text).replace("&", "&amp;").replace("<", "&lt;")
    return " ".join(_MARKDOWN.sub(r"\\\1", plain).split())


def _holds_p(column: str) -> bool:
    return column == "p" or column.endswith("_p")
