"""What is there already: what may be replaced, and what is never."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from napari_ifa.errors import ExistingOutputError, IfaError

#: What a result's file is.
Kind = Literal["analysis", "NIfTI", "DICOM", "PNG", "SVG", "HTML", "table"]
_START = 512
_NIFTI_SIZES = {size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big")}
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
        raise IfaError(f"{target.name} is a folder; give the name of a file.")
    if not stat.S_ISREG(found.st_mode):
        raise IfaError(f"{target.name} is no file that can be replaced; give another name.")
    if not _is_of_kind(target, kind):
        raise IfaError(
            f"{target.name} exists already and is no {kind} file of ours, so it is not replaced;"
            " give another name."
        )
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
            _DIGITS.sub("#", file.name) in kinds and file.is_file(follow_symlinks=False)
            for file in files
        )
    else:
        alike = not new.is_dir() and stat.S_ISREG(found)
    if not alike:
        raise IfaError(
            f"{old.name} is there already and holds something else, so it is not replaced; choose"
            " another folder."
        )
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
            raise IfaError(
                "The results would be written over what they are made from; give another place for"
                " them."
            )


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)


def _is_of_kind(file: Path, kind: Kind) -> bool:
    """Whether a file may be an earlier result of this kind; an empty one may be anything's."""
    with file.open("rb") as stream:
        start = stream.read(_START)
    if not start:
        return True
    if kind == "analysis":
        return start.startswith(b"\x89HDF\r\n\x1a\n") and _is_analysis(file)
    if kind == "NIfTI":
        return start.startswith(b"\x1f\x8b") or start[:4] in _NIFTI_SIZES
    if kind == "DICOM":
        return start[128:132] == b"DICM"
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
