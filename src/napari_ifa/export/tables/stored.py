"""A folder of sections read back, whoever it came from."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_ifa.errors import IfaError
from napari_ifa.evaluation.section import Section
from napari_ifa.export.tables.pictures import StoredSection

INDEX, INDEX_KIND, INDEX_VERSION = "sections.json", "napari-ifa sections", 1
KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
#: What files of a section may be called after its key.
_SUFFIXES = ("csv", "json", "md", "png", "svg")
#: What a folder's files may weigh at most, in bytes.
_LARGEST_TABLE, _LARGEST_PICTURE = 200_000_000, 4_000_000
#: What an SVG of ours never holds: code, entities, and addresses of anything outside of it.
_UNWANTED_IN_SVG = re.compile(
    rb"<!ENTITY|<script|<foreignObject|@import"
    rb"|(?:href|src)\s*=\s*(?!\s*[\"'](?:#|data:image/))|url\(\s*[\"']?(?!#)",
    re.IGNORECASE,
)

_REDO = "give a folder that napari-ifa evaluate or findings has written"


@dataclass(frozen=True, eq=False)
class TracedSections:
    """Sections, and what they were made from.

    Attributes
    ----------
    provenance : named texts; see ``napari_ifa.evaluation.summary.provenance``. Empty where unknown.
    """

    sections: tuple[Section, ...]
    provenance: Mapping[str, str] = field(default_factory=dict)


def read_folder(folder: str | Path) -> TracedSections:
    """What ``write_sections`` left in a folder: the sections, and what they were made from.

    No file outside the folder is read, and no figure is taken that holds code or an address.

    Raises
    ------
    IfaError
        Where the folder holds no sections, or they are damaged.
    """
    sections, provenance = _read_whole(Path(os.path.expanduser(folder)))
    return TracedSections(sections, provenance)


def read_sections(folder: str | Path) -> tuple[StoredSection, ...]:
    """The sections alone; see `read_folder`."""
    return _read_whole(Path(os.path.expanduser(folder)))[0]


def _read_whole(place: Path) -> tuple[tuple[StoredSection, ...], dict[str, str]]:
    index = _read_index(place)
    provenance = index.get("provenance", {})
    if not isinstance(provenance, dict) or not all(isinstance(v, str) for v in provenance.values()):
        raise IfaError(f"{INDEX} in {place.name} does not tell what it was made from; {_REDO}.")
    return tuple(_read_section(place, entry) for entry in index["sections"]), provenance


def listed_files(place: Path) -> Sequence[str]:
    """Names of the index and the files that it speaks of; none where there is no good index."""
    try:
        entries = _read_index(place)["sections"]
    except IfaError:
        return ()
    keys = [entry.get("key") for entry in entries if isinstance(entry, dict)]
    good = [key for key in keys if isinstance(key, str) and KEY.fullmatch(key)]
    return [INDEX, *(f"{key}.{suffix}" for key in good for suffix in _SUFFIXES)]


def _read_index(place: Path) -> dict[str, Any]:
    index = _read_json(place, INDEX)
    if not isinstance(index, dict) or index.get("kind") != INDEX_KIND:
        raise IfaError(f"{INDEX} in {place.name} is no index of sections; {_REDO}.")
    if index.get("version") != INDEX_VERSION:
        raise IfaError(
            f"The sections in {place.name} were written by another napari-ifa (version"
            f" {str(index.get('version'))[:20]}, this one reads {INDEX_VERSION}); {_REDO}."
        )
    if not isinstance(index.get("sections"), list):
        raise IfaError(f"{INDEX} in {place.name} lists no sections; {_REDO}.")
    return index


def _read_section(place: Path, entry: Any) -> StoredSection:
    key = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise IfaError(f"{INDEX} in {place.name} names a section wrongly; {_REDO}.")
    texts = {name: entry.get(name) for name in ("title", "meaning", "limits")}
    columns = entry.get("columns")
    rows = _read_json(place, f"{key}.json")
    if (
        not all(isinstance(text, str) for text in texts.values())
        or not isinstance(columns, dict)
        or not all(isinstance(text, str) for text in columns.values())
        or not isinstance(rows, list)
        or not all(_is_row(row) for row in rows)
    ):
        raise IfaError(f"Section '{key}' in {place.name} is damaged; {_REDO}.")
    pictures = _read_pictures(place, key) if entry.get("figure") else {}
    return StoredSection(key, rows=tuple(rows), columns=columns, pictures=pictures, **texts)


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(
        value is None or isinstance(value, str | int | float) for value in row.values()
    )


def _read_pictures(place: Path, key: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for suffix in ("svg", "png"):
        content = _read(place, f"{key}.{suffix}", _LARGEST_PICTURE)
        if content is None:
            continue
        if suffix == "png" and content.startswith(b"\x89PNG\r\n\x1a\n"):
            found[suffix] = content
        if suffix == "svg" and b"<svg" in content and not _UNWANTED_IN_SVG.search(content):
            found[suffix] = content
    if not found:
        raise IfaError(
            f"The figure of section '{key}' in {place.name} is missing or is none; {_REDO}."
        )
    return found


def _read_json(place: Path, name: str) -> Any:
    content = _read(place, name, _LARGEST_TABLE)
    if content is None:
        raise IfaError(f"There is no {name} in '{place.name}', or it is too large; {_REDO}.")
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise IfaError(f"{name} in {place.name} is damaged; {_REDO}.") from error


def _read(place: Path, name: str, largest: int) -> bytes | None:
    """A file's bytes; None where it is missing, too large, or a link that leads elsewhere."""
    try:
        file = (place / name).resolve()
        if file.parent != place.resolve() or not file.is_file() or file.stat().st_size > largest:
            return None
        return file.read_bytes()
    except (OSError, RuntimeError):
        return None
