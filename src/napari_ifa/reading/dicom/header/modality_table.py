"""Modality look-up tables, and the entries of any table of DICOM (PS3.3 C.11.1)."""

from __future__ import annotations

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
    return fields.first("ModalityLUTSequence") is not None and sop_class not in _BACK_TO_INTENSITY


def modality_table(fields: Fields) -> LookupTable:
    """The table that stored values go through.

    Raises
    ------
    DamagedTableError
        Where it does not hold what it says.
    """
    item = fields.first("ModalityLUTSequence")
    table = None if item is None else read_table(item, fields.short("PixelRepresentation") == 1)
    if table is None:
        raise DamagedTableError
    first, _, entries = table
    return LookupTable(first, tuple(map(float, entries)))


def read_table(item: Fields, signed: bool) -> tuple[int, int, tuple[int, ...]] | None:
    """The number that the first entry belongs to, bits of an entry, and the entries.

    None where there are fewer than the descriptor says. Entries of 8 bits stand in a word each, or
    are packed: two to a word, the first in its lower half.

    Parameters
    ----------
    signed : whether numbers can be negative; both kinds are 16 bits in the file.
    """
    descriptor = item.shorts("LUTDescriptor")
    if len(descriptor) != 3:
        return None
    count, first, bits = descriptor
    count = count or _MOST_ENTRIES
    words = item.shorts("LUTData")[:_MOST_ENTRIES]
    if bits == 8 and len(words) == (count + 1) // 2:
        words = tuple(half for word in words for half in (word & 0xFF, word >> 8))
    if len(words) < count:
        return None
    return first - 0x10000 if signed and first > 0x7FFF else first, bits, words[:count]
