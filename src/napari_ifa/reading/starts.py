"""What a file is, by its first bytes."""

from __future__ import annotations

from pathlib import Path

#: Bytes that are looked at.
START = 512
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_OTHER_ARCHIVES = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!\x1a\x07": "rar",
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}


def start_of(path: Path) -> bytes:
    """The first 512 bytes; none where the file cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(START)
    except OSError:
        return b""


def is_dicom(start: bytes) -> bool:
    """Whether a file has DICOM's mark, behind 128 bytes that may hold anything."""
    return start[128:132] == b"DICM"


def is_picture(start: bytes) -> bool:
    """Whether it is a PNG or JPEG picture, whatever its name."""
    return start.startswith(_PICTURES) and not is_dicom(start)


def archive_kind(start: bytes) -> str:
    """``"zip"``, ``"7z"``, …; empty for anything else."""
    if start.startswith(_ZIP):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    return next((kind for mark, kind in _OTHER_ARCHIVES.items() if start.startswith(mark)), "")
