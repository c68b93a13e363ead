"""Parts of DICOM files that several tests put together: sequences, private headers, tiles."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

#: Of a tile.
ROWS, COLUMNS = 2, 3


def item(**elements: Any) -> Dataset:
    """A data set of a few elements; dictionaries become sequences of one item."""
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, [item(**value)] if isinstance(value, dict) else value)
    return data


def csa_header(normal: list[float], tiles: int) -> bytes:
    """Siemens' private header (type 2) with the two tags that a mosaic needs."""

    def tag(name: str, vr: str, values: list[str]) -> bytes:
        head = struct.pack("<64si4s3i", name.encode(), len(values), vr.encode(), 0, len(values), 77)
        items = b""
        for value in values:
            text = value.encode()
            items += struct.pack("<4i", len(text), len(text), 77, len(text))
            items += text + b"\0" * (-len(text) % 4)
        return head + items

    tags = tag("SliceNormalVector", "FD", [f"{x:.8f}" for x in normal])
    tags += tag("NumberOfImagesInMosaic", "US", [str(tiles)])
    return b"SV10\4\3\2\1" + struct.pack("<2I", 2, 77) + tags


def side_by_side(tiles: int, across: int, down: int) -> bytes:
    """Tile k holds 100 k + 10 row + column; left over places hold 0."""
    image = np.zeros((down * ROWS, across * COLUMNS), "<u2")
    row, column = np.mgrid[:ROWS, :COLUMNS]
    for k in range(tiles):
        top, left = k // across * ROWS, k % across * COLUMNS
        image[top : top + ROWS, left : left + COLUMNS] = 100 * k + 10 * row + column
    return image.tobytes()
