"""Header fields as they stand in real files: read from raw bytes, never raising.

pydicom converts and validates each value on access, which is slow and warns or fails on the odd
values that real files hold (``NumberOfFrames = '1A'``, empty UIDs, five-valued positions).
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence
from typing import Any

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as PydicomSequence

#: A keyword of the standard, or the number of a private element.
Tag = str | int

#: Twice what the standard allows for a description, in bytes of a character set of two each.
_LONGEST_TEXT = 256
#: More than the longest look-up table has.
_MOST_NUMBERS = 1 << 17
_TEXT_DELIMITERS = {0x0A, 0x0C, 0x0D}
#: One comma and no point: "1,25", "-,5", "3,2e-05".
_DECIMAL_COMMA = re.compile(r"([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)")


class Oddities:
    """What was odd about the numbers of a file, as the elements that were asked for them.

    Attributes
    ----------
    decimal_commas : numbers were written with a comma, which stands for a point.
    unreadable : not empty, and not the numbers that were asked for.
    """

    def __init__(self) -> None:
        self.decimal_commas: set[Tag] = set()
        self.unreadable: set[Tag] = set()


class Fields:
    """Guarded access to a data set that was read with raw elements.

    ``oddities`` is shared with the items of its sequences.
    """

    def __init__(self, dataset: Dataset, oddities: Oddities | None = None) -> None:
        self._dataset = dataset
        self.oddities = oddities or Oddities()
        self._encodings: list[str] | None = None

    def has(self, tag: Tag) -> bool:
        """True where the element is there, even empty."""
        return self._element(tag) is not None

    def ascii(self, tag: Tag) -> str:
        """A code, UID or number as text; empty where absent."""
        value = self._value(tag)
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        if isinstance(value, Sequence) and not isinstance(value, str):
            value = "\\".join(map(str, value))
        return str(value).strip(" \0") if value is not None else ""

    def text(self, tag: Tag) -> str:
        """Free text in the file's own character set; empty where absent."""
        value = self._value(tag)
        if not isinstance(value, bytes):
            return self.ascii(tag)
        characters = (c if c.isprintable() else " " for c in self._decode(value[:_LONGEST_TEXT]))
        return " ".join("".join(characters).split())

    def codes(self, tag: Tag) -> tuple[str, ...]:
        """The values of a multi-valued element as text."""
        joined = self.ascii(tag)
        return tuple(part.strip() for part in joined.split("\\")) if joined else ()

    def numbers(self, tag: Tag, count: int | None = None) -> tuple[float, ...] | None:
        """Finite decimal numbers; None where absent, unreadable or not ``count`` of them.

        A comma in a number is its decimal point: some languages write it so, and nothing else can
        be meant where values are separated by backslashes.
        """
        parts = self.codes(tag)
        has_commas = any(map(_DECIMAL_COMMA.fullmatch, parts))
        try:
            values = tuple(float(_with_point(part)) for part in parts)
        except ValueError:
            values = ()
        if parts and not (
            values and all(map(math.isfinite, values)) and count in (None, len(values))
        ):
            self.oddities.unreadable.add(tag)
            return None
        if has_commas:
            self.oddities.decimal_commas.add(tag)
        return values or None

    def number(self, tag: Tag) -> float | None:
        """The first of ``numbers``."""
        return next(iter(self.numbers(tag) or ()), None)

    def integer(self, tag: Tag) -> int | None:
        """An integer string (VR IS); None where absent or unreadable."""
        if "," in self.ascii(tag):
            # Not a decimal one: "1,000" may be a thousand.
            return None
        value = self.number(tag)
        return int(value) if value is not None and value == int(value) else None

    def short(self, tag: Tag) -> int | None:
        """The first of ``shorts``."""
        return next(iter(self.shorts(tag)), None)

    def shorts(self, tag: Tag) -> tuple[int, ...]:
        """Binary unsigned shorts (VR US, or OW of 16 bits); empty where absent."""
        return tuple(int(v) for v in self._binary(tag, "H"))

    def longs(self, tag: Tag) -> tuple[int, ...]:
        """Binary unsigned longs (VR UL); empty where absent."""
        return tuple(int(v) for v in self._binary(tag, "I"))

    def doubles(self, tag: Tag, count: int | None = None) -> tuple[float, ...] | None:
        """Finite binary doubles (VR FD); None where absent or not ``count`` of them."""
        values = tuple(float(v) for v in self._binary(tag, "d"))
        if not values or not all(math.isfinite(v) for v in values):
            return None
        return values if count in (None, len(values)) else None

    def double(self, tag: Tag) -> float | None:
        """The first of ``doubles``."""
        return next(iter(self.doubles(tag) or ()), None)

    def single(self, tag: Tag) -> float | None:
        """A finite binary float (VR FL, or the FD that some write in its place)."""
        code = "d" if len(self.raw(tag)) == struct.calcsize("d") else "f"
        values = self._binary(tag, code)
        return float(values[0]) if values and math.isfinite(values[0]) else None

    def raw(self, tag: Tag) -> bytes:
        """The bytes of an element (VR OB, UN); empty where absent."""
        value = self._value(tag)
        return value if isinstance(value, bytes) else b""

    def items(self, tag: Tag) -> list[Fields]:
        """The items of a sequence; empty where absent or unreadable."""
        try:
            value = self._dataset[_number(tag)].value if self.has(tag) else ()
        except Exception:  # pydicom parses here, and its errors have no common base
            return []
        if not isinstance(value, PydicomSequence):
            return []
        return [Fields(item, self.oddities) for item in value]

    def first(self, tag: Tag) -> Fields | None:
        """The first item of a sequence."""
        return next(iter(self.items(tag)), None)

    def _binary(self, tag: Tag, code: str) -> Sequence[Any]:
        element = self._element(tag)
        value = None if element is None else element.value
        if isinstance(value, bytes):
            order = "<" if getattr(element, "is_little_endian", True) else ">"
            count = min(len(value) // struct.calcsize(code), _MOST_NUMBERS)
            return struct.unpack(f"{order}{count}{code}", value[: count * struct.calcsize(code)])
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        return [v for v in values if isinstance(v, int | float)]

    def _element(self, tag: Tag) -> Any:
        return self._dataset.get_item(_number(tag))

    def _value(self, tag: Tag) -> Any:
        element = self._element(tag)
        return None if element is None else element.value

    def _decode(self, value: bytes) -> str:
        try:
            if self._encodings is None:
                declared = list(self.codes("SpecificCharacterSet"))
                self._encodings = convert_encodings(declared or "")
            return decode_bytes(value, self._encodings, _TEXT_DELIMITERS)
        except (LookupError, ValueError, UnicodeError):
            return value.decode("latin-1")


def name_of(tag: Tag) -> str:
    """The keyword of the standard; a private element has none: ``"(0019,100C)"``."""
    return tag if isinstance(tag, str) else f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _number(tag: Tag) -> int:
    number = tag_for_keyword(tag) if isinstance(tag, str) else tag
    assert number is not None, f"{tag} is no keyword"
    return number


def _with_point(text: str) -> str:
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text
