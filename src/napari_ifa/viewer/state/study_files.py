"""Which files and folders are studies, at a glance: what is napari's is left to napari."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

#: Names that are medical images whatever napari's other readers think of them.
_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".mgz", ".mgh", ".mnc", ".head", ".par")
#: Pictures, which say nothing of a patient's place.
_PICTURES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".gif", ".webp")
#: Files looked at in a folder before it is left to napari.
_MOST_LOOKED_AT = 200
_PREAMBLE, _MAGIC = 128, b"DICM"


def holds_a_study(paths: Sequence[Path]) -> bool:
    """Whether any of these files and folders, judged by names and first bytes, is a study.

    Pictures alone are none: whoever drops a photograph on the canvas wants napari's own layer.
    """
    return any(_is_study(file) for file in _files(paths))


def holds_a_picture(paths: Sequence[Path]) -> bool:
    """Whether any of these files and folders, judged by names, is a picture without geometry."""
    return any(file.name.lower().endswith(_PICTURES) for file in _files(paths))


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
        elif path.suffix.lower() != ".zarr":
            inside = (Path(place, name) for place, _, names in os.walk(path) for name in names)
            yield from islice(inside, _MOST_LOOKED_AT)


def _is_study(file: Path) -> bool:
    name = file.name.lower()
    if name.endswith(_SUFFIXES) or name == "dicomdir":
        return True
    try:
        # A pipe would block for ever.
        if not file.is_file():
            return False
        with file.open("rb") as opened:
            return opened.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
    except OSError:
        return False
