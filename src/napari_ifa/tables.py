"""Tables and sections as files: CSV, JSON and Markdown, figures as PNG and SVG, and back again."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_ifa.analysis.section import Section
from napari_ifa.analysis.wording import counted
from napari_ifa.atomic import whole_file
from napari_ifa.errors import IfaError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, Any]

#: What stands for a value that there is none of.
NO_VALUE = "–"
#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
#: Characters that no XML, HTML or table may hold.
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
#: Characters with a meaning in Markdown; an underscore inside a word has none.
_MARKDOWN = re.compile(r"([\\`*\[\]|#~])")
_KEY = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_INDEX, _SUMMARY = "sections.json", "summary.md"
_INDEX_KIND, _INDEX_VERSION = "napari-ifa sections", 1
_DPI = 150
#: What a figure's file would say of its making; a date would make every file another.
_METADATA: Mapping[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}
#: What a folder's files may weigh at most, in bytes.
_LARGEST_TABLE, _LARGEST_PICTURE = 200_000_000, 4_000_000
#: What an SVG of ours never holds: code, entities, and addresses of anything outside of it.
_UNWANTED_IN_SVG = re.compile(
    rb"<!ENTITY|<script|<foreignObject|@import"
    rb"|(?:href|src)\s*=\s*(?!\s*[\"'](?:#|data:image/))|url\(\s*[\"']?(?!#)",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class StoredSection(Section):
    """A section read back from a folder.

    Attributes
    ----------
    pictures : the figure's files, by ``"svg"`` and ``"png"``; empty where there is none.
    """

    pictures: Mapping[str, bytes] = field(default_factory=dict)


def write_table(
    rows: Sequence[Mapping[str, Any]], path: Path, columns: Iterable[str] = ()
) -> list[Path]:
    """A table as CSV, JSON and Markdown beside each other; ``path`` has no suffix.

    A value that is missing or not a number is empty in the CSV, ``null`` in the JSON and "–" in the
    Markdown, whose numbers are rounded to four significant digits. An infinite one is the text
    ``inf`` or ``-inf``, since JSON has no number for it. Text in the CSV that a spreadsheet would
    take for a formula has an apostrophe before it.

    Parameters
    ----------
    columns : those of a table without rows.

    Raises
    ------
    IfaError
        Where the place cannot be written.
    """
    names = column_names(rows, columns)
    plain = [{name: _plain(row.get(name)) for name in names} for row in rows]
    shown = [[_in_markdown(cell_text(row[name])) for name in names] for row in plain]
    return [
        write_whole(path.with_name(f"{path.name}.csv"), _as_csv(names, plain)),
        write_whole(path.with_name(f"{path.name}.json"), _as_json(plain)),
        write_whole(path.with_name(f"{path.name}.md"), _as_markdown(names, plain, shown)),
    ]


def write_sections(sections: Sequence[Section], folder: str | Path) -> list[Path]:
    """Every section's table and figure, ``summary.md`` in words, and the index of them all.

    A section's files are called by its key: ``KEY.csv``, ``.json`` and ``.md``, and where it draws
    ``.png`` (150 dpi) and ``.svg``. The same sections give the same bytes. The index,
    ``sections.json``, is written last, so that ``read_sections`` finds whole sections only.

    Raises
    ------
    IfaError
        Where the folder cannot be written, or two sections share a key or have one that cannot be
        a file's name.
    """
    place = Path(folder).expanduser()
    taken = {Path(name).stem for name in (_INDEX, _SUMMARY)}
    for section in sections:
        if not _KEY.fullmatch(section.key) or section.key.lower() in taken:
            raise IfaError(
                f"A section called '{section.key}' cannot be written; a key is made of letters,"
                " digits, - and _, and stands once."
            )
        taken.add(section.key.lower())
    written: list[Path] = []
    with_figure: set[str] = set()
    for section in sections:
        written += write_table(section.rows, place / section.key, section.columns)
        for suffix, content in pictures_of(section).items():
            with_figure.add(section.key)
            written.append(write_whole(place / f"{section.key}.{suffix}", content))
    written.append(write_whole(place / _SUMMARY, _summary(sections, with_figure)))
    index = {
        "kind": _INDEX_KIND,
        "version": _INDEX_VERSION,
        "sections": [
            {
                "key": section.key,
                "title": clean_text(section.title),
                "meaning": clean_text(section.meaning),
                "limits": clean_text(section.limits),
                "columns": {clean_text(k): clean_text(v) for k, v in section.columns.items()},
                "figure": section.key in with_figure,
            }
            for section in sections
        ],
    }
    return [*written, write_whole(place / _INDEX, _as_json(index))]


def read_sections(folder: str | Path) -> tuple[StoredSection, ...]:
    """What ``write_sections`` left in a folder, whoever it came from.

    No file outside the folder is read, and no figure is taken that holds code or an address.

    Raises
    ------
    IfaError
        Where the folder holds no sections, or they are damaged.
    """
    place = Path(folder).expanduser()
    index = _read_json(place, _INDEX)
    if not isinstance(index, dict) or index.get("kind") != _INDEX_KIND:
        raise IfaError(f"{_INDEX} in {place.name} is no index of sections; {_REDO}.")
    if index.get("version") != _INDEX_VERSION:
        raise IfaError(
            f"The sections in {place.name} were written by another napari-ifa (version"
            f" {str(index.get('version'))[:20]}, this one reads {_INDEX_VERSION}); {_REDO}."
        )
    entries = index.get("sections")
    if not isinstance(entries, list):
        raise IfaError(f"{_INDEX} in {place.name} lists no sections; {_REDO}.")
    return tuple(_read_section(place, entry) for entry in entries)


def pictures_of(section: Section, formats: Sequence[str] = ("png", "svg")) -> Mapping[str, bytes]:
    """A section's figure as files, by their formats; empty where it has none.

    Text in the SVG is text. The same figure gives the same bytes.
    """
    if isinstance(section, StoredSection):
        return {name: section.pictures[name] for name in formats if name in section.pictures}
    return {} if section.draw is None else _drawn(section.draw(), formats)


def column_names(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> list[str]:
    """The columns of a table in order: those of its rows, then those that are only described."""
    return list(dict.fromkeys([*(name for row in rows for name in row), *columns]))


def cell_text(value: Any) -> str:
    """A value as people read it: four significant digits, and "–" where there is none."""
    plain = _plain(value)
    if plain is None:
        return NO_VALUE
    if isinstance(plain, bool):
        return "yes" if plain else "no"
    if not isinstance(plain, float):
        return str(plain)
    rounded = float(f"{plain:.3e}")
    if rounded == 0 or 1e-4 <= abs(rounded) < 1e6:
        return np.format_float_positional(rounded + 0.0, trim="-")
    return f"{rounded:.4g}"


def clean_text(text: str) -> str:
    """Text that every format can hold; a file's name need not be valid Unicode."""
    unicode = str(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return _NOT_TEXT.sub("\ufffd", unicode)


def is_number(value: Any) -> bool:
    """Whether a value is a number; a truth is none."""
    plain = _plain(value)
    return isinstance(plain, int | float) and not isinstance(plain, bool)


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file; it appears whole or not at all.

    Raises
    ------
    IfaError
        Where the place cannot be written, and why.
    """
    try:
        with whole_file(path) as part:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise IfaError(
            f"{path.name} cannot be written to '{path.parent}' ({error.strerror or error}); make"
            " room there or choose another folder."
        ) from error
    return path


_REDO = "give a folder that napari-ifa evaluate or findings has written"


def _plain(value: Any) -> str | int | float | bool | None:
    """A value as one of Python's own; None for one that is missing or not a number."""
    if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0:
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else f"{value:g}"
    return clean_text(str(value))


def _as_csv(names: Sequence[str], rows: Sequence[Row]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    if names:
        writer.writerow([_no_formula(clean_text(name)) for name in names])
        writer.writerows([_no_formula(row[name]) for name in names] for row in rows)
    return stream.getvalue()


def _no_formula(value: Any) -> Any:
    if isinstance(value, str) and value not in ("inf", "-inf") and _FORMULA.match(value):
        return f"'{value}"
    return value


def _as_json(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _as_markdown(names: Sequence[str], rows: Sequence[Row], shown: Sequence[Sequence[str]]) -> str:
    if not names:
        return "No rows.\n"
    sides = ["---:" if any(is_number(row[name]) for row in rows) else "---" for name in names]
    lines = [[_in_markdown(clean_text(name)) for name in names], sides, *shown]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _in_markdown(text: str) -> str:
    escaped = _MARKDOWN.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))
    return " ".join(escaped.split())


def _summary(sections: Sequence[Section], with_figure: set[str]) -> str:
    parts = ["# Results\n"]
    for section in sections:
        title, key = _in_markdown(clean_text(section.title)), section.key
        parts.append(f"## {title}\n")
        if key in with_figure:
            parts.append(f"![{title}]({key}.png)\n")
        for head, text in (
            ("What this says", section.meaning),
            ("What it does not say", section.limits),
        ):
            if text:
                parts.append(f"**{head}:** {_in_markdown(clean_text(text))}\n")
        files = ["csv", "json", "md", *(["png", "svg"] if key in with_figure else [])]
        links = ", ".join(f"[{key}.{suffix}]({key}.{suffix})" for suffix in files)
        parts.append(f"{counted(len(section.rows), 'row')}. Files: {links}\n")
        if section.columns:
            parts.append(
                "".join(
                    f"* {_in_markdown(clean_text(name))}: {_in_markdown(clean_text(text))}\n"
                    for name, text in section.columns.items()
                )
            )
    parts.append(
        "In the CSV files an apostrophe stands before a text that a spreadsheet would take for a"
        " formula; the JSON files hold it as it is.\n"
    )
    return "\n".join(parts)


def _drawn(figure: Figure, formats: Sequence[str]) -> dict[str, bytes]:
    import matplotlib
    from matplotlib.text import Text

    files = {}
    with matplotlib.rc_context({"svg.hashsalt": "napari-ifa", "svg.fonttype": "none"}):
        for name in formats:
            try:
                files[name] = _saved(figure, name)
            except ValueError:
                # A class name with dollar signs is read as a formula, and may be none.
                for text in figure.findobj(Text):
                    text.set_parse_math(False)
                files[name] = _saved(figure, name)
    return files


def _saved(figure: Figure, name: str) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=name, dpi=_DPI, facecolor="white", metadata=_METADATA[name])
    content = stream.getvalue()
    if name == "svg":
        return _NOT_TEXT.sub("\ufffd", content.decode("utf-8")).encode()
    return content


def _read_section(place: Path, entry: Any) -> StoredSection:
    key = entry.get("key") if isinstance(entry, dict) else None
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise IfaError(f"{_INDEX} in {place.name} names a section wrongly; {_REDO}.")
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
