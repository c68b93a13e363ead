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
from napari_ifa.export.problems import ExportProblem
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
    place = Path(os.path.expanduser(folder))
    index = _read_index(place)
    provenance = index.get("provenance", {})
    if not isinstance(provenance, dict) or not all(isinstance(v, str) for v in provenance.values()):
        raise _unfit(f"{INDEX} in {place.name} does not tell what it was made from", file=INDEX)
    sections = tuple(_read_section(place, entry) for entry in index["sections"])
    return TracedSections(sections, provenance)


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
        raise _unfit(f"{INDEX} in {place.name} is no index of sections", file=INDEX)
    if index.get("version") != INDEX_VERSION:
        version = str(index.get("version"))[:20]
        raise _unfit(
            f"The sections in {place.name} were written by another napari-ifa (version"
            f" {version}, this one reads {INDEX_VERSION})",
            ExportProblem.OTHER_VERSION,
            version=version,
        )
    if not isinstance(index.get("sections"), list):
        raise _unfit(f"{INDEX} in {place.name} lists no sections", file=INDEX)
    return index


def _read_section(place: Path, entry: Any) -> StoredSection:
    key = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise _unfit(f"{INDEX} in {place.name} names a section wrongly", file=INDEX)
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
        raise _unfit(f"Section '{key}' in {place.name} is damaged", section=key)
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
        raise _unfit(
            f"The figure of section '{key}' in {place.name} is missing or is none", section=key
        )
    return found


def _read_json(place: Path, name: str) -> Any:
    content = _read(place, name, _LARGEST_TABLE)
    if content is None:
        raise _unfit(
            f"There is no {name} in '{place.name}', or it is too large",
            ExportProblem.NO_SECTIONS,
            file=name,
        )
    try:
        return json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        raise _unfit(f"{name} in {place.name} is damaged", file=name) from error


def _read(place: Path, name: str, largest: int) -> bytes | None:
    """A file's bytes; None where it is missing, too large, or a link that leads elsewhere."""
    try:
        file = (place / name).resolve()
        if file.parent != place.resolve() or not file.is_file() or file.stat().st_size > largest:
            return None
        return file.read_bytes()
    except (OSError, RuntimeError):
        return None


def _unfit(found: str, kind: ExportProblem = ExportProblem.DAMAGED, **facts: str) -> IfaError:
    """What was found in a folder, and what to do."""
    redo = "give a folder that napari-ifa evaluate or findings has written"
    return IfaError(f"{found}; {redo}.", kind, **facts)
