"""What is there already: what may be replaced, and what is never."""

from __future__ import annotations

import gzip
import os
import re
import stat
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from napari_ifa.disk.problems import PlaceProblem
from napari_ifa.errors import ExistingOutputError, IfaError

#: What a result's file is.
Kind = Literal["analysis", "NIfTI", "DICOM", "PNG", "SVG", "HTML", "table"]
_START = 560
#: Bytes of a NIfTI header of either version, and where its description begins.
_NIFTI_DESCRIPTION = {348: 148, 540: 240}
_KINDS: dict[str, Kind] = {
    ".nc": "analysis",
    ".nii": "NIfTI",
    ".gz": "NIfTI",
    ".dcm": "DICOM",
    ".png": "PNG",
    ".svg": "SVG",
    ".html": "HTML",
}
#: How maps of ours say who made them: in a NIfTI file's description, as a DICOM manufacturer.
PRODUCT = "napari-ifa"
_DIGITS = re.compile(r"\d+")


def check_file(target: Path, kind: Kind, overwrite: bool = False) -> None:
    """Refuse a place for a file where something is that must stay.

    Raises
    ------
    ExistingOutputError
        There is a file already, and ``overwrite`` was not asked for.
    IfaError
        There is a folder, a device, or a file that is none of this kind: it is never replaced.
    """
    try:
        found = Path(os.path.realpath(target)).stat()
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(found.st_mode):
        raise IfaError(PlaceProblem.A_FOLDER, file=target.name)
    if not stat.S_ISREG(found.st_mode):
        raise IfaError(PlaceProblem.NOT_A_FILE, file=target.name)
    if not is_ours(target, kind):
        raise IfaError(PlaceProblem.ANOTHER_FILE, kind_of_file=kind, file=target.name)
    if not overwrite:
        raise ExistingOutputError(target)


def check_entry(old: Path, new: Path, overwrite: bool) -> None:
    """Refuse that an entry of a folder gives way to a new one of the same name.

    Raises
    ------
    ExistingOutputError
        ``overwrite`` was not asked for.
    IfaError
        The old one is a file and the new one a folder, a folder with other files, or a link.
    """
    found = old.lstat().st_mode
    if new.is_dir() and stat.S_ISDIR(found):
        kinds = {_DIGITS.sub("#", name) for name in os.listdir(new)}
        files = list(os.scandir(old))
        alike = all(
            _DIGITS.sub("#", file.name) in kinds
            and file.is_file(follow_symlinks=False)
            and is_ours(Path(file), _kind_of(Path(file)))
            for file in files
        )
    else:
        alike = not new.is_dir() and stat.S_ISREG(found) and is_ours(old, _kind_of(old))
    if not alike:
        raise IfaError(PlaceProblem.OTHER_CONTENT, file=old.name)
    if not overwrite:
        raise ExistingOutputError(old)


def check_not_read(target: Path, read: Iterable[Path | None]) -> None:
    """Refuse to write where the same work reads: through links, and in another case, too.

    Raises
    ------
    IfaError
        Where the target is one of them.
    """
    for path in read:
        if path is not None and _same(target, path):
            raise IfaError(PlaceProblem.READ_BY_THE_WORK)


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def is_ours(file: Path, kind: Kind) -> bool:
    """Whether a file may be an earlier result of this kind; an empty one may be anything's."""
    with file.open("rb") as stream:
        start = stream.read(_START)
    if not start:
        return True
    if kind == "analysis":
        return start.startswith(b"\x89HDF\r\n\x1a\n") and _is_analysis(file)
    if kind == "NIfTI":
        return _nifti_description(file, start).startswith(PRODUCT.encode())
    if kind == "DICOM":
        return start[128:132] == b"DICM" and _is_derived_by_us(file)
    if kind == "PNG":
        return start.startswith(b"\x89PNG")
    if kind == "HTML":
        return start.startswith(b"<!DOCTYPE html>")
    return b"\0" not in start


def _is_analysis(file: Path) -> bool:
    """By its attributes; a damaged one by its name alone."""
    import h5py

    try:
        with h5py.File(file, "r") as content:
            return "format_version" in content.attrs or "method" in content.attrs
    except (OSError, RuntimeError, ValueError, KeyError):
        return file.suffix == ".nc"


def _kind_of(file: Path) -> Kind:
    return _KINDS.get(file.suffix.lower(), "table")


def _nifti_description(file: Path, start: bytes) -> bytes:
    if start.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(file) as stream:
                start = stream.read(_START)
        except (OSError, EOFError, zlib.error):
            return b""
    sizes = (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    begins = [_NIFTI_DESCRIPTION[size] for size in sizes if size in _NIFTI_DESCRIPTION]
    return start[begins[0] : begins[0] + 80] if begins else b""


def _is_derived_by_us(file: Path) -> bool:
    """By its manufacturer; the sample study has the same, but is an original."""
    import pydicom

    keywords = ["Manufacturer", "ImageType"]
    try:
        found = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=keywords)
        return str(found.Manufacturer) == PRODUCT and found.ImageType[0] == "DERIVED"
    # What pydicom raises on a damaged file has many types.
    except Exception:
        return False
