"""Modality look-up tables, and the entries of any table of DICOM (PS3.3 C.11.1)."""

from __future__ import annotations

from napari_ifa.reading.dicom.header import tags
from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.frames import LookupTable

_MOST_ENTRIES = 2**16
#: X-ray angiography, radiofluoroscopy and biplane angiography (retired). Their table leads from the
#: image that is meant to be seen back to the intensity of the X-rays; viewers do not apply it
#: (DCMTK's dimomod.cc), and no network was trained on what it gives.
_BACK_TO_INTENSITY = tuple(f"1.2.840.10008.5.1.4.1.1.12.{k}" for k in (1, 2, 3))


class DamagedTableError(ValueError):
    """A modality look-up table without all of its entries."""


def is_applied(fields: Fields, sop_class: str) -> bool:
    """Whether the file has a modality look-up table, and one that its values go through."""
    return fields.first(tags.MODALITY_LUT) is not None and sop_class not in _BACK_TO_INTENSITY


def modality_table(fields: Fields) -> LookupTable:
    """The table that stored values go through.

    Raises
    ------
    DamagedTableError
        Where it does not hold what it says.
    """
    item = fields.first(tags.MODALITY_LUT)
    descriptor = item.shorts(tags.LUT_DESCRIPTOR) if item else ()
    if item is None or len(descriptor) != 3:
        raise DamagedTableError
    count, first, bits = descriptor
    count = count or _MOST_ENTRIES
    entries = table_entries(item, count, bits)
    if len(entries) < count:
        raise DamagedTableError
    if fields.short(tags.SIGNED) == 1 and first > 0x7FFF:
        first -= 0x10000
    return LookupTable(first, tuple(float(entry) for entry in entries))


def table_entries(item: Fields, count: int, bits: int) -> tuple[int, ...]:
    """The first ``count`` entries of ``bits`` bits each; fewer where there are fewer.

    Entries of 8 bits stand in a word each, or are packed: two to a word, the first in its lower
    half.
    """
    words = item.shorts(tags.LUT_DATA)[:_MOST_ENTRIES]
    if bits == 8 and len(words) == (count + 1) // 2:
        words = tuple(half for word in words for half in (word & 0xFF, word >> 8))
    return words[:count]
