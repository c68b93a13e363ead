"""Which files and folders are studies, at a glance: what is napari's is left to napari."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

#: Names that are medical images whatever napari's other readers think of them.
_SUFFIXES = (".dcm", ".dicom", ".ima", ".nii", ".nii.gz", ".mgz", ".mgh", ".mnc", ".head", ".par")
#: Files looked at in a folder before it is left to napari.
_MOST_LOOKED_AT = 200
_PREAMBLE, _MAGIC = 128, b"DICM"


def holds_a_study(paths: Sequence[Path]) -> bool:
    """Whether any of these files and folders, judged by names and first bytes, is a study.

    Pictures alone are none: whoever drops a photograph on the canvas wants napari's own layer.
    """
    return any(_folder_holds(path) if path.is_dir() else _is_study(path) for path in paths)


def _folder_holds(folder: Path) -> bool:
    if folder.suffix.lower() == ".zarr":
        return False
    files = (Path(place, name) for place, _, names in os.walk(folder) for name in names)
    return any(_is_study(file) for file in islice(files, _MOST_LOOKED_AT))


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
