"""The content of a file, unpacked where its first two bytes are those of gzip."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast

#: Deflate cannot compress better than this.
BEST_RATIO = 1040
_GZIP_MARK = b"\x1f\x8b"


def is_gzipped(path: Path) -> bool:
    """Whether the file is compressed with gzip, whatever its name says."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP_MARK


def open_unpacked(path: Path) -> BinaryIO:
    """The content of a file, unpacked where it is compressed."""
    return cast(BinaryIO, gzip.open(path)) if is_gzipped(path) else path.open("rb")


def has_other_bytes(file: BinaryIO) -> bool:
    """Whether bytes that are not gzip's follow the content, of which all has been read.

    On the way to them the checksum is looked at: gzip.BadGzipFile where it is wrong, EOFError where
    it is missing.
    """
    try:
        file.read(1)
    except gzip.BadGzipFile as error:
        # The class is the same for a wrong checksum.
        if str(error).startswith("Not a gzipped file"):
            return True
        raise
    return False
