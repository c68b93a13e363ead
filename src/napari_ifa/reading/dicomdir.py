"""DICOMDIR: the table of contents of a disc, and the files it names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_ifa.progress import Stop, check_stop
from napari_ifa.reading.folder import UNREADABLE_FOLDER
from napari_ifa.reading.series_list import SkippedFiles

MISSING = "named by the DICOMDIR, but not there"
OUTSIDE = "named by the DICOMDIR, but outside its folder"

_RECORDS, _FILE_ID = 0x00041220, 0x00041500
_MEDIA_STORAGE_CLASS, _DIRECTORY = 0x00020002, "1.2.840.10008.1.3.10"
#: A record takes some 500 bytes: the contents of any disc fit.
_LARGEST = 256 * 2**20


def is_dicomdir(path: Path) -> bool:
    """Whether a DICOM file without an image is the table of contents of a disc."""
    import pydicom

    if path.name.upper() == "DICOMDIR":
        return True
    try:
        element = pydicom.filereader.read_file_meta_info(path).get(_MEDIA_STORAGE_CLASS)
        return element is not None and str(element.value) == _DIRECTORY
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return False


def referenced_files(path: Path, skipped: SkippedFiles, stop: Stop | None = None) -> list[Path]:
    """The files that a DICOMDIR names and that are there, in its order, each once.

    Names are looked for below the DICOMDIR's folder alone, in upper or lower case, as discs are
    copied. Empty where the DICOMDIR cannot be read.

    Parameters
    ----------
    skipped : is given the files that are named and missing, or that lie elsewhere.
    """
    folder = _Folder(path.parent, skipped)
    files: dict[Path, None] = {}
    for parts in _file_ids(path):
        check_stop(stop)
        if not all(_is_plain(part) for part in parts):
            skipped.add(OUTSIDE, _shown(parts))
            continue
        found = folder.find(parts)
        if found is None:
            skipped.add(MISSING, _shown(parts))
        # A link that leads round in a circle leads nowhere, and is missing.
        elif not Path(os.path.realpath(found)).is_relative_to(os.path.realpath(path.parent)):
            skipped.add(OUTSIDE, found.name)
        else:
            files[found] = None
    return list(files)


def _file_ids(path: Path) -> list[tuple[str, ...]]:
    """Folders and name of each file, as the DICOMDIR spells them."""
    import pydicom

    try:
        if path.stat().st_size > _LARGEST:
            return []
        dataset = pydicom.dcmread(path, force=True, specific_tags=[_RECORDS])
        ids = [_parts(record.get(_FILE_ID)) for record in dataset[_RECORDS].value]
    except Exception:  # a file may hold anything, and pydicom's errors have no common base
        return []
    return [parts for parts in ids if parts]


def _parts(element: Any) -> tuple[str, ...]:
    value = getattr(element, "value", None) or ()
    values = (value,) if isinstance(value, str) else value
    # Some writers put a whole path into one value.
    parts = (part.strip() for text in values for part in str(text).split("/"))
    return tuple(part for part in parts if part)


def _is_plain(part: str) -> bool:
    return part not in (".", "..") and not set(part) & set("/\\:\0")


def _shown(parts: tuple[str, ...]) -> str:
    return parts[-1].rpartition("\\")[2]


class _Folder:
    """Finds files below a folder by names in any case, looking into each folder once."""

    def __init__(self, root: Path, skipped: SkippedFiles) -> None:
        self._root = root
        self._skipped = skipped
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, parts: tuple[str, ...]) -> Path | None:
        place = self._root
        for part in parts:
            name = self._inside(place).get(_plain(part))
            if name is None:
                return None
            place = place / name
        return place if place.is_file() else None

    def _inside(self, folder: Path) -> dict[str, str]:
        """Name as any disc may spell it → name as it is here."""
        if folder not in self._names:
            try:
                names = sorted(entry.name for entry in folder.iterdir())
            except OSError:
                names = []
                if folder.is_dir():
                    self._skipped.add(UNREADABLE_FOLDER)
            self._names[folder] = {_plain(name): name for name in reversed(names)}
        return self._names[folder]


def _plain(name: str) -> str:
    """ISO 9660 adds a version (``;1``) and a full stop to names without an ending."""
    return name.partition(";")[0].rstrip(".").casefold()
