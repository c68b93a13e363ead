"""A cohort as a CSV table: a row for each image, with a header that names the columns."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from napari_ifa.cohorts.case import Case, Label, group_text, group_title, label_of
from napari_ifa.cohorts.listing import Listing
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.root import Root
from napari_ifa.errors import CohortError

#: What a column may be called, whatever its case.
_COLUMNS = {
    "image": ("image", "path", "file", "filename"),
    "label": ("label", "class", "target"),
    "mask": ("mask",),
    "id": ("id",),
    "split": ("split",),
}
_EXPECTED = "a table has a row for each image under a header such as image,label"
_WHOLE = re.compile(r"[+-]?\d+(?:\.0*)?")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|nan|[+-]?inf(?:inity)?", re.I)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
#: Columns named in one note.
_MOST_NAMED = 8

#: Row number as a spreadsheet counts it, and its cells.
_Row = tuple[int, tuple[str, ...]]


def read_table(file: Path, root: Root) -> Listing:
    """Every row of a CSV file, separated by commas, semicolons or tabs.

    Numbers are class numbers where all of the column are whole, else values; ``1.0`` is whole, as
    pandas writes a column that has gaps.

    Raises
    ------
    CohortError
        Where the file is no such table.
    """
    delimiter, header, rows = _rows(file)
    columns = _columns(file, header)
    at = columns.get("label")
    texts = [cells[at] for _, cells in rows if at is not None and at < len(cells)]
    if delimiter != ",":
        texts = [_decimal_point(text) for text in texts]
    numbers = [text for text in texts if _NUMBER.fullmatch(text) and text.casefold() != "nan"]
    all_whole = all(_WHOLE.fullmatch(text) for text in numbers)
    splits: dict[str, list[Case | CohortError]] = {}
    for number, cells in rows:
        where = f"{file.name}, row {number}"
        values = {name: cells[n] for name, n in columns.items() if n < len(cells)}
        if delimiter != ",":
            values["label"] = _decimal_point(values.get("label", ""))
        listed: Case | CohortError
        try:
            _check_width(cells, header, where)
            listed = _case(values, all_whole, where, root)
        except CohortError as error:
            listed = error
        splits.setdefault(values.get("split", ""), []).append(listed)
    return Listing(file.stem, file.name, splits, _EXPECTED, tuple(_notes(header, columns)))


def _rows(file: Path) -> tuple[str, tuple[str, ...], list[_Row]]:
    """The delimiter, the header and the rows that are not empty, with spaces around cells gone."""
    text = _text(file)
    first = io.StringIO(text.lstrip("\r\n"), newline="").readline()
    # What splits the first row into most cells.
    delimiter = max(",;\t", key=lambda mark: len(next(csv.reader([first], delimiter=mark), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [
            (number, tuple(map(str.strip, cells)))
            for number, cells in enumerate(reader, start=1)
            if any(map(str.strip, cells))
        ]
    except csv.Error as error:
        raise CohortError(
            ListProblem.NOT_CSV, file=file.name, complaint=str(error), line=reader.line_num
        ) from error
    return delimiter, rows[0][1] if rows else (), rows[1:]


def _text(file: Path) -> str:
    content = file.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except ValueError as error:
        raise CohortError(ListProblem.NOT_UTF8, file=file.name) from error


def _columns(file: Path, header: tuple[str, ...]) -> dict[str, int]:
    """Where the columns stand, by what they hold."""
    columns: dict[str, int] = {}
    for meaning, names in _COLUMNS.items():
        found = [n for n, title in enumerate(header) if title.casefold() in names]
        if len(found) > 1:
            both = " and ".join(f"'{header[n]}'" for n in found)
            raise CohortError(
                ListProblem.COLUMNS_ALIKE, file=file.name, columns=both, meaning=meaning
            )
        if found:
            columns[meaning] = found[0]
    if (group := group_title(header)) is not None:
        columns["group"] = header.index(group)
    if not header:
        raise CohortError(ListProblem.NO_CASE, file=file.name, expected=_EXPECTED)
    if "image" not in columns:
        raise CohortError(ListProblem.NO_IMAGE_COLUMN, file=file.name)
    return columns


def _check_width(cells: tuple[str, ...], header: tuple[str, ...], where: str) -> None:
    # Spreadsheets leave empty cells behind the last column.
    if len(cells) < len(header) or any(cells[len(header) :]):
        raise CohortError(ListProblem.ROW_LENGTH, where=where, cells=len(cells), titles=len(header))


def _case(values: dict[str, str], all_whole: bool, where: str, root: Root) -> Case:
    image, mask = values["image"], values.get("mask")
    if not image:
        raise CohortError(ListProblem.NO_IMAGE_NAMED, where=where)
    return Case(
        id=values.get("id") or image,
        path=root.path(image, where),
        label=_label(values.get("label", ""), all_whole, where),
        mask=root.path(mask, where) if mask else None,
        group=group_text(values.get("group"), where),
    )


def _label(text: str, all_whole: bool, where: str) -> Label:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        return text
    value = float(text)
    return label_of(int(value) if all_whole and value.is_integer() else value, where)


def _decimal_point(text: str) -> str:
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text


def _notes(header: tuple[str, ...], columns: dict[str, int]) -> Iterator[str]:
    if (at := columns.get("group")) is not None:
        yield f"Cases belong together by the column '{header[at]}'."
    others = [f"'{title}'" for n, title in enumerate(header) if n not in columns.values() and title]
    if "label" not in columns and others:
        named = ", ".join(others[:_MOST_NAMED]) + ", …" * (len(others) > _MOST_NAMED)
        yield (
            f"The table has no column 'label' ('class', 'target'); {named}"
            f" {'is' if len(others) == 1 else 'are'} not used."
        )
