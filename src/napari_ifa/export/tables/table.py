"""One table as files: CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from napari_ifa.disk import whole_folder
from napari_ifa.export.problems import MAKE_ROOM, unwritten_said
from napari_ifa.export.tables.cells import (
    cell_text,
    clean_text,
    is_number,
    markdown_text,
    plain_value,
)

Row = dict[str, Any]

#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = re.compile(r"[=+\-@\t\r\n＝＋－＠]")


def write_table(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    columns: Iterable[str] = (),
    *,
    overwrite: bool = False,
) -> list[Path]:
    """A table as CSV, JSON and Markdown beside each other; ``path`` has no suffix.

    A value that is missing or not a number is empty in the CSV, ``null`` in the JSON and "–" in the
    Markdown, whose numbers are rounded to four significant digits. An infinite one is the text
    ``inf`` or ``-inf``, since JSON has no number for it. Text in the CSV that a spreadsheet would
    take for a formula has an apostrophe before it.

    Parameters
    ----------
    columns : those of a table without rows.
    overwrite : replace tables that are there already.

    Raises
    ------
    ExistingOutputError
        There is one already, and ``overwrite`` was not asked for.
    IfaError
        Where the place cannot be written.
    """
    texts = table_texts(rows, columns)
    names = [f"{path.name}.{suffix}" for suffix in texts]
    with (
        unwritten_said(f"{path.name} cannot be written to its folder", MAKE_ROOM),
        whole_folder(path.parent, overwrite=overwrite) as folder,
    ):
        for name, text in zip(names, texts.values(), strict=True):
            (folder / name).write_bytes(text.encode())
    return [path.with_name(name) for name in names]


def table_texts(
    rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()
) -> Mapping[str, str]:
    """What the files of a table hold, by their suffixes; see `write_table`."""
    names = column_names(rows, columns)
    plain = [{name: plain_value(row.get(name)) for name in names} for row in rows]
    return {
        "csv": _as_csv(names, plain),
        "json": as_json(plain),
        "md": markdown_table(plain, names),
    }


def markdown_table(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> str:
    """A table for people: numbers rounded and to the right, "–" where there is none."""
    names = column_names(rows, columns)
    if not names:
        return "No rows.\n"
    sides = ["---:" if any(is_number(row.get(name)) for row in rows) else "---" for name in names]
    shown = [[markdown_text(cell_text(row.get(name), name)) for name in names] for row in rows]
    lines = [[markdown_text(name) for name in names], sides, *shown]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def column_names(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> list[str]:
    """The columns of a table in order: those of its rows, then those that are only described."""
    return list(dict.fromkeys([*(name for row in rows for name in row), *columns]))


def as_json(content: Any) -> str:
    """Text that JSON knows; a NaN is refused."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


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
