"""Header fields as they stand in real files: read from raw bytes, never raising.

pydicom converts and validates each value on access, which is slow and warns or fails on the odd
values that real files hold (``NumberOfFrames = '1A'``, empty UIDs, five-valued positions).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataset import Dataset

_SPECIFIC_CHARACTER_SET = 0x00080005
#: Twice what the standard allows for a description, in bytes of a character set of two each.
_LONGEST_TEXT = 256
_TEXT_DELIMITERS = {0x0A, 0x0C, 0x0D}


class Fields:
    """Guarded access to a data set that was read with raw elements."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._encodings: list[str] | None = None

    def has(self, tag: int) -> bool:
        """True where the element is there, even empty."""
        return tag in self._dataset

    def ascii(self, tag: int) -> str:
        """A code, UID or number as text; empty where absent."""
        value = self._value(tag)
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = "\\".join(map(str, value))
        return str(value).strip(" \0") if value is not None else ""

    def text(self, tag: int) -> str:
        """Free text in the file's own character set; empty where absent."""
        value = self._value(tag)
        if not isinstance(value, bytes):
            return self.ascii(tag)
        characters = (c if c.isprintable() else " " for c in self._decode(value[:_LONGEST_TEXT]))
        return " ".join("".join(characters).split())

    def codes(self, tag: int) -> tuple[str, ...]:
        """The values of a multi-valued element as text."""
        joined = self.ascii(tag)
        return tuple(part.strip() for part in joined.split("\\")) if joined else ()

    def numbers(self, tag: int, count: int | None = None) -> tuple[float, ...] | None:
        """Finite decimal numbers; None where absent, unreadable or not ``count`` of them."""
        try:
            values = tuple(float(part) for part in self.codes(tag))
        except ValueError:
            return None
        if not values or not all(math.isfinite(v) for v in values):
            return None
        return values if count in (None, len(values)) else None

    def number(self, tag: int) -> float | None:
        """The first of ``numbers``."""
        values = self.numbers(tag)
        return values[0] if values else None

    def integer(self, tag: int) -> int | None:
        """An integer string (VR IS); None where absent or unreadable."""
        value = self.number(tag)
        return int(value) if value is not None and value == int(value) else None

    def short(self, tag: int) -> int | None:
        """A binary unsigned short (VR US); None where absent."""
        element: Any = self._dataset.get_item(tag)
        if element is None:
            return None
        value = element.value
        if isinstance(value, bytes):
            if len(value) < 2:
                return None
            little = getattr(element, "is_little_endian", True)
            return int.from_bytes(value[:2], "little" if little else "big")
        return int(value) if isinstance(value, int) else None

    def _value(self, tag: int) -> Any:
        element: Any = self._dataset.get_item(tag)
        return None if element is None else element.value

    def _decode(self, value: bytes) -> str:
        try:
            if self._encodings is None:
                declared = list(self.codes(_SPECIFIC_CHARACTER_SET))
                self._encodings = convert_encodings(declared or "")
            return decode_bytes(value, self._encodings, _TEXT_DELIMITERS)
        except (LookupError, ValueError, UnicodeError):
            return value.decode("latin-1")
